"""`AWS::Lambda::CodeSigningConfig`."""

from lamella.neighbour.stacks.coercion import arguments, tag_map
from lamella.neighbour.stacks.functions import set_tags
from lamella.neighbour.stacks.kinds import Made, Properties, Task


class CodeSigningConfig:
    """Which publishers a function's code may come from."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client = task.client("lambda")
        wanted = {**properties, "Tags": {**task.tags, **tag_map(properties.get("Tags"))}}
        made = client.create_code_signing_config(**arguments(client, "CreateCodeSigningConfig", wanted))
        found = made["CodeSigningConfig"]
        arn, identity = found["CodeSigningConfigArn"], found["CodeSigningConfigId"]
        return Made(arn, {"CodeSigningConfigArn": arn, "CodeSigningConfigId": identity})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change it; what the template has no more goes back to its default."""
        client = task.client("lambda")
        defaults = {"Description": "", "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"}}
        wanted = {**defaults, **new, "CodeSigningConfigArn": made.physical_id}
        client.update_code_signing_config(**arguments(client, "UpdateCodeSigningConfig", wanted))
        set_tags(client, made.physical_id, tag_map(old.get("Tags")), tag_map(new.get("Tags")))
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Refused while functions have it."""
        task.client("lambda").delete_code_signing_config(CodeSigningConfigArn=made.physical_id)
