"""The model and a real store live the same life of jobs that wait for others.

Graphs grow at random, in one call or over several, with children that run, fail, expire, are cancelled, deleted, pruned
and retried, and parents that are any of these, too. In the end everything must run to its end: no parent waits for ever.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from msgspec.structs import replace
from tests.conformance._twins import Twins, backlogs, enqueue_rules, expiries, on_every_store

from tidewheel._model.after import After, OnFailure
from tidewheel._model.duration import SECOND
from tidewheel._model.flow import CHILDREN, Flow, Pass, flow_text
from tidewheel._model.graph import goes_on
from tidewheel._model.job import ErrorInfo, Lease, NewJob
from tidewheel._model.limit import LimitRow, Rule
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome, Released, RetryLater, Settlement, Snoozed
from tidewheel._model.query import Action, JobFilter
from tidewheel._model.retention import FOREVER, Keep, Retention, RetentionRule
from tidewheel._model.state import FINAL_STATES, LIVE_STATES, JobState
from tidewheel._model.worker import Want

BOOM = ErrorInfo("ValueError", "boom")
DONE = Complete('"done"')
KINDS = ["x", "dead"]
RETAIN = [RetentionRule("x", None, Retention(Keep(count=2), FOREVER))]
modes: st.SearchStrategy[OnFailure] = st.sampled_from(["fail", "fail", "continue", "ignore", "remove"])
children = st.lists(st.tuples(st.integers(1, 7), modes), max_size=4)
new_jobs = st.builds(
    NewJob,
    id=st.just(""),
    kind=st.just("x"),
    args=st.just("[]"),
    queue=st.sampled_from(["a", "a", "b"]),
    priority=st.sampled_from([1, 1, 2]),
    delay=st.sampled_from([0, 0, 0, SECOND]),
    max_attempts=st.sampled_from([1, 3]),
    max_crashes=st.sampled_from([2, 3]),
    unique_key=st.sampled_from([None, None, None, None, "u"]),
    keep_completed=st.sampled_from([None, None, 0]),
    keep_failed=st.sampled_from([None, None, SECOND]),
    on_dead=st.sampled_from([None, None, "dead"]),
    flow=st.sampled_from([None, None, flow_text(Flow((Pass("slots"),)))]),
    rule=st.one_of(st.none(), st.none(), st.none(), st.none(), enqueue_rules),
    backlog=st.one_of(st.none(), st.none(), st.none(), st.none(), backlogs),
    expires_in=st.one_of(st.none(), st.none(), st.none(), expiries),
)
outcomes = st.sampled_from(
    [*[DONE] * 4, RetryLater(SECOND, BOOM), Snoozed(SECOND), Released(), Cancelled(), Discarded(BOOM)]
)


class Graphs(Twins):
    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.running: list[Lease] = []
        self.come_back: set[str] = set()

    def teardown(self) -> None:
        try:
            if self.alike:
                self.drain()
        finally:
            super().teardown()

    @initialize(slots=st.integers(1, 2), jobs=st.lists(st.tuples(new_jobs, children), min_size=4, max_size=12))
    def begin(self, slots: int, jobs: list[tuple[NewJob, list[tuple[int, OnFailure]]]]) -> None:
        row = LimitRow(name="slots", declared=Rule(slots=slots))
        self.both(lambda store: store.put_limits([row], declared=True))
        self.enqueue(jobs, False)

    @rule(
        jobs=st.lists(st.tuples(new_jobs, children), min_size=1, max_size=6),
        blind=st.sampled_from([False] * 9 + [True]),
    )
    def enqueue(self, jobs: list[tuple[NewJob, list[tuple[int, OnFailure]]]], blind: bool) -> None:
        """Jobs that wait for some of those before them: of those that are there, or, `blind`, for whatever was."""
        named: list[NewJob] = []
        for job, backs in jobs:
            known = {*self.model._rows, *(one.id for one in named)}
            wanted = ((f"j{self.number - back}", mode) for back, mode in backs)
            after = tuple(After(child, mode) for child, mode in wanted if blind or child in known)
            named.append(replace(job, id=f"j{self.number}", after=after))
            self.number += 1
        self.both_enqueue(named)

    @rule(slots=st.sampled_from([1, 3, 100]))
    def claim(self, slots: int) -> None:
        asked = [Want("a", slots), Want("b", slots)]
        claimed = self.both(lambda store: store.claim(asked, kinds=KINDS, worker="w", lease=9 * SECOND))
        self.running += [job.lease for job in claimed]
        for job in claimed:
            some = self.model._edges.get(job.id, {}).values()
            opened = [edge.child for edge in some if edge.state is None]
            ended = [edge for edge in some if edge.state is not None]
            let_go = goes_on(ended) or not self.come_back.isdisjoint(edge.child for edge in some)
            assert let_go or not opened, "it started before its children had ended"

    @rule(ends=st.lists(st.tuples(st.integers(0, 9), outcomes), min_size=1, max_size=5))
    def settle(self, ends: list[tuple[int, Outcome]]) -> None:
        if self.running:
            held = [(self.running[index % len(self.running)], outcome) for index, outcome in ends]
            self.both(lambda store: store.settle([Settlement(lease, outcome) for lease, outcome in held]))
            self.running = [lease for lease in self.running if lease not in dict(held)]

    @rule(limit=st.sampled_from([1, 2, 1000]))
    def sweep(self, limit: int) -> None:
        self.both(lambda store: store.sweep(limit=limit))

    @rule()
    def sweep_and_prune(self) -> None:
        self.both_sweep(retention=RETAIN)

    @rule(span=st.sampled_from([1, SECOND, SECOND, 5 * SECOND, 61 * SECOND]))
    def time_passes(self, span: int) -> None:
        self.clock.set(self.clock() + span)

    @rule(
        states=st.lists(st.sampled_from(list(JobState)), min_size=1, max_size=2, unique=True).map(tuple),
        action=st.sampled_from([Action.CANCEL, Action.DELETE, Action.RETRY, Action.RETRY, Action.RUN_NOW]),
        limit=st.integers(1, 3),
    )
    def alter_where(self, states: tuple[JobState, ...], action: Action, limit: int) -> None:
        self.note_retries(action)
        self.both(lambda store: store.alter(JobFilter(states=states), action, limit=limit))

    @rule(
        backs=st.lists(st.integers(1, 9), min_size=1, max_size=3),
        action=st.sampled_from([Action.CANCEL, Action.DELETE, Action.RETRY, Action.RETRY]),
    )
    def alter(self, backs: list[int], action: Action) -> None:
        self.note_retries(action)
        self.both(lambda store: store.alter([f"j{self.number - back}" for back in backs], action))

    def note_retries(self, action: Action) -> None:
        if action is Action.RETRY:
            self.come_back |= {row.job.id for row in self.model._rows.values() if row.job.state in FINAL_STATES}

    @invariant()
    def the_same_edges(self) -> None:
        known = [f"j{number}" for number in range(self.number)]
        self.both(lambda store: store.edges(known))

    @invariant()
    def who_waits_for_children_has_some_that_live(self) -> None:
        rows = self.model._rows
        for edge in self.model._all_edges():
            live = edge.child in rows and rows[edge.child].job.state in LIVE_STATES
            assert (edge.state is None) is live or edge.child not in rows, f"{edge} is not how its child is"
        for row in rows.values():
            if row.job.parked_by == CHILDREN:
                assert row.job.state is JobState.PARKED
                assert self.model._waits(row.job.id), f"{row.job.id} waits for nobody"

    def drain(self) -> None:
        """Let everything run."""
        for _ in range(200):
            report = self.both(lambda store: store.sweep())
            self.claim(100)
            self.both(lambda store: store.settle([Settlement(lease, DONE) for lease in self.running]))
            self.running.clear()
            self.the_same_edges()
            stats = self.both(lambda store: store.queues())
            if not any(queue.counts[state] for queue in stats for state in LIVE_STATES):
                break
            if report.next_due_at is not None:
                self.clock.set(max(self.clock(), report.next_due_at))
        else:
            raise AssertionError("some jobs wait for ever")


TestGraphs = on_every_store(Graphs, 30)
