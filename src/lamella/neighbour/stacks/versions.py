"""`AWS::Lambda::Version` and `AWS::Lambda::Alias`."""

from typing import Any

from lamella.neighbour.stacks.coercion import arguments, refuse
from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.template import Json
from lamella.neighbour.stacks.waiting import wait_for


class Version:
    """A published version; nothing of it changes, so every change is a new one."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Publish; refuses to be one that is there already."""
        refuse(properties, ("FunctionScalingConfig", "RuntimePolicy"))
        client = task.client("lambda")
        pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=properties["FunctionName"])
        there = {found["Version"] for page in pages for found in page["Versions"]}
        made = client.publish_version(**arguments(client, "PublishVersion", properties))
        number = made["Version"]
        if number in there:
            # Source: AWS's message as quoted in issues of aws-cdk and serverless.
            raise ResourceError(
                f"A version for this Lambda function exists ( {number} ). Modify the function to create a new version."
            )
        try:
            _provision(client, task, made["FunctionName"], number, None, properties.get("ProvisionedConcurrencyConfig"))
        except BaseException:
            client.delete_function(FunctionName=made["FunctionName"], Qualifier=number)  # nobody would know of it
            raise
        return Made(made["FunctionArn"], {"Version": number, "FunctionArn": made["FunctionArn"]})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Only tags of the stack can differ, and versions have none."""
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """The version alone."""
        function, _, number = made.physical_id.rpartition(":")
        task.client("lambda").delete_function(FunctionName=function, Qualifier=number)


class Alias:
    """An alias with its weights and its provisioned concurrency."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client = task.client("lambda")
        made = client.create_alias(**_alias(client, "CreateAlias", properties))
        try:
            wanted = properties.get("ProvisionedConcurrencyConfig")
            _provision(client, task, properties["FunctionName"], made["Name"], None, wanted)
        except BaseException:
            client.delete_alias(FunctionName=properties["FunctionName"], Name=made["Name"])  # nobody would know of it
            raise
        return Made(made["AliasArn"], {"AliasArn": made["AliasArn"]})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Point it elsewhere; without `RoutingConfig` all goes to one version."""
        client = task.client("lambda")
        client.update_alias(**_alias(client, "UpdateAlias", {"Description": "", "RoutingConfig": {}, **new}))
        before, after = old.get("ProvisionedConcurrencyConfig"), new.get("ProvisionedConcurrencyConfig")
        _provision(client, task, new["FunctionName"], new["Name"], before, after)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """The alias alone."""
        task.client("lambda").delete_alias(FunctionName=properties["FunctionName"], Name=properties["Name"])


def _alias(client: Any, operation: str, properties: Properties) -> dict[str, Json]:  # Any: botocore
    wanted = dict(properties)
    if (routing := wanted.get("RoutingConfig")) is not None:
        # A list in templates, a map in the API.
        weights = routing.get("AdditionalVersionWeights", [])
        routed = {str(weight["FunctionVersion"]): weight["FunctionWeight"] for weight in weights}
        wanted["RoutingConfig"] = {"AdditionalVersionWeights": routed}
    return arguments(client, operation, wanted)


def _provision(client: Any, task: Task, function: str, qualifier: str, old: Json, new: Json) -> None:  # Any: botocore
    where = {"FunctionName": function, "Qualifier": qualifier}
    if new == old:
        return
    if not new:
        client.delete_provisioned_concurrency_config(**where)
        return
    client.put_provisioned_concurrency_config(
        **where, ProvisionedConcurrentExecutions=int(new["ProvisionedConcurrentExecutions"])
    )

    def ready() -> bool:
        found = client.get_provisioned_concurrency_config(**where)
        if found["Status"] == "FAILED":
            raise ResourceError(f"Provisioned concurrency failed: {found.get('StatusReason', 'no reason is known')}")
        return bool(found["Status"] == "READY")

    wait_for(ready, task)
