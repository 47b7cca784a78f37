"""Which kind answers for which type."""

from collections.abc import Callable, Mapping
from typing import Final

from lamella.neighbour.stacks.custom import Answers, CustomResource
from lamella.neighbour.stacks.events import EventInvokeConfig, EventSourceMapping
from lamella.neighbour.stacks.functions import Function
from lamella.neighbour.stacks.kinds import NOTHING, Kind, Unsupported
from lamella.neighbour.stacks.layers import LayerVersion, LayerVersionPermission
from lamella.neighbour.stacks.model import STACK
from lamella.neighbour.stacks.motokinds import MotoKind, models
from lamella.neighbour.stacks.permissions import Permission, ResourcePolicy, Url
from lamella.neighbour.stacks.services.apis import APIS
from lamella.neighbour.stacks.services.identity import InlinePolicy, ManagedPolicy, Role, RolePolicy
from lamella.neighbour.stacks.services.messages import Queue, QueuePolicy, Subscription, Topic, TopicPolicy
from lamella.neighbour.stacks.services.schedules import LogGroup, Rule, Schedule, Secret
from lamella.neighbour.stacks.services.storage import Bucket, BucketPolicy, Table
from lamella.neighbour.stacks.signing import CodeSigningConfig
from lamella.neighbour.stacks.versions import Alias, Version

LAMBDA: Final[Mapping[str, Kind]] = {
    "AWS::Lambda::Alias": Alias(),
    "AWS::Lambda::CodeSigningConfig": CodeSigningConfig(),
    "AWS::Lambda::EventInvokeConfig": EventInvokeConfig(),
    "AWS::Lambda::EventSourceMapping": EventSourceMapping(),
    "AWS::Lambda::Function": Function(),
    "AWS::Lambda::LayerVersion": LayerVersion(),
    "AWS::Lambda::LayerVersionPermission": LayerVersionPermission(),
    "AWS::Lambda::Permission": Permission(),
    "AWS::Lambda::ResourcePolicy": ResourcePolicy(),
    "AWS::Lambda::Url": Url(),
    "AWS::Lambda::Version": Version(),
}
SERVICES: Final[Mapping[str, Kind]] = {
    **APIS,
    "AWS::DynamoDB::Table": Table(),
    "AWS::Events::Rule": Rule(),
    "AWS::IAM::ManagedPolicy": ManagedPolicy(),
    "AWS::IAM::Policy": InlinePolicy(),
    "AWS::IAM::Role": Role(),
    "AWS::IAM::RolePolicy": RolePolicy(),
    "AWS::Logs::LogGroup": LogGroup(),
    "AWS::S3::Bucket": Bucket(),
    "AWS::S3::BucketPolicy": BucketPolicy(),
    "AWS::SNS::Subscription": Subscription(),
    "AWS::SNS::Topic": Topic(),
    "AWS::SNS::TopicPolicy": TopicPolicy(),
    "AWS::SQS::Queue": Queue(),
    "AWS::SQS::QueuePolicy": QueuePolicy(),
    "AWS::Scheduler::Schedule": Schedule(),
    "AWS::SecretsManager::Secret": Secret(),
}
_CUSTOM: Final = "AWS::CloudFormation::CustomResource"
_LAMBDAS: Final = "AWS::Lambda::"


def catalog(answers: Answers, more: Mapping[str, Kind]) -> Callable[[str], Kind]:
    """Who makes resources of a type; ours before moto's, and none of moto's for Lambda.

    Args:
        answers: Where functions answer that make resources.
        more: Looked at whenever somebody asks, as stacks within stacks are made by whoever asks.
    """
    known: dict[str, Kind] = {kind: MotoKind(kind, model) for kind, model in models().items()}
    known = {kind: one for kind, one in known.items() if not kind.startswith(_LAMBDAS) and kind != STACK}
    known |= {**NOTHING, **SERVICES, **LAMBDA}
    custom = CustomResource(answers)

    def kind_of(kind: str) -> Kind:
        if kind.startswith("Custom::") or kind == _CUSTOM:
            return custom
        return more.get(kind) or known.get(kind) or Unsupported(kind)

    return kind_of
