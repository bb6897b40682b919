"""The judge of limits and parents finds every planted fault, and none in an honest story."""

from __future__ import annotations

import pytest
from tests.chaos._gates import PROMISES, judge_gates, judge_parents
from tests.e2e._history import Change, Verdict

from tidewheel import Job, JobState
from tidewheel._model.flow import Flow, Pass, flow_text

pytestmark = pytest.mark.timeout(10)
SLOTS = {"lane": 1}


def job(id: str, lane: str) -> Job:
    return Job(
        id=id, kind="narrow", queue="q", state=JobState.COMPLETED, args="{}", priority=1, run_at=0, lifo=False, attempt=1,
        max_attempts=9, epoch=1, crashes=0, max_crashes=9, enqueued_at=0, flow=flow_text(Flow((Pass("lane", lane),))),
    )  # fmt: skip


ROWS = {one.id: one for one in (job("a", "x"), job("b", "x"), job("c", "y"))}


def moved(*steps: tuple[str, str | None, str]) -> list[Change]:
    return [Change(id, before, after, 1, 1, 0) for id, before, after in steps]


def found(*steps: tuple[str, str | None, str]) -> set[str]:
    verdict = Verdict()
    judge_gates(verdict, moved(*steps), ROWS, SLOTS)
    judge_parents(verdict, moved(*steps), {"c": ["a", "b"]})
    return {promise for promise, _, _ in verdict.findings}


HONEST = (
    ("a", None, "available"),
    ("b", None, "available"),
    ("a", "available", "running"),
    ("b", "available", "parked"),
    ("a", "running", "available"),  # a rescue
    ("b", "parked", "available"),
    ("b", "available", "running"),
    ("b", "running", "completed"),
    ("a", "available", "running"),
    ("a", "running", "discarded"),
    ("c", "parked", "available"),
    ("c", "available", "running"),
)


def test_an_honest_story_has_no_findings() -> None:
    assert found(*HONEST) == set()


def test_two_attempts_in_one_slot_are_found() -> None:
    assert found(*HONEST[:3], ("b", "available", "running")) == {"over its limit"}


def test_other_keys_have_slots_of_their_own() -> None:
    steps = (("a", "available", "running"), ("a", "running", "completed"), ("b", "available", "completed"))
    assert found(*steps, ("c", "available", "running"), ("a", "available", "running")) == set()


def test_a_parent_that_starts_early_is_found() -> None:
    assert found(*HONEST[:8], ("c", "available", "running")) == {"before its children"}


def test_every_promise_is_planted_here() -> None:
    assert {"over its limit", "before its children"} == PROMISES
