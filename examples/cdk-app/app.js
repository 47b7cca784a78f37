// A function behind an alias, a queue whose messages it gets, and a resource that another function makes.
const cdk = require("aws-cdk-lib");
const lambda = require("aws-cdk-lib/aws-lambda");
const sqs = require("aws-cdk-lib/aws-sqs");
const { SqsEventSource } = require("aws-cdk-lib/aws-lambda-event-sources");

const app = new cdk.App();
const stack = new cdk.Stack(app, "Greeting");

const words = new lambda.Function(stack, "Words", {
  runtime: lambda.Runtime.PYTHON_3_11,
  handler: "index.handler",
  code: lambda.Code.fromInline(`
import cfnresponse


def handler(event, context):
    shouted = event["ResourceProperties"]["Word"].upper()
    cfnresponse.send(event, context, cfnresponse.SUCCESS, {"Shouted": shouted}, "words")
`),
});
const shout = new cdk.CustomResource(stack, "Shout", {
  serviceToken: words.functionArn,
  properties: { Word: process.env.GREETING || "Hello" },
});

const greeter = new lambda.Function(stack, "Greeter", {
  runtime: lambda.Runtime.PYTHON_3_11,
  handler: "app.handler",
  code: lambda.Code.fromAsset("greeter"),
  environment: { GREETING: shout.getAttString("Shouted") },
});
const live = new lambda.Alias(stack, "Live", { aliasName: "live", version: greeter.currentVersion });

const names = new sqs.Queue(stack, "Names");
greeter.addEventSource(new SqsEventSource(names, { batchSize: 1 }));

new cdk.CfnOutput(stack, "Alias", { value: live.functionArn });
