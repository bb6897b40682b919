"""A server that hangs takes no more of a caller's time than the URL allows, also where goodbyes are said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import pytest_asyncio
from tests.chaos.faults.proxy import Proxy
from tests.servers._process import NoServer, missing
from tests.servers.redis import running
from tests.servers.tls import Authority, front

from tidewheel import StoreUnavailable
from tidewheel._store.redis import RedisStore, links

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(60)]
FAR: Final = 15.0
"""Seconds: far beyond the limits here, and half of what the driver gives a single goodbye."""


class Way(NamedTuple):
    """TLS, and what hangs on command on the way."""

    url: str
    proxy: Proxy


@pytest_asyncio.fixture
async def way(tmp_path: Path) -> AsyncIterator[Way]:
    try:
        authority = Authority(tmp_path)
        certificate = authority.certify("right", "DNS:localhost,IP:127.0.0.1")
        with running("valkey") as server, front(server.port, certificate) as encrypted:
            proxy = Proxy(encrypted.port)
            await proxy.start()
            yield Way(f"rediss://localhost:{proxy.port}/0?tls_ca={authority.file}&timeout=1s", proxy)
            await proxy.stop()
    except NoServer as error:
        missing(error)


@pytest.fixture(autouse=True)
def short_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_GOODBYE", 0.1)


async def _with_connections(url: str) -> RedisStore:
    store = RedisStore(url)
    await store.open()
    await asyncio.gather(*(store.queues() for _ in range(4)))
    return store


async def _soon(call: Awaitable[object]) -> None:
    begun = time.monotonic()
    try:
        await call
    finally:
        assert time.monotonic() - begun < FAR


async def test_a_call_that_gives_up_says_no_goodbyes(way: Way) -> None:
    store = await _with_connections(way.url)
    way.proxy.hang()
    with pytest.raises(StoreUnavailable, match="in time"):
        await _soon(store.queues())
    await _soon(store.close())


async def test_closing_waits_a_moment_for_goodbyes(way: Way) -> None:
    store = await _with_connections(way.url)
    way.proxy.hang()
    await _soon(store.close())
