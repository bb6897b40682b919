"""The desk of the Redis store: a twin, in Lua, of `_model/desk.py`, and what older workers leave behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, cast

import msgspec
import pytest
import pytest_asyncio
import redis as driver
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance._redis_kit import claim, job, new_name, opened
from tests.servers.redis import Redis

from tidewheel._model.desk import Holder, KeyRow, judge
from tidewheel._model.duration import SECOND
from tidewheel._model.enqueue_rule import Backlog, EnqueueRule
from tidewheel._model.flow import CHILDREN, EMPTY_FLOW, EXPIRED, Flow, Pass, flow_text
from tidewheel._model.job import NewJob
from tidewheel._model.query import Action
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel._model.worker import Want
from tidewheel._store.redis import RedisStore, rows, scripts

NOW: Final = 1_768_478_400_000_000
FIELDS: Final = ("args", "meta", "tags", "priority", "run_at")
API: Final = flow_text(Flow((Pass("api"),)))
PRUNE_ALL: Final = RetentionRule("work", None, Retention(completed=keep(0), failed=keep(0)))

ASKED: Final = """
-- ask: a list of: now, a batch of one row, the row of its key or nil, holder (state, flow, parked_by, expires_at) or nil
-- gives: the verdicts
local judge, null = new_desk().judge, cjson.null
local answers = {}
for number, one in ipairs(ask) do
    local _, new = rows_of(one[2])()
    local holder = one[4] and { state = one[4][1], flow = one[4][2], parked_by = one[4][3], expires_at = one[4][4] }
    local verdict = judge(new[22], new, one[3], holder, one[1])
    local row, to = verdict.row or null, verdict.change
    local change = to and {
        to.state, to.run_at or null, to.priority or null, to.args or null, to.flow or null, to.meta or null, to.tags or null,
    }
    answers[number] = {
        verdict.insert, row, change or null, verdict.cancel or false, verdict.dropped or false, verdict.remaining or null,
        verdict.reset_at or null,
    }
