"""Who gets the slots of a claim: shares over time, exact within a claim, and nobody passed over."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel._engine.shares import Shares, remaining
from tidewheel._model.job import Claimed
from tidewheel._model.worker import Want


def deals(shares: Shares, slots: int, claims: int) -> Counter[str]:
    """What so many claims ask for, all in all."""
    got = Counter[str]()
    for _ in range(claims):
        for want in shares.deal(slots, shares.lines[0]):
            got[want.queue] += want.slots
    return got


def shares_of(weights: Sequence[int], seed: int = 0) -> Shares:
    """Queues q0, q1, … with these weights."""
    return Shares(random.Random(seed), [f"q{number}" for number in range(len(weights))], weights)


def claimed(queue: str) -> Claimed:
    return Claimed("id", 1, "k", queue, "{}", 1, 3, 0, 0, 1)


@given(
    weights=st.lists(st.integers(1, 1000), min_size=1, max_size=8),
    slots=st.integers(1, 200),
    seed=st.integers(0, 1 << 30),
)
def test_a_claim_gives_each_queue_its_part_to_one_slot(weights: list[int], slots: int, seed: int) -> None:
    shares = shares_of(weights, seed)
    (line,) = shares.lines
    wants = shares.deal(slots, line)

    assert sum(want.slots for want in wants) == slots
    parts = {want.queue: want.slots for want in wants}
    assert len(parts) == len(wants)
    for queue, weight in zip(line, weights, strict=True):
        assert abs(parts.get(queue, 0) - slots * weight / sum(weights)) < 1


@pytest.mark.parametrize("slots", [1, 2, 5, 50])
@pytest.mark.parametrize("weights", [(5, 1), (1, 1), (7, 2, 1), (100, 10, 1)])
def test_over_many_claims_the_parts_are_the_weights(weights: tuple[int, ...], slots: int) -> None:
    got = deals(shares_of(weights), slots, 2_000)
    for number, weight in enumerate(weights):
        assert got[f"q{number}"] / got.total() == pytest.approx(weight / sum(weights), abs=0.002)


@pytest.mark.parametrize("pattern", [(1, 2), (1, 1, 5), (3, 1, 2, 7), (6, 1)])
def test_claims_of_different_size_in_any_rhythm_change_nothing(pattern: tuple[int, ...]) -> None:
    shares, got = shares_of((5, 1)), Counter[str]()
    for _ in range(1_000):
        for slots in pattern:
            got += deals(shares, slots, 1)
    assert got["q1"] / got.total() == pytest.approx(1 / 6, abs=0.005)


@pytest.mark.parametrize("weight", [1, 5, 20, 500])
def test_no_queue_waits_much_longer_than_its_turn(weight: int) -> None:
    shares, waited = shares_of((weight, 1)), [0]
    for _ in range(weight * 50):
        waited = [*waited, 0] if deals(shares, 1, 1)["q1"] else [*waited[:-1], waited[-1] + 1]
    assert max(waited) <= 2.7 * (weight + 1)


def test_what_others_leave_is_shared_by_weight_too() -> None:
    shares, got = shares_of((6, 3, 1)), Counter[str]()
    for _ in range(10_000):
        shares.deal(1, shares.lines[0])
        got.update(want.queue for want in shares.deal(1, ["q1", "q2"]))
    assert got["q1"] / got.total() == pytest.approx(0.75, abs=0.02)


def test_without_weights_all_are_alike() -> None:
    got = deals(Shares(random.Random(0), ("a", "b", "c")), 1, 3_000)
    assert all(part / 3_000 == pytest.approx(1 / 3, abs=0.002) for part in got.values())


def test_the_first_queue_of_a_claim_is_another_each_time() -> None:
    """It is the one that is asked first for a job on its last life."""
    shares = shares_of((9, 1, 1))
    firsts = Counter(shares.deal(100, shares.lines[0])[0].queue for _ in range(3_000))
    assert all(900 < count < 1_100 for count in firsts.values())


def test_strict_is_one_line_each_in_their_order() -> None:
    shares = Shares(random.Random(0), ("b", "a"), strict=True)
    assert [list(line) for line in shares.lines] == [["b"], ["a"]]
    assert shares.deal(7, shares.lines[1]) == [Want("a", 7)]


def test_a_single_queue_needs_no_luck() -> None:
    source = random.Random(0)
    before = source.getstate()
    shares = Shares(source, ("a",))
    assert shares.deal(3, shares.lines[0]) == [Want("a", 3)]
    assert source.getstate() == before


def test_thousands_of_queues_and_few_slots() -> None:
    shares = shares_of([1 + number % 3 for number in range(5_000)])
    wants = shares.deal(4, shares.lines[0])
    assert [want.slots for want in wants] == [1] * 4
    assert len({want.queue for want in wants}) == 4


def test_those_who_gave_less_than_was_wanted_are_at_their_end() -> None:
    wants = [Want("a", 2), Want("b", 1), Want("c", 1)]
    assert remaining("abcd", wants, map(claimed, "aab")) == ["a", "b", "d"]
    assert remaining("abcd", wants, map(claimed, "abc")) == ["b", "c", "d"]
    assert remaining("abcd", wants, []) == ["d"]
