"""Stacks with resources of services beside Lambda: made, changed and removed in moto, and joined to functions here."""

import json
import sys
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.server import LamellaServer
from tests.support.stacks import deployment

pytestmark = pytest.mark.sandbox

PYTHON = f"python3.{sys.version_info.minor}"
_WITHIN_S = 30.0

_EVENTS = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Told:
    Type: AWS::SQS::Queue
  Topic:
    Type: AWS::SNS::Topic
  Tell:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: RUNTIME
      Handler: index.handler
      InlineCode: |
        import boto3, os
        def handler(event, context):
            said = event["Records"][0]["Sns"]["Message"] if "Records" in event else event["detail"]["said"]
            boto3.client("sqs").send_message(QueueUrl=os.environ["TOLD"], MessageBody=said)
      Timeout: 20
      Environment: {Variables: {TOLD: !Ref Told}}
      Policies: [{SQSSendMessagePolicy: {QueueName: !GetAtt Told.QueueName}}]
      Events:
        Topic: {Type: SNS, Properties: {Topic: !Ref Topic}}
        Bus: {Type: EventBridgeRule, Properties: {Pattern: {source: [stacks.test]}}}
Outputs:
  Told: {Value: !Ref Told}
  Topic: {Value: !Ref Topic}
""".replace("RUNTIME", PYTHON)

_MANY = """
Transform: AWS::Serverless-2016-10-31
Parameters: {Days: {Type: Number, Default: 1}}
Resources:
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: RUNTIME
      Handler: index.handler
      InlineCode: "def handler(event, context): return 1"
      Events:
        Rest: {Type: Api, Properties: {Path: /x, Method: get}}
        Http: {Type: HttpApi, Properties: {Path: /x, Method: get}}
        Later: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 hour)}}
  Log:
    Type: AWS::Logs::LogGroup
    Properties: {RetentionInDays: !Ref Days}
  Secret:
    Type: AWS::SecretsManager::Secret
    Properties:
      Description: !Sub "of ${Days}"
      GenerateSecretString: {SecretStringTemplate: '{"user": "a"}', GenerateStringKey: password, PasswordLength: 20}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      BillingMode: PAY_PER_REQUEST
      StreamSpecification: {StreamViewType: NEW_IMAGE}
      TimeToLiveSpecification: {AttributeName: !Sub "until${Days}", Enabled: true}
  Policy:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument: {Statement: [{Effect: Allow, Action: "s3:*", Resource: !Sub "arn:aws:s3:::b${Days}"}]}
      Roles: [!Ref Role]
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: "sts:AssumeRole"}]
      Policies:
        - PolicyName: !Sub "p${Days}"
          PolicyDocument: {Statement: [{Effect: Allow, Action: "s3:*", Resource: "*"}]}
  Inline:
    Type: AWS::IAM::Policy
    Properties:
      PolicyName: inline
      PolicyDocument: {Statement: [{Effect: Allow, Action: "s3:*", Resource: !Sub "arn:aws:s3:::c${Days}"}]}
      Roles: [!Ref Role]
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: !Sub "1${Days}"
      FifoQueue: true
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}
  Dead: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}
  QueuePolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Queue]
      PolicyDocument:
        Statement:
          [{Sid: !Sub "s${Days}", Effect: Allow, Principal: "*", Action: "sqs:*", Resource: !GetAtt Queue.Arn}]
  Topic:
    Type: AWS::SNS::Topic
    Properties: {DisplayName: !Sub "d${Days}"}
  TopicPolicy:
    Type: AWS::SNS::TopicPolicy
    Properties:
      Topics: [!Ref Topic]
      PolicyDocument: {Statement: [{Effect: Allow, Principal: "*", Action: "sns:Publish", Resource: !Ref Topic}]}
  Bucket:
    Type: AWS::S3::Bucket
    Properties:
      LifecycleConfiguration: {Rules: [{Id: old, Status: Enabled, ExpirationInDays: !Ref Days}]}
      CorsConfiguration: {CorsRules: [{AllowedMethods: [GET], AllowedOrigins: ["*"], MaxAge: 10}]}
      PublicAccessBlockConfiguration: {BlockPublicAcls: true}
      BucketEncryption: {ServerSideEncryptionConfiguration: [{ServerSideEncryptionByDefault: {SSEAlgorithm: AES256}}]}
