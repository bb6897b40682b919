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
        self._calls = 0

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
        with self._lock:
            self._calls += 1
        try:
            return _answer(work, loop or self._own())
        finally:
            with self._lock:
                self._calls -= 1

    def idle(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether `loop` is the portal's own and nobody's call runs there."""
        return loop is self._loop and self._calls == 0

    def _own(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="tidewheel-portal", daemon=True).start()
            return self._loop


def _answer(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    try:
        future = asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError:  # the loop was closed this moment
        work.close()
        raise
    try:
        return future.result()
    except BaseException:
        future.cancel()  # Ctrl-C: what nobody waits for any more shall end; for an error of its own it means nothing
        raise
