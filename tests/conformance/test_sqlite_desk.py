"""Rules and graphs in a file: the caller's own transaction, rows that are damaged, and what plain jobs pay."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from tidewheel._model.enqueue_rule import Backlog, EnqueueRule
from tidewheel._model.job import NewJob
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.query import Action, Enqueued
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel._store.caller import drive
from tidewheel._store.sqlite import SqliteStore
from tidewheel._store.sqlite.enqueue import enqueue
from tidewheel._store.sqlite.work import Habit, settle
from tidewheel._store.sqlite.writer import Transaction
from tidewheel.testing._clock import FakeClock, fake_env
from tidewheel.testing.conformance.graph_kit import after, end, put_parent
from tidewheel.testing.conformance.kit import HOUR, MINUTE, OUTCOMES, Kit, flow

PRUNE = RetentionRule("work", None, Retention(completed=keep(0), failed=keep(0)))
RULE = EnqueueRule(key="k", on_conflict="replace", replace={"available": ("args",)})


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


@pytest.fixture
def caller(kit: Kit, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of somebody's to the file; `kit` has made it."""
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def change(path: Path, sql: str, *parameters: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(sql, parameters).rowcount > 0


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute(f"SELECT count(*) FROM tidewheel_{table}").fetchone()[0]  # noqa: S608 -- ours
        return found


def join(kit: Kit, caller: sqlite3.Connection, *jobs: NewJob) -> list[Enqueued]:
    assert isinstance(kit.store, SqliteStore)
    return drive(kit.store.enqueue_in(caller, jobs, now=kit.clock()))


@pytest.mark.parametrize("commits", [True, False])
async def test_a_rule_over_the_callers_connection_is_his_transactions(
    kit: Kit, caller: sqlite3.Connection, commits: bool
) -> None:
    first = await kit.put(rule=RULE, args="[1]")
    old = await kit.put(backlog=Backlog("b", 1), queue="b")
    jobs = [
        kit.new(rule=RULE, args="[2]"),
        kit.new(backlog=Backlog("b", 1, drop_oldest=True), queue="b", rule=EnqueueRule(key="other")),
    ]
    answers = join(kit, caller, *jobs)
    assert [(answer.id, answer.did) for answer in answers] == [(first, "replaced"), (jobs[1].id, "")]
    assert answers[1].cancelled == old
    if commits:
        caller.commit()
    else:
        caller.rollback()
    assert (await kit.row(first)).args == ("[2]" if commits else "[1]")
    assert await kit.states(old) == ["cancelled" if commits else "available"]
    assert await kit.exists(jobs[1].id) is commits
    (again,) = await kit.enqueue(kit.new(rule=EnqueueRule(key="other")))
    assert again.inserted is not commits


async def test_a_graph_over_the_callers_connection(kit: Kit, caller: sqlite3.Connection) -> None:
    child = await kit.put()
    parent = kit.new(after=after(child), queue="parents")
    join(kit, caller, parent)
    caller.commit()
    await end(kit, Complete("1"))
    assert await kit.states(parent.id) == ["available"]


async def test_a_parent_without_its_child_leaves_nothing_in_the_callers_transaction(
    kit: Kit, caller: sqlite3.Connection, path: Path
) -> None:
    holder = await kit.put(rule=EnqueueRule(key="k"))
    taking = kit.new(rule=EnqueueRule(key="k", on_conflict="cancel"))
    caller.execute("CREATE TABLE theirs (a)")
    caller.execute("INSERT INTO theirs VALUES (1)")
    with pytest.raises(ValueError, match="does not exist"):
        join(kit, caller, taking, kit.new(after=after("nobody")))
    assert caller.in_transaction
    join(kit, caller, late := kit.new())
    caller.commit()
    assert await kit.states(holder, late.id) == ["available"] * 2
    assert not await kit.exists(taking.id)
    change(path, "DELETE FROM theirs")


async def test_keys_that_can_hold_no_more_are_forgotten_and_no_others(kit: Kit, path: Path) -> None:
    await kit.run(rule=EnqueueRule(key="gone"), kind="other")
    ended = await kit.at(JobState.COMPLETED, rule=EnqueueRule(key="period", period=HOUR))
    await kit.put(rule=EnqueueRule(key="kept"), kind="other", delay=HOUR)
    await kit.alter(Action.DELETE, ended.id)
    await kit.sweep(PRUNE)
    assert count(path, "keys") == 3
    kit.clock.advance("1h")
    await kit.sweep(PRUNE)
    assert count(path, "keys") == 2
    await kit.sweep(RetentionRule("other", None, PRUNE.retention))
    assert count(path, "keys") == 2


async def test_a_key_that_holds_is_not_looked_at_every_time(kit: Kit, path: Path) -> None:
    await kit.put(rule=EnqueueRule(key="k"))
    await kit.sweep(PRUNE)
    with closing(sqlite3.connect(path)) as connection:
        (look_at,) = connection.execute("SELECT look_at FROM tidewheel_keys").fetchone()
    assert look_at >= kit.clock() + MINUTE


async def test_a_holder_whose_flow_is_damaged_stops_nobody(kit: Kit, path: Path) -> None:
    await kit.limit("api", slots=1)
    holder = await kit.put(rule=RULE, flow=flow("api"))
    change(path, "UPDATE tidewheel_jobs SET flow = CAST(x'ff' AS TEXT) WHERE id = ?", holder)
    (answer,) = await kit.enqueue(kit.new(rule=RULE, args="[2]"))
    assert (answer.id, answer.did) == (holder, "replaced")
    assert await kit.claimed_ids() == [holder]


async def test_a_damaged_error_of_a_child_gives_its_parent_up_all_the_same(kit: Kit, path: Path) -> None:
    child = await kit.put()
    (claimed,) = await kit.claim()
    parent = await put_parent(kit, child)
    await kit.settle(claimed.lease, OUTCOMES["retry"])
    change(path, "UPDATE tidewheel_jobs SET error = CAST(x'ff' AS TEXT) WHERE id = ?", child)
    await kit.alter(Action.CANCEL, child)
    row = await kit.row(parent)
    assert row.state is JobState.DISCARDED
    assert row.error is not None
    assert f"It waited for {child}, which was cancelled" in row.error.message


async def test_a_child_that_is_set_aside_is_told_to_its_parent(kit: Kit, path: Path) -> None:
    child = await kit.put(flow=flow("api"))
    parent = await put_parent(kit, child)
    change(path, "UPDATE tidewheel_jobs SET flow = '{' WHERE id = ?", child)
    assert await kit.claim() == []
    assert await kit.states(child, parent) == ["discarded", "discarded"]


async def test_ends_that_code_without_graphs_told_nobody_are_told_by_a_sweep(kit: Kit, path: Path) -> None:
    ended, gone, waiting = await kit.put(), await kit.put(), await kit.put(kind="other")
    heard, given_up, waits = await put_parent(kit, ended), await put_parent(kit, gone), await put_parent(kit, waiting)
    change(path, "UPDATE tidewheel_jobs SET state = 'completed', finished_at = 1, result = '7' WHERE id = ?", ended)
    change(path, "DELETE FROM tidewheel_jobs WHERE id = ?", gone)
    await kit.sweep()
    assert await kit.states(heard, given_up, waits) == ["parked"] * 3
    await kit.sweep(RetentionRule("other", None, PRUNE.retention))
    assert await kit.states(heard, given_up, waits) == ["available", "discarded", "parked"]
    assert [(edge.state, edge.result) for edge in await kit.store.edges([heard])] == [(JobState.COMPLETED, "7")]


async def test_a_parent_that_code_without_graphs_removed_may_come_again(kit: Kit, path: Path) -> None:
    child = await kit.put()
    parent = await put_parent(kit, child)
    change(path, "DELETE FROM tidewheel_jobs WHERE id = ?", parent)
    (answer,) = await kit.enqueue(kit.new(id=parent, after=after(child)))
    assert answer.inserted
    await end(kit, Complete("1"))
    assert await kit.states(parent) == ["available"]


async def test_edges_go_with_their_parent(kit: Kit, path: Path) -> None:
    child = await kit.put()
    parent = await put_parent(kit, child, kind="other")
    await kit.alter(Action.CANCEL, parent)
    await kit.sweep(PRUNE)
    assert count(path, "edges") == 1
    await kit.sweep(RetentionRule("other", None, PRUNE.retention))
    assert not await kit.exists(parent)
    assert count(path, "edges") == 0
    await end(kit, Complete("1"))


async def test_plain_jobs_ask_nothing_of_keys_and_edges(kit: Kit, caller: sqlite3.Connection) -> None:
    seen: list[str] = []
    caller.execute("BEGIN IMMEDIATE")
    caller.set_trace_callback(seen.append)
    tx = Transaction(caller)
    enqueue(tx, [kit.new() for _ in range(16)], lambda: "no", kit.clock())
    assert len(seen) == 2
    caller.set_trace_callback(None)
    caller.execute("COMMIT")
    claimed = await kit.claim()
    seen.clear()
    caller.execute("BEGIN IMMEDIATE")
    caller.set_trace_callback(seen.append)
    settle(tx, [Settlement(job.lease, Complete("1")) for job in claimed], lambda: "no", Habit(), kit.clock())
    assert len(seen) == 1
    caller.set_trace_callback(None)
    caller.execute("ROLLBACK")
