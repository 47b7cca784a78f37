const { greet } = require('greetings'); // from the layer

exports.handler = async (event) => ({
  greeting: greet(event.name, event.language ?? 'en'),
  layer: require.resolve('greetings'),
});
