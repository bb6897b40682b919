"""What the ends of children mean for their parent."""

from __future__ import annotations

import pytest

from tidewheel._model.after import After, OnFailure
from tidewheel._model.graph import Edge, child_failed, ended_edge, gives_up, goes_on
from tidewheel._model.job import ErrorInfo, NewJob
from tidewheel._model.state import JobState
from tidewheel._store.base import MAX_BATCH
from tidewheel._store.children import check_after, no_child

BOOM = ErrorInfo("ValueError", "boom", "Traceback")
FAILED = [JobState.CANCELLED, JobState.DISCARDED]


def edge(on_failure: OnFailure, state: JobState | None = None, place: int = 0) -> Edge:
    return Edge("p", f"c{place}", on_failure, state, place=place)


@pytest.mark.parametrize("mode", ["fail", "continue", "ignore", "remove"])
def test_an_edge_says_how_its_child_ended(mode: OnFailure) -> None:
    done = ended_edge(edge(mode), JobState.COMPLETED, "1", BOOM)
    assert done == Edge("p", "c0", mode, JobState.COMPLETED, "1", None), "an error of an attempt before is none now"
    for state in FAILED:
        failed = ended_edge(edge(mode), state, None, BOOM)
        assert failed == (None if mode == "remove" else Edge("p", "c0", mode, state, None, BOOM))


def test_the_first_that_failed_says_why_a_parent_is_given_up() -> None:
    some = [
        edge("fail", JobState.CANCELLED, 5),
        edge("ignore", JobState.DISCARDED, 1),
        edge("fail", JobState.DISCARDED, 3),
    ]
    assert gives_up(some) == child_failed("c3", JobState.DISCARDED, None)
    assert gives_up([edge("fail", JobState.COMPLETED), edge("fail"), edge("continue", JobState.DISCARDED)]) is None
    assert gives_up([]) is None


def test_only_a_failure_with_continue_lets_a_parent_go() -> None:
    assert goes_on([edge("continue", JobState.CANCELLED)])
    assert not goes_on([edge("continue", JobState.COMPLETED), edge("ignore", JobState.CANCELLED)])


def test_why_a_parent_is_given_up_in_words() -> None:
    error = child_failed("c", JobState.DISCARDED, BOOM)
    assert (error.type, error.message) == (
        "tidewheel.ChildFailed",
        "It waited for c, which was discarded: ValueError: boom",
    )
    assert child_failed("c", JobState.CANCELLED, None).message == "It waited for c, which was cancelled"
    assert child_failed("b", JobState.DISCARDED, error) == error


def test_what_a_job_cannot_wait_for() -> None:
    check_after(NewJob(id="a", kind="k", args="[]", after=(After("b"),)))
    with pytest.raises(ValueError, match="a would wait for itself"):
        check_after(NewJob(id="a", kind="k", args="[]", after=(After("b"), After("a"))))
    with pytest.raises(ValueError, match="10,001"):
        check_after(NewJob(id="a", kind="k", args="[]", after=tuple(After(f"{n}") for n in range(MAX_BATCH + 1))))
    assert "b" in str(no_child("a", "b"))
