"""`AWS::Lambda::Function`: functions of Lamella's."""

import io
import zipfile
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from lamella.neighbour.stacks.coercion import arguments, named, refuse, tag_map
from lamella.neighbour.stacks.errors import HalfMadeError, ResourceError
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.names import RANDOM
from lamella.neighbour.stacks.reasons import reason_of
from lamella.neighbour.stacks.template import Json
from lamella.neighbour.stacks.waiting import wait_for

_DEFAULTS: Final[Mapping[str, Json]] = {
    "DeadLetterConfig": {"TargetArn": ""},
    "Description": "",
    "Environment": {"Variables": {}},
    "EphemeralStorage": {"Size": 512},
    "ImageConfig": {},
    "KMSKeyArn": "",
    "Layers": [],
    "LoggingConfig": {"LogFormat": "Text"},
    "MemorySize": 128,
    "SnapStart": {"ApplyOn": "None"},
    "Timeout": 3,
    "TracingConfig": {"Mode": "PassThrough"},
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
}
"""What a property that a template has no more goes back to. Source: API reference, `CreateFunction`."""
_TAG: Final = "aws:cloudformation:"
_CODE: Final = ("Code", "Architectures")
_INLINE: Final[Mapping[str, str]] = {"nodejs": "index.js", "python": "index.py"}
_APART: Final = ("ReservedConcurrentExecutions", "RuntimeManagementConfig", "RecursiveLoop", "CodeSigningConfigArn")
"""What has operations of its own."""
_UNKNOWN: Final = ("FunctionScalingConfig", "PublishToLatestPublished")
"""What the API here has no parameters for."""


class Function:
    """See the module."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it, and wait until it is active."""
        refuse(properties, _UNKNOWN)
        client = task.client("lambda")
        wanted = {**_renamed(properties), "FunctionName": properties.get("FunctionName", task.name)}
        wanted["Code"] = _code(properties)
        wanted["Tags"] = {**task.tags, **tag_map(properties.get("Tags"))}
        parameters = arguments(client, "CreateFunction", wanted)
        _remove_orphans(client, task, parameters["FunctionName"])
        made = client.create_function(**parameters)
        name = made["FunctionName"]
        try:
            _wait(client, name, task)
            rest = named(properties, _APART)
            rest.pop("CodeSigningConfigArn", None)
            _set_apart(client, name, {}, rest)
            return _made(client, name)
        except Exception as error:
            try:
                client.delete_function(FunctionName=name)  # nobody would know of it
            except (BotoCoreError, ClientError):
                # The stack has to know of it, to remove it when that can be done.
                raise HalfMadeError(reason_of(error), Made(name, {"Arn": made["FunctionArn"]})) from error
            raise

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change what differs: code, configuration, tags, and what has operations of its own."""
        refuse(new, _UNKNOWN)
        client, name = task.client("lambda"), made.physical_id
        _set_apart(client, name, named(old, _APART), named(new, _APART))
        if named(old, _CODE) != named(new, _CODE):
            code = {**_code(new), **named(new, ("Architectures",)), "FunctionName": name}
            client.update_function_code(**arguments(client, "UpdateFunctionCode", code))
            _wait(client, name, task)
        before, after = _renamed(old), _renamed(new)
        changed = {
            key: after.get(key, _DEFAULTS.get(key)) for key in {*before, *after} if before.get(key) != after.get(key)
        }
        changed = {key: value for key, value in changed.items() if value is not None}
        configuration = arguments(client, "UpdateFunctionConfiguration", changed)
        if configuration:
            client.update_function_configuration(**{**configuration, "FunctionName": name})
            _wait(client, name, task)
        set_tags(client, made.attributes["Arn"], tag_map(old.get("Tags")), tag_map(new.get("Tags")))
        return _made(client, name)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """With all of its versions."""
        task.client("lambda").delete_function(FunctionName=made.physical_id)


def set_tags(client: Any, arn: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:  # Any: botocore
    """Change a resource's tags from one set to the other; those that it has besides stay."""
    gone = [key for key in old if key not in new]
    changed = {key: value for key, value in new.items() if old.get(key) != value}
    if gone:
        client.untag_resource(Resource=arn, TagKeys=gone)
    if changed:
        client.tag_resource(Resource=arn, Tags=changed)


