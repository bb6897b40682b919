"""Durations as people write them."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel._model.duration import LONGEST, SECOND, Span, human, micros


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        (0, 0),
        (90, 90),
        (0.25, 0.25),
        (timedelta(minutes=1, microseconds=5), 60.000005),
        ("0", 0),
        ("0s", 0),
        ("850ms", 0.85),
        ("90s", 90),
        ("1.5s", 1.5),
        ("2 min", 120),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1 hour, 30 minutes", 5400),
        ("2 days", 172_800),
        ("1D", 86_400),
        (" 1w ", 604_800),
        ("1 week 2 days 3 hrs 4 mins 5 secs 6 milliseconds", 788_645.006),
    ],
)
def test_spans(span: Span, seconds: float) -> None:
    assert micros(span) == round(seconds * SECOND)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "s",
        "5",
        "5 parsecs",
        "five s",
        "-5s",
        "1h-30m",
        "1h30",
        "1,5s",
        "1..5s",
        "5s!",
        "0x10s",
        "1e3s",
        "nan",
    ],
)
def test_texts_that_are_no_durations_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="90s"):
        micros(text)


@pytest.mark.parametrize("span", [-1, -0.001, -1e308, timedelta(seconds=-1)])
def test_negative_spans_are_refused(span: Span) -> None:
    with pytest.raises(ValueError, match="negative"):
        micros(span)


@pytest.mark.parametrize("span", [math.nan, math.inf, -math.inf])
def test_spans_without_end_are_refused(span: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        micros(span)


@pytest.mark.parametrize("span", ["201 years", "75000d", 10**11, 1e308, "9" * 400 + "s", timedelta.max])
def test_absurd_spans_are_refused(span: Span) -> None:
    with pytest.raises(ValueError, match=r"200 years|no duration"):
        micros(span)


@pytest.mark.parametrize("span", [None, True, b"5s", [5], 5j])
def test_other_types_are_refused(span: Span) -> None:
    with pytest.raises(TypeError, match="no duration"):
        micros(span)


@given(st.integers(0, LONGEST))
def test_a_timedelta_keeps_every_microsecond(value: int) -> None:
    assert micros(timedelta(microseconds=value)) == value


@given(st.integers(0, 52), st.integers(0, 6), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_written_parts_add_up(weeks: int, days: int, hours: int, minutes: int, seconds: int) -> None:
    span = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    assert micros(f"{weeks}w{days}d{hours}h{minutes}m{seconds}s") == micros(span)


@given(st.text(alphabet="0123456789.smhdw ,-e", max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert 0 <= micros(text) <= LONGEST
    except ValueError as error:
        assert "duration" in str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0ms"),
        (1, "0.001ms"),
        (850_000, "850ms"),
        (1_500_000, "1.5s"),
        (12 * SECOND, "12s"),
        (59_990_000, "1m"),
        (60 * SECOND, "1m"),
        (5400 * SECOND, "1h30m"),
        (86_400 * SECOND, "1d"),
        (90_061 * SECOND, "1d1h"),
    ],
)
def test_human(value: int, text: str) -> None:
    assert human(value) == text


@given(st.integers(0, LONGEST))
def test_what_people_read_is_a_duration_close_to_the_value(value: int) -> None:
    again = micros(human(value))
    assert again == pytest.approx(value, rel=0.05, abs=1)
