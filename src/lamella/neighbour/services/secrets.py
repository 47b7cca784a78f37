"""Functions that rotate secrets.

Source: Secrets Manager user guide, "Rotation by Lambda function"; the refusal is quoted in many public issues.
"""

import json
import sys
from collections.abc import Callable
from typing import Any, Final

from moto.secretsmanager.exceptions import SecretsManagerClientError
from moto.secretsmanager.models import ReplicaSecret, SecretsManagerBackend

from lamella.neighbour.services.functions import Service, acting
from lamella.neighbour.services.patching import replace

_NO_PERMISSION: Final = (
    "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the "
    "principal secretsmanager.amazonaws.com."
)


class _RotationError(Exception):
    """A step failed: those that would follow do not take place, and the secret stays as it is."""


class _Rotation(Service):
    """Secrets Manager while it rotates a secret, which functions are told by its ARN; moto tells its name."""

    def call(self, arn: str, event: object) -> tuple[bytes, str | None]:
        step = json.loads(str(event))
        payload, failure = super().call(arn, json.dumps({**step, "SecretId": self.source_arn}))
        if failure is not None:
            raise _RotationError(f"{step['Step']}: {payload.decode(errors='replace')}")
        return payload, failure


def _rotating(rotate: Callable[..., str]) -> Callable[..., str]:
    def rotate_secret(
        backend: SecretsManagerBackend,
        secret_id: str,
        client_request_token: str | None = None,
        rotation_lambda_arn: str | None = None,
        *rest: Any,
        **more: Any,
    ) -> str:
        secret = backend.secrets.get(secret_id) if backend._is_valid_identifier(secret_id) else None
        given = (secret_id, client_request_token, rotation_lambda_arn, *rest)
        if secret is None or isinstance(secret, ReplicaSecret) or not rotation_lambda_arn:
            return rotate(backend, *given, **more)
        service = _Rotation("secretsmanager.amazonaws.com", secret.arn, backend.account_id, backend.region_name)
        if not service.may_invoke(rotation_lambda_arn):
            raise SecretsManagerClientError("AccessDeniedException", _NO_PERMISSION)
        try:
            with acting(service):
                return rotate(backend, *given, **more)
        except _RotationError as error:
            print(f"{secret.arn} was not rotated: {error}", file=sys.stderr)  # the function's own log says why
            return secret.to_short_dict()

    return rotate_secret


def install() -> None:
    """Let Secrets Manager invoke functions."""
    replace(SecretsManagerBackend, "rotate_secret", _rotating)
