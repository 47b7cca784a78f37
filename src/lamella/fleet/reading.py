"""Reads a fleet through the public API, with as few calls as will do.

AWS answers 15 calls of the control API in a second, over all of them and for the whole account (developer guide,
"gettingstarted-limits"); one page of a listing has 50 items. So versions come from `ListFunctions` with
`FunctionVersion=ALL`, not from one call for each function, and aliases are asked for only where they matter. What is
throttled is tried again by botocore.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeVar

from botocore.exceptions import ClientError

from lamella.fleet.layers import LayerText, split
from lamella.fleet.model import (
    LATEST,
    AliasView,
    FleetView,
    FunctionView,
    LayerVersionView,
    LayerView,
    Route,
    Version,
)

PARALLEL: Final = 8
"""More calls at a time are of no use: AWS throttles them."""

Progress = Callable[[str, int, int], None]
"""Takes what is being done, how much of it is done, and of how much; 0 of 0 if that is not known."""

_GONE: Final = frozenset({"ResourceNotFoundException", "404"})
_HIDDEN: Final = frozenset({"AccessDeniedException", "AccessDenied", "403"})
T = TypeVar("T")
S = TypeVar("S")


def silent(_what: str, _done: int, _all: int) -> None:
    """Says nothing."""


def code_of(error: ClientError) -> str:
    """The API's word for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def read_functions(client: Any, progress: Progress = silent) -> dict[str, FunctionView]:  # Any: a botocore client
    """All functions of the account and region with their versions, by name, without their aliases."""
    documents: dict[str, list[Mapping[str, Any]]] = {}  # Any: JSON
    for page in client.get_paginator("list_functions").paginate(FunctionVersion="ALL"):
        for document in page.get("Functions", []):
            documents.setdefault(str(document["FunctionName"]), []).append(document)
        progress("reading functions", len(documents), 0)
    return {name: view for name in sorted(documents) if (view := _function(name, documents[name])) is not None}


def _function(name: str, documents: Iterable[Mapping[str, Any]]) -> FunctionView | None:  # Any: JSON
    versions = {version.number: version for version in map(Version, documents)}
    latest = versions.pop(LATEST, None)
    if latest is None:
        return None  # deleted while we were reading
    arn = str(latest.document.get("FunctionArn", "")).removesuffix(f":{LATEST}")
    # Functions on managed instances have `$LATEST.PUBLISHED` besides, which moves with the newest of the others.
    numbered = {number: version for number, version in versions.items() if number.isdigit()}
    return FunctionView(name, arn, latest, dict(sorted(numbered.items(), key=lambda item: int(item[0]))))


def with_aliases(
    client: Any,  # Any: a botocore client
    functions: Mapping[str, FunctionView],
    names: Collection[str],
    progress: Progress = silent,
) -> dict[str, FunctionView]:
    """The same functions, with the aliases of those that are named."""
    found = _for_each(lambda name: _aliases(client, name), sorted(names), "reading aliases", progress)
    return {name: replace(one, aliases=found.get(name, ())) for name, one in functions.items()}


def _aliases(client: Any, name: str) -> tuple[AliasView, ...]:  # Any: a botocore client
    try:
        pages = list(client.get_paginator("list_aliases").paginate(FunctionName=name))
    except ClientError as error:
        if code_of(error) in _GONE:
            return ()
        raise
    found = [one for page in pages for one in page.get("Aliases", [])]
    return tuple(AliasView(str(one["Name"]), Route.of(one), str(one.get("RevisionId", ""))) for one in found)


def read_details(client: Any, names: Sequence[str], progress: Progress = silent) -> dict[str, Version]:  # Any: as above
    """`$LATEST` of these functions with state and revision; those that are gone are left out."""

    def read(name: str) -> Version | None:
        try:
            return Version(client.get_function_configuration(FunctionName=name))
        except ClientError as error:
            if code_of(error) in _GONE:
                return None
            raise

    found = _for_each(read, names, "reading configurations", progress)
    return {name: version for name, version in found.items() if version is not None}


