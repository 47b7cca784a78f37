"""Which data directory a database belongs to that does not lie in it."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0007"
down_revision: Final = "0006"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "owner",
        sa.Column("id", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("directory", sa.String(64), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_owner"),
    )
