"""The model and a real store live the same life of jobs that start one by one, and of breakers.

As `test_machine_gates`, where nearly every job has its turn at a gate with an order before it passes others. What ends or
changes jobs while they wait is in it, too: a place that nobody gives up would stop the others for ever.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from tests.conformance._twins import backlogs, expiries, key_rules, on_every_store, passes, rate_rules, slot_rules
from tests.conformance.test_machine_gates import KINDS, QUEUES, Gates, outcomes

from tidewheel._model.duration import SECOND
from tidewheel._model.flow import Flow, Pass, flow_text, order_key_of
from tidewheel._model.job import Job, NewJob
from tidewheel._model.limit import Rule
from tidewheel._model.outcome import Outcome
from tidewheel._model.query import Action
from tidewheel._model.state import JobState
from tidewheel._model.worker import Want

turns = st.builds(
    lambda value, order: Pass("line", value, holds=False, order=order),
    st.sampled_from(["", "k"]),
    st.sampled_from(["block", "block", "skip"]),
)
circuits = st.builds(lambda value: Pass("circuit", value, trips=True), st.sampled_from(["", "k"]))
flows = st.builds(
    lambda turn, others: flow_text(Flow((*turn, *others))),
    st.lists(turns, min_size=1, max_size=1) | st.just([]),
    st.lists(passes | circuits, max_size=2, unique_by=lambda one: one.key),
)
new_jobs = st.builds(
    NewJob,
    id=st.just(""),
    kind=st.sampled_from([*KINDS, "x"]),
    args=st.sampled_from(["[]", "[1]"]),
    queue=st.sampled_from([*QUEUES, "a"]),
    priority=st.sampled_from([1, 1, 1, 2]),
    delay=st.sampled_from([0, 0, 0, SECOND]),
    lifo=st.sampled_from([False] * 5 + [True]),
    max_attempts=st.sampled_from([1, 3, 3]),
    max_crashes=st.sampled_from([2, 3]),
    flow=flows,
    rule=st.one_of(st.none(), st.none(), key_rules),
    backlog=st.one_of(st.none(), st.none(), backlogs),
    expires_in=st.one_of(st.none(), st.none(), expiries),
)
lines = st.builds(Rule, slots=st.sampled_from([1, 1, 1, 0, 2]), paused=st.sampled_from([None, None, True]))


class InOrder(Gates):
    @initialize(first=slot_rules, second=rate_rules, jobs=st.lists(new_jobs, min_size=4, max_size=12))
    def begin(self, first: Rule, second: Rule, jobs: list[NewJob]) -> None:
        self.declare("line", Rule(slots=1))
        self.declare("circuit", Rule(failures=2, within=5 * SECOND, open_for=SECOND))
        super().begin(first, second, jobs)

    @rule(jobs=st.lists(new_jobs, min_size=1, max_size=5))
    def enqueue(self, jobs: list[NewJob]) -> None:
        super().enqueue(jobs)

    @rule(ends=st.lists(st.tuples(st.integers(0, 9), outcomes), min_size=1, max_size=4))
    def settle(self, ends: list[tuple[int, Outcome]]) -> None:
        super().settle(ends)

    @rule(slots=st.integers(1, 3), queue=st.sampled_from(QUEUES))
    def claim_a_few(self, slots: int, queue: str) -> None:
        self.claim([Want(queue, slots)], KINDS)

    @rule(word=lines)
    def change_the_line(self, word: Rule) -> None:
        self.declare("line", word)

    @rule(failures=st.integers(1, 2), probes=st.sampled_from([None, 2]), slots=st.sampled_from([None, None, 2]))
    def change_the_circuit(self, failures: int, probes: int | None, slots: int | None) -> None:
        word = Rule(failures=failures, within=5 * SECOND, open_for=5 * SECOND, probes=probes, slots=slots)
        self.declare("circuit", word)

    @rule(key=st.sampled_from(["line", "line:k"]), paused=st.sampled_from([None, True]))
    def pause_a_key(self, key: str, paused: bool | None) -> None:
        self.overrule(key, Rule(paused=paused) if paused else None)

    @rule(key=st.sampled_from(["line", "line:k"]), action=st.sampled_from(list(Action)))
    def end_whose_turn_it_is(self, key: str, action: Action) -> None:
        if holder := self.holders().get(key):
            self.both(lambda store: store.alter([holder.id], action))

    def holders(self) -> dict[str, Job]:
        places = {row.place: row.job for row in self.model._rows.values()}
        gates = self.model._gates.items()
        return {key: places[gate.holder] for key, gate in gates if gate.holder is not None}

    @invariant()
    def a_place_is_held_by_a_job_that_may_still_run(self) -> None:
        for key, job in self.holders().items():
            assert not job.state.final
            assert order_key_of(job.flow) == key

    @invariant()
    def who_runs_has_the_place(self) -> None:
        holders = self.holders()
        for row in self.model._rows.values():
            key = order_key_of(row.job.flow)
            if key is not None and row.job.state is JobState.RUNNING:
                assert holders[key].id == row.job.id

    def drain(self) -> None:
        for key in ("line", "line:k"):
            self.overrule(key, None)
        self.declare("line", Rule(slots=1))
        super().drain()


TestInOrder = on_every_store(InOrder)
