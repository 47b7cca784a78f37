"""Stacks of CloudFormation whose functions run here: made, changed, undone and removed through the API."""

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
import uuid
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from tests.e2e.test_neighbour import children
from tests.support.functions import archive
from tests.support.server import LamellaServer
from tests.support.stacks import ALL, Deployment, deployment

pytestmark = pytest.mark.sandbox

PYTHON = f"python3.{sys.version_info.minor}"
ROLE = "arn:aws:iam::000000000000:role/any"

_EVERYTHING = """
Parameters:
  Greeting: {Type: String, Default: Hello}
  Bucket: {Type: String}
Resources:
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: RUNTIME
      Handler: index.handler
      Role: arn:aws:iam::000000000000:role/any
      Timeout: "10"
      MemorySize: 256
      ReservedConcurrentExecutions: 5
      Layers: [!Ref Layer]
      Environment: {Variables: {GREETING: !Ref Greeting, QUEUE: !GetAtt Queue.QueueName, NUMBER: 3, YES: true}}
      Tags: [{Key: team, Value: a}]
      Code:
        ZipFile: |
          import os
          from words import join
          def handler(event, context):
              return join(os.environ["GREETING"], event["name"], os.environ["NUMBER"], os.environ["YES"])
  Layer:
    Type: AWS::Lambda::LayerVersion
    Properties: {Content: {S3Bucket: !Ref Bucket, S3Key: layer.zip}, CompatibleRuntimes: [RUNTIME]}
  LayerForAll:
    Type: AWS::Lambda::LayerVersionPermission
    Properties: {LayerVersionArn: !Ref Layer, Action: lambda:GetLayerVersion, Principal: "*"}
  Version:
    Type: AWS::Lambda::Version
    Properties: {FunctionName: !Ref Function, Description: !Sub "says ${Greeting}"}
  Alias:
    Type: AWS::Lambda::Alias
    Properties: {FunctionName: !Ref Function, FunctionVersion: !GetAtt Version.Version, Name: live}
  Url:
    Type: AWS::Lambda::Url
    Properties: {TargetFunctionArn: !Ref Alias, AuthType: NONE, Cors: {AllowOrigins: ["*"], MaxAge: "10"}}
  Permission:
    Type: AWS::Lambda::Permission
    Properties:
      FunctionName: !Ref Alias
      Action: lambda:InvokeFunction
      Principal: events.amazonaws.com
      SourceArn: !GetAtt Rule.Arn
  Rule:
    Type: AWS::Events::Rule
    Properties:
      ScheduleExpression: rate(1 day)
      State: DISABLED
      Targets: [{Id: it, Arn: !Ref Alias}]
  Events:
    Type: AWS::Lambda::EventInvokeConfig
    Properties: {FunctionName: !Ref Function, Qualifier: $LATEST, MaximumRetryAttempts: "1"}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {FunctionName: !Ref Alias, EventSourceArn: !GetAtt Queue.Arn, BatchSize: 7, Enabled: "false"}
  Queue: {Type: AWS::SQS::Queue}
  Signing:
    Type: AWS::Lambda::CodeSigningConfig
    Properties:
      AllowedPublishers: {SigningProfileVersionArns: ["arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/v"]}
Outputs:
  Function: {Value: !Ref Function}
  Arn: {Value: !GetAtt Function.Arn}
  Alias: {Value: !Ref Alias}
  Version: {Value: !GetAtt Version.Version}
  Url: {Value: !GetAtt Url.FunctionUrl}
  Mapping: {Value: !GetAtt Mapping.Id}
  Signing: {Value: !GetAtt Signing.CodeSigningConfigId}
""".replace("RUNTIME", PYTHON)


def function(source: str = "def handler(event, context): return 1", **properties: object) -> dict[str, object]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": PYTHON,
            "Handler": "index.handler",
            "Role": ROLE,
            "Code": {"ZipFile": source},
            **properties,
        },
    }


