// The life of a function: made, invoked in all ways, changed, published, deleted. Prints a line of JSON for each step.
// Arguments: name of the function, its archive, runtime, handler, role.
import { readFileSync } from "node:fs";
import * as aws from "@aws-sdk/client-lambda";

const [FunctionName, archive, Runtime, Handler, Role] = process.argv.slice(2);
const client = new aws.LambdaClient({});
const wait = { client, maxWaitTime: 60, minDelay: 1, maxDelay: 1 };
const text = (bytes) => new TextDecoder().decode(bytes);
const say = (step, ...found) => console.log(JSON.stringify([step, ...found]));

const Code = { ZipFile: readFileSync(archive) };
const made = await client.send(new aws.CreateFunctionCommand({ FunctionName, Runtime, Handler, Role, Code }));
say("created", made.FunctionName, made.PackageType);
say("active", (await aws.waitUntilFunctionActiveV2(wait, { FunctionName })).state);

const Payload = JSON.stringify({ name: "Ada" });
const answer = await client.send(new aws.InvokeCommand({ FunctionName, Payload, LogType: "Tail" }));
say("invoked", answer.StatusCode, text(answer.Payload), Buffer.from(answer.LogResult, "base64").toString().includes("REPORT"));
const failed = await client.send(new aws.InvokeCommand({ FunctionName, Payload: "{}" }));
say("failed", failed.FunctionError, JSON.parse(text(failed.Payload)).errorType);
say("event", (await client.send(new aws.InvokeCommand({ FunctionName, Payload, InvocationType: "Event" }))).StatusCode);
const stream = await client.send(new aws.InvokeWithResponseStreamCommand({ FunctionName, Payload }));
for await (const event of stream.EventStream) {
  if (event.PayloadChunk) say("chunk", text(event.PayloadChunk.Payload));
  if (event.InvokeComplete) say("complete", event.InvokeComplete.ErrorCode ?? null);
}

await client.send(new aws.UpdateFunctionConfigurationCommand({ FunctionName, Timeout: 9 }));
say("updated", (await aws.waitUntilFunctionUpdatedV2(wait, { FunctionName })).state);
const { Version } = await client.send(new aws.PublishVersionCommand({ FunctionName }));
const alias = { FunctionName, Name: "live", FunctionVersion: Version };
say("alias", Version, (await client.send(new aws.CreateAliasCommand(alias))).Name);
for await (const page of aws.paginateListVersionsByFunction({ client, pageSize: 1 }, { FunctionName })) {
  say("versions", page.Versions.map((version) => version.Version));
}
try {
  await client.send(new aws.GetFunctionCommand({ FunctionName: "nobody" }));
} catch (error) {
  say("refused", error instanceof aws.ResourceNotFoundException, error.$metadata.httpStatusCode);
}
await client.send(new aws.DeleteFunctionCommand({ FunctionName }));
