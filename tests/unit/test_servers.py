"""The private servers of the tests themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers._process import Server


class Failing(Server):
    """Says something and ends."""

    kind = "Failing"

    def __init__(self) -> None:
        super().__init__(Path("/bin/sh"))
        self.says = ""

    def command(self) -> list[str | Path]:
        return [self.program, "-c", f"echo '{self.says}'; exit 1"]

    def ready(self) -> bool:
        return False


@pytest.fixture
def failing() -> Iterator[Failing]:
    one = Failing()
    yield one
    one.remove()


def test_a_server_whose_port_is_taken_tries_another_one(failing: Failing) -> None:
    failing.port, failing.says = 4711, "bind: Address already in use"
    assert not failing._try(time.monotonic() + 10)
    assert failing.port == 0


def test_a_server_that_fails_for_another_reason_keeps_its_port(failing: Failing) -> None:
    """Also when it had found its port taken once before: its clients know it by this one."""
    failing.log.write_text("bind: Address already in use\n")
    failing.port, failing.says = 4711, "the lock file of a killed server is still there"
    assert not failing._try(time.monotonic() + 10)
    assert failing.port == 4711
