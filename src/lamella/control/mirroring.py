"""Copies of layer versions of other installations, AWS's above all, under the ARN that they have there.

Templates name such layers by ARN. A copy makes them work here, unchanged and without a network. The first copy pins the
ARN to the hash of its bytes: the same ARN with other bytes is refused, also after the copy was removed.
"""

import asyncio
import base64
import hashlib
import io
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from lamella.awsapi.context import Context
from lamella.control.access import layer_record
from lamella.control.code import stored
from lamella.control.services import services_of
from lamella.control.sharing import forget_policy
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.domain.names import LAYER_VERSION_ARN
from lamella.domain.policy import LAYER_POLICY
from lamella.domain.statements import layer_statement, with_statement, without_statement
from lamella.ports.errors import ConflictError
from lamella.ports.gate import LayerRefusedError
from lamella.ports.records import AccountRecord, Document, Records

KIND: Final = "layer-mirror"
_STATEMENT: Final = "lamella-mirror"
_MOST_NUMBER: Final = 10**9
"""Published versions of the same layer get higher numbers, for which there has to be room."""


class MirrorError(Exception):
    """That cannot be copied; the text is for the person who asked."""


class PinnedError(MirrorError):
    """The ARN belongs to other bytes."""


class NotMirroredError(MirrorError):
    """There is no copy of this ARN."""


@dataclass(frozen=True, slots=True)
class Original:
    """What is known of a layer version where it comes from.

    Attributes:
        created_at: Aware UTC.
        source: Where the copy came from, in words.
        code_sha256: SHA-256 of the zip in base64, as it was told there; empty if nobody did.
    """

    created_at: datetime
    description: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    license_info: str = ""
    source: str = ""
    code_sha256: str = ""


def parse_mirrored(text: str) -> tuple[LayerKey, int]:
    """Read the ARN of a layer version that can be copied.

    Raises:
        MirrorError: It is none.
    """
    match = LAYER_VERSION_ARN.fullmatch(text) if text.isascii() else None
    if match is None:
        raise MirrorError(
            f"{text[:300]!r} is not the ARN of a layer version: arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION, in "
            "the partition aws."
        )
    key, number = LayerKey(match["account"], match["region"], match["name"]), int(match["version"][:20])
    if not 1 <= number <= _MOST_NUMBER or len(key.name) > 140:
        raise MirrorError(f"{text[:300]!r} has a number or a name that no layer version has.")
    return key, number


async def mirror(
    ctx: Context, key: LayerKey, number: int, archive: bytes | Path, original: Original, *, private: bool
) -> dict[str, Any]:  # Any: JSON
    """Keep a copy under its ARN; doing so again is no error, and makes good what is missing of it.

    A version that was published here stays as it is.

    Args:
        ctx: Of the layer's account and region.
        key: Of the layer.
        number: Of the version.
        archive: The zip.
        original: What is known of it.
        private: Whether only the layer's account can attach it, and not all of the server's.

    Raises:
        PinnedError: The ARN belongs to other bytes here.
        MirrorError: The bytes are not those whose hash was told, or the gate does not let them in.
        ApiError: As PublishLayerVersion.
    """
    services, records = services_of(ctx), ctx.services[Records].accounts
    code_sha256, size_bytes = await asyncio.to_thread(_measured, archive)
    if original.code_sha256 and original.code_sha256 != code_sha256:
        raise MirrorError(
            f"The zip has the SHA-256 {code_sha256} (base64), and should have {original.code_sha256}: nothing was kept."
        )
    at = services.clock.now().isoformat(timespec="milliseconds")
    async with stored(ctx, archive, size_bytes, account=key.account) as artifact:

        def pin(before: Document | None) -> dict[str, Any]:
            _check_pin(key, number, before and before["code_sha256"], code_sha256)
            return {
                "code_sha256": code_sha256,
                "source": original.source,
                "private": private,
                "mirrored_at": before["mirrored_at"] if before and not before["removed_at"] else at,
                "removed_at": "",
            }

        there = await services.layers.get(key, number)
        if there is None:
            try:
                await services.gate.admit(
                    key, artifact, runtimes=original.runtimes, architectures=original.architectures
                )
            except LayerRefusedError as error:
                raise MirrorError(str(error)) from error
        _check_pin(key, number, there and there.artifact.code_sha256, code_sha256)
        place = (key.account, key.region, KIND, layer_record(key, number))
        if there is not None and await records.get(*place) is None:
            # Published here: who may use it is its owner's business.
            return {**_shown(key, number, {"code_sha256": code_sha256}, there), "new": False, "published_here": True}
        await records.change(*place, pin)
        if there is None:
            version = LayerVersion(
                key,
                number,
                artifact,
                original.created_at,
                original.description,
                original.runtimes,
                original.architectures,
                original.license_info,
            )
            try:
                await services.layers.add(version)
            except ConflictError as error:
                raise PinnedError(f"{key.arn(number)} was published here in this very moment.") from error
            services.gate.published(version)
    await _open(ctx, key, number, to_all=not private)
    return {**await show(ctx, key, number), "new": there is None, "published_here": False}