def _remove_orphans(client: Any, task: Task, name: str) -> None:  # Any: botocore
    """Remove the function that a stack of this name left behind when the server, and with it the stack, ended.

    AWS has no such stacks. Without this, whoever gives functions their names could not deploy again, and others would
    have two of each.
    """
    made = task.name[:-RANDOM]  # how names begin that are made for this resource
    pages = client.get_paginator("list_functions").paginate()
    named = [one["FunctionArn"] for page in pages for one in page["Functions"] if _is_like(one, name, made)]
    for arn in named:
        tags = client.list_tags(Resource=arn)["Tags"]
        same = all(tags.get(f"{_TAG}{key}") == task.tags.get(f"{_TAG}{key}") for key in ("stack-name", "logical-id"))
        if not same or task.is_stack(tags.get(f"{_TAG}stack-id", "")):
            continue
        for page in client.get_paginator("list_event_source_mappings").paginate(FunctionName=arn):
            for mapping in page["EventSourceMappings"]:
                client.delete_event_source_mapping(UUID=mapping["UUID"])
        client.delete_function(FunctionName=arn)


def _is_like(found: Mapping[str, Any], name: str, made: str) -> bool:  # Any: an answer of the API
    return bool(found["FunctionName"] == name or found["FunctionName"].startswith(made))


def _renamed(properties: Properties) -> dict[str, Json]:
    """By the API's names: one differs."""
    renamed = {name: value for name, value in properties.items() if name not in ("KmsKeyArn", "Code", "Tags")}
    return renamed | ({"KMSKeyArn": properties["KmsKeyArn"]} if "KmsKeyArn" in properties else {})


def _set_apart(client: Any, name: str, old: Properties, new: Properties) -> None:  # Any: botocore
    changed = [key for key in _APART if old.get(key) != new.get(key)]
    if "ReservedConcurrentExecutions" in changed:
        if (reserved := new.get("ReservedConcurrentExecutions")) is None:
            client.delete_function_concurrency(FunctionName=name)
        else:
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=int(reserved))
    if "RuntimeManagementConfig" in changed:
        management = new.get("RuntimeManagementConfig", {"UpdateRuntimeOn": "Auto"})
        client.put_runtime_management_config(FunctionName=name, **management)
    if "RecursiveLoop" in changed:
        client.put_function_recursion_config(FunctionName=name, RecursiveLoop=new.get("RecursiveLoop", "Terminate"))
    if "CodeSigningConfigArn" in changed:
        if (arn := new.get("CodeSigningConfigArn")) is None:
            client.delete_function_code_signing_config(FunctionName=name)
        else:
            client.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=arn)


def _made(client: Any, name: str) -> Made:  # Any: botocore
    found = client.get_function_configuration(FunctionName=name)
    snap = found.get("SnapStart", {})
    attributes = {
        "Arn": found["FunctionArn"],
        "SnapStartResponse.ApplyOn": snap.get("ApplyOn", "None"),
        "SnapStartResponse.OptimizationStatus": snap.get("OptimizationStatus", "Off"),
        "SnapStartResponse": snap,
    }
    return Made(name, attributes)


def _wait(client: Any, name: str, task: Task) -> None:  # Any: botocore
    """Until it is active, and its last update is done."""

    def settled() -> bool:
        found = client.get_function_configuration(FunctionName=name)
        for status, reason in (("State", "StateReason"), ("LastUpdateStatus", "LastUpdateStatusReason")):
            if found.get(status) == "Failed":
                raise ResourceError(f"The function {name} is not usable: {found.get(reason, 'it failed')}")
        return bool(found.get("State") != "Pending" and found.get("LastUpdateStatus") != "InProgress")

    wait_for(settled, task)


def _code(properties: Properties) -> dict[str, Json]:
    code = dict(properties["Code"])
    if (source := code.get("ZipFile")) is None:
        return code
    runtime = str(properties.get("Runtime", ""))
    name = next((name for begin, name in _INLINE.items() if runtime.startswith(begin)), None)
    if name is None:
        raise ResourceError("ZipFile can only be used when Runtime is set to either of nodejs or python")
    return {**code, "ZipFile": _archive(name, str(source))}


def _archive(name: str, source: str) -> bytes:
    """The source, and beside it what custom resources answer with.

    Source: Lambda section of the CloudFormation template reference, "cfn-response module": only for `ZipFile`.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        contents = {name: source}
        helper = files("lamella.neighbour.stacks") / "resources" / f"{_HELPERS[name]}.in"
        contents[_HELPERS[name]] = helper.read_text()
        for path, content in contents.items():
            entry = zipfile.ZipInfo(path)  # of 1980: the same source is the same archive
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


_HELPERS: Final[Mapping[str, str]] = {"index.py": "cfnresponse.py", "index.js": "cfn-response.js"}
