// What functions with this layer share.
const WORDS: Record<string, string> = { de: "Hallo", en: "Hello", es: "Hola", fr: "Bonjour" };

export const path = new URL(import.meta.url).pathname;

export function greet(name: string, language: string): string {
  if (!Object.hasOwn(WORDS, language)) throw new RangeError(`there is no greeting in ${language}`);
  return `${WORDS[language]}, ${name}!`;
}
