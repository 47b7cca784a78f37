"""The tables, as SQLAlchemy Core knows them, and the names of the migrations that lead here.

Values are kept as JSON documents; columns are what is searched, sorted, counted or guarded. The migrations are the
truth about databases that exist; a test proves that they and these tables say the same.
"""

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
)

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
"""Every migration this program knows, oldest first. A database at any other revision is from a newer program."""

metadata: Final = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(referred_table_name)s"}
)

# Listings are in the order of code points, as Python and SQLite sort, whatever the locale of a PostgreSQL database.
_NAME: Final = String(256).with_variant(String(256, collation="C"), "postgresql")


def _key() -> list[Column[Any]]:  # Any: columns of several types
    return [
        Column("account", String(12), nullable=False),
        Column("region", String(64), nullable=False),
        Column("name", _NAME, nullable=False),
    ]


_KEY: Final = ["account", "region", "name"]
_OF_VERSION: Final = [f"function_versions.{column}" for column in (*_KEY, "number")]

owner: Final = Table(
    "owner",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("directory", String(64), nullable=False),
    Column("epoch", BigInteger, nullable=False),
)
"""Of a database outside the data directory, in one row: whose it is, and how many servers have written to it so far."""

functions: Final = Table(
    "functions",
    metadata,
    *_key(),
    Column("next_number", BigInteger, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("reserved_executions", BigInteger),  # null where none are reserved, which is not the same as 0
    PrimaryKeyConstraint(*_KEY),
)

function_versions: Final = Table(
    "function_versions",
    metadata,
    *_key(),
    Column("number", BigInteger, nullable=False),  # 0 is $LATEST
    Column("revision_id", String(64), nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint(*_KEY, "number"),
    ForeignKeyConstraint(_KEY, [f"functions.{column}" for column in _KEY], ondelete="CASCADE"),
)
# What a crash interrupted is looked for at each start, and is hardly ever there. Not a partial index: a condition for
# PostgreSQL would make SQLAlchemy import that dialect, and cost every node 3 MiB.
Index("ix_function_versions_settled", function_versions.c.settled)

function_artifacts: Final = Table(
    "function_artifacts",
    metadata,
    *_key(),
    Column("number", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    PrimaryKeyConstraint(*_KEY, "number", "digest"),
    ForeignKeyConstraint([*_KEY, "number"], _OF_VERSION, ondelete="CASCADE"),
)
"""Every artifact a function version holds: its code, and its layers, whether or not the layer versions still exist."""

aliases: Final = Table(
    "aliases",
    metadata,
    *_key(),
    Column("alias", _NAME, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("additional_number", BigInteger),  # null where all invocations get the one version
    Column("revision_id", String(64), nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint(*_KEY, "alias"),
    ForeignKeyConstraint(_KEY, [f"functions.{column}" for column in _KEY], ondelete="CASCADE"),
    # Without a cascade: these keep a version from being deleted while an alias refers to it. When the function is
    # deleted they are looked at last, and its aliases are gone by then.
    ForeignKeyConstraint([*_KEY, "number"], _OF_VERSION, name="fk_aliases_number"),
    ForeignKeyConstraint([*_KEY, "additional_number"], _OF_VERSION, name="fk_aliases_additional_number"),
)
Index("ix_aliases_number", *(aliases.c[column] for column in (*_KEY, "number")))
Index("ix_aliases_additional_number", *(aliases.c[column] for column in (*_KEY, "additional_number")))

layers: Final = Table(
    "layers",
    metadata,
    *_key(),
    Column("next_number", BigInteger, nullable=False),
    PrimaryKeyConstraint(*_KEY),
)
"""Only counters; a row outlives all versions of its layer, since numbers are never given twice."""

layer_versions: Final = Table(
    "layer_versions",
    metadata,
    *_key(),
    Column("number", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint(*_KEY, "number"),
    ForeignKeyConstraint(_KEY, [f"layers.{column}" for column in _KEY]),
)

layer_labels: Final = Table(
    "layer_labels",
    metadata,
    *_key(),
    Column("number", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),  # runtime or architecture
    Column("label", Text, nullable=False),
    PrimaryKeyConstraint(*_KEY, "number", "kind", "label"),
    ForeignKeyConstraint(
        [*_KEY, "number"], [f"layer_versions.{column}" for column in (*_KEY, "number")], ondelete="CASCADE"
    ),
)
"""What layer versions declare, to filter listings by."""

function_records: Final = Table(
    "function_records",
    metadata,
    *_key(),
    Column("kind", String(64), nullable=False),
    Column("qualifier", _NAME, nullable=False),  # empty for what belongs to the function as a whole
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint(*_KEY, "kind", "qualifier"),
    ForeignKeyConstraint(_KEY, [f"functions.{column}" for column in _KEY], ondelete="CASCADE"),
)

account_records: Final = Table(
    "account_records",
    metadata,
    Column("account", String(12), nullable=False),
    Column("region", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("id", _NAME, nullable=False),
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("account", "region", "kind", "id"),
)

checkpoints: Final = Table(
    "checkpoints",
    metadata,
    Column("mapping", String(36), nullable=False),
    Column("shard", _NAME, nullable=False),  # empty for what belongs to the mapping as a whole
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("mapping", "shard"),
)
"""How far event source mappings have got with streams: written with every batch, so not among the account's records."""

accounts: Final = Table(
    "accounts",
    metadata,
    Column("id", String(12), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", String(40), nullable=False),
    PrimaryKeyConstraint("id"),
)
"""Accounts that may have access keys. Nothing else refers to them: functions stay when theirs is deleted."""

access_keys: Final = Table(
    "access_keys",
    metadata,
    Column("id", String(128), nullable=False),
    Column("secret", Text, nullable=False),  # not a digest of it: verifying a signature takes the secret itself
    Column("account", String(12), nullable=False),
    Column("created_at", String(40), nullable=False),
    Column("description", Text, nullable=False),
    Column("session_token", Text, nullable=False),
    Column("expires_at", String(40)),
    PrimaryKeyConstraint("id"),
    ForeignKeyConstraint(["account"], ["accounts.id"], ondelete="CASCADE"),
)

events: Final = Table(
    "events",
    metadata,
    Column("request_id", String(36), nullable=False),
    *_key(),
    Column("stage", String(16), nullable=False),
    Column("accepted_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),  # null until then
    Column("envelope", JSON, nullable=False),
    Column("progress", JSON, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("response", LargeBinary),
    PrimaryKeyConstraint("request_id"),
)
"""Events accepted for asynchronous invocation. They outlive their function, as a record of what became of them."""

# Each index is paid for with every event. One tells what a start has to do, the other what is old enough to go.
Index("ix_events_stage", events.c.stage)
Index("ix_events_finished_ms", events.c.finished_ms)
