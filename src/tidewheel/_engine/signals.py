"""SIGTERM and SIGINT, for the worker and for the processes that its handlers fork."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

_NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)
_installed: Final[dict[int, Any]] = {}
"""What the signals did before, while a worker has them."""
_held_back: Final[dict[int, set[int | signal.Signals]]] = {}
"""Signal masks of threads that are forking right now."""


@contextmanager
def heard(tell: Callable[[str], object]) -> Iterator[None]:
    """Within the block `tell("SIGTERM")` or `tell("SIGINT")` is called in the running loop when one comes.
    Outside the main thread nothing changes: there the host program has the signals.
    """
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ValueError):  # not in the main thread
        for number in _NUMBERS:
            name = signal.Signals(number).name
            _installed[number] = signal.signal(number, lambda *_, name=name: loop.call_soon_threadsafe(tell, name))
    try:
        yield
    finally:
        while _installed:
            signal.signal(*_installed.popitem())


def _before_fork() -> None:
    """Hold back signals until the child is itself: Python forgets those that come in between."""
    if _installed:
        _held_back[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)


def _after_fork() -> None:
    mask = _held_back.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child() -> None:
    """A process that a handler forks is no worker: it ends at SIGTERM like any other, and cannot wake our loop."""
    if _installed:
        _installed.clear()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(-1)
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
