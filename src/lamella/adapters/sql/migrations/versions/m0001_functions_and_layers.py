"""Functions and layers, their versions, and the artifacts they hold.

There is no way down: an older program refuses a newer database; a copy made before the update is the way back.
"""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

_KEY: Final = ["account", "region", "name"]


def _key() -> list[sa.Column[Any]]:  # Any: columns of several types
    return [
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("name", sa.String(256).with_variant(sa.String(256, collation="C"), "postgresql"), nullable=False),
    ]


def _to(table: str, columns: list[str]) -> list[str]:
    return [f"{table}.{column}" for column in columns]


def upgrade() -> None:
    """Create the tables."""
    number = [*_KEY, "number"]
    op.create_table(
        "functions",
        *_key(),
        sa.Column("next_number", sa.BigInteger, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, name="pk_functions"),
    )
    op.create_table(
        "function_versions",
        *_key(),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("revision_id", sa.String(64), nullable=False),
        sa.Column("settled", sa.Boolean, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint(*number, name="pk_function_versions"),
        sa.ForeignKeyConstraint(
            _KEY, _to("functions", _KEY), ondelete="CASCADE", name="fk_function_versions_functions"
        ),
    )
    op.create_index("ix_function_versions_settled", "function_versions", ["settled"])
    op.create_table(
        "function_artifacts",
        *_key(),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint(*number, "digest", name="pk_function_artifacts"),
        sa.ForeignKeyConstraint(
            number,
            _to("function_versions", number),
            ondelete="CASCADE",
            name="fk_function_artifacts_function_versions",
        ),
    )
    op.create_table(
        "layers",
        *_key(),
        sa.Column("next_number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, name="pk_layers"),
    )
    op.create_table(
        "layer_versions",
        *_key(),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint(*number, name="pk_layer_versions"),
        sa.ForeignKeyConstraint(_KEY, _to("layers", _KEY), name="fk_layer_versions_layers"),
    )
    op.create_table(
        "layer_labels",
        *_key(),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint(*number, "kind", "label", name="pk_layer_labels"),
        sa.ForeignKeyConstraint(
            number, _to("layer_versions", number), ondelete="CASCADE", name="fk_layer_labels_layer_versions"
        ),
    )
