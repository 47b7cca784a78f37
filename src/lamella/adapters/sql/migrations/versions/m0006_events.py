"""Events that were accepted for asynchronous invocation."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0006"
down_revision: Final = "0005"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "events",
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(64), nullable=False),
        sa.Column("name", sa.String(256).with_variant(sa.String(256, collation="C"), "postgresql"), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("accepted_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_ms", sa.BigInteger),
        sa.Column("envelope", sa.JSON, nullable=False),
        sa.Column("progress", sa.JSON, nullable=False),
        sa.Column("steps", sa.JSON, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("response", sa.LargeBinary),
        sa.PrimaryKeyConstraint("request_id", name="pk_events"),
    )
    op.create_index("ix_events_stage", "events", ["stage"])
    op.create_index("ix_events_finished_ms", "events", ["finished_ms"])
