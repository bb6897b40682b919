"""The model and a real store live the same life: random operations go into both, every answer is compared.

Few ids, queues, keys and times make collisions likely: stale and repeated leases, ids that exist, keys that are
held, things that are due at the same moment. Where the specification leaves the order of equals open, both stores
take them in the order of the enqueue. TIDEWHEEL_HYPOTHESIS=long looks for hours instead of seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from tests.conformance._twins import (
    LIMITS,
    Twins,
    backlogs,
    enqueue_rules,
    expiries,
    flows,
    gate_names,
    hit,
    live_on_postgres,
    on_every_store,
    rate_rules,
    slot_rules,
    words,
)
from tests.servers.postgres import Postgres

from tidewheel._model.duration import SECOND
from tidewheel._model.job import ErrorInfo, Lease, LogLine, NewJob
from tidewheel._model.limit import Hit, LimitRow, Rule
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome, Released, RetryLater, Settlement, Snoozed
from tidewheel._model.query import Action, JobFilter
from tidewheel._model.queue import QueueSettings
from tidewheel._model.retention import FOREVER, Keep, Retention, RetentionRule
from tidewheel._model.state import JobState
from tidewheel._model.worker import LeaseBeat, Want, WorkerInfo
from tidewheel._store.base import Store

IDS = [f"j{number}" for number in range(10)]
QUEUES, KINDS, WORKERS = ["a", "b"], ["x", "y", "dead"], ["w1", "w2"]
SPANS = [0, 1, SECOND, 5 * SECOND, 60 * SECOND]

ids = st.sampled_from([*IDS, "made-000001", "made-000002", "made-000003"])
queues, kinds, workers = st.sampled_from(QUEUES), st.sampled_from(KINDS), st.sampled_from(WORKERS)
spans = st.sampled_from(SPANS)
backs = st.integers(0, 5)
keeps = st.sampled_from([None, None, 0, SECOND, 5 * SECOND])
texts = st.sampled_from(["", "plain", "ünïcödé \U0001f40b", 'quo"te', "per%cent_"])
errors = st.builds(ErrorInfo, texts, texts, texts)
progress = st.sampled_from([None, None, "1", '{"done":2}'])
logs = st.lists(st.builds(LogLine, spans, st.sampled_from(["info", "error"]), texts), max_size=2).map(tuple)
new_jobs = st.builds(
    NewJob,
    id=st.sampled_from(IDS),
    kind=kinds,
    args=st.sampled_from(['{"args":[]}', '{"args":["plain"]}']),
    queue=queues,
    priority=st.sampled_from([1, 1, 1, 2, 1000]),
    delay=spans,
    run_at=st.none(),
    lifo=st.booleans(),
    max_attempts=st.sampled_from([1, 2, 3]),
    max_crashes=st.sampled_from([1, 2, 3]),
    unique_key=st.sampled_from([None, None, "u", "v"]),
    tags=st.sampled_from([(), ("t",), ("t", 'quo"te')]),
    meta=st.sampled_from([None, "{}"]),
    keep_completed=keeps,
    keep_failed=keeps,
    on_dead=st.sampled_from([None, "dead"]),
    flow=st.one_of(st.none(), flows),
    rule=st.one_of(st.none(), st.none(), enqueue_rules),
    backlog=st.one_of(st.none(), st.none(), backlogs),
    expires_in=st.one_of(st.none(), st.none(), expiries),
)
outcomes = st.one_of(
    st.builds(Complete, st.sampled_from(["null", '"done"'])),
    st.builds(RetryLater, spans, errors, st.sampled_from([(), (), ("rate",), ("slots",)])),
    st.builds(Snoozed, spans),
    st.builds(Released, texts),
    st.builds(Cancelled, texts),
    st.builds(Discarded, errors),
)
kept = st.sampled_from([FOREVER, Keep(count=0), Keep(count=1), Keep(age=SECOND), Keep(count=2, age=5 * SECOND)])
rules = st.lists(
    st.builds(RetentionRule, kinds, st.sampled_from([None, "a"]), st.builds(Retention, kept, kept)), max_size=3
)
filters = st.builds(
    JobFilter,
    states=st.lists(st.sampled_from(list(JobState)), max_size=2, unique=True).map(tuple),
    queues=st.sampled_from([(), ("a",), ("a", "b")]),
    kinds=st.sampled_from([(), ("x",), ("y", "dead")]),
    tag=st.sampled_from([None, None, "t"]),
    text=st.sampled_from([None, None, "plain", "%", "j1"]),
)


class TwoStores(Twins):
    @rule(span=spans)
    def time_passes(self, span: int) -> None:
        self.clock.set(self.clock() + span)

    @rule(span=st.sampled_from([1, SECOND]))
    def the_clock_steps_back(self, span: int) -> None:
        self.clock.set(max(self.clock() - span, self.swept))

    @initialize(jobs=st.lists(new_jobs, min_size=2, max_size=8), first=slot_rules, second=rate_rules)
    def begin(self, jobs: list[NewJob], first: Rule, second: Rule) -> None:
        rows = [LimitRow(name="slots", declared=first), LimitRow(name="rate", declared=second)]
        self.both(lambda store: store.put_limits(rows, declared=True))
        self.both(lambda store: store.enqueue(jobs))

    @rule(jobs=st.lists(new_jobs, max_size=5))
    def enqueue(self, jobs: list[NewJob]) -> None:
        self.both(lambda store: store.enqueue(jobs))

    @rule(job=new_jobs, at=st.sampled_from([-5 * SECOND, -1, 0, 1, 5 * SECOND]))
    def enqueue_for(self, job: NewJob, at: int) -> None:
        timed = NewJob(**{**{name: getattr(job, name) for name in job.__struct_fields__}, "run_at": self.clock() + at})
        self.both(lambda store: store.enqueue([timed]))

    def lease(self, back: int) -> Lease:
        """A lease that was given out: the last one, or one `back` from it."""
        return self.leases[max(0, len(self.leases) - 1 - back)]

    @rule(
        wanted=st.lists(st.builds(Want, queues, st.integers(0, 4)), max_size=2, unique_by=lambda want: want.queue),
        known=st.lists(kinds, min_size=1, unique=True),
        worker=workers,
        lease=st.sampled_from(SPANS[2:]),
        last_life=st.booleans(),
    )
    def claim(self, wanted: list[Want], known: list[str], worker: str, lease: int, last_life: bool) -> None:
        claimed = self.both(
            lambda store: store.claim(wanted, kinds=known, worker=worker, lease=lease, last_life=last_life)
        )
        self.leases += [job.lease for job in claimed]

    @rule(worker=workers)
    def claim_everything(self, worker: str) -> None:
        wants = [Want(queue, 100) for queue in QUEUES]
        claimed = self.both(lambda store: store.claim(wants, kinds=KINDS, worker=worker, lease=5 * SECOND))
        self.leases += [job.lease for job in claimed]

    @rule(worker=workers, said=st.lists(st.tuples(backs, progress, logs), max_size=3), lease=spans)
    def beat(self, worker: str, said: list[tuple[int, str | None, tuple[LogLine, ...]]], lease: int) -> None:
        info = WorkerInfo(id=worker, host="h", pid=1, queues=("a",), kinds=("x",), concurrency=1)
        beats = {self.lease(back): (news, lines) for back, news, lines in said}
        told = [LeaseBeat(held, progress=news, logs=lines) for held, (news, lines) in beats.items()]
        self.both(lambda store: store.beat(info, told, lease=lease))

    @rule(ends=st.lists(st.tuples(backs, outcomes, progress, logs), min_size=1, max_size=4))
    def settle(self, ends: list[tuple[int, Outcome, str | None, tuple[LogLine, ...]]]) -> None:
        items = [Settlement(self.lease(back), outcome, news, lines) for back, outcome, news, lines in ends]
        self.both(lambda store: store.settle(items))

    @rule(lease=st.builds(Lease, ids, st.integers(1, 4)), outcome=outcomes)
    def settle_a_guess(self, lease: Lease, outcome: Outcome) -> None:
        self.both(lambda store: store.settle([Settlement(lease, outcome)]))

    @rule(retention=rules, gone=st.sampled_from(SPANS[2:]))
    def sweep(self, retention: list[RetentionRule], gone: int) -> None:
        self.both_sweep(retention=retention, worker_gone_after=gone)

    @rule(limit=st.integers(1, 3))
    def sweep_a_little(self, limit: int) -> None:
        self.both(lambda store: store.sweep(limit=limit))

    @rule(named=st.lists(ids, max_size=3), action=st.sampled_from(list(Action)))
    def alter(self, named: list[str], action: Action) -> None:
        self.both(lambda store: store.alter(named, action))

    @rule(
        where=filters.filter(lambda where: not where.empty),
        action=st.sampled_from(list(Action)),
        limit=st.integers(1, 9),
    )
    def alter_where(self, where: JobFilter, action: Action, limit: int) -> None:
        self.both(lambda store: store.alter(where, action, limit=limit))

    @rule(
        settings=st.lists(
            st.builds(QueueSettings, name=queues, paused=st.booleans()), max_size=2, unique_by=lambda q: q.name
        )
    )
    def put_queues(self, settings: list[QueueSettings]) -> None:
        self.both(lambda store: store.put_queues(settings))

    @rule(name=st.sampled_from(LIMITS), word=st.one_of(st.none(), slot_rules, rate_rules))
    def declare(self, name: str, word: Rule | None) -> None:
        self.both(lambda store: store.put_limits([LimitRow(name=name, declared=word)], declared=True))
        self.both(lambda store: store.limits())

    @rule(name=gate_names, word=words)
    def overrule(self, name: str, word: Rule | None) -> None:
        self.both(lambda store: store.put_limits([LimitRow(name=name, operator=word)], declared=False))
        self.both(lambda store: store.limits())

    @rule(hits=st.lists(st.builds(Hit, st.just("rate"), st.sampled_from(["", "k"]), st.integers(1, 3)), max_size=3))
    def hit(self, hits: list[Hit]) -> None:
        self.both(lambda store: hit(store, hits))

    @rule(where=filters, limit=st.integers(1, 4))
    def pages(self, where: JobFilter, limit: int) -> None:
        self.both(lambda store: _pages(store, where, limit))

    @rule(since=spans)
    def a_time_window(self, since: int) -> None:
        window = JobFilter(enqueued_after=self.clock() - since, enqueued_before=self.clock())
        self.both(lambda store: store.list(window, limit=1000))
        self.both(lambda store: store.list(JobFilter(finished_before=self.clock() - since), limit=1000))

    @rule(named=st.lists(ids, max_size=3))
    def look(self, named: list[str]) -> None:
        self.both(lambda store: store.get(named))
        self.both(lambda store: store.queues())
        self.both(lambda store: store.workers())


async def _pages(store: Store, where: JobFilter, limit: int) -> list[list[str]]:
    """The ids, page by page."""
    pages, cursor = [], None
    while True:
        page = await store.list(where, limit=limit, cursor=cursor)
        pages.append([job.id for job in page.jobs])
        cursor = page.next
        if cursor is None:
            return pages


class TestTwoStores(on_every_store(TwoStores)):  # type: ignore[misc]
    def test_postgres_does_what_the_model_does(self, postgres: Postgres, new_schema: Callable[[], str]) -> None:
        live_on_postgres(TwoStores, postgres, new_schema)  # the oldest that we work on, too
