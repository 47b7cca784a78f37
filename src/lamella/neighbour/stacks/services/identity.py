"""`AWS::IAM::Role`, `AWS::IAM::Policy`, `AWS::IAM::RolePolicy` and `AWS::IAM::ManagedPolicy`."""

import json
from collections.abc import Iterable
from typing import Any, Final

from lamella.neighbour.stacks.coercion import arguments
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.template import Json

_HOLDERS: Final = (("Groups", "Group"), ("Roles", "Role"), ("Users", "User"))


class Role:
    """A role with its policies. Nothing here enforces them."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client, name = task.client("iam"), str(properties.get("RoleName", task.name))
        wanted = {**properties, "RoleName": name}
        wanted["AssumeRolePolicyDocument"] = _document(properties["AssumeRolePolicyDocument"])
        client.create_role(**arguments(client, "CreateRole", wanted))
        try:
            self._policies(client, name, {}, properties)
        except BaseException:
            self._remove(client, name)  # nobody would know of it
            raise
        return self._made(client, name)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change what differs."""
        client, name = task.client("iam"), made.physical_id
        trust = "AssumeRolePolicyDocument"
        if old[trust] != new[trust]:
            client.update_assume_role_policy(RoleName=name, PolicyDocument=_document(new[trust]))
        client.update_role(
            **arguments(
                client,
                "UpdateRole",
                {
                    "RoleName": name,
                    "Description": new.get("Description", ""),
                    "MaxSessionDuration": new.get("MaxSessionDuration", 3600),
                },
            )
        )
        if new.get("Tags") and old.get("Tags") != new.get("Tags"):
            client.tag_role(RoleName=name, Tags=new["Tags"])
        self._policies(client, name, old, new)
        return self._made(client, name)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """With its policies."""
        self._remove(task.client("iam"), made.physical_id)

    def _policies(self, client: Any, name: str, old: Properties, new: Properties) -> None:  # Any: botocore
        before = {one["PolicyName"] for one in old.get("Policies", [])}
        for one in new.get("Policies", []):
            document = _document(one["PolicyDocument"])
            client.put_role_policy(RoleName=name, PolicyName=one["PolicyName"], PolicyDocument=document)
            before.discard(one["PolicyName"])
        for gone in sorted(before):
            client.delete_role_policy(RoleName=name, PolicyName=gone)
        attached = [*old.get("ManagedPolicyArns", [])]
        for arn in new.get("ManagedPolicyArns", []):
            if arn not in attached:
                _attach(client, "Role", name, arn)
        for arn in attached:
            if arn not in new.get("ManagedPolicyArns", []):
                client.detach_role_policy(RoleName=name, PolicyArn=arn)

    def _remove(self, client: Any, name: str) -> None:  # Any: botocore
        for policy in client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            client.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
            client.delete_role_policy(RoleName=name, PolicyName=policy)
        client.delete_role(RoleName=name)

    def _made(self, client: Any, name: str) -> Made:  # Any: botocore
        found = client.get_role(RoleName=name)["Role"]
        return Made(name, {"Arn": found["Arn"], "RoleId": found["RoleId"]})


class InlinePolicy:
    """One document in several roles, users and groups."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Put it."""
        for kind, name in _holders(properties):
            getattr(task.client("iam"), f"put_{kind.lower()}_policy")(
                **{f"{kind}Name": name},
                PolicyName=properties["PolicyName"],
                PolicyDocument=_document(properties["PolicyDocument"]),
            )
        return Made(task.name, {"Id": task.name})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Put another one in its place."""
        renamed = old["PolicyName"] != new["PolicyName"]
        self._take(task, old["PolicyName"], [one for one in _holders(old) if renamed or one not in _holders(new)])
        self.create(task, new)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        self._take(task, properties["PolicyName"], _holders(properties))

    def _take(self, task: Task, policy: str, holders: Iterable[tuple[str, str]]) -> None:
        for kind, name in holders:
            getattr(task.client("iam"), f"delete_{kind.lower()}_policy")(**{f"{kind}Name": name}, PolicyName=policy)


class RolePolicy:
    """One document in one role."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Put it."""
        name, role = str(properties["PolicyName"]), str(properties["RoleName"])
        document = _document(properties.get("PolicyDocument", {}))
        task.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)
        return Made(f"{name}|{role}")

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Put another one in its place."""
        return self.create(task, new)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        name, role = properties["PolicyName"], properties["RoleName"]
        task.client("iam").delete_role_policy(RoleName=role, PolicyName=name)


class ManagedPolicy:
    """A policy with a name of its own."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make and attach it."""
        client = task.client("iam")
        wanted = {**properties, "PolicyName": properties.get("ManagedPolicyName", task.name)}
        wanted["PolicyDocument"] = _document(properties["PolicyDocument"])
        made = client.create_policy(**arguments(client, "CreatePolicy", wanted))["Policy"]
        for kind, name in _holders(properties):
            _attach(client, kind, name, made["Arn"])
        return Made(made["Arn"], {"PolicyArn": made["Arn"], "PolicyId": made["PolicyId"]})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """A new default version; the one before goes."""
        client, arn = task.client("iam"), made.physical_id
        if old["PolicyDocument"] != new["PolicyDocument"]:
            client.create_policy_version(
                PolicyArn=arn, PolicyDocument=_document(new["PolicyDocument"]), SetAsDefault=True
            )
            for version in client.list_policy_versions(PolicyArn=arn)["Versions"]:
                if not version["IsDefaultVersion"]:
                    client.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        for kind, name in _holders(new):
            if (kind, name) not in _holders(old):
                _attach(client, kind, name, arn)
        for kind, name in _holders(old):
            if (kind, name) not in _holders(new):
                _detach(client, kind, name, arn)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """From whoever has it, and altogether."""
        client = task.client("iam")
        found = client.list_entities_for_policy(PolicyArn=made.physical_id)
        for kind in ("Group", "Role", "User"):
            for holder in found.get(f"Policy{kind}s", []):
                _detach(client, kind, holder[f"{kind}Name"], made.physical_id)
        client.delete_policy(PolicyArn=made.physical_id)


def _document(value: Json) -> str:
    """With a version, which AWS does not need and moto does: the policies that SAM makes have none."""
    return value if isinstance(value, str) else json.dumps({"Version": "2012-10-17", **value})


def _holders(properties: Properties) -> list[tuple[str, str]]:
    return [(kind, str(name)) for key, kind in _HOLDERS for name in properties.get(key) or ()]


def _attach(client: Any, kind: str, name: str, arn: str) -> None:  # Any: botocore
    getattr(client, f"attach_{kind.lower()}_policy")(**{f"{kind}Name": name}, PolicyArn=arn)


def _detach(client: Any, kind: str, name: str, arn: str) -> None:  # Any: botocore
    getattr(client, f"detach_{kind.lower()}_policy")(**{f"{kind}Name": name}, PolicyArn=arn)
