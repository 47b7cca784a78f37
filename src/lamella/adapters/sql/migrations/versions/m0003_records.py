"""Configuration documents of functions and of accounts."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"

_KEY: Final = ["account", "region", "name"]


def _name(column: str) -> sa.Column[Any]:  # Any: as in SQLAlchemy's own signatures
    kind = sa.String(256).with_variant(sa.String(256, collation="C"), "postgresql")
    return sa.Column(column, kind, nullable=False)


def _place() -> list[sa.Column[Any]]:  # Any: columns of several types
    return [
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
    ]


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "function_records",
        *_place(),
        _name("name"),
        sa.Column("kind", sa.String(64), nullable=False),
        _name("qualifier"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, "kind", "qualifier", name="pk_function_records"),
        sa.ForeignKeyConstraint(
            _KEY,
            [f"functions.{column}" for column in _KEY],
            ondelete="CASCADE",
            name="fk_function_records_functions",
        ),
    )
    op.create_table(
        "account_records",
        *_place(),
        sa.Column("kind", sa.String(64), nullable=False),
        _name("id"),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("account", "region", "kind", "id", name="pk_account_records"),
    )
