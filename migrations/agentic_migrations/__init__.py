"""The versions of the database schema; `agentic_core.db.migrate` runs them through Alembic."""
