"""The gates of the Redis store: a twin, in Lua, of `_model/gate.py`, and what lives through a bad day."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any, Final, cast

import msgspec
import pytest
import pytest_asyncio
import redis as driver
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.conformance._redis_kit import HOUR, claim, job, new_name, opened
from tests.servers.redis import Redis

from tidewheel._model.duration import SECOND
from tidewheel._model.errors import StoreError
from tidewheel._model.flow import Flow, Pass, flow_text
from tidewheel._model.gate import Gate, failed, freed, idle_at, room, shut, succeeded, taken
from tidewheel._model.job import Lease
from tidewheel._model.limit import Hit, LimitRow, Rule
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.retention import Retention, RetentionRule
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup, Want
from tidewheel._store.redis import RedisStore, scripts

NOW: Final = 1_768_478_400_000_000
Step = tuple[str, int, int, bool]

LIVE: Final = """
-- ask: {rule (JSON or nil), {step, ...}}, ...; a step: word, now, cost, holds?
-- gives: after each step, what `room` and `idle_at` say and the fields of the gate
local twin = new_arithmetic()
local gate, answers = { used = 0, level = {}, shut_until = 0, waiting = false }, {}
for _, part in ipairs(ask) do
    local rule = part[1] and cjson.decode(part[1])
    for _, step in ipairs(part[2]) do
        local word, now, cost, holds = unpack(step)
        local free, at = twin.room(rule, gate, now, cost)
        if word == 'take' and free > 0 then
            twin.taken(rule, gate, now, cost, holds)
        elseif word == 'free' then
            twin.freed(gate)
        elseif word == 'shut' then
            twin.shut(gate, now + cost)
        elseif word == 'fail' then
            twin.failed(rule, gate, now)
        elseif word == 'done' then
            twin.succeeded(gate, now)
        end
        local level = { unpack(gate.level) }
        answers[#answers + 1] = { free, at or cjson.null, twin.idle_at(rule, gate) or cjson.null, gate.used, level, gate.shut_until }
    end
end
return pack(answers)
"""

spans = st.sampled_from([0, 0, 1, 7, SECOND, SECOND + 1, 10 * SECOND, 61 * SECOND])
rates = st.builds(
    Rule,
    slots=st.none() | st.integers(1, 3),
    count=st.integers(1, 12),
    per=st.sampled_from([1, 3, SECOND, 7 * SECOND, 60 * SECOND]),
    algorithm=st.sampled_from([None, "sliding", "bucket", "fixed"]),
    burst=st.none() | st.integers(1, 20),
)
breakers = st.builds(
    Rule,
    slots=st.none() | st.integers(1, 3),
    failures=st.integers(0, 4),
    within=st.sampled_from([SECOND, 10 * SECOND]),
    open_for=st.sampled_from([1, SECOND]),
    probes=st.none() | st.integers(0, 2),
)
rules = st.one_of(
    st.none(), rates, rates, rates, breakers, st.builds(Rule, slots=st.integers(0, 3), paused=st.none() | st.booleans())
)
steps = st.tuples(
    st.sampled_from(["take", "take", "take", "free", "shut", "ask", "fail", "fail", "done"]),
    spans | st.sampled_from([-1, -SECOND, -100 * SECOND]),
    st.integers(1, 15),
    st.booleans(),
)
lives = st.lists(st.tuples(rules, st.lists(steps, min_size=1, max_size=25)), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def link(redis: Redis) -> Iterator[driver.Redis]:
    with driver.Redis(port=redis.port) as one:
        yield one


def in_lua(link: driver.Redis, life: list[tuple[Rule | None, list[Step]]]) -> list[Any]:
    asked = [(None if rule is None else msgspec.json.encode(rule).decode(), steps) for rule, steps in life]
    text = "\n".join(["local LAYOUT, LEAST = 9, 9", *map(scripts._read, ("lib", "gate")), LIVE])
    answer = link.eval(text, 1, "{twin}:meta", msgspec.msgpack.encode(asked))
    return cast("list[Any]", msgspec.msgpack.decode(cast("bytes", answer)))


def in_python(life: list[tuple[Rule | None, list[Step]]]) -> list[Any]:
    gate, answers = Gate(), []
    for rule, part in life:
        for word, now, cost, holds in part:
            free, at = room(rule, gate, now, cost)
            if word == "take" and free > 0:
                assert rule is not None
                taken(rule, gate, now, cost, holds=holds)
            elif word == "free":
                freed(gate)
            elif word == "shut":
                shut(gate, now + cost)
            elif word == "fail":
                failed(rule, gate, now)
            elif word == "done":
                succeeded(gate, now)
            answers.append([free, at, idle_at(rule, gate), gate.used, [*gate.level], gate.shut_until])
    return answers


FULL: Final = [("take", 0, 1, False)] * 3
BECOMES_A_BUCKET: Final = [
    (Rule(count=3, per=SECOND), FULL),
    (Rule(count=1, per=SECOND, algorithm="bucket"), [("ask", 0, 1, False)]),
]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(life=lives)
@example(life=BECOMES_A_BUCKET)
def test_the_twins_agree(link: driver.Redis, life: list[tuple[Rule | None, list[Step]]]) -> None:
    now, timed = NOW, []
    for rule, part in life:
        moments = []
        for word, span, cost, holds in part:
            now += span
            moments.append((word, now, cost, holds))
        timed.append((rule, moments))
    assert in_lua(link, timed) == in_python(timed)


# --- what is damaged, or done by workers that know no limits ---


@pytest_asyncio.fixture
async def store(redis: Redis) -> AsyncIterator[RedisStore]:
    async with opened(f"{redis.url}?namespace={new_name()}") as one:
        await one.put_limits([LimitRow(name="api", declared=Rule(slots=1))], declared=True)
        yield one


API: Final = flow_text(Flow((Pass("api"),)))
RETENTION: Final = [RetentionRule("nothing", None, Retention())]


async def raw(store: RedisStore, word: str, name: str, *more: str | bytes) -> object:
    return await store._links.call(word, f"{{{store.options.namespace}}}:{name}", *more)


async def waiting(store: RedisStore, jobs: int = 3) -> Lease:
    """One runs, the others are parked behind it, j1 first; gives the lease."""
    await store.enqueue([job(f"j{number}", flow=API) for number in range(jobs)])
    (held,) = await store.claim([Want("default", 9)], kinds=["work"], worker="w", lease=HOUR)
    return held.lease


async def end(store: RedisStore, lease: Lease) -> None:
    await store.settle([Settlement(lease, Complete("1"))])


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"nonsense"])
async def test_a_gate_that_cannot_be_read_stops_nobody_and_is_mended(store: RedisStore, damage: bytes) -> None:
    lease = await waiting(store)
    await raw(store, "HSET", "gates", "api", damage)
    await store.enqueue([job("plain")])
    assert await claim(store) == ["plain"]
    await store.sweep(retention=RETENTION)
    (gate,) = await store.gates()
    assert (gate.used, gate.waiting, gate.room) == (1, True, 0)
    await end(store, lease)
    assert await claim(store) == ["j1"]


@pytest.mark.parametrize("side", ["declared", "operator"])
@pytest.mark.parametrize("damage", ["", "{", "7", '{"slots":"many"}'])
async def test_a_rule_that_cannot_be_read_shuts_its_gates_and_no_others(
    store: RedisStore, side: str, damage: str
) -> None:
    await raw(store, "HSET", side, "api", damage)
    await store.enqueue([job("a", flow=API), job("plain")])
    assert await claim(store) == ["plain"]
    (gate,) = await store.gates()
    assert (gate.rule, gate.room) == (None, 0)
    with pytest.raises(StoreError, match="not declared"):
        await store.hit([Hit("api")])
    await store.put_limits([LimitRow(name="api", declared=Rule(slots=1))], declared=side == "declared")
    await store.sweep()
    assert await claim(store) == ["a"]


async def test_slots_that_nobody_gave_back_are_found(store: RedisStore) -> None:
    await waiting(store)
    await raw(store, "ZREM", "leases", "j0")
    await raw(store, "DEL", "job:j0")
    assert (await store.sweep()).opened == 0
    assert (await store.sweep(retention=RETENTION)).opened == 1
    assert await claim(store) == ["j1"]


async def test_a_job_that_vanishes_in_the_line_gives_its_place_to_the_next(store: RedisStore) -> None:
    await end(store, await waiting(store))
    await raw(store, "DEL", "job:j1")
    assert await claim(store) == []
    assert (await store.sweep(retention=RETENTION)).opened == 1
    assert await claim(store) == ["j2"]


@pytest.mark.parametrize("state", [JobState.PARKED, JobState.AVAILABLE])
async def test_a_waiting_job_that_cannot_be_read_is_set_aside(store: RedisStore, state: JobState) -> None:
    lease = await waiting(store)
    if state is JobState.AVAILABLE:
        await end(store, lease)
    await raw(store, "HSET", "job:j1", "h", "nonsense")
    if state is JobState.PARKED:
        await end(store, lease)
    await claim(store)
    await store.sweep(retention=RETENTION)
    await claim(store)
    states = [(row.state, row.parked_by) for row in await store.get(["j1", "j2"]) if row]
    assert states == [(JobState.DISCARDED, None), (JobState.RUNNING, None)]
    (stats,) = await store.queues()
    assert {state: count for state, count in stats.counts.items() if count} == {
        JobState.RUNNING: 1,
        JobState.COMPLETED: 1,
        JobState.DISCARDED: 1,
    }


# --- a gate is passed in two ways: as a number (calm.lua), or as a table (gates.lua) ---


@pytest.mark.parametrize("seed", range(8))
async def test_both_ways_past_a_gate_count_the_same_slots(store: RedisStore, seed: int) -> None:
    await store.put_limits([LimitRow(name="tenant", declared=Rule(slots=3))], declared=True)
    await store.put_limits([LimitRow(name="api", declared=Rule(slots=5))], declared=True)
    await store.put_limits([LimitRow(name="tenant:b", operator=Rule(slots=2))], declared=False)
    random, slots = Random(seed), {"api": 5, "tenant:a": 3, "tenant:b": 2}
    ways = [Flow((Pass("tenant", "a"),)), Flow((Pass("tenant", "b"),)), Flow((Pass("api"),))]
    ways += [Flow((Pass("api"), Pass("tenant", key))) for key in "ab"]
    flows = {f"j{number:02}": random.choice(ways) for number in range(60)}
    await store.enqueue([job(id, flow=flow_text(flow)) for id, flow in flows.items()])
    running, ended = dict[str, Lease](), 0
    while ended < len(flows):
        found = await store.claim([Want("default", random.randint(1, 9))], kinds=["work"], worker="w", lease=HOUR)
        running |= {one.id: one.lease for one in found}
        held = Counter(one.key for id in running for one in flows[id].passes)
        for gate in await store.gates():
            assert (gate.used, held[gate.key] <= slots[gate.key]) == (held[gate.key], True), gate
        over = random.sample(sorted(running), random.randint(0, len(running)))
        await store.settle([Settlement(running.pop(id), Complete("1")) for id in over])
        ended += len(over)
    assert {gate.key: (gate.used, gate.waiting) for gate in await store.gates()} == dict.fromkeys(slots, (0, False))


# --- nobody holds the server up ---


async def test_a_claim_walks_along_a_long_line_in_steps(store: RedisStore) -> None:
    await store.put_limits([LimitRow(name="api", operator=Rule(paused=True))], declared=False)
    await store.enqueue([*(job(f"j{number}", flow=API) for number in range(1500)), job("plain")])
    async with store.wakeups(frozenset({Wakeup.WORK})) as hints:
        assert await claim(store, 1) == []
        assert await anext(hints) == {Wakeup.WORK}
    assert await claim(store, 1) == ["plain"]


async def test_many_gates_are_opened_in_steps(store: RedisStore) -> None:
    rows = [LimitRow(name="tenant", declared=Rule(slots=1000, paused=True))]
    await store.put_limits(rows, declared=True)
    for key in "abcdef":
        flow = flow_text(Flow((Pass("tenant", key),)))
        await store.enqueue([job(f"{key}{number}", flow=flow) for number in range(1000)])
    while await claim(store) or (await store.queues())[0].counts[JobState.AVAILABLE]:
        pass
    await store.put_limits([LimitRow(name="tenant", declared=Rule(slots=1000))], declared=True)
    first, second, third = [await store.sweep() for _ in range(3)]
    assert [one.opened for one in (first, second, third)] == [5000, 1000, 0]
    assert first.next_due_at is not None
    assert first.next_due_at <= first.now
    assert third.next_due_at is None