Outputs:
  Log: {Value: !Ref Log}
  Secret: {Value: !Ref Secret}
  Table: {Value: !Ref Table}
  Stream: {Value: !GetAtt Table.StreamArn}
  Policy: {Value: !Ref Policy}
  Role: {Value: !Ref Role}
  Queue: {Value: !Ref Queue}
  Topic: {Value: !Ref Topic}
  Bucket: {Value: !Ref Bucket}
""".replace("RUNTIME", PYTHON)


def test_events_reach_what_a_stack_deploys(server: LamellaServer) -> None:
    stack = deployment(server)
    assert stack.create(_EVENTS) == "CREATE_COMPLETE", stack.failures
    made = stack.outputs
    server.boto3("sns").publish(TopicArn=made["Topic"], Message="by the topic")
    entry = {"Source": "stacks.test", "DetailType": "x", "Detail": json.dumps({"said": "by the bus"})}
    server.boto3("events").put_events(Entries=[entry])
    sqs, told, until = server.boto3("sqs"), set[str](), time.monotonic() + _WITHIN_S
    while len(told) < 2 and time.monotonic() < until:
        found = sqs.receive_message(QueueUrl=made["Told"], WaitTimeSeconds=5).get("Messages", [])
        told |= {message["Body"] for message in found}
    assert told == {"by the topic", "by the bus"}
    assert stack.delete() == "DELETE_COMPLETE", stack.failures
    assert not [
        one for one in server.boto3("sns").list_subscriptions()["Subscriptions"] if one["TopicArn"] == made["Topic"]
    ]


def test_many_kinds(server: LamellaServer) -> None:
    own = {"aws_access_key_id": "210000000005", "aws_secret_access_key": "x"}

    def client(service: str) -> Any:
        return server.boto3(service, **own)

    stack = deployment(server, **own)
    assert stack.create(_MANY) == "CREATE_COMPLETE", stack.failures
    made = stack.outputs
    secret = client("secretsmanager").get_secret_value(SecretId=made["Secret"])["SecretString"]
    assert (json.loads(secret)["user"], len(json.loads(secret)["password"])) == ("a", 20)
    days = [{"ParameterKey": "Days", "ParameterValue": "3"}]
    assert stack.update(_MANY, Parameters=days) == "UPDATE_COMPLETE", stack.failures
    assert stack.outputs == made  # everything was changed in place
    assert client("secretsmanager").get_secret_value(SecretId=made["Secret"])["SecretString"] == secret
    assert client("secretsmanager").describe_secret(SecretId=made["Secret"])["Description"] == "of 3"
    assert client("logs").describe_log_groups(logGroupNamePrefix=made["Log"])["logGroups"][0]["retentionInDays"] == 3
    expiry = client("dynamodb").describe_time_to_live(TableName=made["Table"])["TimeToLiveDescription"]
    assert expiry["AttributeName"] == "until3"
    assert made["Stream"] == client("dynamodb").describe_table(TableName=made["Table"])["Table"]["LatestStreamArn"]
    iam = client("iam")
    version = iam.get_policy(PolicyArn=made["Policy"])["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=made["Policy"], VersionId=version)["PolicyVersion"]["Document"]
    assert document["Statement"][0]["Resource"] == "arn:aws:s3:::b3"
    assert set(iam.list_role_policies(RoleName=made["Role"])["PolicyNames"]) == {"inline", "p3"}
    queue = client("sqs").get_queue_attributes(QueueUrl=made["Queue"], AttributeNames=["All"])["Attributes"]
    assert queue["VisibilityTimeout"] == "13"
    assert json.loads(queue["RedrivePolicy"])["maxReceiveCount"] == 2
    assert json.loads(queue["Policy"])["Statement"][0]["Sid"] == "s3"
    assert client("sns").get_topic_attributes(TopicArn=made["Topic"])["Attributes"]["DisplayName"] == "d3"
    rules = client("s3").get_bucket_lifecycle_configuration(Bucket=made["Bucket"])["Rules"]
    assert rules[0]["Expiration"]["Days"] == 3
    assert stack.delete() == "DELETE_COMPLETE", stack.failures
    left = {
        "roles": iam.list_roles()["Roles"],
        "policies": iam.list_policies(Scope="Local")["Policies"],
        "queues": client("sqs").list_queues().get("QueueUrls", []),
        "tables": client("dynamodb").list_tables()["TableNames"],
        "topics": client("sns").list_topics()["Topics"],
        "buckets": client("s3").list_buckets()["Buckets"],
        "apis": [*client("apigateway").get_rest_apis()["items"], *client("apigatewayv2").get_apis()["Items"]],
        "schedules": client("scheduler").list_schedules()["Schedules"],
        "secrets": client("secretsmanager").list_secrets()["SecretList"],
        "logs": client("logs").describe_log_groups()["logGroups"],
        "functions": client("lambda").list_functions()["Functions"],
    }
    assert {name: found for name, found in left.items() if found} == {}


def test_versions_and_environments_ahead_of_need(server: LamellaServer, client: Any) -> None:
    ready = {"ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 1}}

    def template(**alias: object) -> dict[str, Any]:
        code = {"ZipFile": "def handler(event, context): return 1"}
        role = "arn:aws:iam::000000000000:role/any"
        function = {"Runtime": PYTHON, "Handler": "index.handler", "Role": role, "Code": code}
        named = {"FunctionName": {"Ref": "F"}}
        live = {**named, "Name": "live", "FunctionVersion": {"Fn::GetAtt": ["V", "Version"]}, **alias}
        return {
            "Resources": {
                "F": {"Type": "AWS::Lambda::Function", "Properties": function},
                "V": {"Type": "AWS::Lambda::Version", "Properties": {**named, "Description": "first"}},
                "A": {"Type": "AWS::Lambda::Alias", "Properties": live},
            },
            "Outputs": {"F": {"Value": {"Ref": "F"}}},
        }

    stack = deployment(server)
    assert stack.create(template(**ready)) == "CREATE_COMPLETE", stack.failures
    name = stack.outputs["F"]
    found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
    assert (found["Status"], found["AllocatedProvisionedConcurrentExecutions"]) == ("READY", 1)
    again = template()
    again["Resources"]["W"] = {
        "Type": "AWS::Lambda::Version",
        "DependsOn": "A",
        "Properties": {"FunctionName": {"Ref": "F"}, "Description": "the same code"},
    }
    assert stack.update(again) == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.failures["W CREATE_FAILED"].startswith("A version for this Lambda function exists ( 1 ).")
    found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
    assert found["RequestedProvisionedConcurrentExecutions"] == 1  # as before
    assert stack.update(template()) == "UPDATE_COMPLETE", stack.failures
    assert client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []
    assert stack.delete() == "DELETE_COMPLETE"


def test_a_bucket_may_not_tell_a_function_that_does_not_let_it(server: LamellaServer) -> None:
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Runtime": PYTHON, "Handler": "index.handler"}}
    function["Properties"] |= {"Role": "arn:aws:iam::000000000000:role/any", "Code": {"ZipFile": "handler = print"}}
    told = {"Event": "s3:ObjectCreated:*", "Function": {"Fn::GetAtt": ["F", "Arn"]}}
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"NotificationConfiguration": {"LambdaConfigurations": [told]}}}
    stack = deployment(server)
    assert stack.create({"Resources": {"F": function, "B": bucket}}) == "ROLLBACK_COMPLETE"
    assert "Unable to validate the following destination configurations" in stack.failures["B CREATE_FAILED"]
    permission = {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": "F"},
            "Principal": "s3.amazonaws.com",
        },
    }
    allowed = deployment(server)
    resources = {"F": function, "P": permission, "B": {**bucket, "DependsOn": "P"}}
    assert allowed.create({"Resources": resources}) == "CREATE_COMPLETE", allowed.failures
    assert allowed.delete() == "DELETE_COMPLETE"


def test_tags_of_aws_are_not_for_clients(server: LamellaServer) -> None:
    """Functions of a stack that was lost are known by them."""
    stack = deployment(server)
    tags = [{"Key": "aws:cloudformation:stack-name", "Value": "another"}]
    with pytest.raises(ClientError, match="aws: prefixed tag key names are not allowed for external use"):
        stack.create({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}, Tags=tags)


def test_a_template_that_refers_to_nothing_is_refused_at_once(server: LamellaServer) -> None:
    stack = deployment(server)
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "Missing"}}}
    text = json.dumps({"Resources": {"Q": queue}})
    for call, named in ((stack.api.validate_template, {}), (stack.api.create_stack, {"StackName": stack.name})):
        with pytest.raises(ClientError, match=r"ValidationError.*Unresolved resource dependencies \[Missing\]"):
            call(TemplateBody=text, **named)
    with pytest.raises(ClientError, match="does not exist"):
        stack.describe()
    # A transform may make what is referred to.
    text = json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": {"Q": queue}})
    assert stack.api.validate_template(TemplateBody=text)["DeclaredTransforms"] == ["AWS::Serverless-2016-10-31"]
