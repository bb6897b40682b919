"""Programs of the code before and of today's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.upgrade._worker import app_for

from tidewheel import App, JobFilter, JobState

_PROGRAM: Final = Path(__file__).with_name("_worker.py")
_SOURCE: Final = Path(__file__).parents[2] / "src"


class Machine:
    """Starts the program with one of the two codes; ends what still runs."""

    def __init__(self, before: Path) -> None:
        self._before = before
        self._children: list[subprocess.Popen[str]] = []

    def start(self, code: str, *words: str) -> subprocess.Popen[str]:
        source = self._before if code == "before" else _SOURCE
        child = subprocess.Popen(
            [sys.executable, _PROGRAM, *words],
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

    def refused(self, code: str, *words: str) -> str:
        """What it says in the end, when it must not work."""
        child = self.start(code, *words)
        _, errors = child.communicate()
        assert child.returncode == 1, errors
        return errors.splitlines()[-1]

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


def finished(url: str) -> dict[str, tuple[JobState, int]]:
    """Every job, how it ended and in which attempt."""
    app = App(url)

    async def look() -> dict[str, tuple[JobState, int]]:
        async with app:
            page = await app.jobs.list(JobFilter(), limit=1000)
            return {job.id: (job.state, job.attempt) for job in page.jobs}

    return app.run_sync(look())


def a_graph(url: str) -> list[str]:
    """A parent and its children; gives the ids of those."""
    app = app_for(url)

    async def enqueue() -> list[str]:
        async with app:
            work = app.tasks["work"]
            children = [work.options(id=f"child-{number}").job("child") for number in range(5)]
            await app.enqueue_graph(work.options(id="parent").job("parent").after(*children))
            return [child.id for child in children]

    return app.run_sync(enqueue())


def wait_for(url: str, ids: list[str]) -> None:
    """Until these jobs have ended."""
    app = app_for(url)

    async def wait() -> None:
        async with app:
            for id in ids:
                assert await app.ended(id, "work", 30)

    app.run_sync(wait())


def a_parent_is_told_by_todays(machine: Machine, url: str) -> None:
    """The code before knows nothing of graphs: it ends a child and goes on, and the parent is not lost."""
    children = a_graph(url)
    old = machine.working("before", url)
    wait_for(url, children)
    old.kill()
    assert finished(url)["parent"] == (JobState.PARKED, 0)
    machine.run("today", "drain", url)
    assert finished(url)["parent"] == (JobState.COMPLETED, 1)
