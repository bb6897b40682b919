"""What is kept of finished jobs, and whose rule counts."""

from __future__ import annotations

import pytest

from tidewheel._model.duration import SECOND
from tidewheel._model.retention import FOREVER, Keep, Retention, RetentionRule, keep, rule_for
from tidewheel._model.state import JobState

SHORT, LONG, OTHER = (Retention(completed=keep(count)) for count in (1, 2, 3))


def test_defaults_keep_a_day_or_a_thousand_completed_and_five_thousand_failed() -> None:
    retention = Retention()
    assert retention.completed == Keep(count=1000, age=86_400 * SECOND)
    assert retention.failed == Keep(count=5000, age=None)


def test_keep_reads_durations() -> None:
    assert keep(10, "24h") == Keep(10, 86_400 * SECOND)
    assert keep(age=1.5) == Keep(None, 1_500_000)
    assert keep(0) == Keep(0, None)
    assert keep() == FOREVER


@pytest.mark.parametrize(("count", "age"), [(-1, None), (None, -1), (None, "soon")])
def test_keep_refuses_what_makes_no_sense(count: int | None, age: str | int | None) -> None:
    with pytest.raises(ValueError, match=r"negative|no duration"):
        keep(count, age)


@pytest.mark.parametrize("state", JobState)
def test_cancelled_and_discarded_jobs_are_kept_as_failed_ones(state: JobState) -> None:
    retention = Retention(completed=keep(1), failed=keep(2))
    assert retention.keep(state) == (keep(1) if state is JobState.COMPLETED else keep(2))


def test_the_first_rule_that_matches_counts() -> None:
    rules = [
        RetentionRule("send", "email", SHORT),
        RetentionRule("send", None, LONG),
        RetentionRule("send", "sms", OTHER),
    ]
    assert rule_for(rules, "email", "send") is SHORT
    assert rule_for(rules, "sms", "send") is LONG
    assert rule_for(rules, "email", "resize") is None
    assert rule_for([], "email", "send") is None