def _measured(archive: bytes | Path) -> tuple[str, int]:
    """SHA-256 in base64, and size in bytes."""
    with io.BytesIO(archive) if isinstance(archive, bytes) else archive.open("rb") as file:
        hashed = hashlib.file_digest(file, "sha256")
        return base64.b64encode(hashed.digest()).decode(), file.tell()


async def show(ctx: Context, key: LayerKey, number: int) -> dict[str, Any]:
    """One copy.

    Raises:
        NotMirroredError: There is none, and was none.
    """
    document = await ctx.services[Records].accounts.get(key.account, key.region, KIND, layer_record(key, number))
    if document is None:
        raise NotMirroredError(f"{key.arn(number)} is not mirrored here.")
    return _shown(key, number, document, await services_of(ctx).layers.get(key, number))


async def every(ctx: Context) -> list[dict[str, Any]]:
    """All copies of the server, by ARN."""
    found = []
    for record in await ctx.services[Records].accounts.every(KIND):
        key, number = _place(record)
        found.append(_shown(key, number, record.document, await services_of(ctx).layers.get(key, number)))
    return sorted(found, key=lambda one: str(one["arn"]))


async def verify(ctx: Context) -> list[dict[str, Any]]:
    """All copies that were not removed, each with what is wrong with it; `problem` is empty if nothing is."""
    services, found = services_of(ctx), []
    for record in await ctx.services[Records].accounts.every(KIND):
        if record.document["removed_at"]:
            continue
        key, number = _place(record)
        version = await services.layers.get(key, number)
        problem = ""
        if version is None:
            problem = "the layer version has been deleted"
        elif version.artifact.code_sha256 != record.document["code_sha256"]:
            problem = "the layer version is another one than was mirrored"
        else:
            seen = await asyncio.to_thread(_sha256_of, services.artifacts.archive(version.artifact.digest))
            if seen is None:
                problem = "its archive is missing"
            elif seen != record.document["code_sha256"]:
                problem = f"its archive has been damaged: it has the SHA-256 {seen}"
        found.append({**_shown(key, number, record.document, version), "problem": problem})
    return sorted(found, key=lambda one: str(one["arn"]))


async def remove(ctx: Context, key: LayerKey, number: int, *, forget: bool) -> None:
    """Delete a copy. Functions that have it keep it. What the ARN is pinned to is remembered, unless told to forget.

    Raises:
        NotMirroredError: There is none.
    """
    services, records = services_of(ctx), ctx.services[Records].accounts
    await show(ctx, key, number)
    await services.layers.delete(key, number)
    await forget_policy(ctx, key, number)
    at = services.clock.now().isoformat(timespec="milliseconds")

    def removed(before: Document | None) -> dict[str, Any] | None:
        return None if before is None or forget else {**before, "removed_at": before["removed_at"] or at}

    await records.change(key.account, key.region, KIND, layer_record(key, number), removed)


async def _open(ctx: Context, key: LayerKey, number: int, *, to_all: bool) -> None:
    """Let all accounts attach it, as AWS's public layers let them, or not; other statements of its policy stay."""
    statement = layer_statement(
        key.arn(number), {"StatementId": _STATEMENT, "Action": "lambda:GetLayerVersion", "Principal": "*"}
    )

    def change(before: Document | None) -> dict[str, Any] | None:
        policy = None if before is None else before["policy"]
        has = policy is not None and any(one.get("Sid") == _STATEMENT for one in policy["Statement"])
        if has == to_all:
            return None if before is None else dict(before)
        after = with_statement(policy, statement) if to_all else without_statement(policy, _STATEMENT)
        return None if after is None else {"policy": after, "revision_id": str(uuid.uuid4())}

    records = ctx.services[Records].accounts
    await records.change(key.account, key.region, LAYER_POLICY, layer_record(key, number), change)


def _check_pin(key: LayerKey, number: int, known: object, code_sha256: str) -> None:
    if known and known != code_sha256:
        raise PinnedError(
            f"{key.arn(number)} belongs to the bytes with the SHA-256 {known} (base64) here, and these have "
            f"{code_sha256}: a layer version never changes, so one of the two is not it."
        )


def _place(record: AccountRecord) -> tuple[LayerKey, int]:
    name, _, number = record.id.rpartition(":")
    return LayerKey(record.account, record.region, name), int(number)


def _shown(key: LayerKey, number: int, document: Document, version: LayerVersion | None) -> dict[str, Any]:
    shown = {"arn": key.arn(number), **document, "present": version is not None}
    if version is None:
        return shown
    return {
        **shown,
        "size_bytes": version.artifact.size_bytes,
        "unzipped_bytes": version.artifact.unzipped_bytes,
        "digest": version.artifact.digest,
        "description": version.description,
        "created_at": version.created_at.isoformat(),
        "runtimes": list(version.runtimes),
        "architectures": list(version.architectures),
        "license_info": version.license_info,
    }


def _sha256_of(archive: Path) -> str | None:
    try:
        with archive.open("rb") as file:
            return base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
    except FileNotFoundError:
        return None
