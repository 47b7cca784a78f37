"""Whether records can be sent where a caller wants to have them: queues, topics, event buses and buckets.

AWS asks as the function's role, and refuses what the role may not use or what is not there. Here whoever answers for
the service is asked whether it is there; a role may use everything. If nobody answers, or not about that, it is let in.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from lamella.awsapi.context import Context
from lamella.control.services import services_of
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.function import FunctionKey
from lamella.ports.aws import AwsError, AwsUnavailableError, ObjectTooLargeError

_log: Final = logging.getLogger(__name__)

_ACTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "sqs": ("SendMessage", "SQS"),
    "sns": ("Publish", "SNS"),
    "events": ("PutEvents", "EventBridge"),
    "s3": ("PutObject", "S3"),
}
_ABSENT: Final = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "NoSuchBucket",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
)
"""What services answer about something that is not there, or not for this account."""


async def check_destination(ctx: Context, key: FunctionKey, arn: str) -> None:
    """Refuse a destination for records of asynchronous invocations that is not there.

    Raises:
        InvalidParameterValueException: It is not. The text follows the one for dead-letter queues, and is ours.
    """
    if not await _is_there(ctx, key, arn):
        action, _ = _ACTIONS[arn.split(":")[2]]
        raise InvalidParameterValueException(
            f"The function's execution role does not have permissions to call {action} on {arn}"
        )


async def check_dead_letter(ctx: Context, key: FunctionKey, arn: str) -> None:
    """Refuse a dead-letter queue that is none, or is not there.

    Raises:
        InvalidParameterValueException: It is refused. Source of the text for what is not there: answers of AWS quoted
            in aws-samples/aws-serverless-ecommerce-platform issue 41, functionalone/serverless-iam-roles-per-function
            issue 5, 2018 to 2020. The other one is ours.
    """
    service = "".join(arn.split(":")[2:3])
    if service not in {"sqs", "sns"} or arn.count(":") < 5:
        raise InvalidParameterValueException(f"The dead-letter target {arn} is neither a queue nor a topic.")
    if not await _is_there(ctx, key, arn):
        action, name = _ACTIONS[service]
        raise InvalidParameterValueException(
            f"The provided execution role does not have permissions to call {action} on {name}"
        )


async def _is_there(ctx: Context, key: FunctionKey, arn: str) -> bool:
    _, _, service, region, owner, name = arn.split(":", 5)
    try:
        await _ask(ctx, key, service, region or key.region, owner, name, arn)
    except AwsUnavailableError as error:
        _log.warning("%s cannot be looked up, and is taken as it is: %s", arn, error)
    except AwsError as error:
        if error.code in _ABSENT:
            return False
        _log.warning("%s cannot be looked up, and is taken as it is: %s", arn, error)
    return True


async def _ask(ctx: Context, key: FunctionKey, service: str, region: str, owner: str, name: str, arn: str) -> None:
    aws, account = services_of(ctx).aws, key.account
    if service == "s3":
        try:
            async with aws.fetch(name, "aws/lambda/async/", None, account=account, region=region, limit_bytes=0):
                return
        except ObjectTooLargeError:
            return
        except AwsError as error:
            if error.code != "NoSuchKey":
                raise
        return
    asked: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # Any: parameters of operations
        "sqs": ("GetQueueUrl", {"QueueName": name, "QueueOwnerAWSAccountId": owner}),
        "sns": ("GetTopicAttributes", {"TopicArn": arn}),
        "events": ("DescribeEventBus", {"Name": arn}),
    }
    operation, parameters = asked[service]
    await aws.call(service, operation, parameters, account=account, region=region)
