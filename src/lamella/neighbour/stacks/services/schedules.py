"""`AWS::Events::Rule`, `AWS::Scheduler::Schedule`, `AWS::Logs::LogGroup` and `AWS::SecretsManager::Secret`."""

import json
import secrets
import string
from typing import Any, Final

from lamella.neighbour.stacks.coercion import arguments, tag_map
from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.template import Json

_PASSWORD_MOST: Final = 4096
"""Source: Secrets Manager's API reference, `GetRandomPassword`."""
_PUNCTUATION: Final = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


class Rule:
    """A rule of EventBridge with its targets."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client, name = task.client("events"), str(properties.get("Name", task.name))
        arn = self._put(client, name, properties)
        self._aim(client, name, {}, properties)
        return Made(name, {"Arn": arn})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Put another one in its place."""
        client = task.client("events")
        self._put(client, made.physical_id, new)
        self._aim(client, made.physical_id, old, new)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """With its targets."""
        client = task.client("events")
        self._aim(client, made.physical_id, properties, {**_bus(properties), "Targets": []})
        client.delete_rule(Name=made.physical_id, **_bus(properties))

    def _put(self, client: Any, name: str, properties: Properties) -> str:  # Any: botocore
        wanted = {**properties, "Name": name}
        if not isinstance(pattern := properties.get("EventPattern", ""), str):
            wanted["EventPattern"] = json.dumps(pattern)
        return str(client.put_rule(**arguments(client, "PutRule", wanted))["RuleArn"])

    def _aim(self, client: Any, name: str, old: Properties, new: Properties) -> None:  # Any: botocore
        wanted = new.get("Targets", [])
        identities = {target["Id"] for target in wanted}
        gone = [target["Id"] for target in old.get("Targets", []) if target["Id"] not in identities]
        if gone:
            client.remove_targets(Rule=name, Ids=gone, **_bus(new))
        if wanted:
            found = arguments(client, "PutTargets", {"Rule": name, "Targets": wanted, **_bus(new)})
            client.put_targets(**found)


class Schedule:
    """A schedule of EventBridge Scheduler."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client = task.client("scheduler")
        wanted = {"Name": task.name, **properties}
        arn = client.create_schedule(**arguments(client, "CreateSchedule", wanted))["ScheduleArn"]
        return Made(str(wanted["Name"]), {"Arn": arn})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Put another one in its place."""
        client = task.client("scheduler")
        client.update_schedule(**arguments(client, "UpdateSchedule", {**new, "Name": made.physical_id}))
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        group = {"GroupName": properties["GroupName"]} if "GroupName" in properties else {}
        task.client("scheduler").delete_schedule(Name=made.physical_id, **group)


class LogGroup:
    """A log group. The logs of functions are not in it."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client, name = task.client("logs"), str(properties.get("LogGroupName", task.name))
        tags = tag_map(properties.get("Tags"))
        client.create_log_group(logGroupName=name, **({"tags": tags} if tags else {}))
        self._retain(client, name, properties.get("RetentionInDays"))
        return Made(name, {"Arn": f"arn:aws:logs:{task.region}:{task.account}:log-group:{name}:*"})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change how long it keeps."""
        self._retain(task.client("logs"), made.physical_id, new.get("RetentionInDays"))
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        task.client("logs").delete_log_group(logGroupName=made.physical_id)

    def _retain(self, client: Any, name: str, days: Json) -> None:  # Any: botocore
        if days is None:
            client.delete_retention_policy(logGroupName=name)
        else:
            client.put_retention_policy(logGroupName=name, retentionInDays=int(days))


class Secret:
    """A secret, given or drawn."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client = task.client("secretsmanager")
        wanted = {"Name": task.name, **properties}
        if (drawn := properties.get("GenerateSecretString")) is not None:
            wanted["SecretString"] = _draw(drawn)
        arn = client.create_secret(**arguments(client, "CreateSecret", wanted))["ARN"]
        return Made(arn, {"Id": arn})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change it; a drawn one is drawn again only if the rule for it differs."""
        client = task.client("secretsmanager")
        wanted: dict[str, Json] = {"SecretId": made.physical_id, "Description": new.get("Description", "")}
        if "SecretString" in new and old.get("SecretString") != new["SecretString"]:
            wanted["SecretString"] = new["SecretString"]
        elif (drawn := new.get("GenerateSecretString")) is not None and drawn != old.get("GenerateSecretString"):
            wanted["SecretString"] = _draw(drawn)
        client.update_secret(**wanted)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """At once."""
        task.client("secretsmanager").delete_secret(SecretId=made.physical_id, ForceDeleteWithoutRecovery=True)


def _bus(properties: Properties) -> dict[str, Json]:
    return {"EventBusName": properties["EventBusName"]} if "EventBusName" in properties else {}


def _draw(rule: Json) -> str:
    """Source: template reference, "AWS::SecretsManager::Secret GenerateSecretString"."""

    def left_out(name: str) -> bool:
        return str(rule.get(name, "")).lower() == "true"

    letters = ""
    for name, more in (
        ("ExcludeLowercase", string.ascii_lowercase),
        ("ExcludeUppercase", string.ascii_uppercase),
        ("ExcludeNumbers", string.digits),
        ("ExcludePunctuation", _PUNCTUATION),
    ):
        letters += "" if left_out(name) else more
    letters += " " if str(rule.get("IncludeSpace", "")).lower() == "true" else ""
    letters = "".join(letter for letter in letters if letter not in str(rule.get("ExcludeCharacters", "")))
    length = int(rule.get("PasswordLength", 32))
    if not letters or not 1 <= length <= _PASSWORD_MOST:
        raise ResourceError(f"a password has between 1 and {_PASSWORD_MOST} characters, of those that are not excluded")
    drawn = "".join(secrets.choice(letters) for _ in range(length))
    if "GenerateStringKey" not in rule:
        return drawn
    return json.dumps({**json.loads(rule.get("SecretStringTemplate", "{}")), rule["GenerateStringKey"]: drawn})
