"""`AWS::ApiGateway::…` and `AWS::ApiGatewayV2::…`: moto keeps them, and nobody serves them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lamella.neighbour.stacks.coercion import arguments, tag_map
from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.kinds import Kind, Made, Properties, Task
from lamella.neighbour.stacks.template import Json

_ANY: Final = "x-amazon-apigateway-any-method"
_INTEGRATION: Final = "x-amazon-apigateway-integration"
_VERBS: Final = frozenset({"ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class RestApi:
    """A REST API, from its properties or from a document of OpenAPI."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client, body = task.client("apigateway"), properties.get("Body")
        title = body.get("info", {}).get("title") if isinstance(body, Mapping) else None
        wanted = {"Name": title or task.name, **properties}
        made = client.create_rest_api(**arguments(client, "CreateRestApi", _lower(wanted)))
        root = next(one["id"] for one in client.get_resources(restApiId=made["id"])["items"] if one["path"] == "/")
        _read(client, made["id"], body)
        return Made(made["id"], {"RestApiId": made["id"], "RootResourceId": root})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Read its document again."""
        _refuse(old, new, ("Body", "Tags", "Description", "Parameters", "EndpointConfiguration"))
        if old.get("Body") != new.get("Body"):
            _read(task.client("apigateway"), made.physical_id, new.get("Body"))
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """With all that it has."""
        task.client("apigateway").delete_rest_api(restApiId=made.physical_id)


class Deployment:
    """A deployment of a REST API."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client = task.client("apigateway")
        made = client.create_deployment(**arguments(client, "CreateDeployment", _lower(properties)))
        return Made(made["id"], {"DeploymentId": made["id"]})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Only what it is called."""
        _refuse(old, new, ("Description",))
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """With the stage that it came with, unless that is another deployment's by now."""
        client, where = task.client("apigateway"), {"restApiId": properties["RestApiId"]}
        for stage in client.get_stages(**where).get("item", []):
            if stage["deploymentId"] == made.physical_id and stage["stageName"] == properties.get("StageName"):
                client.delete_stage(**where, stageName=stage["stageName"])
        client.delete_deployment(**where, deploymentId=made.physical_id)


class Stage:
    """A stage of a REST API."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client = task.client("apigateway")
        wanted = {**_lower(properties), "stageName": properties.get("StageName", "default")}
        wanted["tags"] = tag_map(properties.get("Tags"))
        client.create_stage(**arguments(client, "CreateStage", wanted))
        return Made(str(wanted["stageName"]))

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Point it at another deployment, and set its variables."""
        _refuse(old, new, ("DeploymentId", "Description", "Tags", "Variables", "MethodSettings"))
        changes = [{"op": "replace", "path": "/deploymentId", "value": new["DeploymentId"]}]
        before = old.get("Variables", {})
        changes += [
            {"op": "replace", "path": f"/variables/{name}", "value": str(value)}
            for name, value in new.get("Variables", {}).items()
            if before.get(name) != value
        ]
        where = {"restApiId": new["RestApiId"], "stageName": made.physical_id}
        task.client("apigateway").update_stage(**where, patchOperations=changes)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        task.client("apigateway").delete_stage(restApiId=properties["RestApiId"], stageName=made.physical_id)


class Resource:
    """A path of a REST API."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client = task.client("apigateway")
        made = client.create_resource(**arguments(client, "CreateResource", _lower(properties)))
        return Made(made["id"], {"ResourceId": made["id"]})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Nothing of it changes."""
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        task.client("apigateway").delete_resource(restApiId=properties["RestApiId"], resourceId=made.physical_id)


