"""An upgrade while work goes on: workers of the code before and of today share a store, and every job finishes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tidewheel import App, JobFilter, JobState

pytestmark = pytest.mark.timeout(120)
PROGRAM: Final = Path(__file__).with_name("_worker.py")
SOURCE: Final = Path(__file__).parents[2] / "src"
JOBS: Final = 150


class Machine:
    """Starts the program with one of the two codes; ends what still runs."""

    def __init__(self, before: Path) -> None:
        self._before = before
        self._children: list[subprocess.Popen[str]] = []

    def start(self, code: str, *words: str) -> subprocess.Popen[str]:
        source = self._before if code == "before" else SOURCE
        child = subprocess.Popen(
            [sys.executable, PROGRAM, *words],
            env={**os.environ, "PYTHONPATH": str(source)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._children.append(child)
        return child

    def run(self, code: str, *words: str) -> None:
        child = self.start(code, *words)
        _, errors = child.communicate()
        assert child.returncode == 0, errors

    def working(self, code: str, url: str) -> subprocess.Popen[str]:
        """A worker that runs jobs, or would."""
        child = self.start(code, "work", url)
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line == "ready\n", child.communicate()[1]
        return child

    def end(self) -> None:
        for child in self._children:
            child.kill()
            child.communicate()


@pytest.fixture
def machine(before: Path) -> Iterator[Machine]:
    machine = Machine(before)
    yield machine
    machine.end()


@pytest.fixture
def migrated(machine: Machine, url: str) -> Callable[[], tuple[int, int]]:
    """A store that the code before made and used; called, it is migrated from here."""
    machine.run("before", "seed", url, str(JOBS))
    app = App(url)

    def migrate() -> tuple[int, int]:
        return app.run_sync(app.migrate())

    return migrate


def finished(url: str) -> dict[str, tuple[JobState, int]]:
    """Every job, how it ended and in which attempt."""
    app = App(url)

    async def look() -> dict[str, tuple[JobState, int]]:
        async with app:
            page = await app.jobs.list(JobFilter(), limit=1000)
            return {job.id: (job.state, job.attempt) for job in page.jobs}

    return app.run_sync(look())


def test_workers_of_both_codes_share_a_store_that_is_migrated_under_them(
    machine: Machine, url: str, migrated: Callable[[], tuple[int, int]]
) -> None:
    early = machine.working("before", url)
    old, new = migrated()
    assert new - old <= 1
    machine.run("before", "add", url, str(JOBS))
    late = machine.working("before", url)  # one that starts only now, behind the migration
    machine.run("today", "drain", url)

    for child in (early, late):
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate()
        assert child.returncode == 0, errors
        assert not re.search("Traceback|Error", errors), errors
    once = (JobState.COMPLETED, 1)
    plain = {f"{sort}-{number}": once for sort in ("wait", "add") for number in range(JOBS)}
    assert finished(url) == plain | {
        "ended-plain": once,
        "ended-dead": (JobState.DISCARDED, 1),
        "ended-called-off": (JobState.CANCELLED, 1),
        "again": (JobState.COMPLETED, 2),
        "snoozed": once,
        "late": once,
    }


def test_what_today_left_waiting_is_finished_by_the_code_before(
    machine: Machine, url: str, migrated: Callable[[], tuple[int, int]]
) -> None:
    """Going back after an upgrade: the schema stays, the code returns."""
    migrated()
    machine.run("today", "add", url, str(JOBS))
    machine.run("before", "drain", url)

    states = {state for state, _ in finished(url).values()}
    assert states == {JobState.COMPLETED, JobState.DISCARDED, JobState.CANCELLED}
