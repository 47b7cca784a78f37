"""How far event source mappings have got with the shards of streams."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "checkpoints",
        sa.Column("mapping", sa.String(36), nullable=False),
        sa.Column("shard", sa.String(256).with_variant(sa.String(256, collation="C"), "postgresql"), nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("mapping", "shard", name="pk_checkpoints"),
    )
