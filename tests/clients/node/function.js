// A function on AWS's Node.js runtime client that does what its event says.
'use strict';

const { once } = require('node:events');
const { greet } = require('greeting'); // from a layer

class Refused extends Error {
  constructor(reason) {
    super(reason);
    this.name = 'Refused';
  }
}

let count = 0;

exports.handler = async (event, context) => {
  count += 1;
  if (event.action === 'fail') {
    throw new Refused(event.value);
  }
  if (event.action === 'greet') {
    return greet(event.value);
  }
  return {
    value: event.value,
    count,
    context: {
      request_id: context.awsRequestId,
      arn: context.invokedFunctionArn,
      name: context.functionName,
      version: context.functionVersion,
      deadline_ms: Date.now() + context.getRemainingTimeInMillis(),
      client_context: context.clientContext,
      trace_id: process.env._X_AMZN_TRACE_ID,
    },
  };
};

// Sends the texts one by one, each as often as the event says, and fails if it says so.
exports.stream = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType('text/plain');
  for (const text of event.value) {
    for (let times = event.times ?? 1; times > 0; times -= 1) {
      if (!stream.write(text)) {
        await once(stream, 'drain');
      }
    }
  }
  if (event.fail) {
    throw new Refused(event.fail);
  }
  stream.end();
});
