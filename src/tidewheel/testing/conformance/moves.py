"""Every pair of the table `MOVES`, allowed and forbidden: nothing else may move a job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidewheel._model.after import After
from tidewheel._model.enqueue_rule import EnqueueRule
from tidewheel._model.job import Job, Lease
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome, Released, RetryLater, Snoozed
from tidewheel._model.query import Action
from tidewheel._model.state import MOVES, JobState, Move
from tidewheel.testing.conformance.kit import BOOM, HOUR, LEASE, SHUT, Kit, Suite, flow


def _settle(outcome: Outcome) -> Callable[[Kit, Job], Awaitable[object]]:
    return lambda kit, row: kit.settle(Lease(row.id, row.epoch), outcome)


def _alter(action: Action) -> Callable[[Kit, Job], Awaitable[object]]:
    return lambda kit, row: kit.alter(action, row.id)


async def _claim(kit: Kit, _: Job) -> None:
    await kit.claim()


async def _park(kit: Kit, _: Job) -> None:
    """Claim when the gate is shut."""
    await kit.limit(SHUT, paused=True)
    await kit.claim()


async def _open(kit: Kit, _: Job) -> None:
    """Sweep when the gate is open."""
    await kit.limit(SHUT, paused=False)
    await kit.sweep()


async def _promote(kit: Kit, row: Job) -> None:
    """Sweep when what waits is due; leases go on."""
    if row.state is JobState.RUNNING:
        await kit.beat(Lease(row.id, row.epoch), lease=3 * HOUR)
    kit.clock.advance("2h")
    await kit.sweep()


async def _rescue(kit: Kit, _: Job) -> None:
    """Sweep when leases are over; what waits is not due yet."""
    kit.clock.set(kit.clock() + LEASE)
    await kit.sweep()


async def _expire(kit: Kit, row: Job) -> None:
    """Sweep when its time is over; leases go on, and nothing is due."""
    if row.state is JobState.RUNNING:
        await kit.beat(Lease(row.id, row.epoch), lease=3 * HOUR)
    kit.clock.advance("30m")
    await kit.sweep()


ANEW = EnqueueRule(
    key="anew",
    holds="any",
    on_conflict="replace",
    replace={"scheduled": ("priority", "run_at"), "available": ("priority",), "retryable": ("priority", "run_at")},
)


async def _replace(kit: Kit, _: Job) -> None:
    """Enqueue another with the same key."""
    (answer,) = await kit.enqueue(kit.new(rule=ANEW, priority=7))
    assert not answer.inserted


WAYS: dict[Move, Callable[[Kit, Job], Awaitable[object]]] = {
    Move.CLAIM: _claim,
    Move.PARK: _park,
    Move.OPEN: _open,
    Move.COMPLETE: _settle(Complete('"later"')),
    Move.RETRY_LATER: _settle(RetryLater(5 * HOUR, BOOM)),
    Move.SNOOZE: _settle(Snoozed(5 * HOUR)),
    Move.RELEASE: _settle(Released()),
    Move.CANCEL_OUTCOME: _settle(Cancelled()),
    Move.DISCARD: _settle(Discarded(BOOM)),
    Move.PROMOTE: _promote,
    Move.RESCUE: _rescue,
    Move.ALTER_CANCEL: _alter(Action.CANCEL),
    Move.ALTER_RETRY: _alter(Action.RETRY),
    Move.ALTER_RUN_NOW: _alter(Action.RUN_NOW),
    Move.EXPIRE: _expire,
    Move.REPLACE: _replace,
}
GIVEN: dict[Move, dict[str, Any]] = {
    Move.PARK: {"flow": flow(SHUT)},
    Move.OPEN: {"flow": flow(SHUT)},
    Move.EXPIRE: {"expires_in": HOUR // 2},
    Move.REPLACE: {"rule": ANEW},
}
"""What a job must have for a move to concern it."""


class TestMoves(Suite):
    @pytest.mark.parametrize("move", [move for move in Move if move is not Move.CHILD_ENDED])
    @pytest.mark.parametrize("state", list(JobState))
    async def test_a_move_leads_where_the_table_says_or_nowhere(self, kit: Kit, state: JobState, move: Move) -> None:
        await kit.limit(SHUT)
        before = await kit.at(state, max_attempts=5, **GIVEN.get(move, {}))
        await WAYS[move](kit, before)
        after = await kit.row(before.id)
        allowed = MOVES.get((state, move))
        if allowed is None:
            assert _essence(after) == _essence(before)
        else:
            assert after.state in allowed
            assert _essence(after) != _essence(before)

    @pytest.mark.parametrize("state", list(JobState))
    async def test_the_end_of_a_child_moves_nobody_who_does_not_wait_for_it(self, kit: Kit, state: JobState) -> None:
        child = await kit.at(JobState.COMPLETED, queue="children")
        before = await kit.at(state, max_attempts=5, after=(After(child.id),))
        await kit.alter(Action.RETRY, child.id)
        (claimed,) = await kit.claim(queue="children")
        await kit.settle(claimed.lease, Discarded(BOOM))
        assert await kit.row(before.id) == before

    @pytest.mark.parametrize("end", ["available", "discarded", "cancelled"])
    async def test_a_rescue_leads_to_each_of_its_ends(self, kit: Kit, end: str) -> None:
        before = await kit.at(JobState.RUNNING, max_attempts=1 if end == "discarded" else 2)
        if end == "cancelled":
            await kit.alter(Action.CANCEL, before.id)
        await _rescue(kit, before)
        assert (await kit.row(before.id)).state == end

    @pytest.mark.parametrize("state", list(JobState))
    async def test_what_a_row_shows_fits_its_state(self, kit: Kit, state: JobState) -> None:
        row = await kit.at(state)
        assert (row.finished_at is not None) is state.final
        assert (row.lease_until is not None) is (state is JobState.RUNNING)
        assert (row.result is not None) is (state is JobState.COMPLETED)


def _essence(row: Job) -> dict[str, object]:
    """The row but for `lease_until`, which the test itself moves to keep a lease alive."""
    return {name: getattr(row, name) for name in row.__struct_fields__ if name != "lease_until"}
