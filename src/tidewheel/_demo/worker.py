"""The worker process: how the demo starts, kills and ends it, and (`python -m tidewheel._demo.worker`) what it runs.

It is `tidewheel worker tidewheel._demo.tasks:app --lease 3s` with one thing more: it ends when the demo does, even
when somebody kills the demo with -9. Its standard input is a pipe from the demo that nobody writes to.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

LEASE = "3s"
"""Short, so that one sees a dead worker's jobs come back. In earnest 30 s is right."""
_PATIENCE = 10.0


class WorkerProcess:
    """A worker in a process of its own. The number counts the workers of a run, from 1."""

    def __init__(self, number: int, log: Path, environment: Mapping[str, str]) -> None:
        self.number = number
        self._log = log
        self._from = log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tidewheel._demo.worker"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C is for the demo, which then ends its worker gracefully
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it as `kill -9` does: it gets no chance to do anything (on Windows: TerminateProcess)."""
        self._process.kill()
        self._process.wait()
        self._close()

    async def stop(self) -> None:
        """End it gracefully: it finishes or hands back what it is at."""
        self._close()
        try:
            await asyncio.to_thread(self._process.wait, _PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def last_words(self, lines: int = 12) -> str:
        """The end of what it has logged."""
        with self._log.open("rb") as file:
            file.seek(self._from)
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def _close(self) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()


def main() -> None:
    """Run a worker until the demo that started it closes the pipe, or is gone."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    from tidewheel._demo.tasks import app

    async def work() -> None:
        worker = app.worker(concurrency=32, threads=4, processes=cores(), lease=LEASE, grace="3s", poll="500ms")
        threading.Thread(target=_until_closed, args=(worker.stop,), daemon=True).start()
        async with app:
            await worker.run()

    asyncio.run(work())


def _until_closed(stop: Callable[[str], None]) -> None:
    os.read(0, 1)
    stop("the demo has ended")
    time.sleep(_PATIENCE)
    os._exit(1)  # it should be gone by now; its leases will be over soon


def cores() -> int:
    """The cores this process may use: in a container they are fewer than the machine's."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


if __name__ == "__main__":
    main()
