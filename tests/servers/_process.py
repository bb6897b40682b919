"""What private servers of the tests share: where they may live, which port, whom they run as."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest


class NoServer(Exception):
    """The server is not on this machine, or cannot be started by this user; the text says how to get it."""


def missing(error: NoServer) -> None:
    """Without its server a test is skipped at a developer's desk; in CI it fails, or nobody would notice."""
    if os.environ.get("CI"):
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Unprivileged:
    """The user that runs a server which refuses root: this one, or `nobody` when this one is root."""

    def __init__(self) -> None:
        self.dropped = os.geteuid() == 0
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


def remove(folder: Path) -> None:
    """Remove a server's folder; what is still being written to it does not matter any more."""
    shutil.rmtree(folder, ignore_errors=True)