end
return pack(answers)
"""

moments = st.sampled_from([NOW - 9 * SECOND, NOW - 1, NOW, NOW + 1, NOW + SECOND, NOW + 50 * SECOND])
spans = st.sampled_from([1, SECOND, 7 * SECOND, 60 * SECOND])
flows = st.sampled_from([None, EMPTY_FLOW, API])
fields = st.lists(st.sampled_from(FIELDS), unique=True).map(tuple)
rules = st.builds(
    EnqueueRule,
    key=st.just("k"),
    holds=st.sampled_from(["none", "waiting", "live", "any"]),
    period=st.just(0) | spans,
    on_conflict=st.sampled_from(["existing", "replace", "replace", "replace", "cancel"]),
    replace=st.dictionaries(st.sampled_from(["scheduled", "available", "retryable"]), fields),
    max_wait=st.just(0) | spans,
) | st.builds(EnqueueRule, key=st.just("k"), holds=st.just("none"), period=spans, count=st.integers(1, 3))
jobs = st.builds(
    NewJob,
    id=st.just("new"),
    kind=st.just("work"),
    args=st.just("[1]"),
    priority=st.integers(1, 1000),
    delay=st.just(0) | spans,
    run_at=st.none() | moments | st.just(1 << 60),
    tags=st.sampled_from([(), ("a",)]),
    meta=st.sampled_from([None, "{}"]),
    flow=st.sampled_from([None, API]),
    expires_in=st.none() | spans,
    rule=rules,
)
key_rows = st.none() | st.builds(
    KeyRow, job_id=st.just("old"), since=moments, until=st.just(0) | moments, used=st.integers(0, 3)
)
holders = st.none() | st.builds(
    Holder,
    state=st.sampled_from(list(JobState)),
    flow=flows,
    parked_by=st.sampled_from([None, "api", CHILDREN, EXPIRED]),
    expires_at=st.none() | moments,
)


@pytest.fixture(scope="module")
def link(redis: Redis) -> Iterator[driver.Redis]:
    with driver.Redis(port=redis.port) as one:
        yield one


Case = tuple[NewJob, KeyRow | None, Holder | None]


def in_lua(link: driver.Redis, cases: list[Case]) -> list[Any]:
    asked = [
        (
            NOW,
            rows.batch([rows.asking_row(new)]),
            row and msgspec.structs.astuple(row),
            holder and msgspec.structs.astuple(holder),
        )
        for new, row, holder in cases
    ]
    text = "\n".join(["local LAYOUT, LEAST = 9, 9", *map(scripts._read, ("lib", "states", "desk")), ASKED])
    answer = link.eval(text, 1, "{twin}:meta", msgspec.msgpack.encode(asked))
    return cast("list[Any]", msgspec.msgpack.decode(cast("bytes", answer)))


def in_python(new: NewJob, row: KeyRow | None, holder: Holder | None) -> list[Any]:
    assert new.rule
    said = judge(new.rule, new, row, holder, NOW)
    change = said.change and [
        *(said.change.state, said.change.run_at, said.change.priority, said.change.args, said.change.flow),
        *(said.change.meta, None if said.change.tags is None else msgspec.json.encode(said.change.tags).decode()),
    ]
    if change and isinstance(change[1], int) and change[1] >= 1 << 53:
        change[1] = str(change[1])
    written = said.row and list(msgspec.structs.astuple(said.row))
    return [said.insert, written, change, said.cancel, said.dropped, said.remaining, said.reset_at]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(cases=st.lists(st.tuples(jobs, key_rows, holders), min_size=10, max_size=40))
def test_the_twins_agree(link: driver.Redis, cases: list[Case]) -> None:
    assert in_lua(link, cases) == [in_python(*case) for case in cases]


# --- what is damaged, or done by workers that know no rules ---


@pytest_asyncio.fixture
async def store(redis: Redis) -> AsyncIterator[RedisStore]:
    async with opened(f"{redis.url}?namespace={new_name()}") as one:
        yield one


async def raw(store: RedisStore, word: str, name: str, *more: str | bytes) -> Any:
    return await store._links.call(word, f"{{{store.options.namespace}}}:{name}", *more)


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"nonsense"])
async def test_a_key_that_cannot_be_read_holds_nothing(store: RedisStore, damage: bytes) -> None:
    rule = EnqueueRule(key="k")
    await store.enqueue([job("a", rule=rule)])
    await raw(store, "HSET", "keys", "k", damage)
    assert [one.inserted for one in await store.enqueue([job("b", rule=rule), job("c", rule=rule)])] == [True, False]


async def test_a_key_whose_job_cannot_be_read_is_free(store: RedisStore) -> None:
    rule = EnqueueRule(key="k", on_conflict="cancel")
    await store.enqueue([job("a", rule=rule)])
    await raw(store, "HSET", "job:a", "h", "nonsense")
    (answer,) = await store.enqueue([job("b", rule=rule)])
    assert (answer.inserted, answer.cancelled) == (True, None)


@pytest.mark.parametrize("drop_oldest", [False, True])
async def test_who_stands_in_a_backlog_and_waits_no_more_is_found(store: RedisStore, drop_oldest: bool) -> None:
    """A worker of a version without backlogs starts a job and leaves it there."""
    backlog = Backlog("b", 2, drop_oldest)
    await store.enqueue([job(id, backlog=backlog) for id in ("a", "b")])
    assert await claim(store, 1) == ["a"]
    await raw(store, "ZADD", "backlog:b", "1", "a")
    await raw(store, "ZADD", "backlog:b", "1", "gone")
    (answer,) = await store.enqueue([job("c", backlog=backlog)])
    assert (answer.inserted, answer.cancelled) == (True, None)
    assert await raw(store, "ZRANGE", "backlog:b", "0", "-1") == [b"b", b"c"]


async def test_who_expires_but_does_not_wait_is_left_alone(store: RedisStore) -> None:
    await store.enqueue([job("a", expires_in=SECOND)])
    assert await claim(store) == ["a"]
    await raw(store, "ZADD", "expiring", "1", f"{1:016}a")
    report = await store.sweep()
    assert await raw(store, "EXISTS", "expiring") == 0
    assert report.next_due_at is not None
    (row,) = await store.get(["a"])
    assert row
    assert row.state is JobState.RUNNING


async def test_who_expires_and_was_with_a_worker_that_knows_nothing_of_it_ends_all_the_same(store: RedisStore) -> None:
    await store.enqueue([job("a", expires_in=SECOND)])
    await raw(store, "DEL", "expiring")
    now = (await store.info()).now + SECOND
    assert await store.claim([Want("default", 1)], kinds=["work"], worker="w", lease=SECOND, now=now) == []
    assert (await store.sweep(now=now)).expired == 1


@pytest.mark.parametrize("damage", [b"\x05", b"nonsense", b""])
async def test_a_key_that_cannot_be_read_is_forgotten_by_a_sweep(store: RedisStore, damage: bytes) -> None:
    await store.enqueue([job("a", rule=EnqueueRule(key="k"))])
    await raw(store, "HSET", "keys", "k", damage)
    await store.sweep(retention=[PRUNE_ALL], now=(await store.info()).now + 2 * 3600 * SECOND)
    assert await raw(store, "EXISTS", "keys") == 0


async def test_a_job_in_a_backlog_that_cannot_be_read_leaves_it(store: RedisStore) -> None:
    await store.enqueue([job("a", backlog=Backlog("b", 1), expires_in=3600 * SECOND)])
    await raw(store, "HSET", "job:a", "h", "nonsense")
    assert await claim(store) == []
    assert await raw(store, "EXISTS", "backlogs") == 0
    assert await raw(store, "EXISTS", "expiring") == 0


async def test_nothing_is_left_of_keys_whose_jobs_are_gone(store: RedisStore) -> None:
    rule, once = EnqueueRule(key="live"), EnqueueRule(key="once", holds="none", period=SECOND)
    backlog = Backlog("b", 9)
    await store.enqueue([job("a", rule=rule, backlog=backlog), job("b", rule=once, expires_in=SECOND)])
    await store.alter(["a", "b"], Action.DELETE)
    hour = 3600 * SECOND
    now = (await store.info()).now
    await store.sweep(retention=[PRUNE_ALL], now=now + 2 * hour)
    for name in ("keys", "keysdue", "backlogs", "expiring"):
        assert await raw(store, "EXISTS", name) == 0, name
