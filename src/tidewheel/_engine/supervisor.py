"""Keeps N worker processes running.

1. Starts the children, each in its own process group, so that Ctrl-C in a terminal reaches them once.
2. Waits for what happens: a child ended, a signal came, a restart is due. An idle supervisor never wakes up.
3. A child that crashed starts again after a delay that grows with every crash and is jittered;
   one that asked to be recycled (exit code 75) is replaced at once; one that finished (0) is not replaced;
   one that cannot work at all (2: wrong usage or settings) ends them all.
4. A first SIGTERM or SIGINT goes on to the children, which drain; a second one goes on too and they stop at once.
   Who is not gone by the deadline is killed.
5. A supervisor that is killed takes its children along: each reads a pipe that ends with its parent.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

RECYCLE: Final = 75
USAGE: Final = 2
CHILD_ENV: Final = "TIDEWHEEL_CHILD"
"""Set to the child's number: tells a worker that its stdin is the pipe of point 5."""

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
HEALTHY: Final = 60.0
"""Seconds a child must have lived for its next crash to count as the first."""
MARGIN: Final = 15.0
"""Seconds on top of the grace period before children are killed: they settle after their grace is over."""
HURRY: Final = 10.0
"""Seconds children get after the second signal."""

log = logging.getLogger("tidewheel.supervisor")


class Child(Protocol):
    """What the supervisor needs of a process."""

    pid: int

    def wait(self) -> int:
        """Its exit code, when it has ended; negative for a signal."""
        ...

    def stop(self, signum: int) -> None:
        """Ask it to end; a process that is gone already is no error."""
        ...

    def kill(self) -> None:
        """End it now, with what it started."""
        ...


class Process:
    """A worker process whose stdin is a pipe that ends when this process does."""

    def __init__(self, command: Sequence[str], number: int) -> None:
        # Groups, not sessions: the children must not see the terminal's Ctrl-C that their parent forwards.
        windows = sys.platform == "win32"
        self._popen = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            list(command),
            stdin=subprocess.PIPE,
            env={**os.environ, CHILD_ENV: str(number)},
            process_group=None if windows else 0,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if windows else 0,
        )
        self.pid = self._popen.pid

    def wait(self) -> int:
        """See `Child`."""
        return self._popen.wait()

    def stop(self, signum: int) -> None:
        """See `Child`."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                if self._popen.stdin is not None:
                    self._popen.stdin.close()  # its end is the only polite request there is
            else:
                self._popen.send_signal(signum)

    def kill(self) -> None:
        """See `Child`."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._popen.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL)  # with the processes it runs CPU-bound jobs in


@dataclass(slots=True)
class _Slot:
    number: int
    child: Child | None = None
    started: float = 0.0
    crashes: int = 0
    """In a row."""
    restart_at: float | None = -math.inf


@dataclass(frozen=True, slots=True)
class Exited:
    """A child ended. Negative codes are signals, as `subprocess` has them."""

    number: int
    pid: int
    code: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """Somebody asked us to stop."""

    signum: int


