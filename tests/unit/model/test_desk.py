"""What the desk makes of an enqueue with a rule. That every store does so is shown by the conformance suite."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel._model.desk import WAITING, Change, Holder, KeyRow, Verdict, due_at, judge, turn
from tidewheel._model.enqueue_rule import EnqueueRule, Fair
from tidewheel._model.flow import CHILDREN, EMPTY_FLOW, EXPIRED
from tidewheel._model.job import NewJob, stored_flow
from tidewheel._model.state import FINAL_STATES, JobState

NOW = 1_000_000
NEW = NewJob(id="new", kind="work", args="[1]", delay=50, priority=3)
ROW = KeyRow("old", NOW - 100)
ALL = dict.fromkeys(("scheduled", "available", "retryable"), ("args", "meta", "tags", "priority", "run_at"))


def rule(**changes: Any) -> EnqueueRule:
    return EnqueueRule(**{"key": "k", **changes})


def asked(holder: Holder | None, row: KeyRow | None = ROW, new: NewJob = NEW, **changes: Any) -> Verdict:
    return judge(rule(**changes), new, row, holder, NOW)


def test_a_key_that_nobody_took_is_taken() -> None:
    assert asked(None, None) == Verdict(insert=True, row=KeyRow("new", NOW))
    assert asked(None, None, period=5) == Verdict(insert=True, row=KeyRow("new", NOW, NOW + 5))


@pytest.mark.parametrize("state", list(JobState))
def test_the_states_that_hold_it(state: JobState) -> None:
    held = {holds: not asked(Holder(state), holds=holds).insert for holds in ("none", "waiting", "live", "any")}
    live = state not in FINAL_STATES
    assert held == {"none": False, "waiting": state in WAITING, "live": live, "any": True}


def test_a_job_that_is_gone_holds_nothing_but_a_period_goes_on() -> None:
    assert asked(None, holds="any").insert
    assert asked(None, KeyRow("old", 0, NOW + 1)) == Verdict(insert=False)
    assert asked(None, KeyRow("old", 0, NOW)).insert


def test_one_whose_time_is_over_holds_nothing_and_is_not_changed() -> None:
    over = [
        *(Holder(state, EMPTY_FLOW, expires_at=NOW) for state in WAITING),
        Holder(JobState.PARKED, EMPTY_FLOW, EXPIRED, NOW + 5),
    ]
    for holder in over:
        assert asked(holder).insert
        assert asked(holder, KeyRow("old", 0, NOW + 1), on_conflict="replace", replace=ALL) == Verdict(insert=False)
    assert not asked(Holder(JobState.SCHEDULED, EMPTY_FLOW, expires_at=NOW + 1)).insert
    assert not asked(Holder(JobState.RUNNING, EMPTY_FLOW, expires_at=NOW)).insert


def test_cancel_is_for_those_that_live() -> None:
    for state in JobState:
        verdict = asked(Holder(state), holds="any", on_conflict="cancel")
        assert verdict == Verdict(insert=True, row=KeyRow("new", NOW), cancel=state not in FINAL_STATES)
    assert not asked(None, KeyRow("old", 0, NOW + 1), on_conflict="cancel").cancel


def test_a_replace_changes_what_the_rule_names() -> None:
    new = NewJob(id="new", kind="work", args="[1]", meta="{}", tags=("t",), delay=50, priority=3, flow="[[]]")
    verdict = asked(Holder(JobState.SCHEDULED), new=new, on_conflict="replace", replace=ALL)
    assert verdict == Verdict(insert=False, change=Change(JobState.SCHEDULED, NOW + 50, 3, "[1]", "[[]]", "{}", ("t",)))
    some = asked(Holder(JobState.AVAILABLE), new=new, on_conflict="replace", replace={"available": ("tags",)})
    assert some.change == Change(JobState.AVAILABLE, tags=("t",))
    parked = asked(Holder(JobState.PARKED), new=new, on_conflict="replace", replace={"available": ("priority",)})
    assert parked.change == Change(JobState.PARKED, priority=3)
    assert asked(Holder(JobState.RETRYABLE), on_conflict="replace", replace={"available": ("args",)}).change is None
    assert asked(Holder(JobState.RUNNING), on_conflict="replace", replace=ALL).change is None


@pytest.mark.parametrize(
    ("delay", "max_wait", "expected"),
    [(50, 0, NOW + 50), (0, 0, NOW), (50, 120, NOW + 20), (50, 100, NOW), (50, 10, NOW - 90)],
)
def test_a_new_time_and_the_longest_wait(delay: int, max_wait: int, expected: int) -> None:
    new = NewJob(id="new", kind="work", args="[]", delay=delay)
    for state in (JobState.SCHEDULED, JobState.RETRYABLE):
        change = asked(Holder(state), new=new, on_conflict="replace", replace=ALL, max_wait=max_wait).change
        assert change is not None
        assert (change.run_at, change.state) == (expected, state if expected > NOW else JobState.AVAILABLE)


def test_other_limits_let_a_parked_job_be_judged_anew() -> None:
    def state(
        flow: str | None, parked_by: str, new: str | None, expires_in: int | None = None
    ) -> tuple[str, str | None]:
        job = NewJob(id="new", kind="work", args="[]", flow=new, expires_in=expires_in)
        holder = Holder(JobState.PARKED, flow, parked_by)
        change = asked(holder, new=job, on_conflict="replace", replace={"available": ("args",)}).change
        assert change is not None
        return change.state.value, change.flow

    assert state('[[["a"]]]', "a", '[[["a"]]]') == ("parked", '[[["a"]]]')
    assert state('[[["a"]]]', "a", '[[["b"]]]') == ("available", '[[["b"]]]')
    assert state('[[["a"]]]', "a", None) == ("available", EMPTY_FLOW), "it keeps an empty one: it is marked with a gate"
    assert state(EMPTY_FLOW, "a", None, 5) == ("parked", EMPTY_FLOW)
    assert state(None, CHILDREN, '[[["b"]]]') == ("parked", '[[["b"]]]')
    assert state(None, CHILDREN, None) == ("parked", None)


def test_a_job_that_expires_has_a_flow() -> None:
    assert stored_flow(NEW) is None
    assert stored_flow(NewJob(id="a", kind="k", args="[]", expires_in=0)) == EMPTY_FLOW
    assert stored_flow(NewJob(id="a", kind="k", args="[]", expires_in=0, flow="[[1]]")) == "[[1]]"


@given(st.integers(1, 3), st.integers(1, 10), st.lists(st.integers(0, 6), max_size=30))
def test_no_window_lets_in_more_than_it_may(count: int, period: int, waits: list[int]) -> None:
    row: KeyRow | None = None
    now, windows = NOW, dict[int, int]()
    for number, wait in enumerate(waits):
        now += wait
        new = NewJob(id=f"j{number}", kind="work", args="[]")
        verdict = judge(rule(period=period, count=count), new, row, None, now)
        assert verdict.reset_at is not None
        assert now < verdict.reset_at <= now + period
        start = verdict.reset_at - period
        assert start not in windows or verdict.insert is (windows[start] < count)
        windows[start] = windows.get(start, 0) + verdict.insert
        assert verdict.remaining == count - windows[start]
        assert verdict.dropped is not verdict.insert
        row = verdict.row or row
    starts = sorted(windows)
    assert all(second - first >= period for first, second in pairwise(starts))


def test_when_a_new_job_is_due() -> None:
    assert due_at(NEW, NOW) == NOW + 50
    assert due_at(NewJob(id="a", kind="k", args="[]", delay=50, run_at=7), NOW) == 7


def test_a_turn() -> None:
    assert turn(NEW, Fair("f", 10), None, None, NOW) == (NOW, KeyRow("new", NOW + 10, NOW + 10))
    assert turn(NEW, Fair("f", 10), None, NOW - 7, NOW) == (NOW - 7, KeyRow("new", NOW + 3, NOW + 3))
    assert turn(NEW, Fair("f", 10), KeyRow("old", NOW + 5), NOW - 7, NOW)[0] == NOW + 5
    assert turn(NEW, Fair("f", 10), KeyRow("old", NOW - 9), NOW - 7, NOW)[0] == NOW - 7
