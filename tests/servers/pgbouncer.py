"""A private PgBouncer for the tests, in front of a private PostgreSQL; it hands out connections by the transaction.

The program is the system's (Debian: pgbouncer). It refuses root, as PostgreSQL does.
"""

from __future__ import annotations

import functools
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers._process import NoServer, Server
from tests.servers.postgres import Postgres

_SETTINGS: Final = {
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "auth_type": "trust",
    "pool_mode": "transaction",
    "max_client_conn": "200",
    "default_pool_size": "5",  # fewer than clients, so that they do get one another's connections
    "server_lifetime": "3600",
}


@functools.cache
def program() -> Path:
    """The pooler's program.

    Raises:
        NoServer: there is none; says how to get it.
    """
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NoServer("pgbouncer is not on the PATH. On Debian: apt install pgbouncer.")
    return Path(found)


class PgBouncer(Server):
    """One pooler. `url` leads to the database of the server behind it."""

    kind = "PgBouncer"
    refuses_root = True

    def __init__(self, behind: Postgres, **settings: str) -> None:
        super().__init__(program())
        self._behind = behind
        self._settings = {**_SETTINGS, **settings}

    @property
    def url(self) -> str:
        """Without password, as the server behind it."""
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def short(self, version: str) -> str:
        """Its second number counts: 1.21 was the first to carry prepared statements."""
        return ".".join(version.split(".")[:2])

    def command(self) -> list[str | Path]:
        users = self.folder / "users"
        users.write_text('"tester" ""\n', encoding="utf-8")
        settings = {**self._settings, "listen_port": str(self.port), "auth_file": str(users)}
        lines = [f"{name} = {value}" for name, value in settings.items()]
        text = "\n".join(["[databases]", f"* = host=127.0.0.1 port={self._behind.port}", "[pgbouncer]", *lines, ""])
        config = self.folder / "pgbouncer.ini"
        config.write_text(text, encoding="utf-8")
        return [self.program, config]

    def ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def pooling(behind: Postgres, **settings: str) -> Iterator[PgBouncer]:
    """A pooler for the time of a block; `settings` are PgBouncer's own.

    Raises:
        NoServer: it is not here or does not start.
    """
    pooler = PgBouncer(behind, **settings)
    try:
        pooler.start()
        yield pooler
    finally:
        pooler.remove()
