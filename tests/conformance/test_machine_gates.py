"""The model and a real store live the same life of jobs that wait for each other.

Like `test_machine`, but nearly every job has limits, most are claimed, and most end: full gates are what this is about.
In the end the limits that are shut are opened, and everything must run to its end: no wake-up was lost.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from tests.conformance._twins import (
    GATES,
    LIMITS,
    Twins,
    flows,
    gate_names,
    hit,
    on_every_store,
    rate_rules,
    slot_rules,
    words,
)

from tidewheel._model.duration import SECOND
from tidewheel._model.job import ErrorInfo, Lease, NewJob
from tidewheel._model.limit import Hit, LimitRow, Rule
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome, Released, RetryLater, Settlement, Snoozed
from tidewheel._model.query import Action, JobFilter
from tidewheel._model.retention import FOREVER, Retention, RetentionRule
from tidewheel._model.state import LIVE_STATES, JobState
from tidewheel._model.worker import Want
from tidewheel.testing import CountingIds

QUEUES, KINDS = ["a", "b"], ["x", "y"]
BOOM = ErrorInfo("ValueError", "boom")
DONE = Complete("1")
RETAIN = [RetentionRule("x", None, Retention(FOREVER, FOREVER))]

new_jobs = st.builds(
    NewJob,
    id=st.just(""),
    kind=st.sampled_from(KINDS),
    args=st.just("[]"),
    queue=st.sampled_from(QUEUES),
    priority=st.sampled_from([1, 1, 2]),
    lifo=st.sampled_from([False, False, True]),
    max_attempts=st.sampled_from([1, 3]),
    max_crashes=st.sampled_from([2, 3]),
    flow=st.one_of(st.none(), flows, flows, flows),
)
outcomes = st.sampled_from(
    [
        *[DONE] * 4,
        RetryLater(0, BOOM),
        RetryLater(SECOND, BOOM, hold=("rate",)),
        RetryLater(5 * SECOND, BOOM, hold=("slots",)),
        Snoozed(SECOND),
        Released(),
        Cancelled(),
        Discarded(BOOM),
    ]
)
wants = st.lists(
    st.builds(Want, st.sampled_from(QUEUES), st.integers(1, 4)), min_size=1, unique_by=lambda want: want.queue
)


class Gates(Twins):
    def __init__(self) -> None:
        super().__init__()
        self.ids = CountingIds("j")
        self.running: list[Lease] = []

    def teardown(self) -> None:
        try:
            if self.alike:
                self.drain()
        finally:
            super().teardown()

    @initialize(first=slot_rules, second=rate_rules, jobs=st.lists(new_jobs, min_size=4, max_size=12))
    def begin(self, first: Rule, second: Rule, jobs: list[NewJob]) -> None:
        self.declare("slots", first)
        self.declare("rate", second)
        self.enqueue(jobs)
        self.claim_everything()

    @rule(jobs=st.lists(new_jobs, min_size=1, max_size=5))
    def enqueue(self, jobs: list[NewJob]) -> None:
        named = [
            NewJob(**{name: getattr(job, name) for name in job.__struct_fields__} | {"id": self.ids()}) for job in jobs
        ]
        self.both(lambda store: store.enqueue(named))

    @rule(asked=wants, kinds=st.sampled_from([["x"], ["y"], KINDS, KINDS]), last_life=st.booleans())
    def claim(self, asked: list[Want], kinds: list[str], last_life: bool = True) -> None:
        claimed = self.both(
            lambda store: store.claim(asked, kinds=kinds, worker="w", lease=60 * SECOND, last_life=last_life)
        )
        self.running += [job.lease for job in claimed]

    @rule()
    def claim_everything(self) -> None:
        self.claim([Want(queue, 100) for queue in QUEUES], KINDS)

    @rule(ends=st.lists(st.tuples(st.integers(0, 9), outcomes), min_size=1, max_size=4))
    def settle(self, ends: list[tuple[int, Outcome]]) -> None:
        """Some of those that run; now and then one that did."""
        if self.running:
            held = [(self.running[index % len(self.running)], outcome) for index, outcome in ends]
            self.both(lambda store: store.settle([Settlement(lease, outcome) for lease, outcome in held]))
            self.running = [lease for lease in self.running if lease not in dict(held)] or self.running[:1]

    @rule(limit=st.sampled_from([1, 2, 1000, 1000]))
    def sweep(self, limit: int) -> None:
        self.both(lambda store: store.sweep(limit=limit))

    @rule()
    def sweep_and_recount(self) -> None:
        self.both_sweep(retention=RETAIN)

    @rule(span=st.sampled_from([-SECOND, 1, SECOND, SECOND, 5 * SECOND, 61 * SECOND]))
    def time_passes(self, span: int) -> None:
        self.clock.set(self.clock() + span)

    @rule(
        state=st.sampled_from([JobState.AVAILABLE, JobState.PARKED, JobState.RUNNING, JobState.DISCARDED]),
        action=st.sampled_from([Action.CANCEL, Action.DELETE, Action.RETRY, Action.RUN_NOW]),
        limit=st.integers(1, 2),
    )
    def alter(self, state: JobState, action: Action, limit: int) -> None:
        self.both(lambda store: store.alter(JobFilter(states=(state,)), action, limit=limit))

    @rule(action=st.sampled_from([Action.CANCEL, Action.DELETE]))
    def lose_one_that_was_let_in(self, action: Action) -> None:
        jobs = [row.job for row in self.model._rows.values()]
        let_in = [job.id for job in jobs if job.parked_by is not None and job.state is JobState.AVAILABLE]
        self.both(lambda store: store.alter(let_in[:1], action))

    @rule(name=st.sampled_from(LIMITS), word=st.one_of(st.none(), slot_rules, rate_rules))
    def declare(self, name: str, word: Rule | None) -> None:
        self.both(lambda store: store.put_limits([LimitRow(name=name, declared=word)], declared=True))

    @rule(name=gate_names, word=words)
    def overrule(self, name: str, word: Rule | None) -> None:
        self.both(lambda store: store.put_limits([LimitRow(name=name, operator=word)], declared=False))
        self.both(lambda store: store.limits())

    @rule(hits=st.lists(st.builds(Hit, st.just("rate"), st.sampled_from(["", "k"]), st.integers(1, 3)), max_size=3))
    def hit(self, hits: list[Hit]) -> None:
        self.both(lambda store: hit(store, hits))

    def drain(self) -> None:
        """Open what only a person opens, touch nothing else, and let everything run."""
        for name in GATES:
            if not _opens(self.model._rule(name)):
                self.overrule(name, None)
        for name, word in (("slots", Rule(slots=1)), ("rate", Rule(count=2, per=SECOND))):
            if not _opens(self.model._rule(name)):
                self.declare(name, word)
        for _ in range(200):
            report = self.both(lambda store: store.sweep())
            self.claim_everything()
            self.both(lambda store: store.settle([Settlement(lease, DONE) for lease in self.running]))
            self.running.clear()
            stats = self.both(lambda store: store.queues())
            if not any(queue.counts[state] for queue in stats for state in LIVE_STATES):
                break
            if report.next_due_at is not None:
                self.clock.set(max(self.clock(), report.next_due_at))
        else:
            raise AssertionError("some jobs wait for ever")


def _opens(limit: Rule | None) -> bool:
    return limit is not None and not limit.paused and limit.slots != 0


TestGates = on_every_store(Gates)
