"""Alembic's entry: run the revisions on the connection that `pbxd.store.migration` handed over."""

from alembic import context

from pbxd.store.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
