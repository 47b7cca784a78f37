"""Alembic's entry point; only ever run by `lamella.adapters.sql.database`, inside its transaction."""

from alembic import context

from lamella.adapters.sql.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # Alembic thinks SQLite cannot; with the driver's own BEGIN off, it can
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
