"""What the store held at the moment the worker was killed: the evidence that nothing done was done again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidewheel import Job


@dataclass(frozen=True, slots=True)
class KillNote:
    """Taken from the rows after the worker was dead, and kept, because the run may be continued later."""

    at: int
    """Microseconds since 1970: the worker was dead by then."""
    after: float
    """Seconds since the start of the run."""
    completed: dict[str, int]
    """Jobs recorded as completed → their epoch then. An epoch grows with every claim."""
    running: tuple[str, ...]
    """Jobs the dead worker held."""

    @classmethod
    def of(cls, jobs: Iterable[Job], *, at: int, after: float) -> KillNote:
        completed = {job.id: job.epoch for job in jobs if job.state.value == "completed"}
        return cls(at, after, completed, tuple(job.id for job in jobs if job.state.value == "running"))

    def write(self, path: Path) -> None:
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)), encoding="utf-8")
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> KillNote | None:
        """The note an earlier run wrote; None when no worker was killed on purpose yet."""
        if not path.exists():
            return None
        entry = json.loads(path.read_text(encoding="utf-8"))
        return cls(entry["at"], entry["after"], entry["completed"], tuple(entry["running"]))
