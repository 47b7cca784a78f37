"""Receipt rules of SES that name functions: moto looks whether they are there, and receives no mail."""

from collections.abc import Callable

from moto.ses.exceptions import InvalidLambdaFunctionException
from moto.ses.models import SESBackend

from lamella.neighbour.services.functions import Service
from lamella.neighbour.services.patching import replace


def _checked(_: Callable[..., None]) -> Callable[..., None]:
    def validate_lambda_action(backend: SESBackend, lambda_action: dict[str, str]) -> None:
        arn = lambda_action["FunctionArn"]
        if not Service("ses.amazonaws.com", "", backend.account_id, backend.region_name).may_invoke(arn):
            raise InvalidLambdaFunctionException(f"Invalid Lambda function: {arn}")
        backend._validate_sns_topic(lambda_action.get("TopicArn"))

    return validate_lambda_action


def install() -> None:
    """Let receipt rules name functions."""
    replace(SESBackend, "_validate_lambda_action", _checked)
