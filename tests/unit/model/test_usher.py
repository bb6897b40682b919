"""One walk along a line, and what a gate lets back in. That nothing is lost and nothing spins is shown by whole lives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidewheel._model.errors import StoreError
from tidewheel._model.flow import Flow, Pass
from tidewheel._model.gate import Gate, room
from tidewheel._model.limit import Hit, Rule
from tidewheel._model.usher import Candidate, emptied, give_back, limit_of, look, rate_of, walk

NOW = 1_000_000


def through(*keys: str) -> Flow:
    return Flow(tuple(Pass(key) for key in keys))


def test_who_finds_room_everywhere_is_taken_who_does_not_is_parked_under_the_first_that_refuses() -> None:
    gates: dict[str, Gate] = {}
    line = [Candidate(number, through("a", "b")) for number in range(3)]
    done = walk(line, gates, {"a": Rule(slots=2), "b": Rule(slots=1)}, 9, NOW)
    assert (done.take, done.park, done.touched) == ([0], [(1, "b"), (2, "b")], {"a", "b"})
    assert gates == {"a": Gate(used=1), "b": Gate(used=1, waiting=True)}


def test_it_ends_when_the_slots_are_filled_and_goes_on_with_the_next_piece() -> None:
    gates: dict[str, Gate] = {}
    line = [Candidate(number, through("a")) for number in range(5)]
    assert walk(line, gates, {"a": Rule(slots=3)}, 2, NOW).take == [0, 1]
    done = walk(line[2:], gates, {"a": Rule(slots=3)}, 2, NOW)
    assert (done.take, done.park) == ([2], [(3, "a"), (4, "a")])
    assert walk(line, gates, {}, 0, NOW).take == []


def test_jobs_without_limits_pass() -> None:
    done = walk([Candidate(1, None), Candidate(2, Flow())], {}, {}, 9, NOW)
    assert (done.take, done.park, done.touched) == ([1, 2], [], set())


def test_a_gate_behind_the_one_that_refuses_is_not_asked() -> None:
    gates: dict[str, Gate] = {}
    done = walk([Candidate(1, through("a", "b"), "c")], gates, {}, 9, NOW)
    assert (done.park, done.touched, set(gates)) == ([(1, "a")], {"a", "c"}, {"a", "c"})


def test_needs_is_the_cost_that_was_refused_last_or_let_go_from_the_gate() -> None:
    gates = {"r": Gate()}
    rules = {"r": Rule(count=10, per=100)}
    line = [Candidate(cost, Flow((Pass("r", "", cost, holds=False),))) for cost in (8, 5, 4)]
    walk(line, gates, rules, 9, NOW)
    assert gates["r"].needs == 4
    walk([Candidate(1, Flow((Pass("r", "", 1, holds=False),)), "r")], gates, rules, 9, NOW)
    assert gates["r"].needs == 1
    walk([Candidate(1, Flow((Pass("r", "", 1, holds=False),)))], gates, rules, 9, NOW)
    walk([Candidate(1, Flow((Pass("r", "", 3, holds=False),)))], gates, rules, 9, NOW)
    assert gates["r"].needs == 3


def test_the_end_of_an_attempt() -> None:
    flow = Flow((Pass("a", "x"), Pass("r", "", 3, holds=False)))
    gates = {"a:x": Gate(used=2), "r": Gate(level=[NOW])}
    assert give_back(flow, gates) == {"a:x"}
    assert gates == {"a:x": Gate(used=1), "r": Gate(level=[NOW])}
    assert give_back(flow, gates, hold=("r", "other"), until=NOW + 5, held=False) == {"r"}
    assert (gates["a:x"].used, gates["r"].shut_until) == (1, NOW + 5)


def test_a_look_says_how_many_and_when_the_next_look_is() -> None:
    gate = Gate(used=1, opens_at=NOW)
    assert look(Rule(slots=3), gate, NOW) == 0
    assert gate.opens_at is None
    gate.waiting = True
    assert (look(Rule(slots=3), gate, NOW), gate.opens_at) == (2, None)
    assert (look(Rule(slots=1), gate, NOW), gate.opens_at) == (0, None)
    gate.shut_until = NOW + 5
    assert (look(Rule(slots=3), gate, NOW), gate.opens_at) == (0, NOW + 5)
    emptied(gate)
    assert gate == Gate(used=1, shut_until=NOW + 5)


def test_what_may_be_hit() -> None:
    rate = Rule(count=1, per=1)
    assert rate_of(Hit("r"), rate) is rate
    for rule in (None, Rule(), Rule(slots=1, count=1, per=1)):
        with pytest.raises(StoreError, match="'r'"):
            rate_of(Hit("r"), rule)


def test_the_limit_of_a_gate() -> None:
    assert (limit_of("a"), limit_of("a:b:c")) == ("a", "a")


@dataclass
class Life:
    """The smallest store: one list of jobs that do nothing but wait, run and end."""

    rules: dict[str, Rule | None]
    now: int = NOW
    line: dict[int, Flow] = field(default_factory=dict)
    scouts: dict[int, str] = field(default_factory=dict)
    parked: dict[int, str] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    jobs: dict[int, Flow] = field(default_factory=dict)
    gates: dict[str, Gate] = field(default_factory=dict)
    walked: int = 0

    def enqueue(self, flow: Flow) -> None:
        number = len(self.jobs)
        self.jobs[number] = self.line[number] = flow

    def claim(self, slots: int) -> int:
        line = [Candidate(number, self.line[number], self.scouts.get(number)) for number in sorted(self.line)]
        done = walk(line, self.gates, self.rules, slots, self.now)
        self.walked += len(done.park)
        for number in [*done.take, *(number for number, _ in done.park)]:
            del self.line[number]
            self.scouts.pop(number, None)
        self.parked.update(done.park)
        self.running.update(done.take)
        self.look(done.touched)
        return len(done.take)

    def settle_one(self, index: int, hold: int) -> None:
        for number in sorted(self.running)[index : index + 1]:
            self.settle(number, hold)

    def wait(self, span: int) -> None:
        self.now += span

    def settle(self, number: int, hold: int) -> None:
        self.running.discard(number)
        limits = [one.limit for one in self.jobs[number].passes[:hold]]
        self.look(give_back(self.jobs[number], self.gates, hold=limits, until=self.now + 7))

    def cancel(self, number: int) -> None:
        self.line.pop(number, None)
        self.parked.pop(number, None)
        if (key := self.scouts.pop(number, None)) and self.gates[key].waiting:
            self.gates[key].opens_at = self.now

    def change(self, key: str, rule: Rule | None) -> None:
        self.rules[key] = rule
        if (gate := self.gates.get(key)) and gate.waiting:
            gate.opens_at = self.now

    def sweep(self) -> None:
        self.look({key for key, gate in self.gates.items() if gate.opens_at is not None and gate.opens_at <= self.now})

    def look(self, touched: set[str]) -> None:
        for key in sorted(touched):
            if free := look(self.rules.get(key), self.gates[key], self.now):
                waiting = sorted(number for number, gate in self.parked.items() if gate == key)
                for number in waiting[: max(0, free - sum(gate == key for gate in self.scouts.values()))]:
                    del self.parked[number]
                    self.scouts[number] = key
                    self.line[number] = self.jobs[number]
                if key not in self.parked.values():
                    emptied(self.gates[key])

    def check(self) -> None:
        for key, gate in self.gates.items():
            holders = [one for number in self.running for one in self.jobs[number].passes if one.key == key]
            assert gate.used == sum(one.holds for one in holders)
            if key in self.parked.values():
                assert gate.waiting
                awake = gate.opens_at is not None or key in self.scouts.values()
                assert awake or room(self.rules.get(key), gate, self.now, gate.needs) == (0, None)

    def drain(self) -> Iterator[int]:
        """Run everything that is left; gives what each round claimed."""
        for number in list(self.running):
            self.settle(number, 0)
        while self.line or self.parked:
            self.sweep()
            yield self.claim(100)
            for number in list(self.running):
                self.settle(number, 0)
            if not self.line:
                due = [gate.opens_at for gate in self.gates.values() if gate.opens_at is not None]
                self.now = max(self.now, min(due, default=self.now))


KEYS = ["a", "b", "r", "s:x"]
slots = st.builds(Rule, slots=st.sampled_from([1, 1, 2]))
rates = st.builds(
    Rule,
    count=st.integers(1, 4),
    per=st.integers(1, 20),
    algorithm=st.sampled_from(["sliding", "bucket", "fixed"]),
    slots=st.sampled_from([None, None, 2]),
)
shut = st.sampled_from([None, Rule(paused=True), Rule(slots=0)])
rules = st.one_of(slots, rates, shut)
passes = st.builds(
    lambda key, cost: Pass(limit_of(key), key.partition(":")[2], cost, holds=key in "ab"),
    st.sampled_from(KEYS),
    st.integers(1, 5),
)
flows = st.lists(passes, max_size=3, unique_by=lambda one: one.key).map(lambda some: Flow(tuple(some)))
steps = st.lists(
    st.one_of(
        *[st.tuples(st.just("enqueue"), flows)] * 3,
        *[st.tuples(st.just("claim"), st.integers(1, 5))] * 3,
        *[st.tuples(st.just("settle_one"), st.integers(0, 9), st.sampled_from([0, 0, 0, 1, 2]))] * 2,
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("change"), st.sampled_from(KEYS), rules),
        st.tuples(st.just("wait"), st.integers(-3, 15)),
        st.tuples(st.just("sweep")),
    ),
    min_size=30,
    max_size=60,
)


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(st.fixed_dictionaries({"a": slots, "b": slots, "r": rates, "s:x": rules}), steps)
def test_in_any_life_no_wake_up_is_lost_and_everything_drains(
    declared: dict[str, Rule | None], life: list[tuple[Any, ...]]
) -> None:
    world = Life(dict(declared))
    for word, *values in life:
        getattr(world, word)(*values)
        world.check()
    for key in KEYS:
        if (rule := world.rules[key]) is None or rule.paused or rule.slots == 0:
            world.change(key, Rule(slots=1))
    left, world.walked = len(world.line) + len(world.parked), 0
    for rounds, _ in enumerate(world.drain()):
        world.check()
        assert rounds <= 10 + 8 * left, "it spins"
    assert world.walked <= 10 + 8 * left, "jobs are let in and parked again and again"