class Supervisor:
    """Runs `count` children made by `spawn(number)` until told to stop or all have finished.

    `handle`, `tick` and `due` are the whole of its mind and take the time as a parameter; `run` feeds them.
    """

    def __init__(
        self,
        spawn: Callable[[int], Child],
        count: int,
        *,
        grace: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._spawn = spawn
        self._slots = [_Slot(number) for number in range(1, count + 1)]
        self._grace = grace
        self._clock = clock
        self._dice = dice
        self._events: queue.SimpleQueue[Exited | Signalled] = queue.SimpleQueue()
        self._signals = 0
        self._deadline: float | None = None
        self._code = 0

    def run(self) -> int:
        """Supervise until the last child is gone. Gives the exit code of the whole: 0, the code of children
        that cannot work, or 1 when some had to be killed.
        """
        with self._signal_handlers():
            self.tick(self._clock())
            while not self.finished:
                self._wait()
                self.tick(self._clock())
        return self._code

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Ask for the end, from any thread or signal handler. The second time it is meant."""
        self._events.put(Signalled(signum))

    @property
    def finished(self) -> bool:
        """True when no child runs and none is to be started."""
        return all(slot.child is None and slot.restart_at is None for slot in self._slots)

    def due(self) -> float | None:
        """When `tick` has something to do next; None when only an event can bring it."""
        times = [slot.restart_at for slot in self._slots if slot.restart_at is not None]
        if self._deadline is not None:
            times.append(self._deadline)
        return min(times, default=None)

    def tick(self, now: float) -> None:
        """Start what is due; kill what is overdue."""
        for slot in self._slots:
            if slot.restart_at is not None and slot.restart_at <= now:
                self._start(slot, now)
        if self._deadline is not None and self._deadline <= now:
            self._deadline = None
            for slot in self._running():
                log.error("Worker process %d (pid %d) is not gone by the deadline: killed.", slot.number, _pid(slot))
                _child(slot).kill()
                self._code = self._code or 1

    def handle(self, event: Exited | Signalled, now: float) -> None:
        """Take in one thing that happened."""
        if isinstance(event, Signalled):
            self._stop_all(event.signum, now)
            return
        slot = self._slots[event.number - 1]
        if slot.child is None or slot.child.pid != event.pid:
            return
        slot.child = None
        if self._signals:
            if event.code not in (0, RECYCLE, -signal.SIGTERM, -signal.SIGINT):
                log.warning(
                    "Worker process %d (pid %d) %s while stopping.", slot.number, event.pid, how_it_ended(event.code)
                )
        elif event.code == RECYCLE:
            log.info("Worker process %d (pid %d) asked to be recycled: replaced.", slot.number, event.pid)
            slot.crashes = 0
            slot.restart_at = now
        elif event.code == USAGE:
            log.error("Worker process %d cannot work as it was set up: stopping.", slot.number)
            self._code = USAGE
            self._stop_all(signal.SIGTERM, now)
        elif event.code != 0:
            self._crashed(slot, event, now)

    def _crashed(self, slot: _Slot, event: Exited, now: float) -> None:
        slot.crashes = 1 if now - slot.started >= HEALTHY else slot.crashes + 1
        # Half fixed, half random: workers that fell over together do not come back together.
        ceiling = min(FIRST_DELAY * 2.0 ** (slot.crashes - 1), LONGEST_DELAY)
        delay = ceiling * (0.5 + self._dice() / 2)
        slot.restart_at = now + delay
        log.error(
            "Worker process %d (pid %d) %s after %.1f s; starts again in %.1f s.",
            slot.number,
            event.pid,
            how_it_ended(event.code),
            now - slot.started,
            delay,
        )

    def _start(self, slot: _Slot, now: float) -> None:
        slot.restart_at = None
        try:
            child = self._spawn(slot.number)
        except OSError as error:  # no memory, no process slots: as good as a crash
            slot.started = now
            log.error("Worker process %d could not be started: %s", slot.number, error)  # noqa: TRY400 -- no stack needed
            self._crashed(slot, Exited(slot.number, 0, 1), now)
            return
        slot.child, slot.started = child, now
        threading.Thread(target=self._watch, args=(slot.number, child), daemon=True).start()

    def _watch(self, number: int, child: Child) -> None:
        self._events.put(Exited(number, child.pid, child.wait()))

    def _stop_all(self, signum: int, now: float) -> None:
        self._signals += 1
        self._deadline = now + (self._grace + MARGIN if self._signals == 1 else HURRY)
        for slot in self._slots:
            slot.restart_at = None
        running = list(self._running())
        if running:
            how = "draining" if self._signals == 1 else "at once"
            log.info("Stopping %d worker process(es), %s.", len(running), how)
        for slot in running:
            _child(slot).stop(signum)

    def _running(self) -> Iterator[_Slot]:
        return (slot for slot in self._slots if slot.child is not None)

    def _wait(self) -> None:
        due = self.due()
        timeout = None if due is None else max(due - self._clock(), 0)
        if sys.platform == "win32":
            timeout = min(timeout or 0.5, 0.5)  # a blocked wait there does not see Ctrl-C
        with contextlib.suppress(queue.Empty):
            self.handle(self._events.get(timeout=timeout), self._clock())

    @contextlib.contextmanager
    def _signal_handlers(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = [signal.SIGINT, signal.SIGTERM]
        before = {signum: signal.signal(signum, lambda got, _frame: self.stop(got)) for signum in wanted}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def stop_when_parent_ends(stop: Callable[[], object]) -> None:
    """In a child: call `stop` (from a thread) when the supervisor is gone. Does nothing elsewhere."""
    if not os.environ.get(CHILD_ENV):
        return

    def listen() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 64):  # the unbuffered way: a thread inside sys.stdin would crash the exit
                pass
        stop()

    threading.Thread(target=listen, name="tidewheel-parent", daemon=True).start()


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def _child(slot: _Slot) -> Child:
    return cast("Child", slot.child)


def _pid(slot: _Slot) -> int:
    return _child(slot).pid