class Method:
    """A method of a path of a REST API, with what it is handed to."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Put it."""
        client = task.client("apigateway")
        wanted = _lower(properties)
        client.put_method(**arguments(client, "PutMethod", wanted))
        where = {key: wanted[key] for key in ("restApiId", "resourceId", "httpMethod")}
        if (integration := properties.get("Integration")) is not None:
            client.put_integration(**arguments(client, "PutIntegration", {**_lower(integration), **where}))
        return Made(f"{where['restApiId']}|{where['resourceId']}|{where['httpMethod']}")

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Put another one in its place."""
        return self.create(task, new)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        wanted = _lower(properties)
        where = {key: wanted[key] for key in ("restApiId", "resourceId", "httpMethod")}
        task.client("apigateway").delete_method(**where)


class Account:
    """The role that API Gateway writes its logs with: nothing here does."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Only its name."""
        return Made(task.name, {"Id": task.name})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """As it was."""
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Nothing to do."""


@dataclass(frozen=True, slots=True)
class _Http:
    """A kind of API Gateway's second API, whose operations are all alike.

    Attributes:
        noun: As operations have it.
        key: Of its identity, in requests and answers.
    """

    noun: str
    key: str

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client = task.client("apigatewayv2")
        if self.noun == "Api" and "Body" in properties:
            # moto reads a document into an API that is there, and makes none of it.
            title = properties["Body"].get("info", {}).get("title", task.name)
            made = client.create_api(Name=str(properties.get("Name", title)), ProtocolType="HTTP")
            client.reimport_api(ApiId=made["ApiId"], Body=json.dumps(properties["Body"]))
        else:
            wanted = {**properties}
            if isinstance(properties.get("Tags"), list):
                wanted["Tags"] = tag_map(properties["Tags"])
            made = self._call(client, "Create", wanted)
        identity = str(made[self.key])
        return Made(identity, {self.key: identity, "ApiEndpoint": made.get("ApiEndpoint", "")})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change it."""
        client = task.client("apigatewayv2")
        if self.noun == "Api" and "Body" in new:
            client.reimport_api(ApiId=made.physical_id, Body=json.dumps(new["Body"]))
        else:
            self._call(client, "Update", {**new, self.key: made.physical_id})
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        self._call(task.client("apigatewayv2"), "Delete", {**properties, self.key: made.physical_id})

    def _call(self, client: Any, verb: str, properties: Properties) -> Mapping[str, Any]:  # Any: botocore
        operation = getattr(client, f"{verb}_{self.noun}".lower())
        found: Mapping[str, Any] = operation(**arguments(client, f"{verb}{self.noun}", properties))
        return found


APIS: Final[Mapping[str, Kind]] = {
    "AWS::ApiGateway::Account": Account(),
    "AWS::ApiGateway::Deployment": Deployment(),
    "AWS::ApiGateway::Method": Method(),
    "AWS::ApiGateway::Resource": Resource(),
    "AWS::ApiGateway::RestApi": RestApi(),
    "AWS::ApiGateway::Stage": Stage(),
    "AWS::ApiGatewayV2::Api": _Http("Api", "ApiId"),
    "AWS::ApiGatewayV2::Authorizer": _Http("Authorizer", "AuthorizerId"),
    "AWS::ApiGatewayV2::Integration": _Http("Integration", "IntegrationId"),
    "AWS::ApiGatewayV2::Route": _Http("Route", "RouteId"),
    "AWS::ApiGatewayV2::Stage": _Http("Stage", "StageName"),
}


def _read(client: Any, identity: str, body: Json) -> None:  # Any: botocore
    """Make the paths and methods of a document, in place of those that are there.

    moto would read it itself, but knows version 3 of OpenAPI only, and SAM writes version 2.
    """
    where = {"restApiId": identity}
    there = {one["path"]: one["id"] for one in client.get_resources(**where, limit=500)["items"]}
    for path in sorted(there.keys() - {"/"}, reverse=True):
        client.delete_resource(**where, resourceId=there.pop(path))
    for path, methods in (body or {}).get("paths", {}).items():
        parent, walked = there["/"], ""
        for part in str(path).strip("/").split("/") if path != "/" else ():
            walked += f"/{part}"
            if walked not in there:
                there[walked] = client.create_resource(**where, parentId=parent, pathPart=part)["id"]
            parent = there[walked]
        for name, method in methods.items():
            verb = "ANY" if name == _ANY else str(name).upper()
            if verb in _VERBS:
                _put_method(client, {**where, "resourceId": parent, "httpMethod": verb}, method)


def _put_method(client: Any, where: dict[str, str], method: Mapping[str, Any]) -> None:  # Any: botocore, a document
    client.put_method(**where, authorizationType="NONE")
    integration = dict(method.get(_INTEGRATION, {}))
    if integration:
        wanted = {**where, "type": str(integration["type"]).upper(), "uri": integration.get("uri")}
        wanted["integrationHttpMethod"] = integration.get("httpMethod")
        client.put_integration(**{key: value for key, value in wanted.items() if value is not None})


def _lower(properties: Properties) -> dict[str, Json]:
    """By the API's names, which begin with a small letter."""
    return {f"{key[0].lower()}{key[1:]}": value for key, value in properties.items() if key != "Tags"}


def _refuse(old: Properties, new: Properties, changeable: tuple[str, ...]) -> None:
    changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name) and name not in changeable)
    if changed:
        raise ResourceError(f"Lamella does not change the property {changed[0]} in place")
