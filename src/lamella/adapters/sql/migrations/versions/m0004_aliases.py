"""Aliases of functions."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"

_KEY: Final = ["account", "region", "name"]


def upgrade() -> None:
    """Create the table."""
    name = sa.String(256).with_variant(sa.String(256, collation="C"), "postgresql")
    of_version = [f"function_versions.{column}" for column in (*_KEY, "number")]
    op.create_table(
        "aliases",
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("name", name, nullable=False),
        sa.Column("alias", name, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("additional_number", sa.BigInteger),
        sa.Column("revision_id", sa.String(64), nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, "alias", name="pk_aliases"),
        sa.ForeignKeyConstraint(
            _KEY, [f"functions.{column}" for column in _KEY], ondelete="CASCADE", name="fk_aliases_functions"
        ),
        sa.ForeignKeyConstraint([*_KEY, "number"], of_version, name="fk_aliases_number"),
        sa.ForeignKeyConstraint([*_KEY, "additional_number"], of_version, name="fk_aliases_additional_number"),
    )
    op.create_index("ix_aliases_number", "aliases", [*_KEY, "number"])
    op.create_index("ix_aliases_additional_number", "aliases", [*_KEY, "additional_number"])
