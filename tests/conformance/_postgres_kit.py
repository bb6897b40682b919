"""Two PostgreSQL stores on one schema, and a connection to stand in their way: each step of one call is held by a lock of the
test's own on the row that it needs next. Who waits is asked of the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest

from tidewheel._model.flow import Flow, Pass, flow_text
from tidewheel._model.job import Claimed, Job, NewJob
from tidewheel._model.limit import GateRow, LimitRow, Rule
from tidewheel._model.outcome import Complete, Outcome, Settlement
from tidewheel._model.query import Accepted
from tidewheel._model.worker import Want
from tidewheel._store.postgres import PostgresStore, session
from tidewheel._store.postgres.sql import with_schema
from tidewheel.testing.conformance.kit import MINUTE

START: Final = 1_700_000_000_000_000
"""The moment of every call: time has no part in this."""


class Place:
    """Two stores on one schema, and a connection to stand in their way."""

    def __init__(self, one: PostgresStore, two: PostgresStore, own: asyncpg.Connection[Any]) -> None:
        self.one = one
        self.two = two
        self.own = own
        self.schema = one.options.schema

    async def sql(self, text: str, *values: object) -> Any:
        return await self.own.fetchval(with_schema(text, self.schema), *values)

    async def limit(self, name: str, **rule: Any) -> None:
        await self.one.put_limits([LimitRow(name=name, declared=Rule(**rule))], declared=True, now=START)

    async def put(self, *ids: str, gates: Sequence[str] = ("api",), **changes: Any) -> None:
        flow = flow_text(Flow(tuple(Pass(gate.partition(":")[0], gate.partition(":")[2]) for gate in gates)))
        jobs = [NewJob(**{"id": id, "kind": "work", "args": "{}", "flow": flow, **changes}) for id in ids]
        await self.one.enqueue(jobs, now=START)

    async def claim(self, slots: int = 10, *, store: PostgresStore | None = None) -> list[Claimed]:
        wants = [Want("default", slots)]
        return await (store or self.one).claim(wants, kinds=["work"], worker="w", lease=MINUTE, now=START)

    async def settle(
        self, *claimed: Claimed, outcome: Outcome | None = None, store: PostgresStore | None = None
    ) -> list[Accepted]:
        ends = [Settlement(one.lease, outcome or Complete("1")) for one in claimed]
        return await (store or self.two).settle(ends, now=START)

    async def row(self, id: str) -> Job:
        (job,) = await self.one.get([id])
        assert job is not None
        return job

    async def states(self, *ids: str) -> list[str]:
        return [(await self.row(id)).state.value for id in ids]

    async def gate(self, key: str = "api") -> GateRow:
        (gate,) = await self.one.gates(keys=[key], now=START)
        return gate

    async def waiting(self, count: int) -> None:
        """Until so many connections wait for a lock."""
        while await self.own.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < count:
            pass

    @asynccontextmanager
    async def holding(self, text: str, *values: object) -> AsyncIterator[None]:
        """A transaction of our own that has done something, and does nothing more until the block ends."""
        async with self.own.transaction():
            await self.own.execute(with_schema(text, self.schema), *values)
            yield

    def holding_gate(self, key: str = "api") -> Any:
        return self.holding("SELECT FROM {schema}.gates WHERE key = $1 FOR UPDATE", key)


@asynccontextmanager
async def two_stores(server: str, schema: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """Open them; close them in the end."""
    url = f"{server}?schema={schema}"
    monkeypatch.setattr(session, "AGAIN", ())  # a deadlock is an error here, not another try
    monkeypatch.setattr(session, "translated", lambda error, _: error)
    one, two = PostgresStore(url), PostgresStore(url)
    await one.open()
    await two.open()
    own = await asyncpg.connect(server)
    await own.execute("SET deadlock_timeout = '100ms'")
    yield Place(one, two, own)
    await own.close()
    await two.close()
    await one.close()
