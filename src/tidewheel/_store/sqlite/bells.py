"""Wake-ups across processes: a folder of named pipes beside the database file.

Every listening process keeps one pipe, `<file>-bells/<id>.<letters>`, whose letters say which hints it
wants; a writer puts one byte a hint into the pipes that want it. It costs nothing while nothing happens,
and a hint that finds a full or dead pipe is dropped: hints may be lost, polling finds the work anyway.
Where there are no named pipes (Windows), other processes are seen by polling alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import time
from pathlib import Path
from typing import Final

from tidewheel._model.worker import Wakeup
from tidewheel._store.hints import Listener

_LETTER: Final = {Wakeup.WORK: "w", Wakeup.DUE: "d", Wakeup.SETTLED: "s", Wakeup.CONTROL: "c"}
_LOOK_AGAIN: Final = 1.0
_KIND: Final = {ord(letter): kind for kind, letter in _LETTER.items()}


def pipes_work() -> bool:
    """True where the system has named pipes."""
    return hasattr(os, "mkfifo")


class Bell:
    """The pipe of one listener, read by the event loop that listens."""

    def __init__(self, folder: Path, name: str, listener: Listener) -> None:
        self.name = f"{name}.{''.join(sorted(_LETTER[kind] for kind in listener.interest))}"
        self._path = folder / self.name
        self._listener = listener
        folder.mkdir(exist_ok=True)
        hidden = folder / f".{self.name}"  # takes its name when it can be heard: a deaf pipe would be tidied away
        os.mkfifo(hidden, 0o600)
        # Opened for writing too, so that the pipe never reaches its end when a ringer goes away.
        self._fd = os.open(hidden, os.O_RDWR | os.O_NONBLOCK)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)
        hidden.rename(self._path)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            letters = os.read(self._fd, 4096)
            self._listener.hear(frozenset(_KIND[letter] for letter in letters if letter in _KIND))

    def close(self) -> None:
        """Stop listening; the pipe goes."""
        with contextlib.suppress(RuntimeError):
            self._loop.remove_reader(self._fd)
        os.close(self._fd)
        with contextlib.suppress(OSError):
            self._path.unlink()


class Ringer:
    """Rings the bells of other processes. Used by the writer thread after each commit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._own: set[str] = set()
        self._pipes: dict[str, int] = {}
        self._seen_mtime = -1
        self._look_again = 0.0

    def disown(self, name: str) -> None:
        """Never ring this bell: it is of this process, which has heard already."""
        with self._lock:
            self._own.add(name)

    def ring(self, kinds: frozenset[Wakeup]) -> None:
        """Drop a byte into every pipe that wants one of `kinds`; never waits, never raises."""
        with self._lock:
            self._look()
            for name, fd in list(self._pipes.items()):
                wanted = name.rpartition(".")[2]
                letters = "".join(_LETTER[kind] for kind in kinds if _LETTER[kind] in wanted)
                if letters:
                    try:
                        os.write(fd, letters.encode())
                    except BlockingIOError:
                        pass  # full: its reader has plenty to wake up for
                    except OSError:
                        self._drop(name)

    def _look(self) -> None:
        try:
            mtime, moment = self._folder.stat().st_mtime_ns, time.monotonic()
            # The time stamp is coarse, so a change right after our last look may hide behind it.
            if mtime == self._seen_mtime and moment < self._look_again:
                return
            names = {entry.name for entry in self._folder.iterdir() if entry.name[0] != "."} - self._own
        except OSError:
            return  # nobody has ever listened
        self._seen_mtime, self._look_again = mtime, moment + _LOOK_AGAIN
        for name in set(self._pipes) - names:
            self._drop(name)
        for name in names - set(self._pipes):
            self._open(name)

    def _open(self, name: str) -> None:
        path = self._folder / name
        try:
            self._pipes[name] = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads: its process died without tidying up
                with contextlib.suppress(OSError):
                    path.unlink()

    def _drop(self, name: str) -> None:
        fd = self._pipes.pop(name, None)
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)

    def close(self) -> None:
        """Let go of every pipe."""
        with self._lock:
            for name in list(self._pipes):
                self._drop(name)
