"""Values as JSON documents: what --json prints. Times are RFC 3339 in UTC, durations seconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from tidewheel._cli.show import iso

if TYPE_CHECKING:
    from tidewheel import History, Job

_SPANS = ("keep_completed", "keep_failed")
_JSON_TEXT = ("args", "meta", "options", "progress", "result")


def plain(value: Any) -> Any:
    """Any value of the model as JSON types."""
    return _times(msgspec.to_builtins(value, str_keys=True))


def job(row: Job) -> dict[str, Any]:
    """A job's row: stored JSON texts are opened up."""
    made: dict[str, Any] = plain(row)
    for name in _JSON_TEXT:
        made[name] = opened(getattr(row, name))
    del made["flow"]
    made["limits"] = [{"gate": one.key, "cost": one.cost} for one in row.passes]
    for name in _SPANS:
        made[name] = None if made[name] is None else made[name] / 1_000_000
    return made


def history(found: History) -> dict[str, Any]:
    """A job's row with its attempts and log lines."""
    return job(found.job) | {"attempts": plain(found.attempts), "logs": plain(found.logs)}


def opened(text: str | None) -> Any:
    """JSON text as a value; text that is no JSON stays text, because people must see a broken row too."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: iso(item) if _is_time(key, item) else _times(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_times(item) for item in value]
    return value


def _is_time(key: str, value: Any) -> bool:
    named = key in ("at", "now", "run_at", "oldest_available") or key.endswith(("_at", "_until", "_after", "_before"))
    return named and isinstance(value, int) and not isinstance(value, bool)
