"""What may be the name of a queue, a task, a tag, or the id of a job."""

from __future__ import annotations

from typing import Any, Final

LONGEST: Final = 200


def check_name(value: Any, what: str) -> str:
    """`value` if it can be `what` (such as "a queue name").

    Raises:
        TypeError: no text.
        ValueError: empty, over 200 characters, or with control characters or spaces at its ends.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r} ({type(value).__name__}) is not {what}: it must be text.")
    if not 1 <= len(value) <= LONGEST:
        raise ValueError(f"{value[:40]!r} is not {what}: it must have 1 to {LONGEST} characters.")
    if not value.isprintable() or value != value.strip():
        raise ValueError(f"{value!r} is not {what}: no control characters, no spaces at its ends.")
    return value
