"""The bridge for sync callers: coroutines run on an event loop of their own, in a background thread.

One bridge in place of a sync twin for every async method: `app.run_sync(task.enqueue(...))`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Portal:
    """A thread with an event loop, started at the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop | None) -> T:
        """Run `work` on `loop`, or on the portal's own, and wait for its answer.

        Raises:
            RuntimeError: called on the very loop that would have to run it.
        """
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is not None:
            work.close()
            raise RuntimeError(
                "run_sync() was called from async code, where it would stop the event loop. Use `await` there."
            )
        return asyncio.run_coroutine_threadsafe(work, loop or self._own()).result()

    def _own(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="tidewheel-portal", daemon=True).start()
            return self._loop
