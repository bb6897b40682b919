"""Which store a URL means. A store and its driver are imported only when their URL is used."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from tidewheel._env import Env
from tidewheel._model.errors import ConfigError
from tidewheel._store.base import JoiningStore

if TYPE_CHECKING:
    from tidewheel._store.base import Store

_REDIS: Final = ("redis", "rediss", "valkey", "valkeys")
_SCHEMES: Final = (
    *("memory", "sqlite", "postgresql", "postgres", *_REDIS),
    *(f"{one}+{topology}" for topology in ("sentinel", "cluster") for one in _REDIS),
)


def make_store(url: str, env: Env) -> Store:
    """The store of a URL, not yet opened.

    Raises:
        ConfigError: an unknown scheme, or options that the store does not know.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "sqlite":
        from tidewheel._store.sqlite import SqliteStore

        return SqliteStore(url, env)
    if scheme == "memory":
        from tidewheel._store.memory import MemoryStore

        return MemoryStore(env)
    if scheme in {"postgresql", "postgres"}:
        try:
            from tidewheel._store.postgres import PostgresStore
        except ImportError as error:
            raise ConfigError(
                f"The store of {scheme}: URLs needs the package asyncpg ({error}). "
                "Install it: pip install 'tidewheel[postgres]'."
            ) from error

        return PostgresStore(url, env)
    if scheme.partition("+")[0] in _REDIS:
        try:
            from tidewheel._store.redis import RedisStore
        except ImportError as error:
            raise ConfigError(
                f"The store of {scheme}: URLs needs the package hiredis ({error}). "
                "Install it: pip install 'tidewheel[redis]'."
            ) from error

        return RedisStore(url, env)
    close = difflib.get_close_matches(scheme, _SCHEMES, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise ConfigError(
        f"{shown_url(url)!r} is no store URL this version knows: it must begin with one of "
        f"{', '.join(_SCHEMES)}, as in sqlite:///jobs.db.{hint}"
    )


def joining_store(store: Store, url: str) -> JoiningStore:
    """The store as one that can enqueue in a transaction of the caller's.

    Raises:
        ConfigError: it cannot.
    """
    if isinstance(store, JoiningStore):
        return store
    raise ConfigError(
        f"The store {shown_url(url)} cannot enqueue in a transaction of yours (connection=): it is no SQL database. "
        "Write the jobs to an outbox in your own database, and a relay brings them here: tidewheel.Outbox."
    )


def shown_url(url: str) -> str:
    """A store URL for people to read: without passwords."""
    return re.sub(r"(?<=password=)[^&]*", "***", re.sub(r"(//[^/?#]*?):[^/?#]*@", r"\1@", url))
