"""A function of a server or of AWS, opened with its code and its layers, by Lambda's public API alone."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from lamella.layers.contents import LayerContents
from lamella.layers.errors import LayerReadError
from lamella.layers.fetching import describe_layer_version, open_described, open_function_code
from lamella.layers.look.view import CODE, Brought, View
from lamella.layers.packages import packages_of

_AT_ONCE: Final = 6
"""Five layers and the code: each waits for a server most of the time."""

Client = Any  # botocore makes its clients at run time


@dataclass(frozen=True, slots=True)
class AttachedLayer:
    """A layer version as a function has it.

    Attributes:
        label: Name and version, or the ARN where two accounts have layers of the same name.
        newest: Number of the layer's newest version; `None` if that is not known.
        problem: Why it cannot be looked at; empty if it can.
    """

    arn: str
    label: str
    newest: int | None
    problem: str

    @property
    def version(self) -> int:
        """Its number."""
        return int(self.arn.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class OpenedFunction:
    """A function that can be looked at.

    Attributes:
        arn: As the API gives it, with a qualifier if one was asked for.
        version: `$LATEST` or a number.
        environment: Its own variables.
        layers: In its order.
        code_problem: Why its code cannot be looked at; empty if it can.
    """

    arn: str
    version: str
    runtime: str
    architecture: str
    environment: Mapping[str, str]
    layers: tuple[AttachedLayer, ...]
    view: View
    code_problem: str


class NoLayersError(Exception):
    """The function is one that cannot have layers."""


@dataclass(frozen=True, kw_only=True)
class _Nothing(LayerContents):
    """In the place of what cannot be looked at."""

    def open(self, name: str) -> IO[bytes]:
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class _Fetched:
    context: AbstractContextManager[LayerContents] | None
    brought: Brought
    problem: str


@contextmanager
def open_function(
    client: Client, name: str, qualifier: str | None, *, cache: Path | None, look_at_code: bool = True
) -> Iterator[OpenedFunction]:
    """Open a function's code and layers, all at once.

    A layer that cannot be had, as its version was deleted, has a problem and is empty.

    Args:
        client: Of botocore, for `lambda`; used by several threads.
        name: Or ARN of the function.
        qualifier: Version or alias; `None` for `$LATEST`.
        cache: Directory for archives, as of `open_archive`.
        look_at_code: Whether the function's code is opened as well.

    Raises:
        NoLayersError: It is a container image.
        ClientError, BotoCoreError: Of botocore's, about the function itself.
    """
    asked = {"FunctionName": name} | ({"Qualifier": qualifier} if qualifier is not None else {})
    answer = client.get_function(**asked)
    setup = answer["Configuration"]
    if setup.get("PackageType", "Zip") != "Zip":
        raise NoLayersError(f"{name} is a container image, which has no layers: what it sees is in the image alone")
    arns = [str(layer["Arn"]) for layer in setup.get("Layers", [])]
    labels = _labels(arns)
    with ExitStack() as opened, ThreadPoolExecutor(_AT_ONCE) as threads:
        code = threads.submit(_fetch_code, client, answer, cache) if look_at_code else None
        layers = [
            threads.submit(_fetch_layer, client, arn, label, cache) for arn, label in zip(arns, labels, strict=True)
        ]
        newest = [threads.submit(_newest, client, arn.rpartition(":")[0]) for arn in arns]
        # Whatever was opened is closed, also if another one failed.
        for future in (*layers, *([code] if code is not None else [])):
            opened.callback(_close_fetched, future)
        fetched = [future.result() for future in layers]
        own = code.result() if code is not None else None
        yield OpenedFunction(
            str(setup["FunctionArn"]),
            str(setup.get("Version", "")),
            str(setup.get("Runtime", "")),
            str(setup.get("Architectures", ["x86_64"])[0]),
            {str(key): str(value) for key, value in setup.get("Environment", {}).get("Variables", {}).items()},
            tuple(
                AttachedLayer(arn, label, number.result(), one.problem)
                for arn, label, number, one in zip(arns, labels, newest, fetched, strict=True)
            ),
            View([one.brought for one in fetched], own.brought if own is not None and not own.problem else None),
            own.problem if own is not None else "it was not asked for",
        )


def _labels(arns: list[str]) -> list[str]:
    short = [":".join(arn.split(":")[-2:]) for arn in arns]
    often = Counter(short)
    return [arn if often[label] > 1 else label for arn, label in zip(arns, short, strict=True)]


def _fetch_layer(client: Client, arn: str, label: str, cache: Path | None) -> _Fetched:
    def context() -> AbstractContextManager[LayerContents]:
        return open_described(client, describe_layer_version(client, arn), cache=cache)

    return _fetch(context, label)


def _fetch_code(client: Client, answer: Mapping[str, Any], cache: Path | None) -> _Fetched:
    return _fetch(lambda: open_function_code(client, answer, cache=cache), CODE)


def _fetch(make: Callable[[], AbstractContextManager[LayerContents]], label: str) -> _Fetched:
    context: AbstractContextManager[LayerContents] | None = None
    try:
        entering = make()
        contents = entering.__enter__()
        context = entering
        return _Fetched(context, Brought(label, contents, packages_of(contents)), "")
    except (LayerReadError, ClientError, BotoCoreError) as error:
        _close(context)
        return _Fetched(None, Brought(label, _Nothing(label=label, entries={})), _reason(error))


def _close_fetched(future: Future[_Fetched]) -> None:
    _close(future.result().context)


def _close(context: AbstractContextManager[LayerContents] | None) -> None:
    if context is not None:
        context.__exit__(None, None, None)


def _newest(client: Client, layer_arn: str) -> int | None:
    """The number of a layer's newest version: it may not be for everyone to know."""
    try:
        versions = client.list_layer_versions(LayerName=layer_arn).get("LayerVersions", [])
    except (ClientError, BotoCoreError):
        return None
    return max((int(one["Version"]) for one in versions), default=None)


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        return f"{answer.get('Code', 'Unknown')}: {answer.get('Message', error)}"
    return str(error)
