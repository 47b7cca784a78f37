"""Lambda in memory: the calls of a botocore client that a roll-out makes, with revisions as AWS has them."""

# ruff: noqa: N803  (arguments have the names of the API)

import copy
import io
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

REGION = "eu-central-1"
ACCOUNT = "123456789012"
PREFIX = f"arn:aws:lambda:{REGION}:{ACCOUNT}"
LAYER = f"{PREFIX}:layer:shared"
OTHER = f"{PREFIX}:layer:other:3"
TAIL = f"{PREFIX}:layer:tail:1"


def layers(version: int) -> list[str]:
    """Three layers, with the rolled one in the middle."""
    return [OTHER, f"{LAYER}:{version}", TAIL]


class FakeLambda:
    """A client.

    Attributes:
        functions: By name: documents of versions by number, and of aliases by name.
        changes: Calls that have changed something, in order.
        before: Called before each call with its name and arguments, to make trouble.
        broken: Functions whose probe fails, by the layer version that breaks them.
    """

    def __init__(self) -> None:
        self.functions: dict[str, dict[str, Any]] = {}
        self.layer_versions: dict[str, list[dict[str, Any]]] = {}
        self.changes: list[tuple[str, str]] = []
        self.before: Callable[[str, Mapping[str, Any]], None] = lambda _call, _arguments: None
        self.after: Callable[[str, Mapping[str, Any]], None] = lambda _call, _arguments: None
        self.broken: dict[str, str] = {}
        self.refused: set[str] = set()
        self.provisioned: list[str] = []
        self.meta = SimpleNamespace(region_name=REGION)
        self._revisions = itertools.count(1)
        self._lock = threading.RLock()

    def add_layer(self, name: str, count: int, **more: Any) -> None:
        self.layer_versions[name] = [
            {
                "LayerArn": f"{PREFIX}:layer:{name}",
                "LayerVersionArn": f"{PREFIX}:layer:{name}:{number}",
                "Version": number,
                "CreatedDate": f"2026-01-{number:02}T00:00:00.000+0000",
                **more,
            }
            for number in range(1, count + 1)
        ]

    def add(self, name: str, arns: Sequence[str], **more: Any) -> None:
        latest = {
            "FunctionName": name,
            "FunctionArn": f"{PREFIX}:function:{name}",
            "Version": "$LATEST",
            "Runtime": "python3.11",
            "Architectures": ["x86_64"],
            "Role": "role",
            "CodeSha256": "code-1",
            "CodeSize": 10,
            "Layers": [{"Arn": arn} for arn in arns],
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "LastModified": self._revision(),
            "RevisionId": self._revision(),
            "Description": f"about {name}",
            **more,
        }
        self.functions[name] = {"versions": {"$LATEST": latest}, "aliases": {}}

    def publish(self, name: str) -> str:
        return str(self.publish_version(FunctionName=name)["Version"])

    def change(self, name: str, **members: Any) -> None:
        """As somebody else does it."""
        latest = self.functions[name]["versions"]["$LATEST"]
        latest.update(members, RevisionId=self._revision(), LastModified=self._revision())

    def add_alias(self, name: str, alias: str, version: str, **weights: float) -> None:
        routing = {key.removeprefix("v"): value for key, value in weights.items()}
        self.functions[name]["aliases"][alias] = {
            "Name": alias,
            "FunctionVersion": version,
            "RevisionId": self._revision(),
            **({"RoutingConfig": {"AdditionalVersionWeights": routing}} if routing else {}),
        }

    def layers_of(self, name: str, version: str = "$LATEST") -> list[str]:
        return [one["Arn"] for one in self.functions[name]["versions"][version]["Layers"]]

    def route(self, name: str, alias: str) -> tuple[str, dict[str, float]]:
        found = self.functions[name]["aliases"][alias]
        return found["FunctionVersion"], found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})

    # What a client has.

    def get_function_configuration(self, *, FunctionName: str, Qualifier: str = "$LATEST") -> Any:
        with self._call("get_function_configuration", FunctionName=FunctionName, Qualifier=Qualifier):
            return copy.deepcopy(self._version(FunctionName, Qualifier))

    def update_function_configuration(self, *, FunctionName: str, Layers: list[str], RevisionId: str) -> Any:
        with self._call("update_function_configuration", FunctionName=FunctionName, Layers=Layers):
            latest = self._version(FunctionName, "$LATEST")
            self._check(latest, RevisionId)
            if FunctionName in self.refused:
                raise _error("InvalidParameterValueException", "Unzipped size must be smaller than 262144000 bytes")
            latest.update(
                Layers=[{"Arn": arn} for arn in Layers], RevisionId=self._revision(), LastModified=self._revision()
            )
            self.changes.append(("update_function_configuration", FunctionName))
            return copy.deepcopy(latest)

    def publish_version(
        self,
        *,
        FunctionName: str,
        CodeSha256: str = "",
        RevisionId: str = "",
        Description: str = "",
    ) -> Any:
        with self._call("publish_version", FunctionName=FunctionName):
            versions = self.functions[FunctionName]["versions"]
            latest = self._version(FunctionName, "$LATEST")
            if RevisionId:
                self._check(latest, RevisionId)
            if CodeSha256 and CodeSha256 != latest["CodeSha256"]:
                raise _error("InvalidParameterValueException", "CodeSHA256 (...) is different from current CodeSHA256")
            last = list(versions.values())[-1]
            if last["Version"] != "$LATEST" and last["LastModified"] == latest["LastModified"]:
                return copy.deepcopy(last)
            number = str(len(versions))
            made = {**copy.deepcopy(latest), "Version": number, "RevisionId": self._revision()}
            made["Description"] = Description or latest["Description"]
            versions[number] = made
            latest["RevisionId"] = self._revision()
            self.changes.append(("publish_version", FunctionName))
            return copy.deepcopy(made)

    def list_versions_by_function(self, *, FunctionName: str) -> Any:
        with self._call("list_versions_by_function", FunctionName=FunctionName):
            return {"Versions": copy.deepcopy(list(self.functions[FunctionName]["versions"].values()))}

    def get_alias(self, *, FunctionName: str, Name: str) -> Any:
        with self._call("get_alias", FunctionName=FunctionName, Name=Name):
            return copy.deepcopy(self._alias(FunctionName, Name))

    def update_alias(self, *, FunctionName: str, Name: str, RevisionId: str, **members: Any) -> Any:
        with self._call("update_alias", FunctionName=FunctionName, Name=Name):
            alias = self._alias(FunctionName, Name)
            self._check(alias, RevisionId)
            for number in (members["FunctionVersion"], *members["RoutingConfig"]["AdditionalVersionWeights"]):
                self._version(FunctionName, number)
            alias.update(members, RevisionId=self._revision())
            self.changes.append(("update_alias", f"{FunctionName}:{Name}"))
            return copy.deepcopy(alias)

    def invoke(self, *, FunctionName: str, Qualifier: str, Payload: bytes) -> Any:
        with self._call("invoke", FunctionName=FunctionName, Qualifier=Qualifier):
            if self.broken.get(FunctionName) in self.layers_of(FunctionName, Qualifier):
                return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorType":"ImportError"}')}
            return {"Payload": io.BytesIO(b"null")}

    def get_layer_version(self, *, LayerName: str, VersionNumber: int) -> Any:
        found = [one for one in self.layer_versions.get(LayerName, []) if one["Version"] == VersionNumber]
        if not found:
            raise _error("ResourceNotFoundException", "The resource you requested does not exist.")
        return found[0]

    def get_layer_version_by_arn(self, *, Arn: str) -> Any:
        name, version = Arn.split(":")[-2:]
        return self.get_layer_version(LayerName=name, VersionNumber=int(version))

    def list_layer_versions(self, *, LayerName: str, MaxItems: int = 50) -> Any:
        found = self.layer_versions.get(LayerName.rpartition(":")[2], [])
        return {"LayerVersions": found[::-1][:MaxItems]}

    def get_paginator(self, operation: str) -> Any:
        def list_functions(**_: Any) -> Any:
            return {"Functions": [v for one in self.functions.values() for v in one["versions"].values()]}

        def list_aliases(*, FunctionName: str) -> Any:
            return {"Aliases": list(self.functions[FunctionName]["aliases"].values())}

        def list_layers() -> Any:
            return {"Layers": [{"LayerArn": found[0]["LayerArn"]} for found in self.layer_versions.values()]}

        def list_provisioned(*, FunctionName: str) -> Any:
            found = [{"FunctionArn": f"{PREFIX}:function:{FunctionName}:{name}"} for name in self.provisioned]
            return {"ProvisionedConcurrencyConfigs": found}

        calls: dict[str, Any] = {
            "list_provisioned_concurrency_configs": list_provisioned,
            "list_functions": list_functions,
            "list_aliases": list_aliases,
            "list_layers": list_layers,
            "list_layer_versions": self.list_layer_versions,
        }

        def paginate(**arguments: Any) -> Iterator[Any]:
            yield copy.deepcopy(calls[operation](**arguments))

        return SimpleNamespace(paginate=paginate)

    def _call(self, operation: str, **arguments: Any) -> "_Call":
        return _Call(self, operation, arguments)

    def _version(self, name: str, qualifier: str) -> Any:
        if name not in self.functions or qualifier not in self.functions[name]["versions"]:
            raise _error("ResourceNotFoundException", f"Function not found: {name}:{qualifier}")
        return self.functions[name]["versions"][qualifier]

    def _alias(self, name: str, alias: str) -> Any:
        if name not in self.functions or alias not in self.functions[name]["aliases"]:
            raise _error("ResourceNotFoundException", f"Cannot find alias arn: {name}:{alias}")
        return self.functions[name]["aliases"][alias]

    def _check(self, document: Mapping[str, Any], revision: str) -> None:
        if document["RevisionId"] != revision:
            raise _error("PreconditionFailedException", "The Revision Id provided does not match")

    def _revision(self) -> str:
        return f"r{next(self._revisions)}"


class _Call:
    """One call at a time, with the trouble that a test makes."""

    def __init__(self, fake: FakeLambda, operation: str, arguments: Mapping[str, Any]) -> None:
        self._fake, self._operation, self._arguments = fake, operation, arguments

    def __enter__(self) -> None:
        self._fake._lock.acquire()
        try:
            self._fake.before(self._operation, self._arguments)
        except BaseException:
            self._fake._lock.release()
            raise

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._fake.after(self._operation, self._arguments)
        finally:
            self._fake._lock.release()


def _error(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")