def test_all_that_lambda_has(server: LamellaServer) -> None:
    own = {"aws_access_key_id": "210000000004", "aws_secret_access_key": "x"}
    client, s3, bucket = server.boto3(**own), server.boto3("s3", **own), f"layers-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(
        Bucket=bucket, Key="layer.zip", Body=archive({"python/words.py": "def join(*words): return ' '.join(words)"})
    )
    stack = deployment(server, **own)
    given = [{"ParameterKey": "Bucket", "ParameterValue": bucket}]
    assert stack.create(_EVERYTHING, Parameters=given, Tags=[{"Key": "stage", "Value": "test"}]) == "CREATE_COMPLETE"
    made = stack.outputs
    name = made["Function"]
    assert name.startswith(f"{stack.name}-Function-")
    answer = client.invoke(FunctionName=made["Alias"], Payload=b'{"name": "Ada"}')
    assert (answer["ExecutedVersion"], json.load(answer["Payload"])) == (made["Version"], "Hello Ada 3 true")
    found = client.get_function(FunctionName=name)
    assert (found["Configuration"]["Timeout"], found["Concurrency"]["ReservedConcurrentExecutions"]) == (10, 5)
    assert found["Tags"] == {
        "team": "a",
        "stage": "test",
        "aws:cloudformation:logical-id": "Function",
        "aws:cloudformation:stack-name": stack.name,
        "aws:cloudformation:stack-id": stack.describe()["StackId"],
    }
    assert client.get_function_event_invoke_config(FunctionName=name)["MaximumRetryAttempts"] == 1
    mapping = client.get_event_source_mapping(UUID=made["Mapping"])
    assert (mapping["BatchSize"], mapping["State"]) == (7, "Disabled")
    assert client.get_function_url_config(FunctionName=name, Qualifier="live")["Cors"]["MaxAge"] == 10
    assert made["Signing"] in client.list_code_signing_configs()["CodeSigningConfigs"][0]["CodeSigningConfigArn"]
    statement = json.loads(client.get_policy(FunctionName=name, Qualifier="live")["Policy"])["Statement"][0]
    assert statement["Sid"].startswith(f"{stack.name}-Permission-")

    changed = _EVERYTHING.replace('Timeout: "10"', "Description: other").replace("ReservedConcurrentExecutions: 5", "")
    changed = changed.replace("BatchSize: 7", "BatchSize: 8").replace("return join(", "return '2 ' + join(")
    wanted = [*given, {"ParameterKey": "Greeting", "ParameterValue": "Bye"}]
    assert stack.update(changed, Parameters=wanted) == "UPDATE_COMPLETE"
    answer = client.invoke(FunctionName=made["Alias"], Payload=b'{"name": "Ada"}')
    assert (answer["ExecutedVersion"], json.load(answer["Payload"])) == ("2", "2 Bye Ada 3 true")
    found = client.get_function(FunctionName=name)
    assert (found["Configuration"]["Timeout"], found["Configuration"]["Description"]) == (3, "other")
    assert "Concurrency" not in found
    assert client.get_event_source_mapping(UUID=made["Mapping"])["BatchSize"] == 8
    versions = client.list_versions_by_function(FunctionName=name)["Versions"]
    assert [one["Version"] for one in versions] == ["$LATEST", "2"]  # the first one was replaced

    assert stack.delete() == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="Function not found"):
        client.get_function(FunctionName=name)
    assert not [one for one in client.list_layers()["Layers"] if one["LayerName"].startswith(f"{stack.name}-Layer")]
    assert client.list_code_signing_configs()["CodeSigningConfigs"] == []


def test_what_lambda_refuses_undoes_the_stack(server: LamellaServer, client: Any) -> None:
    stack = deployment(server)
    bad = function(MemorySize=1)
    assert stack.create({"Resources": {"Good": function(), "Bad": {**bad, "DependsOn": "Good"}}}) == "ROLLBACK_COMPLETE"
    reason = stack.failures["Bad CREATE_FAILED"]
    assert reason.startswith(
        "Resource handler returned message: \"1 validation error detected: Value '1' at 'memorySize'"
    )
    assert "(Service: Lambda, Status Code: 400, Request ID: " in reason
    assert not [one for one in client.list_functions()["Functions"] if one["FunctionName"].startswith(stack.name)]


