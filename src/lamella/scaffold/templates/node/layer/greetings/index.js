// What functions with this layer share.
const WORDS = { de: 'Hallo', en: 'Hello', es: 'Hola', fr: 'Bonjour' };

exports.greet = (name, language) => {
  if (!Object.hasOwn(WORDS, language)) throw new RangeError(`there is no greeting in ${language}`);
  return `${WORDS[language]}, ${name}!`;
};
