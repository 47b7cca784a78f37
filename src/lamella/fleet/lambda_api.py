"""A function as the API shows and changes it, with the waiting that Lambda asks for.

Every change is guarded by the revision that was looked at just before, so that nobody's change is lost; what to do when
somebody was quicker is for the caller to say.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from lamella.fleet.errors import UnreachableError
from lamella.fleet.model import LATEST, Route, Version
from lamella.fleet.reading import code_of

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
_TRIES: Final = 8
_TOLD: Final = 300
"""Characters of a function's error that are told."""


class GoneError(Exception):
    """The function, or the alias, is not there any more."""


class RefusedError(Exception):
    """Lambda does not do it, whoever asks again; the text is Lambda's."""


class OvertakenError(Exception):
    """Somebody else was quicker: look again."""


class FunctionApi:
    """The calls that a roll-out makes.

    Args:
        client: Of botocore, for Lambda.
        settle_s: How long Lambda may take for an update.
        sleep: Waits.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        client: Any,  # Any: botocore makes its clients' classes at run time
        *,
        settle_s: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._settle_s = settle_s
        self._sleep = sleep
        self._clock = clock

    def settled(self, name: str, version: str = LATEST) -> Version:
        """A version once no update of it is under way and its creation has ended.

        Raises:
            GoneError: It is not there.
            RefusedError: It takes too long.
            UnreachableError: The API cannot be reached.
        """
        qualifier = {} if version == LATEST else {"Qualifier": version}
        for _ in self._patiently(f"version {version} is not usable"):
            found = Version(self._call("get_function_configuration", FunctionName=name, **qualifier))
            pending = found.document.get("State") == "Pending"
            if not pending and found.document.get("LastUpdateStatus") != "InProgress":
                return found
        raise AssertionError

    def set_layers(self, name: str, layers: Sequence[str], revision_id: str) -> None:
        """Give `$LATEST` these layer versions. Errors as `settled`; OvertakenError if it has another revision."""
        for _ in self._patiently("another update of it is under way"):
            try:
                self._call(
                    "update_function_configuration", FunctionName=name, Layers=list(layers), RevisionId=revision_id
                )
            except _BusyError:
                continue
            return

    def publish(self, name: str, *, code_sha256: str, revision_id: str, description: str) -> str:
        """Publish a version of `$LATEST`; returns its number. If nothing has changed since the last, that is it.

        Errors as `set_layers`.
        """
        # An image that is named by a tag has no hash.
        guard = {"CodeSha256": code_sha256} if code_sha256 else {}
        for _ in self._patiently("another update of it is under way"):
            try:
                found = self._call(
                    "publish_version",
                    **{"FunctionName": name, "RevisionId": revision_id, "Description": description, **guard},
                )
            except _BusyError:
                continue
            return str(found["Version"])
        raise AssertionError

    def versions(self, name: str) -> list[Version]:
        """All published versions."""
        found: list[Version] = []
        marker: dict[str, str] = {}
        while True:
            page = self._call("list_versions_by_function", FunctionName=name, **marker)
            found += [Version(one) for one in page.get("Versions", []) if one["Version"].isdigit()]
            if not page.get("NextMarker"):
                return found
            marker = {"Marker": page["NextMarker"]}

    def alias(self, name: str, alias: str) -> tuple[Route, str]:
        """Where an alias sends invocations, and its revision. Errors as `settled`."""
        found = self._call("get_alias", FunctionName=name, Name=alias)
        return Route.of(found), str(found.get("RevisionId", ""))

    def set_alias(self, name: str, alias: str, route: Route, revision_id: str) -> None:
        """Have an alias send invocations elsewhere. Errors as `set_layers`."""
        for _ in self._patiently(f"another operation on alias {alias} is under way"):
            try:
                self._call(
                    "update_alias",
                    FunctionName=name,
                    Name=alias,
                    FunctionVersion=route.version,
                    RoutingConfig={"AdditionalVersionWeights": dict(route.weights)},
                    RevisionId=revision_id,
                )
            except _BusyError:
                continue
            return

    def invoke(self, name: str, version: str, payload: str) -> str:
        """Invoke a version once; returns the error, with the beginning of its text, or nothing. Errors as `settled`."""
        found: Mapping[str, Any] = {}
        for _ in self._patiently(f"version {version} cannot be invoked yet"):
            try:
                found = self._call("invoke", FunctionName=name, Qualifier=version, Payload=payload.encode())
            except _BusyError:
                continue
            except _ThrottledError as error:  # by the function's own concurrency, maybe: it would be so tomorrow
                raise RefusedError(str(error)) from error
            break
        answer = found["Payload"].read()
        if not found.get("FunctionError"):
            return ""
        return _function_error(answer) or f"{found['FunctionError']}: {answer[:_TOLD].decode(errors='replace')}"

    def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:  # Any: as the model says
        try:
            answer: Mapping[str, Any] = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            raise _translated(error) from error
        except BotoCoreError as error:  # no connection, no credentials, no answer
            raise UnreachableError(str(error)) from error
        return answer

    def _patiently(self, what: str) -> Iterator[None]:
        """Come again and again, with growing pauses, until it is too late."""
        deadline_s = self._clock() + self._settle_s
        pause_s = _FIRST_PAUSE_S
        while True:
            yield
            if self._clock() >= deadline_s:
                raise RefusedError(f"{what} after {self._settle_s:g} s")
            self._sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


def _function_error(answer: bytes) -> str:
    """Type and text of a function's error, as managed runtimes word it; empty if it is of another form."""
    try:
        error = json.loads(answer)
        return f"{error['errorType']}: {error['errorMessage']}"[:_TOLD]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


class _ThrottledError(UnreachableError):
    """Too many calls, though botocore has tried for long."""


class _BusyError(OvertakenError):
    """Lambda is at work on the function: once more, later."""


def _translated(error: ClientError) -> Exception:
    code, text = code_of(error), str(error.response.get("Error", {}).get("Message", error))
    match code:
        case "ResourceNotFoundException":
            return GoneError(text)
        case "PreconditionFailedException":
            return OvertakenError(text)
        # The latter two are Invoke's: an idle function wakes up, a snapshot is being made. All mean "later".
        case "ResourceConflictException" | "ResourceNotReadyException" | "SnapStartNotReadyException":
            return _BusyError(text)
        case "InvalidParameterValueException" if "CodeSHA256" in text:
            return OvertakenError(text)
        case "ExpiredTokenException" | "ExpiredToken" | "UnrecognizedClientException" | "InvalidClientTokenId":
            return UnreachableError(f"{code}: {text}")
        case "TooManyRequestsException" | "ThrottlingException":
            return _ThrottledError(f"{code}: {text}")
        case "ServiceException" | "ServiceUnavailableException":
            return UnreachableError(f"{code}: {text}")  # botocore has tried for long
        case _:
            return RefusedError(f"{code}: {text}")


def insistently(attempt: Callable[[], str | None]) -> str | None:
    """Do again what looks and then changes, for as long as somebody else is quicker.

    Returns:
        What `attempt` does.

    Raises:
        RefusedError: Somebody else was quicker each time.
    """
    for _ in range(_TRIES):
        try:
            return attempt()
        except OvertakenError:
            continue
    raise RefusedError("it is being changed all the time by somebody else")
