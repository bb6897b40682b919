"""A master, its replica and three sentinels that watch them, on free loopback ports.

The programs are those of `redis.py`. The sentinels take a server for dead after two seconds: on a busy machine
they must not be hasty.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import redis as driver
from tests.servers._process import NoServer, Server
from tests.servers.redis import Redis, program

MASTER: Final = "mymaster"
_QUORUM: Final = 2
_DOWN_AFTER: Final = 2000
_FAILOVER: Final = 5000
"""Milliseconds that a failover may take before another sentinel tries."""
_PATIENCE: Final = 20.0
_GLANCE: Final = 0.02


def ask(port: int, *words: str | int, password: str | None = None) -> Any:
    """The answer of a server, or the refusal as an exception."""
    with driver.Redis(port=port, password=password, decode_responses=True, socket_timeout=5) as link:
        return link.execute_command(*words)


def until(what: str, done: Callable[[], object]) -> None:
    """Wait until servers have found one another; what they refuse meanwhile counts as not yet."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            if done():
                return
        except driver.RedisError:
            pass
        if time.monotonic() > deadline:
            raise NoServer(f"The servers did not get ready: {what}.")
        time.sleep(_GLANCE)


class Sentinel(Server):
    """One that watches. It keeps what it knows in its settings file."""

    kind = "Sentinel"

    def __init__(self, source: str, master: int, password: str | None) -> None:
        super().__init__(program(source))
        self._master = master
        self._password = password

    def command(self) -> list[str | Path]:
        settings = self.folder / "sentinel.conf"
        if not settings.exists():
            lines = [
                "bind 127.0.0.1",
                f"dir {self.folder}",
                f"sentinel monitor {MASTER} 127.0.0.1 {self._master} {_QUORUM}",
                f"sentinel down-after-milliseconds {MASTER} {_DOWN_AFTER}",
                f"sentinel failover-timeout {MASTER} {_FAILOVER}",
            ]
            if self._password:
                lines += [
                    f"sentinel auth-pass {MASTER} {self._password}",
                    f"requirepass watch-{self._password}",
                    f"sentinel sentinel-pass watch-{self._password}",
                ]
            settings.write_text("\n".join([*lines, ""]))
        return [self.program, settings, "--sentinel", "--port", str(self.port)]

    def ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                link.sendall(b"PING\r\n")
                return link.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class Watched:
    """The five of them. A password, where there is one, is the servers'; with `watch-` before it the sentinels'."""

    def __init__(self, servers: list[Redis], sentinels: list[Sentinel], password: str | None) -> None:
        self.servers = servers
        self.sentinels = sentinels
        self._password = password

    @property
    def url(self) -> str:
        """Without namespace, and without passwords."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in self.sentinels)}/{MASTER}"

    def ask(self, server: Redis, *words: str | int) -> Any:
        """The answer of one of the servers."""
        return ask(server.port, *words, password=self._password)

    @property
    def master(self) -> Redis:
        """The one that the first sentinel names."""
        port = int(self._said(self.sentinels[0], "GET-MASTER-ADDR-BY-NAME")[1])
        return next(one for one in self.servers if one.port == port)

    @property
    def replica(self) -> Redis:
        """The other one."""
        master = self.master
        return next(one for one in self.servers if one is not master)

    def _said(self, sentinel: Sentinel, command: str) -> Any:
        return ask(sentinel.port, "SENTINEL", command, MASTER, password=self._password and f"watch-{self._password}")

    def wait(self) -> None:
        """Until all know one another and the replica has all that the master has."""
        until("the sentinels agree", self._agree)
        until("the replica follows", self._follows)
        until("the sentinels see one another", self._see_one_another)
        until("the sentinels see the replica", lambda: all(map(self._sees_replica, self.sentinels)))

    def _agree(self) -> bool:
        return len({self._said(one, "GET-MASTER-ADDR-BY-NAME")[1] for one in self.sentinels}) == 1

    def _see_one_another(self) -> bool:
        return all(len(self._said(one, "SENTINELS")) == len(self.sentinels) - 1 for one in self.sentinels)

    def _follows(self) -> bool:
        said = self.ask(self.replica, "INFO", "replication")
        return (said["role"], said.get("master_link_status")) == ("slave", "up")

    def _sees_replica(self, sentinel: Sentinel) -> bool:
        found = self._said(sentinel, "REPLICAS")
        shown = [dict(zip(one[::2], one[1::2], strict=True)) if isinstance(one, list) else one for one in found]
        return [one["flags"] for one in shown] in (["slave"], [{"slave"}])

    def fail_over(self) -> Redis:
        """Make the replica the master; gives the old one, which lives on. Returns when the sentinels have done it."""
        old = self.master
        until("a failover begins", lambda: self._said(self.sentinels[0], "FAILOVER"))
        until("the replica is the master", lambda: self.master is not old)
        return old

    def crash(self) -> Redis:
        """Kill the master; gives it. Returns when the sentinels have made the replica the master."""
        old = self.master
        old.stop(signal.SIGKILL)
        until("the replica is the master", lambda: self.master is not old)
        return old

    def demote(self, old: Redis) -> None:
        """Make the old master a replica of the new: the sentinels do it, too, but only after ten seconds."""
        self.ask(old, "REPLICAOF", "127.0.0.1", self.master.port)
        self.ask(old, "CLIENT", "KILL", "TYPE", "normal")
        self.ask(old, "CLIENT", "KILL", "TYPE", "pubsub")


@contextmanager
def running(source: str = "valkey", *, password: str | None = None) -> Iterator[Watched]:
    """The five servers for the time of a block.

    Raises:
        NoServer: they are not here or do not start.
    """
    secret = {"requirepass": password, "masterauth": password} if password else {}
    quick = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1", **secret}
    with ExitStack() as stack:

        def started(server: Any) -> Any:
            stack.callback(server.remove)
            server.start()
            return server

        master: Redis = started(Redis(source, settings=quick))
        replica: Redis = started(Redis(source, settings={**quick, "replicaof": f"127.0.0.1 {master.port}"}))
        sentinels = [started(Sentinel(source, master.port, password)) for _ in range(3)]
        watched = Watched([master, replica], sentinels, password)
        watched.wait()
        yield watched
