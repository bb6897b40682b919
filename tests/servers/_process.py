"""What private servers of the tests share: where they may live, which port, whom they run as, how they start and end."""

from __future__ import annotations

import functools
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import pytest

T = TypeVar("T")

_PATIENCE: Final = 30.0
_GLANCE: Final = 0.005
_PAUSE: Final = 0.05


class NoServer(Exception):
    """The server is not on this machine, or cannot be started by this user; the text says how to get it."""


def missing(error: NoServer) -> None:
    """Without its server a test is skipped at a developer's desk; in CI it fails, or nobody would notice."""
    if os.environ.get("CI"):
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))


@contextmanager
def wanted(server: AbstractContextManager[T]) -> Iterator[T]:
    """The server for the time of a block; `missing` when it is not to be had."""
    try:
        with server as one:
            yield one
    except NoServer as error:
        missing(error)


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Unprivileged:
    """The user that runs a server which refuses root: this one, or `nobody` when this one is root.

    `drop=False`: this one in any case.
    """

    def __init__(self, *, drop: bool = True) -> None:
        self.dropped = drop and os.geteuid() == 0
        self.user = pwd.getpwnam("nobody") if self.dropped else pwd.getpwuid(os.geteuid())

    def popen(self) -> dict[str, Any]:
        """Arguments for `subprocess` that make the child this user."""
        if not self.dropped:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def folder(self, prefix: str) -> Path:
        """A new folder in the temporary folder that belongs to the user."""
        made = Path(tempfile.mkdtemp(prefix=prefix))
        if self.dropped:
            os.chown(made, self.user.pw_uid, self.user.pw_gid)
        return made

    def reachable(self, program: Path) -> bool:
        """Whether the user may run a program: every folder above must let others through."""
        if not self.dropped:
            return os.access(program, os.X_OK)
        return all(one.stat().st_mode & stat.S_IXOTH for one in (program, *program.resolve().parents))


class Server(ABC):
    """A server that is a direct child, so that it can be killed and waited for; with a folder and a port of its own."""

    kind: str
    """Its name for people."""
    refuses_root: ClassVar[bool] = False
    at_once: ClassVar[signal.Signals] = signal.SIGKILL
    """What ends it, and whatever it started, without delay."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self.who = Unprivileged(drop=self.refuses_root)
        self.folder = self.who.folder(f"tidewheel-{self.kind.lower()}-")
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str | Path]:
        """What starts it, at `port`, in the foreground."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it takes questions."""

    @property
    def log(self) -> Path:
        """What it says goes here."""
        return self.folder / "log"

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    @functools.cached_property
    def name(self) -> str:
        """Kind and version, as people say them: "PostgreSQL 18"."""
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False).stdout
        numbers = re.search(r"\d+(?:\.\d+)*", said)
        return f"{self.kind} {self.short(numbers[0] if numbers else '?')}"

    def short(self, version: str) -> str:
        """As much of a version as decides what a server can do."""
        return version.partition(".")[0]

    def start(self) -> None:
        """Start, at the port it had before; returns when it answers.

        After a kill the dead server's memory or port may be held for a moment, so this tries for a while.

        Raises:
            NoServer: it does not; with the end of what it said.
        """
        deadline = time.monotonic() + _PATIENCE
        while not self._try(deadline):
            if time.monotonic() > deadline:
                raise NoServer(f"{self.kind} does not start: {self.log.read_text()[-2000:]}")
            time.sleep(_PAUSE)

    def _try(self, deadline: float) -> bool:
        self.port = self.port or free_port()
        with self.log.open("ab") as log:
            before = log.tell()
            self._process = subprocess.Popen(
                self.command(), cwd=self.folder, stdout=log, stderr=log, **self.who.popen()
            )
        while self._process.poll() is None and time.monotonic() < deadline:
            if self.ready():
                return True
            time.sleep(_GLANCE)
        self.stop(self.at_once)
        if b"already in use" in self.log.read_bytes()[before:].lower():  # said now, not by one that was here before
            self.port = 0
        return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server; SIGKILL is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE)
            self._process = None

    def remove(self) -> None:
        """End the server and remove what it wrote; what is still being written does not matter any more."""
        try:
            self.stop(self.at_once)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
