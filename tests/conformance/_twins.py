"""The model and a real store, side by side: what the machines that let both live the same life have in common."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, ClassVar, TypeVar, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test
from msgspec.structs import replace
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

from tidewheel._env import Env
from tidewheel._model.duration import SECOND
from tidewheel._model.enqueue_rule import Backlog, EnqueueRule
from tidewheel._model.errors import StoreError
from tidewheel._model.flow import Flow, Pass, flow_of, flow_text
from tidewheel._model.gate import idle, room
from tidewheel._model.job import History, Lease, NewJob
from tidewheel._model.limit import Allowance, Hit, Rule
from tidewheel._model.query import Enqueued, JobFilter
from tidewheel._store.base import Store
from tidewheel._store.memory import MemoryStore
from tidewheel._store.postgres import PostgresStore
from tidewheel._store.redis import RedisStore
from tidewheel._store.sqlite import SqliteStore
from tidewheel.testing import CountingIds, FakeClock

T = TypeVar("T")
LONG = os.environ.get("TIDEWHEEL_HYPOTHESIS") == "long"
QUICKLY = settings(
    max_examples=60,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
FOR_HOURS = settings(QUICKLY, max_examples=20_000, stateful_step_count=80, derandomize=False, print_blob=True)


def live(machine: type[RuleBasedStateMachine], lives: int = 60) -> None:
    """Let a machine live so many lives; hours of them when asked to."""
    run_state_machine_as_test(machine, settings=FOR_HOURS if LONG else settings(QUICKLY, max_examples=lives))


LIMITS = ["slots", "rate"]
GATES = [*LIMITS, "slots:k", "rate:k"]
passes = st.builds(
    lambda limit, value, cost: Pass(limit, value, cost if limit == "rate" else 1, holds=limit == "slots"),
    st.sampled_from(LIMITS),
    st.sampled_from(["", "k"]),
    st.sampled_from([1, 1, 1, 2, 9]),
)
flows = st.lists(passes, max_size=3, unique_by=lambda one: one.key).map(lambda some: flow_text(Flow(tuple(some))))
slot_rules = st.builds(Rule, slots=st.integers(0, 2))
rate_rules = st.builds(
    Rule,
    count=st.integers(1, 3),
    per=st.sampled_from([SECOND, 5 * SECOND]),
    algorithm=st.sampled_from([None, "bucket", "fixed"]),
    burst=st.sampled_from([None, 1]),
)
words = st.one_of(st.none(), slot_rules, rate_rules, st.builds(Rule, paused=st.booleans()))
gate_names = st.sampled_from(GATES)
keys = st.sampled_from(["k", "m"])
replaced = st.lists(st.sampled_from(["args", "meta", "tags", "priority", "run_at"]), unique=True).map(tuple)
key_rules = st.builds(
    EnqueueRule,
    key=keys,
    holds=st.sampled_from(["none", "waiting", "live", "any"]),
    period=st.sampled_from([0, 0, SECOND, 5 * SECOND]),
    on_conflict=st.sampled_from(["existing", "replace", "replace", "cancel"]),
    replace=st.fixed_dictionaries({}, optional=dict.fromkeys(["scheduled", "available", "retryable"], replaced)),
    max_wait=st.sampled_from([0, 0, SECOND, 5 * SECOND]),
)
windows = st.builds(EnqueueRule, key=keys, period=st.sampled_from([SECOND, 5 * SECOND]), count=st.integers(1, 3))
enqueue_rules = st.one_of(key_rules, key_rules, windows)
backlogs = st.builds(Backlog, st.sampled_from(["b", "c"]), st.integers(1, 4), st.booleans())
expiries = st.sampled_from([None, 1, SECOND, 5 * SECOND, 60 * SECOND])


class AtTheClock:
    """A server's store has a clock of its own; here it is told the time of the test's."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self._store = store
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)
        if name in ("enqueue", "claim", "beat", "settle", "sweep", "alter", "put_limits", "gates", "hit"):
            return lambda *words, **options: operation(*words, now=self._clock(), **options)
        return operation


