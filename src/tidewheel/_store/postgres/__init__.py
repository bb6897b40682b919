"""The PostgreSQL store: one schema in one database, shared by any number of machines."""

from tidewheel._store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
