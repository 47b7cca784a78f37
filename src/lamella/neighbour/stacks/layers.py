"""`AWS::Lambda::LayerVersion` and `AWS::Lambda::LayerVersionPermission`: both are made anew for every change."""

from lamella.neighbour.stacks.coercion import arguments
from lamella.neighbour.stacks.kinds import Made, Properties, Task


class LayerVersion:
    """A version of a layer."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Publish."""
        client = task.client("lambda")
        wanted = {"LayerName": task.name, **properties}
        arn = client.publish_layer_version(**arguments(client, "PublishLayerVersion", wanted))["LayerVersionArn"]
        return Made(arn, {"LayerVersionArn": arn})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Nothing of it changes."""
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Functions that have it keep it."""
        layer, _, number = made.physical_id.rpartition(":")
        task.client("lambda").delete_layer_version(LayerName=layer, VersionNumber=int(number))


class LayerVersionPermission:
    """A statement of a layer version's policy."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Add it."""
        client, version = task.client("lambda"), str(properties["LayerVersionArn"])
        layer, _, number = version.rpartition(":")
        wanted = {**properties, "LayerName": layer, "VersionNumber": number, "StatementId": task.name}
        client.add_layer_version_permission(**arguments(client, "AddLayerVersionPermission", wanted))
        identity = f"{version}#{task.name}"
        return Made(identity, {"Id": identity})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Nothing of it changes."""
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        version, _, statement = made.physical_id.partition("#")
        layer, _, number = version.rpartition(":")
        task.client("lambda").remove_layer_version_permission(
            LayerName=layer, VersionNumber=int(number), StatementId=statement
        )
