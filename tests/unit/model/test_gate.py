"""The arithmetic of gates, the rates against brute force over all windows."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel._model.gate import Gate, Room, capacity, freed, idle, idle_at, room, shut, taken
from tidewheel._model.limit import ROOM_MOST, SLIDING_MOST, Rule

NOW = 1_000_000_000
rates = st.builds(
    Rule,
    count=st.integers(1, 5),
    per=st.integers(1, 40),
    algorithm=st.sampled_from([None, "sliding", "bucket", "fixed"]),
    burst=st.sampled_from([None, 1, 2, 7]),
)
asks = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), max_size=40)
"""Time that passes, then a start of some cost."""


def starts_of(rule: Rule, steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """When how much started. Each answer of the gate is compared with brute force on the way."""
    gate, now, starts = Gate(), NOW, list[tuple[int, int]]()
    for step, cost in steps:
        now += step
        free, at = room(rule, gate, now, cost)
        most = min(cost, capacity(rule))
        assert free == left(rule, starts, now) // most
        if free:
            assert at is None
            taken(rule, gate, now, cost, holds=False)
            starts.append((now, most))
        else:
            assert at is not None
            assert at == next(moment for moment in range(now, now + 1000) if left(rule, starts, moment) >= most)
    return starts


def left(rule: Rule, starts: list[tuple[int, int]], now: int) -> int:
    """What a rate has at a moment, by looking at all its starts."""
    assert rule.count is not None
    assert rule.per is not None
    if rule.algorithm == "bucket":
        step = -(-rule.per // rule.count)
        content, since = Fraction(capacity(rule)), 0
        for moment, cost in [*starts, (now, 0)]:
            content = min(Fraction(capacity(rule)), content + Fraction(moment - since, step)) - cost
            since = moment
        return int(content)
    first = now - now % rule.per if rule.algorithm == "fixed" else now - rule.per + 1
    return rule.count - sum(cost for moment, cost in starts if first <= moment <= now)


@given(rates, asks)
def test_no_window_holds_more_than_the_rule_permits(rule: Rule, steps: list[tuple[int, int]]) -> None:
    assert rule.count is not None
    assert rule.per is not None
    starts = starts_of(rule, steps)
    for first, (begin, _) in enumerate(starts):
        for end, _ in starts[first:]:
            inside = sum(cost for moment, cost in starts[first:] if moment <= end)
            if rule.algorithm == "bucket":
                assert inside <= capacity(rule) + Fraction((end - begin) * rule.count, rule.per)
            elif end - begin < rule.per:
                assert inside <= (2 if rule.algorithm == "fixed" else 1) * rule.count


@given(rates, asks, rates, st.integers(-1000, 1000), st.lists(st.integers(0, 60), max_size=5))
def test_whatever_a_gate_remembers_it_is_open_again_soon(
    before: Rule, steps: list[tuple[int, int]], rule: Rule, off: int, waits: list[int]
) -> None:
    """A clock that was set back, a rule that was changed, another algorithm: none of them shuts it for long."""
    assert rule.per is not None
    gate, now = Gate(), NOW + off
    for step, cost in steps:
        now += step
        if room(before, gate, now, cost).free:
            taken(before, gate, now, cost, holds=False)
    now = NOW
    for wait in waits:
        now += wait
        free, at = room(rule, gate, now)
        assert free or (at is not None and at > now)
        if free:
            taken(rule, gate, now, 1, holds=False)
    room(rule, gate, now)
    fill = -(-rule.per // (rule.count or 1)) * capacity(rule)
    assert room(rule, gate, now + 2 * max(rule.per, fill)).free == capacity(rule)


@given(rates, st.lists(st.tuples(st.integers(-10, 30), st.integers(1, 3)), max_size=40))
def test_a_clock_that_steps_back_breaks_no_window(rule: Rule, steps: list[tuple[int, int]]) -> None:
    """By the gate's own clock, which stands still until the other has caught up."""
    assert rule.per is not None
    gate, now, high, starts = Gate(), NOW, 0, list[tuple[int, int]]()
    for step, cost in steps:
        now = max(now + step, high - rule.per)
        if room(rule, gate, now, cost).free:
            high = max(high, now)
            taken(rule, gate, now, cost, holds=False)
            starts.append((high, min(cost, capacity(rule))))
            assert left(rule, starts, high) >= 0


def test_slots() -> None:
    rule, gate = Rule(slots=2), Gate()
    assert room(rule, gate, NOW) == Room(2)
    taken(rule, gate, NOW, 1, holds=True)
    taken(rule, gate, NOW, 5, holds=True)
    assert room(rule, gate, NOW) == Room(0, None), "only an end opens it"
    freed(gate)
    assert room(rule, gate, NOW) == Room(1)
    freed(gate)
    freed(gate)
    assert gate.used == 0


