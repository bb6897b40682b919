"""Gates in PostgreSQL, where several connections come to them at once: each step of one call held while another goes on.

A call is held by a lock of the test's own on the row that it needs next. Who waits is asked of the server.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import pytest
from tests.conformance._postgres_kit import START, Place

from tidewheel._model.flow import Flow, Pass, flow_of, flow_text
from tidewheel._model.job import Claimed, NewJob
from tidewheel._model.outcome import Complete, Outcome, Released, RetryLater
from tidewheel._model.query import Accepted, Action, JobFilter
from tidewheel._model.retention import Retention, RetentionRule
from tidewheel._model.state import JobState
from tidewheel._store.postgres import gates, rounds, work
from tidewheel.testing.conformance.kit import BOOM, HOUR

KEEP: Final = RetentionRule("work", None, Retention())
"""Makes a sweep count and forget."""


ENDS: Final[dict[str, Outcome]] = {"complete": Complete("1"), "release": Released(), "retry": RetryLater(HOUR, BOOM)}
each_end = pytest.mark.parametrize("outcome", ENDS.values(), ids=ENDS.keys())


@each_end
@pytest.mark.parametrize("first", ["claim", "settle"])
async def test_a_claim_and_the_end_of_the_last_holder_meet(place: Place, first: str, outcome: Outcome) -> None:
    """Whoever comes to the gate first: what the claim parks is let in, or it is not parked."""
    await place.limit("api", slots=1)
    await place.put("a")
    (holder,) = await place.claim()
    await place.put("b", priority=1)
    async with place.holding_gate():
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "claim": place.claim,
            "settle": lambda: place.settle(holder, outcome=outcome),
        }
        tasks = {}
        for number, name in enumerate(sorted(calls, key=lambda name: name != first), start=1):
            tasks[name] = asyncio.ensure_future(calls[name]())
            await place.waiting(number)
    assert await tasks["settle"] == [Accepted.ACCEPTED]
    taken = [one.id for one in await tasks["claim"]] or [one.id for one in await place.claim(1)]
    assert taken == ["b"]
    assert (await place.gate()).used == 1


@pytest.mark.parametrize("new", [True, False], ids=["new gates", "known gates"])
async def test_two_claims_that_need_the_same_gates_in_opposite_order(place: Place, *, new: bool) -> None:
    """Both begin with the first by name, and hold no other while they wait for it."""
    for name in "abcde":
        await place.limit(name, slots=1)
    if not new:
        await place.put("before", gates="abcde")
        await place.settle(*await place.claim())
    await place.put("one", gates="abcde")
    await place.put("two", gates="edcba")
    first = """INSERT INTO {schema}.gates (key, "limit") VALUES ('a', 'a')"""
    async with place.holding(first) if new else place.holding_gate("a"):
        tasks = [asyncio.ensure_future(place.claim(1, store=store)) for store in (place.one, place.two)]
        await place.waiting(2)
        free = "SELECT count(*) FROM (SELECT FROM {schema}.gates WHERE key > 'a' FOR UPDATE NOWAIT) AS free"
        assert await place.sql(free) == (0 if new else 4)
    taken = [job for task in tasks for job in await task]
    assert len(taken) == 1
    assert sorted(await place.states("one", "two")) == ["parked", "running"]
    await place.settle(*taken)
    assert sorted(await place.states("one", "two")) == ["available", "completed"]


CHANGES: Final = {
    "forgotten": ("DELETE FROM {schema}.gates", 1),
    "taken from": ("UPDATE {schema}.gates SET used = 1", 2),
    "given to": ("UPDATE {schema}.gates SET used = used - 1", 1),
    "filled": ("UPDATE {schema}.gates SET used = 2", None),
    "shut": ("UPDATE {schema}.gates SET shut_until = 1800000000000000", None),
}
"""What becomes of a gate of two slots, and how many are in use with one more; None: there is no room."""


@pytest.mark.parametrize(("change", "used"), CHANGES.values(), ids=CHANGES)
async def test_a_gate_changes_between_the_look_of_a_claim_and_its_step(
    place: Place, change: str, used: int | None
) -> None:
    await place.limit("api", slots=2)
    await place.put("before")
    before = await place.claim()
    if "used - 1" not in change:
        await place.settle(*before)
    await place.put("a")
    async with place.holding(change):
        claim = asyncio.ensure_future(place.claim())
        await place.waiting(1)
    assert [job.id for job in await claim] == (["a"] if used else [])
    assert await place.states("a") == ["running" if used else "parked"]
    assert (await place.gate()).waiting == (used is None)
    if used:
        assert await place.sql("SELECT used FROM {schema}.gates WHERE holder IS NULL AND shut_until = 0") == used


async def test_many_claims_that_meet_new_gates_at_once(place: Place) -> None:
    """None waits in a circle (that would be an error here), and nobody gets in who may not."""
    await place.limit("api", slots=1)
    keys = [f"api:{number}" for number in range(30)]
    for number in range(8):
        await place.put(*(f"{number} {key}" for key in keys), gates=[keys[number]])
        for key in keys[8:]:
            await place.put(f"{number} and {key}", gates=[key, keys[number]])

    async def claim(number: int) -> list[Claimed]:
        with suppress(gates.Overtaken):  # in real life it begins anew
            return await place.claim(20, store=place.one if number % 2 else place.two)
        return []

    claimed = [one for some in await asyncio.gather(*map(claim, range(8))) for one in some]
    while more := await place.claim(1000):
        claimed += more
    held = Counter[str]()
    for one in claimed:
        held.update(step.key for step in flow_of((await place.row(one.id)).flow or "[]").passes)
    assert set(held.values()) == {1}
    assert held == {gate.key: 1 for gate in await place.one.gates(limits=["api"], limit=1000, now=START) if gate.used}


async def test_an_enqueue_in_an_open_transaction_is_in_nobodys_way(place: Place) -> None:
    await place.limit("api", slots=1)
    await place.put("a", "b")
    flow = flow_text(Flow((Pass("api"),)))
    async with place.own.transaction():
        await place.one.enqueue_in(place.own, [NewJob(id="c", kind="work", args="{}", flow=flow)], now=START)
        (first,) = await place.claim()
        assert first.id == "a"
        await place.settle(first)
        (second,) = await place.claim()
        assert second.id == "b"
    assert await place.claim() == []
    assert await place.states("c") == ["parked"]
    await place.settle(second)
    assert [one.id for one in await place.claim()] == ["c"]


async def test_a_limit_that_changes_while_a_claim_parks_by_the_old_one(place: Place) -> None:
    """The change waits for the claim, and then sees the gate at which the job waits."""
    await place.limit("api", slots=1, paused=True)
    await place.put("a")
    async with place.holding("""INSERT INTO {schema}.gates (key, "limit") VALUES ('api', 'api')"""):
        claiming = asyncio.ensure_future(place.claim())
        await place.waiting(1)
        changing = asyncio.ensure_future(place.limit("api", slots=1))
        await place.waiting(2)
    assert await claiming == []
    await changing
    assert await place.states("a") == ["parked"]
    assert (await place.one.sweep(now=START)).opened == 1
    assert [one.id for one in await place.claim()] == ["a"]


async def test_a_claim_that_begins_while_a_limit_changes_goes_by_the_new_one(place: Place) -> None:
    await place.limit("api", slots=1, paused=True)
    await place.put("a")
    async with place.holding("SELECT FROM {schema}.limits FOR UPDATE"):
        changing = asyncio.ensure_future(place.limit("api", slots=1))
        await place.waiting(1)
        claiming = asyncio.ensure_future(place.claim())
        await place.waiting(2)
    await changing
    assert [one.id for one in await claiming] == ["a"]


@each_end
async def test_a_limit_is_raised_while_an_attempt_ends(place: Place, outcome: Outcome) -> None:
    """The room of both is filled."""
    await place.limit("api", slots=1)
    await place.put("a")
    (holder,) = await place.claim()
    await place.put("b", "c", priority=1)
    assert await place.claim() == []
    async with place.holding_gate():
        settling = asyncio.ensure_future(place.settle(holder, outcome=outcome))
        await place.waiting(1)
        changing = asyncio.ensure_future(place.limit("api", slots=2))
        await place.waiting(2)
    await settling
    await changing
    await place.one.sweep(now=START)
    assert {one.id for one in await place.claim()} == {"b", "c"}


async def test_two_ends_at_once_let_in_two(place: Place) -> None:
    await place.limit("api", slots=2)
    await place.put("a", "b", "c", "d", "e")
    one, two = await place.claim()
    async with place.holding_gate():
        ends = [
            asyncio.ensure_future(place.settle(one, store=place.one)),
            asyncio.ensure_future(place.settle(two, outcome=RetryLater(HOUR, BOOM), store=place.two)),
        ]
        await place.waiting(2)
    await asyncio.gather(*ends)
    assert await place.states("c", "d", "e") == ["available", "available", "parked"]


async def test_a_parked_job_that_somebody_holds_is_let_in_later(place: Place) -> None:
    """The release passes it over, and nobody may forget it: who held it may have left it as it was."""
    await place.limit("api", slots=1)
    await place.put("a", "b")
    (holder,) = await place.claim()
    async with place.holding("SELECT FROM {schema}.jobs WHERE id = 'b' FOR UPDATE"):
        await place.settle(holder)
    assert await place.states("b") == ["parked"]
    report = await place.one.sweep(now=START)
    assert report.opened == 1
    assert await place.states("b") == ["available"]


@pytest.mark.parametrize("action", [Action.CANCEL, Action.DELETE])
async def test_a_job_goes_that_was_let_in_while_others_claim(place: Place, action: Action) -> None:
    await place.limit("api", slots=1)
    await place.put("a", "b", "c")
    (holder,) = await place.claim()
    await place.settle(holder)
    async with place.holding_gate():
        altering = asyncio.ensure_future(place.one.alter(["b"], action, now=START))
        await place.waiting(1)
        assert await place.claim(store=place.two) == []  # passes over the row that is being altered
    await altering
    assert (await place.one.sweep(now=START)).opened == 1
    assert [one.id for one in await place.claim()] == ["c"]


async def test_a_process_that_dies_before_it_looks_leaves_that_to_the_sweep(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.limit("api", slots=1)
    await place.put("a", "b")
    (holder,) = await place.claim()

    async def killed(*_: object) -> int:
        raise ConnectionResetError("killed")

    monkeypatch.setattr(work, "look_again", killed)
    with pytest.raises(ConnectionResetError):
        await place.settle(holder)
    assert await place.states("a", "b") == ["completed", "parked"]
    assert (await place.gate()).used == 0
    assert (await place.one.sweep(now=START)).opened == 1
    assert [one.id for one in await place.claim()] == ["b"]


async def test_a_claim_goes_on_behind_thousands_that_it_parks(place: Place) -> None:
    """In rounds, in one call; so the one behind them does not wait for the next poll."""
    await place.limit("api", slots=1)
    await place.limit("other", slots=5)
    await place.put(*(f"a{number}" for number in range(900)))
    await place.put("open", gates=("other",), priority=500)
    assert [one.id for one in await place.claim(3)] == ["a0", "open"]
    assert len((await place.one.list(JobFilter(states=(JobState.PARKED,)), limit=1000)).jobs) == 899


async def test_what_the_first_round_took_is_answered_when_the_second_fails(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.limit("api", slots=1)
    await place.put(*(f"a{number}" for number in range(9)))
    whole, rounds_begun = rounds.Rounds._round, []

    async def once(self: rounds.Rounds) -> bool:
        rounds_begun.append(self)
        if len(rounds_begun) > 1:
            raise ConnectionResetError("gone")
        return await whole(self)

    monkeypatch.setattr(rounds.Rounds, "_round", once)
    assert [one.id for one in await place.claim(3)] == ["a0"]
    assert len(rounds_begun) == 2


async def test_damaged_limits_set_their_job_aside_and_nobody_else(place: Place) -> None:
    await place.limit("api", slots=1)
    await place.put("a", "b")
    await place.sql("UPDATE {schema}.jobs SET flow = '[[[\"api' WHERE id = 'a'")
    assert [one.id for one in await place.claim()] == ["b"]
    damaged = await place.row("a")
    assert damaged.state is JobState.DISCARDED
    assert damaged.error is not None
    assert damaged.error.type == "tidewheel.Unreadable"


async def test_an_attempt_whose_limits_were_damaged_ends_like_others(place: Place) -> None:
    await place.limit("api", slots=2)
    await place.put("a", "b", "c")
    claimed = await place.claim()
    await place.sql("UPDATE {schema}.jobs SET flow = 'nothing' WHERE id = 'a'")
    assert await place.settle(*claimed) == [Accepted.ACCEPTED] * 2
    assert await place.states("a", "b", "c") == ["completed", "completed", "available"]
    assert (await place.gate()).used == 1  # nobody knows what the damaged one held, until it is counted
    await place.one.sweep(now=START, retention=[KEEP])
    assert await place.one.gates(now=START) == []  # right again, and idle


async def test_a_count_that_is_wrong_is_set_right_and_what_waits_is_let_in(place: Place) -> None:
    """As code that knows no limits leaves it when it rescues a job that has some."""
    await place.limit("api", slots=2)
    await place.put("a", "b", "c")
    await place.sql("""INSERT INTO {schema}.gates (key, "limit", used) VALUES ('api', 'api', 1)""")
    assert [one.id for one in await place.claim()] == ["a"]
    report = await place.one.sweep(now=START, retention=[KEEP])
    assert report.opened == 1
    assert (await place.gate()).used == 1
    assert [one.id for one in await place.claim()] == ["b"]


async def test_plain_jobs_are_claimed_by_one_statement(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until jobs with limits come to their queue, and again when they are gone."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("rounds")

    with monkeypatch.context() as closed:
        closed.setattr(work, "Rounds", never)
        await place.put("plain", flow=None)
        assert [one.id for one in await place.claim()] == ["plain"]
    await place.limit("api", slots=1)
    await place.put("limited")
    await place.put("beside", flow=None)
    assert [one.id for one in await place.claim()] == ["limited", "beside"]
    await place.put("plain again", flow=None)
    assert [one.id for one in await place.claim()] == ["plain again"]
    with monkeypatch.context() as closed:
        closed.setattr(work, "Rounds", never)
        await place.put("and again", flow=None)
        assert [one.id for one in await place.claim()] == ["and again"]
