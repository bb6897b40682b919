"""`why` as a function: what the worlds of tests/conformance/test_why.py do not reach."""

from __future__ import annotations

from typing import Any

import pytest

from tidewheel._evidence import HOLDERS, SILENT, Facts, GateFact
from tidewheel._model.duration import LONGEST, SECOND
from tidewheel._model.flow import Pass
from tidewheel._model.job import ErrorInfo, Job
from tidewheel._model.limit import GateRow, Rule
from tidewheel._model.state import JobState
from tidewheel._model.worker import WorkerInfo, WorkerRow
from tidewheel._why import Why, why

NOW = 1_800_000_000 * SECOND
MINUTE = 60 * SECOND


def job(state: str = "available", **changes: Any) -> Job:
    values = {
        "id": "j1", "kind": "work", "queue": "default", "state": JobState(state), "args": "{}", "priority": 100,
        "run_at": NOW, "lifo": False, "attempt": 1, "max_attempts": 3, "epoch": 1, "crashes": 0, "max_crashes": 3,
        "enqueued_at": NOW, **changes,
    }  # fmt: skip
    return Job(**values)


def worker(id: str = "w1", *, seen: int = NOW, **changes: Any) -> WorkerRow:
    values = {"host": "h", "pid": 1, "queues": ("default",), "kinds": ("work",), "concurrency": 2, **changes}
    return WorkerRow(info=WorkerInfo(id=id, **values), seen_at=seen)


def gate(rule: Rule | None, cost: int = 1, **changes: Any) -> GateFact:
    values = {"used": 0, "waiting": True, "room": 0, "opens_at": None, **changes}
    return GateFact(Pass("l", "k", cost), GateRow(key="l:k", limit="l", rule=rule, **values))


def ask(row: Job, *gates: GateFact, **facts: Any) -> Why:
    return why(Facts(job=row, now=NOW, gates=gates, workers=facts.pop("workers", (worker(),)), **facts))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "and it runs again."),
        ({"attempt": 3}, "and gives it up (tidewheel.LeaseExpired)."),
        ({"crashes": 2}, "and gives it up (tidewheel.Crashed)."),
        ({"cancel_requested": True}, "and ends it, as it was asked to."),
    ],
)
def test_it_says_what_a_rescue_makes_of_the_job(changes: dict[str, Any], says: str) -> None:
    answer = ask(job("running", lease_until=NOW, worker="w0", **changes))
    assert answer.code == "rescue_due"
    assert says in answer.text


def test_nobody_rescues_or_promotes_without_a_worker() -> None:
    nobody = [worker(seen=NOW - SILENT)]
    assert "no worker lives that could do it" in ask(job("running", lease_until=NOW), workers=nobody).text
    assert ask(job("scheduled"), workers=nobody).code == "no_worker"
    assert ask(job("scheduled"), workers=[worker(seen=NOW - SILENT + 1)]).code == "due"


def test_a_cancel_that_was_asked_for_is_told() -> None:
    answer = ask(job("running", lease_until=NOW + MINUTE, worker="w1", started_at=NOW - MINUTE, cancel_requested=True))
    assert answer.text == (
        "It is running: attempt 1 of 3 started 1m ago (2027-01-15 07:59:00 UTC) in the worker w1 (process 1 on h). "
        "Its lease ends in 1m (2027-01-15 08:01:00 UTC), unless the worker extends it. It was asked to cancel."
    )


def test_the_errors_of_dead_letters_and_retries_are_one_short_line() -> None:
    error = ErrorInfo("ValueError", "first\nsecond " + "x" * 500)
    for answer in (ask(job("discarded", finished_at=NOW, error=error)), ask(job("retryable", error=error))):
        assert "ValueError: first second x" in answer.text
        assert "\n" not in answer.text
        assert len(answer.text) < 400
    assert "no error that was kept" in ask(job("discarded", finished_at=NOW)).text


@pytest.mark.parametrize("algorithm", ["sliding", "bucket"])
def test_for_a_cost_above_one_only_the_earliest_time_is_known(algorithm: Any) -> None:
    rule = Rule(count=9, per=MINUTE, algorithm=algorithm)
    answer = ask(job("parked"), gate(rule, 5, opens_at=NOW + SECOND))
    assert (answer.code, answer.until) == ("limit_rate", None)
    assert "this job needs 5. It opens not before in 1s" in answer.text
    assert ask(job("parked"), gate(rule, 1, opens_at=NOW + SECOND)).until == NOW + SECOND
    assert ask(job("parked"), gate(rule, 5, room=5)).code == "next"
    assert ask(job("parked"), gate(rule, 50, room=9)).code == "next"  # it takes all there ever is


def test_a_rate_that_has_more_than_a_gate_ever_says() -> None:
    rule = Rule(count=100_000, per=MINUTE, algorithm="bucket")
    assert ask(job("parked"), gate(rule, 5000, room=1000)).code == "next"
    assert ask(job("parked"), gate(rule, 5000, room=999)).code == "limit_rate"


def test_a_limit_of_slots_that_a_handler_holds() -> None:
    answer = ask(job("parked"), gate(Rule(slots=2), used=1, opens_at=NOW + SECOND, shut_until=NOW + SECOND))
    assert (answer.code, answer.until) == ("limit_held", NOW + SECOND)


def test_an_answer_names_a_bounded_number_of_jobs() -> None:
    answer = ask(job(), ahead=tuple(f"a{number}" for number in range(900)), more_ahead=True)
    assert answer.holders == tuple(f"a{number}" for number in range(HOLDERS))
    assert "at least 900 jobs" in answer.text
    assert "a0, a1, a2 and 897 more" in answer.text
    crowd = [worker(f"w{number}", kinds=("other",)) for number in range(9)]
    assert ask(job(), workers=crowd).text.count("knows other") == 3


def test_beats_count_where_not_all_that_runs_was_looked_at() -> None:
    assert ask(job(), workers=[worker(running=2)], all_running=False).code == "busy"
    assert ask(job(), workers=[worker(running=2)]).code == "next"


def test_a_time_that_nobody_meant_is_answered() -> None:
    assert ask(job("scheduled", run_at=NOW + 10_000 * LONGEST)).text.startswith("It is due in ")
