"""What the tests of the Redis store share, whichever way leads to its server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

import msgspec
import pytest

from tidewheel._model.duration import SECOND
from tidewheel._model.errors import StoreError
from tidewheel._model.job import NewJob
from tidewheel._model.worker import Want
from tidewheel._store.redis import RedisStore
from tidewheel.testing.conformance.kit import StoreMaker

HOUR: Final = 3600 * SECOND
_numbers = count()


def new_name() -> str:
    """A namespace that nobody used yet."""
    return f"test{next(_numbers)}"


def maker(url: str, name: str, record_property: Callable[[str, object], None]) -> StoreMaker:
    """Stores at `url` (without a namespace), one namespace each; their promises are recorded under `name`."""
    record_property("store", name)
    return lambda env: RedisStore(f"{url}?namespace={new_name()}", env)


def job(id: str, **changes: object) -> NewJob:
    """A job of the kind "work"."""
    return msgspec.convert({"id": id, "kind": "work", "args": "{}", **changes}, NewJob)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisStore]:
    """A store for the time of a block."""
    one = RedisStore(url)
    await one.open()
    try:
        yield one
    finally:
        await one.close()


async def claim(store: RedisStore, slots: int = 100) -> list[str]:
    """The ids of the jobs that a worker gets."""
    found = await store.claim([Want("default", slots)], kinds=["work"], worker="w", lease=HOUR)
    return [one.id for one in found]


async def refused(url: str, kind: type[StoreError], *words: str) -> None:
    """Opening raises exactly `kind`, says all of `words`, and tells nobody the password (which is "secret")."""
    one = RedisStore(url)
    with pytest.raises(StoreError) as caught:
        await one.open()
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert "secret" not in str(caught.value)
    await one.close()