def test_a_change_that_fails_is_undone(server: LamellaServer, client: Any) -> None:
    stack = deployment(server)
    first = function("def handler(event, context): return 'first'")
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 60}}
    output = {"Name": {"Value": {"Ref": "F"}}}
    assert stack.create({"Resources": {"F": first, "Q": queue}, "Outputs": output}) == "CREATE_COMPLETE"
    name = stack.outputs["Name"]
    second = function("def handler(event, context): return 'second'", Description="new", Layers=[])
    broken = {**function(Role="no role"), "DependsOn": "F"}
    assert stack.update({"Resources": {"F": second, "B": broken}, "Outputs": output}) == "UPDATE_ROLLBACK_COMPLETE"
    assert "B CREATE_FAILED" in stack.failures
    assert json.load(client.invoke(FunctionName=name)["Payload"]) == "first"
    assert client.get_function_configuration(FunctionName=name)["Description"] == ""
    resources = stack.api.list_stack_resources(StackName=stack.name)["StackResourceSummaries"]
    assert {one["LogicalResourceId"] for one in resources} == {"F", "Q"}
    assert stack.delete() == "DELETE_COMPLETE"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("AWS::Cognito::UserPool", "Lamella does not make resources of the type AWS::Cognito::UserPool"),
        ("AWS::Lambda::CapacityProvider", "Lamella does not make resources of the type AWS::Lambda::CapacityProvider"),
    ],
)
def test_a_type_that_nobody_makes_fails_by_its_name(server: LamellaServer, kind: str, reason: str) -> None:
    stack = deployment(server)
    properties = {"PermissionsConfig": {}, "VpcConfig": {}} if "Capacity" in kind else {}
    status = stack.create({"Resources": {"A": {"Type": kind, "Properties": properties}}}, OnFailure="DO_NOTHING")
    assert status == "CREATE_FAILED"
    assert stack.failures["A CREATE_FAILED"].startswith(reason)


_MAKER = """
import cfnresponse, json

def handler(event, context):
    properties = event["ResourceProperties"]
    print(json.dumps(event))
    if properties.get("Fail") == event["RequestType"]:
        cfnresponse.send(event, context, cfnresponse.FAILED, {}, "made", reason="as you like")
        return
    data = {"Said": properties["Word"].upper(), "Was": event.get("OldResourceProperties", {}).get("Word", "")}
    cfnresponse.send(event, context, cfnresponse.SUCCESS, data, "made-" + properties.get("Id", "1"))
"""


def test_resources_that_a_function_makes(server: LamellaServer) -> None:
    def template(**properties: object) -> dict[str, object]:
        made = {"ServiceToken": {"Fn::GetAtt": ["Maker", "Arn"]}, "Number": 3, **properties}
        return {
            "Resources": {"Maker": function(_MAKER, Timeout=20), "It": {"Type": "Custom::It", "Properties": made}},
            "Outputs": {
                "Id": {"Value": {"Ref": "It"}},
                "Said": {"Value": {"Fn::GetAtt": ["It", "Said"]}},
                "Was": {"Value": {"Fn::GetAtt": ["It", "Was"]}},
            },
        }

    stack = deployment(server)
    assert stack.create(template(Word="one")) == "CREATE_COMPLETE"
    assert stack.outputs == {"Id": "made-1", "Said": "ONE", "Was": ""}
    assert stack.update(template(Word="two", Id="2")) == "UPDATE_COMPLETE"
    assert stack.outputs == {"Id": "made-2", "Said": "TWO", "Was": "one"}
    assert stack.update(template(Word="three", Id="2", Fail="Update")) == "UPDATE_ROLLBACK_COMPLETE"
    reason = stack.failures["It UPDATE_FAILED"]
    assert reason.startswith("Received response status [FAILED] from custom resource. Message returned: as you like")
    assert stack.outputs["Said"] == "TWO"
    maker = stack.api.describe_stack_resource(StackName=stack.name, LogicalResourceId="Maker")
    name = maker["StackResourceDetail"]["PhysicalResourceId"]
    assert stack.delete() == "DELETE_COMPLETE"
    lines = server.lamella("logs", name).stdout.splitlines()
    printed = [json.loads(line[line.index("{") :]) for line in lines if '"RequestType"' in line]
    told = [(one["RequestType"], one.get("PhysicalResourceId")) for one in printed]
    assert told == [
        ("Create", None),
        ("Update", "made-1"),
        ("Delete", "made-1"),  # as the answer was another resource
        ("Update", "made-2"),
        ("Update", "made-2"),  # back again
        ("Delete", "made-2"),
    ]
    assert printed[0]["ResourceProperties"]["Number"] == "3"


