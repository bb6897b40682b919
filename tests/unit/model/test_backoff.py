"""Backoffs: what they wait, whatever the attempt, and what they refuse."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel._model.backoff import Backoff, Jitter, custom, delays, exponential, fixed, linear
from tidewheel._model.duration import LONGEST, SECOND

S = SECOND
spans = st.integers(min_value=1, max_value=10 * 86400).map(float)
attempts = st.integers(min_value=1, max_value=10_000)
dice = st.integers(min_value=0).map(random.Random)


def first(backoff: Backoff, count: int) -> list[float]:
    """The first delays without jitter, in seconds."""
    return [plain(backoff, attempt) / S for attempt in range(1, count + 1)]


def plain(backoff: Backoff, attempt: int) -> int:
    wait = backoff.delay(attempt)
    assert wait is not None
    return wait


@st.composite
def curves(draw: st.DrawFn, jitter: Jitter = None) -> Backoff:
    """Any backoff but custom ones."""
    base = draw(spans)
    cap = draw(st.none() | st.floats(min_value=base, max_value=base + 86400 * 365))
    make: Callable[[], Backoff] = draw(
        st.sampled_from(
            [
                lambda: fixed(base, jitter=jitter),
                lambda: linear(base, cap, jitter=jitter),
                lambda: exponential(base, draw(st.floats(1, 100)), cap, jitter=jitter),
                lambda: delays(*sorted(draw(st.lists(spans, min_size=1, max_size=5))), jitter=jitter),
            ]
        )
    )
    return make()


def test_fixed_waits_the_same_every_time() -> None:
    assert first(fixed("5s"), 4) == [5, 5, 5, 5]
    assert first(fixed(0), 2) == [0, 0]


def test_linear_grows_by_its_step_up_to_the_cap() -> None:
    assert first(linear("10s", cap="35s"), 5) == [10, 20, 30, 35, 35]
    assert first(linear(timedelta(minutes=1)), 3) == [60, 120, 180]


def test_exponential_doubles_from_its_base_up_to_the_cap() -> None:
    assert first(exponential("1s", cap="30m"), 13) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800]
    assert first(exponential(2, 3, "1h"), 4) == [2, 6, 18, 54]
    assert first(exponential(factor=1), 3) == [1, 1, 1]


def test_delays_are_taken_one_by_one_and_the_last_is_repeated() -> None:
    assert first(delays("10s", "1m", "1h"), 5) == [10, 60, 3600, 3600, 3600]


def test_a_custom_function_sees_attempt_and_error() -> None:
    def by_code(attempt: int, error: BaseException | None) -> str | int | None:
        return None if isinstance(error, KeyError) else f"{attempt}m"

    backoff = custom(by_code, cap="2m")
    assert first(backoff, 3) == [60, 120, 120]
    assert backoff.delay(1, KeyError()) is None


def test_a_preview_is_for_people() -> None:
    assert exponential("1s", cap="30m").preview(4) == ["1s", "2s", "4s", "8s"]
    assert len(fixed(1).preview()) == 10
    assert custom(lambda attempt, _: "1m" if attempt == 1 else None).preview(2) == ["1m", "give up"]


@given(curves(), attempts, dice)
def test_without_jitter_the_dice_change_nothing_and_delays_never_shrink(
    backoff: Backoff, attempt: int, random: random.Random
) -> None:
    wait = plain(backoff, attempt)
    assert backoff.delay(attempt, None, random) == wait
    assert 0 <= wait <= plain(backoff, attempt + 1) <= LONGEST


@given(curves(), attempts)
def test_no_delay_is_over_the_cap(backoff: Backoff, attempt: int) -> None:
    assert backoff.cap is None or plain(backoff, attempt) <= backoff.cap


@pytest.mark.parametrize(("jitter", "least"), [("full", 0.0), ("equal", 0.5), (0.1, 0.9), (1, 0.0), (0, 1.0)])
@settings(max_examples=25)
@given(data=st.data(), attempt=attempts, random=dice)
def test_a_fraction_of_jitter_only_takes_off(
    data: st.DataObject, attempt: int, random: random.Random, jitter: Jitter, least: float
) -> None:
    backoff = data.draw(curves(jitter))
    wait, without = backoff.delay(attempt, None, random), plain(backoff, attempt)
    assert wait is not None
    assert int(without * least) <= wait <= without


@pytest.mark.parametrize("jitter", ["1s", timedelta(seconds=1)])
@settings(max_examples=25)
@given(data=st.data(), attempt=attempts, random=dice)
def test_additive_jitter_puts_up_to_that_much_on_top(
    data: st.DataObject, attempt: int, random: random.Random, jitter: Jitter
) -> None:
    backoff = data.draw(curves(jitter))
    wait, without = backoff.delay(attempt, None, random), plain(backoff, attempt)
    assert wait is not None
    assert without <= wait <= without + S


def test_jitter_spreads_over_its_whole_range() -> None:
    dice = random.Random(7)
    waits = [exponential("8s", jitter="full").delay(1, None, dice) or 0 for _ in range(1000)]
    assert min(waits) < 0.1 * S
    assert max(waits) > 7.9 * S
    assert 3.7 * S < sum(waits) / 1000 < 4.3 * S


def test_one_second_doubling_capped_at_half_an_hour_plus_a_second() -> None:
    backoff = exponential("1s", cap="30m", jitter="1s")
    dice = random.Random(7)
    late = [backoff.delay(10_000, None, dice) or 0 for _ in range(100)]
    assert all(1800 * S <= wait <= 1801 * S for wait in late)


@pytest.mark.parametrize(
    ("make", "error", "part"),
    [
        (lambda: fixed("soon"), ValueError, "'soon' is no duration"),
        (lambda: fixed(-1), ValueError, "negative"),
        (lambda: fixed(True), TypeError, "True (bool)"),
        (lambda: linear(0), ValueError, "fixed(0)"),
        (lambda: linear("1m", cap="1s"), ValueError, "shorter than the first delay of 1m"),
        (lambda: exponential("0s"), ValueError, "fixed(0)"),
        (lambda: exponential("2h"), ValueError, "shorter than the first delay of 2h"),
        (lambda: exponential(factor=0.5), ValueError, "1 to 100"),
        (lambda: exponential(factor=float("nan")), ValueError, "1 to 100"),
        (lambda: exponential(factor="2"), TypeError, "factor='2'"),  # type: ignore[arg-type]
        (lambda: exponential(jitter=5), ValueError, '"5s"'),
        (lambda: exponential(jitter=-0.1), ValueError, "0 to 1"),
        (lambda: exponential(jitter="fully"), ValueError, '"full", "equal"'),
        (lambda: exponential(jitter=True), TypeError, "jitter=True"),
        (lambda: exponential(jitter=[1]), TypeError, "jitter=[1]"),  # type: ignore[arg-type]
        (delays, ValueError, "one delay at least"),
        (lambda: custom(3), TypeError, "no plain function"),  # type: ignore[arg-type]
        (lambda: custom(asyncio.sleep), TypeError, "no plain function"),  # type: ignore[arg-type]
        (lambda: fixed(1).delay(0), ValueError, "counted from 1"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(
    make: Callable[[], Any], error: type[Exception], part: str
) -> None:
    with pytest.raises(error) as raised:
        make()
    assert part in str(raised.value)