def test_fewer_slots_than_are_in_use() -> None:
    gate = Gate(used=5)
    assert room(Rule(slots=3), gate, NOW) == Room(0, None)
    assert room(Rule(slots=6), gate, NOW) == Room(1)


@pytest.mark.parametrize("rule", [None, Rule(paused=True), Rule(paused=True, count=9, per=9), Rule(slots=0)])
def test_what_only_a_person_opens(rule: Rule | None) -> None:
    assert room(rule, Gate(), NOW) == Room(0, None)


@pytest.mark.parametrize("algorithm", ["sliding", "bucket", "fixed"])
@pytest.mark.parametrize("numbers", [{"count": 0, "per": 9}, {"count": 9, "per": 0}, {"count": 9}])
def test_a_rate_of_nothing_is_shut(algorithm: str, numbers: dict[str, int]) -> None:
    assert room(Rule(algorithm=algorithm, **numbers), Gate(), NOW) == Room(0, None)  # type: ignore[arg-type]  # by name


def test_a_rule_that_says_nothing_permits_as_many_as_anybody_lets_in_at_once() -> None:
    assert room(Rule(), Gate(used=7), NOW) == Room(ROOM_MOST)
    assert room(Rule(slots=10_000), Gate(), NOW) == Room(ROOM_MOST)
    assert room(Rule(count=10_000, per=9, algorithm="fixed"), Gate(), NOW) == Room(ROOM_MOST)
    assert room(Rule(count=10_000, per=9), Gate(), NOW) == Room(SLIDING_MOST)


def test_slots_and_a_rate_in_one_rule() -> None:
    rule, gate = Rule(slots=2, count=3, per=100), Gate()
    for _ in range(2):
        taken(rule, gate, NOW, 1, holds=True)
    assert room(rule, gate, NOW) == Room(0, None)
    freed(gate)
    assert room(rule, gate, NOW) == Room(1)
    taken(rule, gate, NOW, 1, holds=True)
    freed(gate)
    assert room(rule, gate, NOW) == Room(0, NOW + 100)


def test_shut_by_a_handlers_word() -> None:
    gate = Gate()
    shut(gate, NOW + 10)
    shut(gate, NOW + 5)
    assert room(Rule(), gate, NOW + 9) == Room(0, NOW + 10)
    assert room(Rule(), gate, NOW + 10).free
    assert room(Rule(slots=0), gate, NOW) == Room(0, None)


@pytest.mark.parametrize("algorithm", ["sliding", "bucket", "fixed"])
def test_what_costs_more_than_there_is_takes_all_of_it(algorithm: str) -> None:
    rule, gate = Rule(count=4, per=100, algorithm=algorithm), Gate()  # type: ignore[arg-type]  # by name
    assert room(rule, gate, NOW, 50) == Room(1)
    taken(rule, gate, NOW, 50, holds=False)
    assert room(rule, gate, NOW, 1).free == 0
    free, at = room(rule, gate, NOW, 50)
    assert (free, at) == (0, NOW + 100)
    assert room(rule, gate, NOW + 100, 50) == Room(1)


def test_a_raised_rate_acts_at_once() -> None:
    gate = Gate()
    taken(Rule(count=1, per=1_000_000, algorithm="bucket"), gate, NOW, 1, holds=False)
    assert room(Rule(count=1000, per=1_000_000, algorithm="bucket", burst=1), gate, NOW) == Room(0, NOW + 1000)


@given(rates, asks)
def test_an_idle_gate_answers_like_a_new_one_from_its_moment_on(rule: Rule, steps: list[tuple[int, int]]) -> None:
    gate, now = Gate(), NOW
    for step, cost in steps:
        now += step
        if room(rule, gate, now, cost).free:
            taken(rule, gate, now, cost, holds=False)
    at = idle_at(rule, gate)
    assert at is not None
    assert idle(rule, gate, at)
    assert not idle(rule, gate, at - 1)
    for cost in (1, 2, 3):
        assert room(rule, gate, max(now, at), cost) == room(rule, Gate(), max(now, at), cost)


def test_who_is_used_or_waited_for_is_not_idle() -> None:
    assert idle(Rule(slots=1), Gate(), NOW)
    assert idle(None, Gate(), NOW)
    assert not idle(Rule(slots=1), Gate(used=1), NOW)
    assert not idle(None, Gate(waiting=True), NOW)
    assert not idle(Rule(slots=1), Gate(shut_until=NOW + 1), NOW)