def read_provisioned(client: Any, names: Sequence[str], progress: Progress = silent) -> dict[str, frozenset[str]]:
    """Aliases and versions with provisioned concurrency, by function; none of those that may not be asked about."""

    def read(name: str) -> frozenset[str]:
        try:
            pages = list(client.get_paginator("list_provisioned_concurrency_configs").paginate(FunctionName=name))
        except ClientError as error:
            if code_of(error) in _GONE | _HIDDEN:
                return frozenset()
            raise
        found = [one for page in pages for one in page.get("ProvisionedConcurrencyConfigs", [])]
        return frozenset(str(one["FunctionArn"]).rpartition(":")[2] for one in found)

    return _for_each(read, names, "reading provisioned concurrency", progress)


def read_layer(client: Any, arn: str, used: Collection[int], account: str | None) -> LayerView:  # Any: as above
    """What can be known of a layer.

    Args:
        client: Of botocore.
        arn: Of the layer, without a version; or its name.
        used: Versions of it that functions have.
        account: The user's own; of another account's layer versions can be asked for, but not listed.
    """
    text = LayerText.parse(arn)
    if text.account in (None, account):
        pages = client.get_paginator("list_layer_versions").paginate(LayerName=arn)
        found = [LayerVersionView.of(one) for page in pages for one in page.get("LayerVersions", [])]
        return LayerView(arn, {one.number: one for one in sorted(found, key=lambda one: one.number)})
    versions, hidden = {}, set()
    for number in sorted(used):
        try:
            versions[number] = LayerVersionView.of(client.get_layer_version_by_arn(Arn=f"{arn}:{number}"))
        except ClientError as error:
            if code_of(error) in _HIDDEN:
                hidden.add(number)  # AWS says so of versions that are gone, too
            elif code_of(error) not in _GONE:
                raise
    return LayerView(arn, versions, complete=False, hidden=frozenset(hidden))


def read_fleet(client: Any, names: Sequence[str] = (), progress: Progress = silent) -> FleetView:  # Any: as above
    """Everything that an audit looks at.

    Args:
        client: Of botocore.
        names: Layers by name or ARN; empty for all that functions have, and all of the account.
        progress: Told how far it is.
    """
    functions = read_functions(client, progress)
    account = account_of(functions.values())
    asked = [LayerText.parse(name) for name in names]
    used: dict[str, set[int]] = {}
    for function in functions.values():
        for layer, number in layers_of(function):
            if not asked or any(text.layer in {layer, layer.rpartition(":")[2]} for text in asked):
                used.setdefault(layer, set()).add(number)
    layers = {layer for layer in used if ":layer:" in layer}
    if not asked:
        pages = client.get_paginator("list_layers").paginate()
        layers |= {str(one["LayerArn"]) for page in pages for one in page.get("Layers", [])}
    else:
        layers |= {arn for text in asked if (arn := _full_arn(client, text, layers))}
    found = _for_each(
        lambda layer: read_layer(client, layer, used.get(layer, ()), account),
        sorted(layers),
        "reading layers",
        progress,
    )
    users = [name for name, one in functions.items() if any(layer in layers for layer, _ in layers_of(one))]
    return FleetView(with_aliases(client, functions, users, progress), found)


def layers_of(function: FunctionView) -> Iterator[tuple[str, int]]:
    """Layers and numbers that any version of the function has."""
    for version in function.all_versions():
        yield from map(split, version.layers)


def account_of(functions: Iterable[FunctionView]) -> str | None:
    """Whose functions they are; `None` if there are none."""
    return next((one.arn.split(":")[4] for one in functions if one.arn.count(":") >= 6), None)


def _full_arn(client: Any, text: LayerText, known: Collection[str]) -> str:  # Any: as above
    """ARN of a layer that no function uses, maybe; empty if there is no such layer."""
    if text.account is not None:
        return text.layer
    if any(layer.rpartition(":")[2] == text.layer for layer in known):
        return ""
    page = client.list_layer_versions(LayerName=text.layer, MaxItems=1).get("LayerVersions", [])
    return split(str(page[0]["LayerVersionArn"]))[0] if page else ""


def _for_each(work: Callable[[T], S], items: Sequence[T], what: str, progress: Progress) -> dict[T, S]:
    """Do the same with each, several at a time. What fails ends it."""
    found: dict[T, S] = {}
    with ThreadPoolExecutor(PARALLEL) as pool:
        futures = {item: pool.submit(work, item) for item in items}
        try:
            for item, future in futures.items():
                found[item] = future.result()
                progress(what, len(found), len(items))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return found
