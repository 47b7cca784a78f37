"""Concurrent executions that are reserved for a function; none for those that exist."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column("functions", sa.Column("reserved_executions", sa.BigInteger))
