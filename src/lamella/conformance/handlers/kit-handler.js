// The conformance kit's handler: does what events ask for, and gives back any other event as it is.
// See docs/reference/verification.md.
const actions = ['actions', 'echo', 'error', 'print', 'size', 'sleep', 'environment', 'context'];

exports.handler = async (event, context) => {
  switch (event === null ? undefined : event.verify) {
    case undefined: return event;
    case 'actions': return actions;
    case 'echo': return event.value;
    case 'error': throw new Error(event.message);
    case 'print': console.log(event.text); return null;
    case 'size': return 'x'.repeat(event.bytes);
    case 'sleep': await new Promise((resolve) => setTimeout(resolve, event.seconds * 1000)); return null;
    case 'environment': return process.env[event.name] ?? null;
    case 'context': return {
      aws_request_id: context.awsRequestId,
      invoked_function_arn: context.invokedFunctionArn,
      remaining_ms: context.getRemainingTimeInMillis(),
    };
    default: return null;
  }
};

// Two lines without line feeds are two chunks; then it ends, or fails.
if (globalThis.awslambda !== undefined) {
  exports.stream = awslambda.streamifyResponse(async (event, stream) => {
    stream.write('first');
    await new Promise((resolve) => setTimeout(resolve, 20));
    stream.write('second');
    if (event.fail) {
      throw new Error('in mid-stream');
    }
    stream.end();
    await stream.finished();
  });
}