class Twins(RuleBasedStateMachine):
    """A memory store and another one, an embedded one unless a subclass says which."""

    def real_store(self, env: Env) -> Store:
        return SqliteStore(str(Path(self.folder.name) / "jobs.db"), env)

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="tidewheel-")
        self.clock = FakeClock()
        self.ids_made = [CountingIds("made-"), CountingIds("made-")]
        modelled, lived = (Env(clock=self.clock, ids=ids, random=Random(0)) for ids in self.ids_made)
        self.model = MemoryStore(modelled)
        real = AtTheClock(self.real_store(lived), self.clock)
        self.real = cast("Store", real)
        self.alike = True
        self.leases = [Lease("nobody", 1)]
        self.used: dict[str, int] = {}
        self.swept = 0
        self.run(self.model.open())
        self.run(self.real.open())

    def teardown(self) -> None:
        try:
            if self.alike:
                self.both(_histories)
        finally:
            self.run(self.real.close())
            self.runner.close()
            self.folder.cleanup()

    def run(self, operation: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await operation

        return self.runner.run(awaited())

    def both(self, operation: Callable[[Store], Awaitable[T]]) -> T:
        """Do the same with both stores; gives the answer, which must be the same."""
        expected, answer = self.run(operation(self.model)), self.run(operation(self.real))
        self.alike = self.alike and answer == expected
        assert answer == expected
        return expected

    def both_enqueue(self, jobs: list[NewJob]) -> None:
        """Enqueue in both. One that refuses the call may have made ids for jobs of it, or not."""
        self.both(lambda store: enqueue(store, jobs))
        made = max(ids._count for ids in self.ids_made)
        for ids in self.ids_made:
            ids._count = made
        if spare := getattr(self.real, "_spare_ids", None):
            spare.clear()  # the Redis store keeps ids that it was given and did not need

    def both_sweep(self, **options: Any) -> None:
        """Sweep both. Each may forget a gate that nobody would miss, or keep it for when the rule changes: from then on
        the model knows the gates that the other one knows. The clock does not go back behind this moment, at which keys
        may be forgotten that held before.
        """
        self.swept = max(self.swept, self.clock())
        before = {key: replace(gate) for key, gate in self.model._gates.items()}
        self.both(lambda store: store.sweep(**options))
        known = {row.key for row in self.run(self.real.gates(limit=1000))}
        for key in before.keys() & (known ^ self.model._gates.keys()):
            assert idle(self.model._rule(key), before[key], self.clock()), f"{key} is in use, and forgotten"
        kept = {**before, **self.model._gates}
        self.model._gates = {key: kept[key] for key in kept if key in known}

    @invariant()
    def the_same_rows(self) -> None:
        self.both(lambda store: store.list(JobFilter(), limit=1000))

    @invariant()
    def the_same_gates(self) -> None:
        """A store may know a gate that was asked and passed by nobody."""
        expected, answer = ({row.key: row for row in self.run(store.gates())} for store in (self.model, self.real))
        known = expected.keys() & answer.keys()
        self.alike = self.alike and all(answer[key] == expected[key] for key in known)
        assert {key: answer[key] for key in known} == {key: expected[key] for key in known}
        assert not [row for row in (expected | answer).values() if row.key not in known and (row.used or row.waiting)]

    @invariant()
    def gates_keep_what_they_promise(self) -> None:
        jobs = [(row.job, flow_of(row.job.flow or "[]").passes) for row in self.model._rows.values()]
        for key, gate in self.model._gates.items():
            held = sum(one.key == key and one.holds for job, some in jobs for one in some if job.state == "running")
            assert gate.used == held, "a slot is held by a running job, by nothing else"
            limit = self.model._rule(key)
            if limit is not None and limit.slots is not None:
                assert gate.used <= max(limit.slots, self.used.get(key, 0)), "a job started without a slot"
            parked = {(job.queue, job.kind) for job, _ in jobs if job.parked_by == key and job.state == "parked"}
            let_in = {(job.queue, job.kind) for job, _ in jobs if job.parked_by == key and job.state == "available"}
            assert gate.waiting or not parked
            if parked - let_in and gate.opens_at is None:
                assert room(limit, replace(gate), self.clock(), gate.needs) == (0, None), "a lost wake-up"
        self.used = {key: gate.used for key, gate in self.model._gates.items()}


class PostgresTwin:
    """Mixed in: the other store is PostgreSQL."""

    url: ClassVar[Callable[[], str]]

    def real_store(self, env: Env) -> Store:
        return PostgresStore(type(self).url(), env)


class RedisTwin:
    """Mixed in: the other store is Redis."""

    server: ClassVar[Redis]
    numbers: ClassVar[count[int]] = count()

    def real_store(self, env: Env) -> Store:
        return RedisStore(f"{self.server.url}?namespace=machine{next(self.numbers)}", env)


def live_on_postgres(
    machine: type[RuleBasedStateMachine], server: Postgres, new_schema: Callable[[], str], lives: int = 60
) -> None:
    """Let a machine live beside this PostgreSQL, each life in a schema of its own."""
    url = staticmethod(lambda: f"{server.url}?schema={new_schema()}")
    live(type(f"{machine.__name__}OnPostgres", (PostgresTwin, machine), {"url": url}), lives)


def live_on_redis(machine: type[RuleBasedStateMachine], server: Redis, lives: int = 60) -> None:
    """Let a machine live beside this Redis, each life in a namespace of its own."""
    live(type(f"{machine.__name__}OnRedis", (RedisTwin, machine), {"server": server}), lives)


def on_every_store(machine: type[RuleBasedStateMachine], lives: int = 60) -> type:
    """The tests of a machine: beside the embedded store, PostgreSQL and Redis it must do what the model does."""

    @pytest.mark.timeout(0 if LONG else 400)  # a failure is made small first, which takes minutes
    class Tests:
        def test_the_embedded_store_does_what_the_model_does(self) -> None:
            live(machine, lives)

        def test_postgres_does_what_the_model_does(
            self, newest_postgres: Postgres, new_schema: Callable[[], str]
        ) -> None:
            live_on_postgres(machine, newest_postgres, new_schema, lives)

        def test_redis_does_what_the_model_does(self, redis: Redis) -> None:
            live_on_redis(machine, redis, lives)

    return Tests


async def enqueue(store: Store, jobs: list[NewJob]) -> list[Enqueued] | None:
    try:
        return await store.enqueue(jobs)
    except ValueError:
        return None


async def hit(store: Store, hits: list[Hit]) -> list[Allowance] | None:
    try:
        return await store.hit(hits)
    except StoreError:
        return None


async def _histories(store: Store) -> list[History | None]:
    return [await store.history(job.id) for job in (await store.list(JobFilter(), limit=1000)).jobs]
