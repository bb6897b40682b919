"""Durations as people write them: seconds, `timedelta`, or text such as "90s", "1h30m", "2 days 4h"."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final, TypeAlias

Span: TypeAlias = float | int | str | timedelta
"""A duration: a number of seconds, a `timedelta`, or text with units from ms to weeks."""

SECOND: Final = 1_000_000
"""Microseconds in a second: inside, every duration is a whole number of microseconds."""

_UNITS: Final[dict[str, int]] = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), SECOND // 1000),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), SECOND),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60 * SECOND),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600 * SECOND),
    **dict.fromkeys(("d", "day", "days"), 86400 * SECOND),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400 * SECOND),
}
_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*,?")
LONGEST: Final = 200 * 366 * 86400 * SECOND
"""The longest duration accepted, in microseconds: 200 years."""


def micros(span: Span) -> int:
    """`span` in microseconds, rounded to the nearest.

    Raises:
        ValueError: text that is no duration, a negative, infinite or absurd (200 years and more) one.
        TypeError: something that is no duration at all.
    """
    if isinstance(span, bool) or not isinstance(span, int | float | str | timedelta):
        raise TypeError(
            f"{span!r} ({type(span).__name__}) is no duration. "
            'Give seconds (90), a timedelta, or text such as "90s", "1h30m", "2 days".'
        )
    if isinstance(span, timedelta):
        value = span // timedelta(microseconds=1)
    elif isinstance(span, str):
        value = _parse(span)
    else:
        if not math.isfinite(span):
            raise ValueError(f"{span!r} is no duration: it is not finite.")
        value = round(max(-1, min(span * SECOND, LONGEST + 1)))  # 1e308 s are infinitely many microseconds
    if value < 0:
        raise ValueError(f"The duration {span!r} is negative; durations are zero or more.")
    if value > LONGEST:
        raise ValueError(f"The duration {span!r} is longer than 200 years; it looks like a mistake in the unit.")
    return value


def _parse(text: str) -> int:
    rest = text.strip().lower()
    if rest == "0":
        return 0
    total = 0.0
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        unit = _UNITS.get(part.group(2)) if part else None
        if part is None or unit is None:
            raise ValueError(
                f'{text!r} is no duration. Write a number and a unit (ms, s, m, h, d, w), as in "90s", "1h30m", "2 days".'
            )
        total += float(part.group(1)) * unit
        position = part.end()
    if position == 0:
        raise ValueError('An empty text is no duration. Write a number and a unit, as in "90s".')
    return round(min(total, LONGEST + 1))  # beyond any float it is infinite, which `round` does not take


def human(value: int) -> str:
    """`value` microseconds as short text: 850ms, 12s, 1h30m."""
    if value < 999_500:  # from here on it would be rounded to a second
        return f"{value / 1000:.3g}ms"
    seconds = value / SECOND
    if seconds < 59.95:  # from here on it would be rounded to 60
        return f"{seconds:.3g}s"
    whole = round(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])
