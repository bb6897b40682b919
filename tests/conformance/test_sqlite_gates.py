"""Limits in a file: rows that are damaged, and counts that other code left wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.query import Accepted
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel._store.sqlite import SqliteStore
from tidewheel.testing._clock import FakeClock, fake_env
from tidewheel.testing.conformance.kit import Kit, flow

DONE = Complete("1")
API = flow("api")
RULE = RetentionRule("work", None, Retention(completed=keep(100)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest_asyncio.fixture
async def kit(path: Path) -> AsyncIterator[Kit]:
    clock = FakeClock()
    store = SqliteStore(str(path), fake_env(clock, ids="made-"))
    await store.open()
    yield Kit(store, clock)
    await store.close()


def change(path: Path, sql: str, *parameters: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        assert connection.execute(sql, parameters).rowcount > 0
    connection.close()


@pytest.mark.parametrize("before", [0, 3], ids=["the first", "after other limited jobs"])
async def test_a_flow_that_is_no_text_sets_its_job_aside_alone(kit: Kit, path: Path, before: int) -> None:
    await kit.limit("api", slots=10)
    for _ in range(before):
        await kit.put(flow=API)
    assert len(await kit.claim()) == before
    plain, broken, limited = await kit.put(), await kit.put(flow=API), await kit.put(flow=API)
    change(path, "UPDATE tidewheel_jobs SET flow = CAST(x'5b5b22ff225d5d' AS TEXT) WHERE id = ?", broken)
    assert await kit.claimed_ids() == [plain, limited]
    row = await kit.row(broken)
    assert row.state is JobState.DISCARDED
    assert row.error is not None
    assert row.error.type == "tidewheel.Unreadable"
    assert (await kit.gate("api")).used == before + 1


async def test_a_flow_that_is_damaged_while_its_job_runs_stops_no_settlement(kit: Kit, path: Path) -> None:
    await kit.limit("api", slots=10)
    ids = [await kit.put(flow=API) for _ in range(3)]
    running = await kit.claim()
    change(path, "UPDATE tidewheel_jobs SET flow = CAST(x'ff' AS TEXT) WHERE id = ?", ids[1])
    answers = await kit.store.settle([Settlement(job.lease, DONE) for job in running], now=kit.clock())
    assert [answer.value for answer in answers] == ["accepted"] * 3
    assert await kit.states(*ids) == ["completed"] * 3
    assert (await kit.gate("api")).used == 1
    await kit.sweep(RULE)
    assert await kit.store.gates(now=kit.clock()) == []


@pytest.mark.parametrize("rule", ["{", '{"slots":"many"}', "7"])
async def test_a_rule_that_cannot_be_read_shuts_its_gates_and_no_others(kit: Kit, path: Path, rule: str) -> None:
    for name in ("api", "other"):
        await kit.limit(name, slots=10)
    change(path, "UPDATE tidewheel_limits SET declared = ? WHERE name = 'api'", rule)
    shut, other = await kit.put(flow=API), await kit.put(flow=flow("other"))
    assert await kit.claimed_ids() == [other]
    assert await kit.states(shut) == ["parked"]
    await kit.limit("api", slots=1)
    await kit.sweep()
    assert await kit.claimed_ids() == [shut]


@pytest.mark.parametrize("wrong", [0, 5])
async def test_a_wrong_count_is_set_right_by_a_round_of_retention(kit: Kit, path: Path, wrong: int) -> None:
    """Code that knows no limits may have claimed or rescued such jobs."""
    await kit.limit("api", slots=2)
    for _ in range(3):
        await kit.put(flow=API)
    assert len(await kit.claim(1)) == 1
    change(path, "UPDATE tidewheel_gates SET used = ? WHERE key = 'api'", wrong)
    await kit.sweep(RULE)
    assert (await kit.gate("api")).used == 1
    assert len(await kit.claim()) == 1


async def test_limited_and_plain_jobs_in_one_call(kit: Kit) -> None:
    """Plain jobs are quick to complete, also beside limited ones, whichever were many in the call before."""
    await kit.limit("api", slots=10)
    for texts in ([None] * 3, [API] * 3, [None, API, None], [API, API, None]):
        for text in texts:
            await kit.put(flow=text)
        claimed = await kit.claim()
        assert len(claimed) == 3
        assert [bool((await kit.row(job.id)).flow) for job in claimed] == [bool(text) for text in texts]
        await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())
        assert await kit.states(*(job.id for job in claimed)) == ["completed"] * 3
    assert (await kit.gate("api")).used == 0


async def used(kit: Kit) -> dict[str, int]:
    return {row.key: row.used for row in await kit.store.gates(now=kit.clock())}


async def test_slots_that_many_take_at_once_are_counted_exactly(kit: Kit) -> None:
    """One, two and three of a gate by the jobs of one claim, beside those of two limits and of none."""
    await kit.limit("api", slots=3)
    await kit.limit("other", slots=10)
    for passes in (["api:a"], *[["api:b"]] * 2, *[["api:c"]] * 3, ["api:d", "other"], ["other"], []):
        await kit.put(flow=flow(*passes) if passes else None)
    claimed = await kit.claim(20)
    assert len(claimed) == 9
    assert await used(kit) == {"api:a": 1, "api:b": 2, "api:c": 3, "api:d": 1, "other": 2}
    await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())
    assert not any((await used(kit)).values())


async def test_nothing_is_taken_at_once_when_one_gate_is_full(kit: Kit) -> None:
    await kit.limit("api", slots=2)
    await kit.put(flow=flow("api:c"))
    assert len(await kit.claim()) == 1
    ids = [await kit.put(flow=flow(f"api:{key}")) for key in "acc"]
    assert await kit.claimed_ids() == ids[:2]
    assert await used(kit) == {"api:a": 1, "api:c": 2}
    assert await kit.states(ids[2]) == ["parked"]


@pytest.mark.parametrize(
    ("sql", "answer", "left"),
    [
        ("UPDATE tidewheel_jobs SET awaited = 1 WHERE id = ?", "accepted", 0),
        ("UPDATE tidewheel_jobs SET epoch = epoch + 1 WHERE id = ?", "stale", 1),
        ("DELETE FROM tidewheel_jobs WHERE id = ?", "stale", 1),
    ],
    ids=["awaited", "lost", "gone"],
)
async def test_one_of_many_attempts_is_not_simply_over(kit: Kit, path: Path, sql: str, answer: str, left: int) -> None:
    await kit.limit("api", slots=10)
    ids, answers = list[str](), list[Accepted]()
    for second in (False, True):  # by then the store knows what the jobs hold
        ids = [await kit.put(flow=API) for _ in range(3)]
        claimed = await kit.claim()
        if second:
            change(path, sql, ids[1])
        answers = await kit.store.settle([Settlement(job.lease, DONE) for job in claimed], now=kit.clock())
    assert [one.value for one in answers] == ["accepted", answer, "accepted"]
    assert await kit.states(ids[0], ids[2]) == ["completed"] * 2
    assert await used(kit) == {"api": left}
