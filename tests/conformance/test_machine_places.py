"""The model and a real store live the same life of jobs with a lead, and of tenants who take turns, in graphs and out of them."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.conformance._twins import enqueue_rules, on_every_store
from tests.conformance.test_machine_graphs import Graphs, children

from tidewheel._model.after import OnFailure
from tidewheel._model.duration import SECOND
from tidewheel._model.enqueue_rule import Fair
from tidewheel._model.job import NewJob

new_jobs = st.builds(
    NewJob,
    id=st.just(""),
    kind=st.just("x"),
    args=st.just("[]"),
    queue=st.sampled_from(["a", "a", "a", "b"]),
    priority=st.sampled_from([1, 1, 1, 2]),
    delay=st.sampled_from([0, 0, 0, 0, SECOND]),
    lifo=st.sampled_from([False] * 5 + [True]),
    max_attempts=st.sampled_from([1, 3]),
    max_crashes=st.sampled_from([2, 3]),
    rule=st.one_of(st.none(), st.none(), enqueue_rules),
    lead=st.sampled_from([0, 0, 1, SECOND, 9 * SECOND]),
    fair=st.one_of(st.none(), st.builds(Fair, st.sampled_from(["fair:a", "fair:b"]), st.sampled_from([1, 5, SECOND]))),
)


class Places(Graphs):
    @rule(jobs=st.lists(st.tuples(new_jobs, st.one_of(st.just([]), children)), min_size=1, max_size=6))
    def enqueue_at_places(self, jobs: list[tuple[NewJob, list[tuple[int, OnFailure]]]]) -> None:
        self.enqueue(jobs, False)


TestPlaces = on_every_store(Places, 30)
