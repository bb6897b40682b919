"""The table of moves: complete and without dead ends. The conformance suite checks that stores obey it."""

from __future__ import annotations

import pytest

from tidewheel._model.state import FINAL_STATES, LIVE_STATES, MOVES, WAITING_STATES, JobState, Move

ARROWS = {(source, target) for (source, _), targets in MOVES.items() for target in targets}
PEOPLE = {Move.ALTER_CANCEL, Move.ALTER_RETRY, Move.ALTER_RUN_NOW}


def reachable(start: JobState, moves: set[Move]) -> set[JobState]:
    found, edge = {start}, [start]
    while edge:
        here = edge.pop()
        for (source, move), targets in MOVES.items():
            if source is here and move in moves:
                edge += targets - found
                found |= targets
    return found


def test_every_state_is_final_or_live() -> None:
    assert set(JobState) == FINAL_STATES | LIVE_STATES
    assert not FINAL_STATES & LIVE_STATES
    assert WAITING_STATES < LIVE_STATES
    assert {state for state in JobState if state.final} == FINAL_STATES


def test_every_move_is_in_the_table_and_leads_somewhere() -> None:
    assert {move for _, move in MOVES} == set(Move)
    assert all(MOVES.values())


def test_only_people_move_a_job_out_of_a_final_state() -> None:
    assert {move for state, move in MOVES if state.final} == {Move.ALTER_RETRY}


@pytest.mark.parametrize("start", [JobState.SCHEDULED, JobState.AVAILABLE])
def test_a_new_job_can_come_to_every_end_without_people(start: JobState) -> None:
    assert reachable(start, set(Move) - PEOPLE) >= FINAL_STATES


@pytest.mark.parametrize("state", sorted(LIVE_STATES))
def test_every_live_job_can_be_cancelled_and_finished(state: JobState) -> None:
    assert (state, Move.ALTER_CANCEL) in MOVES
    assert reachable(state, set(Move) - PEOPLE) >= FINAL_STATES


def test_only_a_claim_makes_a_job_run() -> None:
    entries = {(source, move) for (source, move), to in MOVES.items() if JobState.RUNNING in to}
    assert entries == {(JobState.AVAILABLE, Move.CLAIM), (JobState.RUNNING, Move.ALTER_CANCEL)}


def test_a_job_only_waits_as_retryable_after_it_ran() -> None:
    sources = {source for source, target in ARROWS if target is JobState.RETRYABLE}
    assert sources == {JobState.RUNNING, JobState.RETRYABLE}
