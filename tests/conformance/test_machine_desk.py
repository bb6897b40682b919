"""The model and a real store live the same life of jobs that are enqueued with rules, backlogs and a time by which to start.

Like `test_machine`, but nearly every job has one of them, few names make them meet, and little else happens.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from msgspec.structs import replace
from tests.conformance._twins import (
    Twins,
    backlogs,
    enqueue_rules,
    expiries,
    flows,
    on_every_store,
    rate_rules,
    slot_rules,
)

from tidewheel._model.duration import SECOND
from tidewheel._model.job import ErrorInfo, Lease, NewJob
from tidewheel._model.limit import LimitRow, Rule
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome, Released, RetryLater, Settlement, Snoozed
from tidewheel._model.query import Action, JobFilter
from tidewheel._model.retention import FOREVER, Keep, Retention, RetentionRule
from tidewheel._model.state import JobState
from tidewheel._model.worker import Want

BOOM = ErrorInfo("ValueError", "boom")
SPANS = [0, 0, 1, SECOND, 5 * SECOND]
RETAIN = [RetentionRule("x", None, Retention(Keep(count=1), FOREVER))]
new_jobs = st.builds(
    NewJob,
    id=st.just(""),
    kind=st.just("x"),
    args=st.sampled_from(["[]", "[1]", "[2]"]),
    queue=st.sampled_from(["a", "a", "b"]),
    priority=st.sampled_from([1, 1, 2]),
    delay=st.sampled_from(SPANS),
    lifo=st.sampled_from([False, False, True]),
    max_attempts=st.sampled_from([1, 3]),
    max_crashes=st.sampled_from([2, 3]),
    unique_key=st.sampled_from([None, None, None, "u"]),
    tags=st.sampled_from([(), ("t",)]),
    meta=st.sampled_from([None, "{}"]),
    keep_failed=st.sampled_from([None, None, SECOND]),
    flow=st.one_of(st.none(), flows),
    rule=st.one_of(st.none(), enqueue_rules, enqueue_rules),
    backlog=st.one_of(st.none(), backlogs),
    expires_in=st.one_of(st.none(), expiries),
)
outcomes = st.sampled_from(
    [
        Complete("1"),
        RetryLater(0, BOOM),
        RetryLater(SECOND, BOOM),
        Snoozed(SECOND),
        Released(),
        Cancelled(),
        Discarded(BOOM),
    ]
)


class Desk(Twins):
    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.running: list[Lease] = []

    @initialize(first=slot_rules, second=rate_rules, jobs=st.lists(new_jobs, min_size=4, max_size=12))
    def begin(self, first: Rule, second: Rule, jobs: list[NewJob]) -> None:
        rows = [LimitRow(name="slots", declared=first), LimitRow(name="rate", declared=second)]
        self.both(lambda store: store.put_limits(rows, declared=True))
        self.enqueue(jobs)

    @rule(jobs=st.lists(new_jobs, min_size=1, max_size=6))
    def enqueue(self, jobs: list[NewJob]) -> None:
        named = [replace(job, id=f"j{self.number + index}") for index, job in enumerate(jobs)]
        self.number += len(named)
        self.both(lambda store: store.enqueue(named))

    @rule(job=new_jobs, back=st.integers(1, 5))
    def enqueue_an_id_again(self, job: NewJob, back: int) -> None:
        named = replace(job, id=f"j{max(0, self.number - back)}")
        self.both(lambda store: store.enqueue([named]))

    @rule(slots=st.sampled_from([1, 3, 100]), last_life=st.booleans())
    def claim(self, slots: int, last_life: bool) -> None:
        asked = [Want("a", slots), Want("b", slots)]
        claimed = self.both(
            lambda store: store.claim(asked, kinds=["x"], worker="w", lease=5 * SECOND, last_life=last_life)
        )
        self.running += [job.lease for job in claimed]

    @rule(ends=st.lists(st.tuples(st.integers(0, 9), outcomes), min_size=1, max_size=4))
    def settle(self, ends: list[tuple[int, Outcome]]) -> None:
        if self.running:
            held = [(self.running[index % len(self.running)], outcome) for index, outcome in ends]
            self.both(lambda store: store.settle([Settlement(lease, outcome) for lease, outcome in held]))
            self.running = [lease for lease in self.running if lease not in dict(held)]

    @rule(limit=st.sampled_from([1, 2, 1000, 1000]))
    def sweep(self, limit: int) -> None:
        self.both(lambda store: store.sweep(limit=limit))

    @rule()
    def sweep_and_tidy(self) -> None:
        self.both_sweep(retention=RETAIN)

    @rule(span=st.sampled_from([-SECOND, 1, SECOND, SECOND, 5 * SECOND, 61 * SECOND]))
    def time_passes(self, span: int) -> None:
        self.clock.set(max(self.clock() + span, self.swept))

    @rule(
        state=st.sampled_from(list(JobState)),
        action=st.sampled_from([Action.CANCEL, Action.DELETE, Action.RETRY, Action.RETRY, Action.RUN_NOW]),
        limit=st.integers(1, 2),
    )
    def alter(self, state: JobState, action: Action, limit: int) -> None:
        self.both(lambda store: store.alter(JobFilter(states=(state,)), action, limit=limit))

    @invariant()
    def nothing_started_too_late(self) -> None:
        for row in self.model._rows.values():
            job = row.job
            if job.state is JobState.RUNNING and job.expires_at is not None:
                assert job.started_at is not None
                assert job.started_at < job.expires_at


TestDesk = on_every_store(Desk, 30)
