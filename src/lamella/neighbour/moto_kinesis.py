"""Corrects how moto divides and joins the shards of Kinesis' streams, in the child process.

moto 5 goes on to put records into shards that are closed, gives those of a divided shard new sequence numbers, copies
those of joined ones into the new one, and never says that a closed shard is at its end. A reader that follows shards
as AWS has them would miss records and see others twice. As on AWS, records stay where they were put, new ones go to
open shards, and the last answer of a closed shard has no iterator.
"""

from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Any

from moto.kinesis.models import KinesisBackend, Shard, Stream
from moto.kinesis.utils import decompose_shard_iterator

_Resharding = Callable[[Stream, str, str], None]


def correct() -> None:
    """From now on, for all streams of this process."""
    Stream.get_shard_for_key = _keep_to_open_shards(Stream.get_shard_for_key)  # type: ignore[method-assign]
    Stream.split_shard = _leave_records(Stream.split_shard)  # type: ignore[assignment,method-assign]
    Stream.merge_shards = _leave_records(Stream.merge_shards)  # type: ignore[assignment,method-assign]
    KinesisBackend.get_records = _end_closed_shards(KinesisBackend.get_records)  # type: ignore[method-assign]


def _keep_to_open_shards(original: Callable[[Stream, str, str], Shard | None]) -> Callable[..., Shard | None]:
    @wraps(original)
    def shard_for_key(stream: Stream, partition_key: str, explicit_hash_key: str) -> Shard | None:
        view = copy(stream)  # other threads look at the stream meanwhile
        view.shards = {id_: shard for id_, shard in stream.shards.items() if shard.is_open}
        return original(view, partition_key, explicit_hash_key)

    return shard_for_key


def _leave_records(original: _Resharding) -> _Resharding:
    @wraps(original)
    def reshard(stream: Stream, one: str, other: str) -> None:
        kept = {id_: shard.records for id_, shard in stream.shards.items()}
        for shard in stream.shards.values():
            shard.records = OrderedDict()
        try:
            original(stream, one, other)
        finally:
            for id_, records in kept.items():
                stream.shards[id_].records = records

    return reshard


def _end_closed_shards(original: Callable[..., Any]) -> Callable[..., Any]:  # Any: as moto's method
    @wraps(original)
    def get_records(
        backend: KinesisBackend, stream_arn: str | None, shard_iterator: str, limit: int | None
    ) -> tuple[str | None, list[Any], int]:
        following, records, behind_ms = original(backend, stream_arn, shard_iterator, limit)
        name, shard_id, _ = decompose_shard_iterator(shard_iterator)
        shard = backend.describe_stream(stream_arn=stream_arn, stream_name=name).get_shard(shard_id)
        last = int(decompose_shard_iterator(following)[2])
        at_end = not shard.is_open and last >= shard.get_max_sequence_number()
        return None if at_end else following, records, behind_ms

    return get_records
