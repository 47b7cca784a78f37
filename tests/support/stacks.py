"""Deploy stacks to a server, and look at what came of them."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.server import LamellaServer

_WITHIN_S = 60.0
ALL = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack of a test's own.

    Attributes:
        api: A client of CloudFormation.
        name: Of the stack.
    """

    api: Any  # boto3's clients have no type
    name: str

    def create(self, template: Mapping[str, Any] | str, **more: Any) -> str:
        """Make it; returns the status in which it ends."""
        self.api.create_stack(StackName=self.name, TemplateBody=_text(template), Capabilities=ALL, **more)
        return self.wait()

    def update(self, template: Mapping[str, Any] | str, **more: Any) -> str:
        """Change it; returns the status in which it ends."""
        self.api.update_stack(StackName=self.name, TemplateBody=_text(template), Capabilities=ALL, **more)
        return self.wait()

    def delete(self) -> str:
        """Remove it; returns the status in which it ends."""
        identity = self.describe()["StackId"]
        self.api.delete_stack(StackName=self.name)
        return Deployment(self.api, identity).wait()

    def wait(self) -> str:
        """Until nothing is under way."""
        until = time.monotonic() + _WITHIN_S
        while (status := self.describe()["StackStatus"]).endswith("_IN_PROGRESS"):
            assert time.monotonic() < until, f"{self.name} is still {status}"
            time.sleep(0.05)  # the API has nothing that could be waited for
        return str(status)

    def describe(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.describe_stacks(StackName=self.name)["Stacks"][0]
        return found

    @property
    def outputs(self) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in self.describe().get("Outputs", [])}

    @property
    def failures(self) -> dict[str, str]:
        """Why resources failed, by logical id and status."""
        events = self.api.describe_stack_events(StackName=self.name)["StackEvents"]
        return {
            f"{event['LogicalResourceId']} {event['ResourceStatus']}": event["ResourceStatusReason"]
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        }


def deployment(server: LamellaServer, **arguments: Any) -> Deployment:
    """A stack that nobody else has."""
    return Deployment(server.boto3("cloudformation", **arguments), f"stack-{uuid.uuid4().hex[:8]}")


def _text(template: Mapping[str, Any] | str) -> str:
    return template if isinstance(template, str) else json.dumps(template)
