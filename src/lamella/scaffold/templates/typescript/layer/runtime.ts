// The runtime: polls the Runtime API, calls the handler, reports what it returned. For Deno and Bun alike.
import process from "node:process";

const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;

function post(path: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  headers["content-type"] = "application/json";
  return fetch(api + path, { method: "POST", body, headers });
}

async function report(path: string, problem: unknown): Promise<void> {
  const error = problem instanceof Error ? problem : new Error(String(problem));
  console.error(error); // into the log
  const body = { errorMessage: error.message, errorType: error.name, trace: error.stack?.split("\n") ?? [] };
  const headers = { "lambda-runtime-function-error-type": `Function.${error.name}` }; // for metrics and telemetry
  await (await post(path, JSON.stringify(body), headers)).body?.cancel();
}

// A handler is `file.function`: the file exports the function.
const text = process.env._HANDLER ?? "";
const dot = text.lastIndexOf(".");
let handler: (event: unknown, context: Record<string, unknown>) => unknown;
try {
  const module = await import(`${process.env.LAMBDA_TASK_ROOT}/${text.slice(0, dot)}.ts`);
  handler = module[text.slice(dot + 1)];
  if (typeof handler !== "function") throw new Error(`${text} is not exported, or no function`);
} catch (problem) {
  await report("/init/error", problem);
  process.exit(1);
}

while (true) {
  // `next` may wait for hours. Bun would give up after five minutes; Deno knows no such option and has no such limit.
  const next = await fetch(`${api}/invocation/next`, { timeout: false } as RequestInit);
  const event = await next.text();
  if (next.status !== 200) {
    console.error(`the Runtime API answered ${next.status}: ${event}`);
    process.exit(1);
  }
  const id = next.headers.get("lambda-runtime-aws-request-id");
  process.env._X_AMZN_TRACE_ID = next.headers.get("lambda-runtime-trace-id") ?? "";
  try {
    const answer = await handler(JSON.parse(event), {
      awsRequestId: id,
      deadlineMs: Number(next.headers.get("lambda-runtime-deadline-ms")),
      invokedFunctionArn: next.headers.get("lambda-runtime-invoked-function-arn"),
    });
    const response = await post(`/invocation/${id}/response`, JSON.stringify(answer) ?? "null");
    await response.body?.cancel(); // or the connection could not be used again
  } catch (problem) {
    await report(`/invocation/${id}/error`, problem);
  }
}