def test_nobody_answers_for_a_function_without_knowing_where(server: LamellaServer) -> None:
    server.boto3("cloudformation").list_stacks()
    request = urllib.request.Request(f"{server.url}/_cloudformation/guess", data=b"{}", method="PUT")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    refused.value.close()
    assert refused.value.code == 404


def test_a_stack_within_a_stack(server: LamellaServer, client: Any) -> None:
    s3, bucket = server.boto3("s3"), f"templates-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)

    def template(memory: int) -> dict[str, Any]:
        inner = {
            "Parameters": {"Memory": {"Type": "Number"}},
            "Resources": {"F": function(MemorySize={"Ref": "Memory"})},
            "Outputs": {"Name": {"Value": {"Ref": "F"}}},
        }
        s3.put_object(Bucket=bucket, Key="inner.json", Body=json.dumps(inner))
        nested = {"TemplateURL": f"{server.url}/{bucket}/inner.json", "Parameters": {"Memory": memory}}
        return {
            "Resources": {"Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": nested}},
            "Outputs": {"Name": {"Value": {"Fn::GetAtt": ["Inner", "Outputs.Name"]}}},
        }

    stack = deployment(server)
    assert stack.create(template(256), Tags=[{"Key": "of", "Value": "both"}]) == "CREATE_COMPLETE", stack.failures
    name = stack.outputs["Name"]
    found = client.get_function(FunctionName=name)
    assert (found["Configuration"]["MemorySize"], found["Tags"]["of"]) == (256, "both")
    assert stack.update(template(512)) == "UPDATE_COMPLETE", stack.failures
    assert client.get_function_configuration(FunctionName=name)["MemorySize"] == 512
    assert stack.update(template(1)) == "UPDATE_ROLLBACK_COMPLETE"
    assert "was not successfully updated" in stack.failures["Inner UPDATE_FAILED"]
    assert client.get_function_configuration(FunctionName=name)["MemorySize"] == 512
    assert stack.delete() == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="Function not found"):
        client.get_function_configuration(FunctionName=name)


def test_what_tools_ask_of_templates_and_stacks(server: LamellaServer) -> None:
    stack = deployment(server)
    text = f"""
Transform: AWS::Serverless-2016-10-31
Description: a function
Parameters:
  Secret: {{Type: String, NoEcho: true, Default: hidden}}
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties: {{Runtime: {PYTHON}, Handler: index.handler, InlineCode: "def handler(event, context): return 1"}}
"""
    summary = stack.api.get_template_summary(TemplateBody=text)
    assert (summary["ResourceTypes"], summary["DeclaredTransforms"]) == (
        ["AWS::Serverless::Function"],
        ["AWS::Serverless-2016-10-31"],
    )
    assert stack.api.validate_template(TemplateBody=text)["Parameters"][0]["NoEcho"] is True
    with pytest.raises(ClientError, match=r"InsufficientCapabilities.*CAPABILITY_IAM"):
        stack.api.create_stack(StackName=stack.name, TemplateBody=text)
    change = {"StackName": stack.name, "ChangeSetName": "first", "ChangeSetType": "CREATE", "TemplateBody": text}
    stack.api.create_change_set(**change)
    refused = stack.api.describe_change_set(StackName=stack.name, ChangeSetName="first")
    assert (refused["Status"], refused["StatusReason"]) == ("FAILED", "Requires capabilities : [CAPABILITY_IAM]")
    stack.api.create_change_set(**change | {"ChangeSetName": "second", "Capabilities": ALL})
    stack.api.execute_change_set(StackName=stack.name, ChangeSetName="second")
    assert stack.wait() == "CREATE_COMPLETE"
    shown = stack.describe()
    assert (shown["Parameters"][0]["ParameterValue"], shown["Description"]) == ("****", "a function")
    assert stack.api.get_template(StackName=stack.name)["TemplateBody"] == text
    processed = stack.api.get_template(StackName=stack.name, TemplateStage="Processed")["TemplateBody"]
    assert processed["Resources"]["F"]["Type"] == "AWS::Lambda::Function"
    assert stack.api.describe_stack_resources(StackName=stack.name)["StackResources"][0]["ResourceStatus"]
    stack.api.create_change_set(**change | {"ChangeSetName": "third", "ChangeSetType": "UPDATE", "Capabilities": ALL})
    same = stack.api.describe_change_set(StackName=stack.name, ChangeSetName="third")
    assert same["StatusReason"].startswith("The submitted information didn't contain changes.")
    with pytest.raises(ClientError, match=r"NotImplemented.*does not answer the operation DetectStackDrift"):
        stack.api.detect_stack_drift(StackName=stack.name)
    with pytest.raises(ClientError, match=f"Stack with id {stack.name}x does not exist"):
        stack.api.describe_stacks(StackName=f"{stack.name}x")
    assert stack.delete() == "DELETE_COMPLETE"


