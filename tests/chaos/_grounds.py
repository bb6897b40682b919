"""Where a campaign is held: a store, its server, what records its changes, and what can happen to it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.chaos.faults.base import Fault
from tests.chaos.faults.calls import Calls
from tests.chaos.faults.clock import Clock
from tests.chaos.faults.cut import ClientKill, Terminate
from tests.chaos.faults.freeze import Freeze
from tests.chaos.faults.kill import Kill
from tests.chaos.faults.memory import Memory
from tests.chaos.faults.proxy import Proxy, Reset
from tests.chaos.faults.restart import Restart
from tests.chaos.faults.scripts import Flush
from tests.chaos.faults.stop import Stop
from tests.chaos.recorders.postgres import PostgresRecorder
from tests.chaos.recorders.redis import RedisRecorder
from tests.e2e._history import Audit, Recorder
from tests.servers._process import Server
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis, sources

STORES: Final = ("sqlite", "postgres", "redis", "valkey")
HERE: Final = tuple(store for store in STORES if store != "redis" or "redis" in sources())
"""Those to test with: Valkey, which comes as a wheel, in any case; Redis where the system has it."""
HOUR: Final = 3600.0
NEVER_REWRITTEN: Final = {"appendfsync": "always", "auto-aof-rewrite-percentage": "0"}
"""Every write is on disk before its answer is sent; and all of them stay in the file, for the recorder."""


class Ground:
    """One store. `pace` makes restarts of the server more frequent."""

    def __init__(self, store: str, folder: Path, *, lease: float, pace: float = 1.0) -> None:
        self.store = store
        self.server: Server | None = None
        self.proxy: Proxy | None = None
        self._folder = folder
        self._lease = lease
        self._pace = pace
        self._recorder: Recorder | None = None

    @property
    def recorder(self) -> Recorder:
        """What keeps every change of state."""
        assert self._recorder is not None, "watched() comes first"
        return self._recorder

    @property
    def url(self) -> str:
        """The way without the proxy."""
        match self.server:
            case Postgres() | Redis():
                return self.server.url
            case _:
                return f"sqlite:///{self._folder / 'jobs.db'}"

    def url_for(self, slot: int) -> str:
        """The way of a worker: every other one goes through the proxy."""
        if self.proxy is None or self.server is None or slot % 2:
            return self.url
        return self.url.replace(f":{self.server.port}/", f":{self.proxy.port}/")

    @property
    def version(self) -> str:
        """Name and version of what keeps the jobs."""
        return f"SQLite {sqlite3.sqlite_version}" if self.server is None else self.server.name

    def start(self) -> None:
        """Start the server, if the store has one.

        Raises:
            NoServer: it is not here, or does not start.
        """
        if self.store == "postgres":
            self.server = server = Postgres(durable=True)
            server.make()
        elif self.store in ("redis", "valkey"):
            self.server = Redis(self.store, durable=True, settings=NEVER_REWRITTEN)
            self.server.start()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Record from now on, and have the proxy for the time of the block. The store must have been opened once."""
        await self._record()
        if self.server is not None:
            self.proxy = Proxy(self.server.port)
            await self.proxy.start()
        try:
            yield
        finally:
            if self.proxy is not None:
                await self.proxy.stop()

    async def _record(self) -> None:
        install: Callable[[], Awaitable[None]] | None = None
        match self.server:
            case Postgres():
                recorder = PostgresRecorder(self.url)
                self._recorder, install = recorder, recorder.install
            case Redis():
                self._recorder = RedisRecorder(self.server.folder)
            case _:
                audit = Audit(self._folder / "jobs.db")
                audit.install()
                self._recorder = audit
        if install is not None:
            await install()

    def faults(self) -> list[Fault]:
        """What happens here. A store whose server tells the time does not care how wrong a worker's clock is; on
        SQLite the machine's clock is the store's, so there it may be wrong by a little only.
        """
        found: list[Fault] = [Kill(1.6), Freeze(3.2), Stop(3.2), Calls()]
        if self.server is None:
            return [*found, Clock(self._lease / 20)]
        assert self.proxy is not None, "watched() comes first"
        found += [Clock(HOUR), Restart(self._pace), Reset(4.0, self.proxy)]
        if isinstance(self.server, Postgres):
            return [*found, Terminate(5.0)]
        return [*found, ClientKill(5.0), Flush(7.0), Memory(15.0)]

    def remove(self) -> None:
        """End the server and remove what it wrote."""
        if self.server is not None:
            self.server.remove()
