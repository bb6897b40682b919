"""The Redis store: one Redis 7 or Valkey 8 server (or newer), shared by workers on any number of machines."""

from tidewheel._store.redis.store import RedisStore

__all__ = ["RedisStore"]
