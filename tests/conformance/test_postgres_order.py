"""Strict order in PostgreSQL, where claims pass over rows that others hold: nobody overtakes, and no place is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import pytest
import pytest_asyncio
from tests.conformance._postgres_kit import START, Place, two_stores
from tests.servers.postgres import Postgres

from tidewheel._model.flow import Flow, Pass, flow_text
from tidewheel._model.outcome import RetryLater
from tidewheel._model.query import Action
from tidewheel._store.postgres import gates
from tidewheel.testing.conformance.kit import BOOM, HOUR

LINE: Final = flow_text(Flow((Pass("line", "k", holds=False, order="block"),)))
HOLD_A: Final = "SELECT FROM {schema}.jobs WHERE id = 'a' FOR UPDATE"
both_ways = pytest.mark.parametrize("first", ["claim", "other"])


@pytest_asyncio.fixture
async def place(
    postgres: Postgres, new_schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Place]:
    async with two_stores(postgres.url, new_schema(), monkeypatch) as made:
        await made.limit("line", slots=1)
        yield made


async def ids(place: Place) -> list[str]:
    return [one.id for one in await place.claim()]


async def meet(
    place: Place, first: str, claim: Callable[[], Awaitable[Any]], other: Callable[[], Awaitable[Any]]
) -> tuple[Any, Any]:
    """Both come to the gate while it is held, in this order; gives their answers."""
    calls, tasks = {"claim": claim, "other": other}, {}
    async with place.holding_gate("line:k"):
        for number, name in enumerate(sorted(calls, key=lambda name: name != first), start=1):
            tasks[name] = asyncio.ensure_future(calls[name]())
            await place.waiting(number)
    return await tasks["claim"], await tasks["other"]


async def test_who_is_first_is_waited_for_while_another_claim_has_him_in_hand(place: Place) -> None:
    await place.put("a", "b", flow=LINE)
    await place.put("plain", flow=None)
    async with place.holding(HOLD_A):
        assert await ids(place) == ["plain"]
        assert await ids(place) == []  # it was let in again, and is still behind
    (first,) = await place.claim()
    assert first.id == "a"
    await place.settle(first)
    assert await ids(place) == ["b"]


async def test_of_several_that_one_claim_has_in_hand_none_is_behind_another(place: Place) -> None:
    await place.put("a", "b", "c", flow=LINE)
    (first,) = await place.claim()
    assert first.id == "a"
    assert await place.states("b", "c") == ["parked", "parked"]


async def test_who_was_let_in_again_does_not_start_before_one_who_waits_since(place: Place) -> None:
    """`c` came to the gate first, was behind `a`, and was let in again. Then `b` came, and waits there."""
    await place.put("a", "b", "c", flow=LINE)
    async with place.holding("SELECT FROM {schema}.jobs WHERE id IN ('a', 'b') FOR UPDATE"):
        assert await ids(place) == []
    (first,) = await place.claim(1)
    async with place.holding("SELECT FROM {schema}.jobs WHERE id = 'c' FOR UPDATE"):
        assert await ids(place) == []
    assert await place.states("a", "b", "c") == ["running", "parked", "available"]
    await place.settle(first)
    assert await ids(place) in ([], ["b"])
    assert await place.states("b", "c") != ["available", "running"]
    assert await ids(place) in ([], ["b"])
    assert (await place.gate("line:k")).holder == "b"


async def test_the_job_behind_one_that_is_deleted_meanwhile_starts(place: Place) -> None:
    await place.put("a", "b", flow=LINE)
    async with place.own.transaction():
        await place.sql("DELETE FROM {schema}.jobs WHERE id = 'a'")
        assert await ids(place) == []
    assert await ids(place) == ["b"]


@both_ways
async def test_a_claim_and_the_end_of_who_has_the_place_meet(place: Place, first: str) -> None:
    await place.put("a", flow=LINE)
    (holder,) = await place.claim()
    await place.put("b", flow=LINE)
    taken, _ = await meet(place, first, place.claim, lambda: place.settle(holder))
    assert [one.id for one in taken] or await ids(place) == ["b"]
    assert (await place.gate("line:k")).holder == "b"


@pytest.mark.parametrize("action", [Action.CANCEL, Action.DELETE])
@both_ways
async def test_a_claim_and_an_operator_who_ends_who_has_the_place_meet(
    place: Place, first: str, action: Action
) -> None:
    """Whoever comes first: the next one gets the place, by the next sweep at the latest."""
    await place.put("a", flow=LINE)
    (holder,) = await place.claim()
    await place.settle(holder, outcome=RetryLater(HOUR, BOOM))
    await place.put("b", flow=LINE)
    taken, _ = await meet(place, first, place.claim, lambda: place.two.alter(["a"], action, now=START))
    if not taken:
        await place.one.sweep(now=START)
        taken = await place.claim()
    assert [one.id for one in taken] == ["b"]
    assert (await place.gate("line:k")).holder == "b"


async def test_many_claims_at_once_start_each_key_in_its_order(place: Place) -> None:
    keys = "klm"
    flows = {key: flow_text(Flow((Pass("line", key, holds=False, order="skip"),))) for key in keys}
    for number in range(10):
        for key in keys:
            await place.put(f"{key}{number}", flow=flows[key])
    started = list[str]()

    async def work(store: Any) -> None:
        while len(started) < 30:
            with suppress(gates.Overtaken):  # in real life it begins anew
                for job in await place.claim(4, store=store):
                    started.append(job.id)
                    await asyncio.sleep(0)
                    await place.settle(job, store=store)

    await asyncio.gather(*(work(place.one if number % 2 else place.two) for number in range(4)))
    for key in keys:
        assert [id for id in started if id[0] == key] == [f"{key}{number}" for number in range(10)]
