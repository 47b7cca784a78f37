"""`AWS::Lambda::Permission`, `AWS::Lambda::ResourcePolicy` and `AWS::Lambda::Url`."""

import json

from lamella.neighbour.stacks.coercion import arguments, named
from lamella.neighbour.stacks.kinds import Made, Properties, Task


class Permission:
    """A statement of a function's policy; made anew for every change."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Add it."""
        client = task.client("lambda")
        client.add_permission(**arguments(client, "AddPermission", {**properties, "StatementId": task.name}))
        return Made(task.name, {"Id": task.name})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Nothing of it changes."""
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        task.client("lambda").remove_permission(FunctionName=properties["FunctionName"], StatementId=made.physical_id)


class ResourcePolicy:
    """A function's policy as a whole."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Put it."""
        arn = str(properties["ResourceArn"])
        document = properties["PolicyDocument"]
        policy = document if isinstance(document, str) else json.dumps(document)
        task.client("lambda").put_resource_policy(ResourceArn=arn, Policy=policy)
        return Made(arn)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Put another one in its place."""
        return self.create(task, new)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        task.client("lambda").delete_resource_policy(ResourceArn=made.physical_id)


class Url:
    """A function URL."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Give the function one."""
        client = task.client("lambda")
        wanted = {**properties, "FunctionName": properties["TargetFunctionArn"]}
        made = client.create_function_url_config(**arguments(client, "CreateFunctionUrlConfig", wanted))
        return Made(made["FunctionArn"], {"FunctionArn": made["FunctionArn"], "FunctionUrl": made["FunctionUrl"]})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change it; what the template has no more goes back to its default."""
        client = task.client("lambda")
        wanted = {"Cors": {}, "InvokeMode": "BUFFERED", **new, "FunctionName": new["TargetFunctionArn"]}
        client.update_function_url_config(**arguments(client, "UpdateFunctionUrlConfig", wanted))
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        task.client("lambda").delete_function_url_config(
            FunctionName=properties["TargetFunctionArn"], **named(properties, ("Qualifier",))
        )
