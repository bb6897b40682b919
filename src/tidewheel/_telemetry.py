"""Events for listeners of this process: what happened, as plain data. Adapters (metrics, traces) hook in here."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

EVENTS: Final = (
    "job.started", "job.completed", "job.failed", "job.discarded", "job.cancelled", "job.snoozed", "job.released",
    "job.stalled", "worker.started", "worker.stopped", "worker.lag", "store.unavailable", "store.back",
)  # fmt: skip
"""Every event there is."""

_log: Final = logging.getLogger("tidewheel")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `name` is one of `EVENTS`, `at` in microseconds since 1970, `data` says the rest."""

    name: str
    at: int
    data: dict[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]


class Telemetry:
    """The listeners of one app. An event nobody listens to costs one dictionary look-up."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._listeners: dict[str, tuple[Listener, ...]] = {}

    def on(self, name: str, listener: Listener) -> None:
        """Call `listener(event)` at each event of this name, in the worker's event loop: be quick.

        Raises:
            ValueError: no such event.
        """
        if name not in EVENTS:
            close = difflib.get_close_matches(name, EVENTS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(EVENTS)}."
            raise ValueError(f"There is no event {name!r}.{hint}")
        self._listeners[name] = (*self._listeners.get(name, ()), listener)

    def emit(self, name: str, **data: Any) -> None:
        """Tell whoever listens. A listener that raises is logged and hurts nobody else."""
        listeners = self._listeners.get(name)
        if not listeners:
            return
        event = Event(name, self._clock(), data)
        for listener in listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 -- a listener's
                _log.exception("A listener of %s raised; the worker goes on.", name)