def test_a_bucket_that_denies_requests_without_tls_is_served(server: LamellaServer) -> None:
    """moto takes statements with conditions for ones without; the buckets of SAM's and CDK's own stacks have such."""
    stack = deployment(server)
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": {"Fn::Sub": "${Bucket.Arn}/*"},
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    template = {
        "Resources": {
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
            },
            "Policy": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {"Statement": [deny]}},
            },
        },
        "Outputs": {"Bucket": {"Value": {"Ref": "Bucket"}}},
    }
    assert stack.create(template) == "CREATE_COMPLETE", stack.failures
    bucket, s3 = stack.outputs["Bucket"], server.boto3("s3")
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"] != "null"
    assert stack.delete() == "DELETE_FAILED"  # as on AWS, while it holds something
    assert "BucketNotEmpty" in stack.failures["Bucket DELETE_FAILED"]


def test_stacks_are_their_accounts(server: LamellaServer) -> None:
    own = deployment(server, aws_access_key_id="111122223333", aws_secret_access_key="x", region_name="eu-west-1")
    assert own.create({"Resources": {"F": function()}, "Outputs": {"A": {"Value": {"Fn::GetAtt": ["F", "Arn"]}}}})
    assert own.outputs["A"].startswith("arn:aws:lambda:eu-west-1:111122223333:function:")
    with pytest.raises(ClientError, match="does not exist"):
        server.boto3("cloudformation", region_name="eu-west-1").describe_stacks(StackName=own.name)
    assert own.delete() == "DELETE_COMPLETE"


def wait_forgotten(stack: Deployment) -> None:
    """Until the neighbour that was killed is there again."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(ClientError, BotoCoreError):
            assert stack.api.list_stacks()["StackSummaries"] == []
            return
        time.sleep(0.1)  # nobody else tells
    raise AssertionError("the neighbour did not come back")


def test_functions_can_be_deployed_again_when_stacks_are_forgotten(server: LamellaServer, client: Any) -> None:
    """They are when the neighbour ends, with the server or before it; functions are there still."""
    name = f"named-{uuid.uuid4().hex[:8]}"
    template = {"Resources": {"F": function(FunctionName=name), "G": function(MemorySize=256)}}
    stack = deployment(server)
    assert stack.create(template) == "CREATE_COMPLETE"
    (child,) = children(server)
    os.kill(child, signal.SIGKILL)
    wait_forgotten(stack)
    other = Deployment(stack.api, f"{stack.name}-other")
    assert other.create(template) == "ROLLBACK_COMPLETE"  # another stack's function stays its own
    assert f"Function already exist: {name}" in other.failures["F CREATE_FAILED"]
    again = Deployment(stack.api, stack.name)
    assert again.create(template) == "CREATE_COMPLETE"
    assert client.get_function(FunctionName=name)["Tags"]["aws:cloudformation:stack-id"] == again.describe()["StackId"]
    # One that CloudFormation named has not been joined by a second one.
    pages = client.get_paginator("list_functions").paginate()
    found = [one["FunctionName"] for page in pages for one in page["Functions"]]
    assert len([one for one in found if one.startswith(f"{stack.name}-G-")]) == 1
    assert again.delete() == "DELETE_COMPLETE"
