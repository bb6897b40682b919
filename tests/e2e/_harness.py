"""Real worker processes on one SQLite file, and what they did."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.e2e._history import HISTORY, Audit, Verdict, judge, read, write
from tests.e2e.apps import jobs

from tidewheel import App, Job, JobFilter, JobHandle

T = TypeVar("T")
ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 30.0
"""Seconds after which a test gives up waiting: far beyond what anything here takes, for slow machines."""


class WorkerProcess:
    """`tidewheel worker` as a child process with a log of its own. Its death is noted in the history at once."""

    def __init__(self, site: Site, words: list[str], env: Mapping[str, str], log: Path) -> None:
        self._site = site
        self._log = log
        with log.open("ab") as file:
            self._popen = subprocess.Popen(
                [sys.executable, *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **env},
                start_new_session=True,  # what a terminal sends to the tests is not for it
            )
        self.pid = self._popen.pid
        self._gone = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        self._popen.wait()
        self._site.note("gone", worker=self.pid, code=self._popen.returncode)
        self._gone.set()

    @property
    def code(self) -> int | None:
        """Its exit code; negative for a signal; None while it lives."""
        return self._popen.poll()

    @property
    def alive(self) -> bool:
        return not self._gone.is_set()

    @property
    def log(self) -> str:
        """What it said."""
        return self._log.read_text("utf-8", errors="replace")

    def send(self, signum: int) -> None:
        """Send a signal, if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(signum)

    def kill(self) -> None:
        """As `kill -9` does; returns when it is dead."""
        self.send(signal.SIGKILL)
        self._gone.wait(PATIENCE)

    def pause(self) -> None:
        """Freeze it (SIGSTOP). The line comes first: what the others do afterwards they do to a frozen one."""
        self._site.note("paused", worker=self.pid)
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on (SIGCONT)."""
        self._site.note("resumed", worker=self.pid)
        self.send(signal.SIGCONT)

    async def ended(self) -> int:
        """Wait for its end; gives its exit code."""
        if not await asyncio.to_thread(self._gone.wait, PATIENCE):
            raise AssertionError(f"worker {self.pid} did not end\n{self.log[-4000:]}")
        return self._popen.returncode

    async def stop(self) -> int:
        """End it gracefully."""
        self.send(signal.SIGTERM)
        return await self.ended()

    async def ready(self) -> None:
        """Wait until it works."""
        await self.said("started: ")

    async def said(self, text: str) -> None:
        """Wait until its log has this."""
        await eventually(lambda: text in self.log, f"{text!r} in the log", self)


class Site:
    """A folder with a store, a history and the processes of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "jobs.db"
        self.url = f"sqlite:///{self.database}"
        self.history = folder / "history.jsonl"
        self.audit = Audit(self.database)
        self.processes: list[WorkerProcess] = []

    def note(self, what: str, **more: Any) -> None:
        """Add a line to the history."""
        if self.folder.exists():  # the process of a test that is over may end later
            write(self.history, what=what, **more)

    def worker(
        self, *words: str, app: str = "app", lease: str = "1s", url: str | None = None, **env: str
    ) -> WorkerProcess:
        """Start `tidewheel worker` on the app of `apps/jobs.py`."""
        command = ["-m", "tidewheel", "worker", f"tests.e2e.apps.jobs:{app}", "--lease", lease, *words]
        return self.start(command, url=url, **env)

    def start(self, words: list[str], *, url: str | None = None, **env: str) -> WorkerProcess:
        """Start Python with these words; the variables of the test app are set."""
        settings = {jobs.STORE: url or self.url, HISTORY: str(self.history), "NO_COLOR": "1", **env}
        made = WorkerProcess(self, words, settings, self.folder / f"worker{len(self.processes)}.log")
        self.processes.append(made)
        return made

    @contextlib.asynccontextmanager
    async def app(self, *, audit: bool = True, url: str | None = None, **options: Any) -> AsyncIterator[App]:
        """The test app, open in this process, with the audit's triggers in its file."""
        async with jobs.build(url or self.url, **options) as app:
            if audit:
                self.audit.install()
            yield app

    async def add(self, app: App, kind: str, *arguments: tuple[Any, ...], **options: Any) -> list[JobHandle[Any]]:
        """Enqueue a job for each tuple of arguments, and note the answers."""
        task = app.tasks[kind]
        made = task.options(**options) if options else task
        handles = await app.enqueue_many([made.job(*one) for one in arguments])
        for handle in handles:
            self.note("enqueued", job=handle.id)
        return handles

    def lines(self, what: str | None = None, *, job: str | None = None) -> list[dict[str, Any]]:
        """The history, or the part of it that concerns this."""
        return [line for line in read(self.history) if what in (None, line["what"]) and job in (None, line.get("job"))]

    def verdict(self, *, lease: float = 1.0, unfinished: Iterable[str] = ()) -> Verdict:
        """The judge's."""
        return judge(read(self.history), self.audit.changes(), lease=lease, unfinished=unfinished)

    def check(self, *, lease: float = 1.0, unfinished: Iterable[str] = ()) -> Verdict:
        """The judge's verdict, which must be that every promise was kept."""
        verdict = self.verdict(lease=lease, unfinished=unfinished)
        assert not verdict.findings, str(verdict)
        return verdict

    async def kill_at_work(
        self, workers: Sequence[WorkerProcess], counts: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> int:
        """Kill the first worker that is in the middle of a body, of those whose lines count; gives its number.

        It is frozen before the look that decides: so no body ends between that and its death.
        """
        killed: list[int] = []

        def strike() -> bool:
            for number, worker in enumerate(workers):
                if not self._at_work(worker, counts):
                    continue
                worker.send(signal.SIGSTOP)
                if self._at_work(worker, counts):
                    worker.kill()
                    killed.append(number)
                    return True
                worker.send(signal.SIGCONT)
            return False

        await eventually(strike, "a body that runs")
        return killed[0]

    def _at_work(self, worker: WorkerProcess, counts: Callable[[Mapping[str, Any]], bool]) -> bool:
        said = Counter(line["what"] for line in self.lines() if line.get("worker") == worker.pid and counts(line))
        return said["start"] > said["end"] + said["fail"] + said["cut"]

    def logs(self) -> str:
        """What all the workers said."""
        return "\n".join(one.log for one in self.processes)

    def end(self) -> None:
        """Kill what still runs: the processes we started, and those they started."""
        for process in self.processes:
            family = descendants(process.pid) if process.alive else []
            process.kill()
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The processes that `pid` started, and theirs."""
    done = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    found, new = list[int](), [pid]
    while new:
        new = [child for child, parent in parents if parent in new]
        found += new
    return found


def lives(pid: int) -> bool:
    """Is there such a process, and is it more than an entry nobody has collected yet?"""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")


async def python(code: str, *words: str, **env: str) -> str:
    """Run code in a process of its own; gives what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *words, cwd=ROOT, env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    assert not error, error.decode()
    return out.decode()


async def eventually(
    holds: Callable[[], bool | Awaitable[bool]], what: str, worker: WorkerProcess | None = None
) -> None:
    """Wait until something holds; a `worker` that ends before is a failure, too."""
    deadline = time.monotonic() + PATIENCE
    while True:
        dead = worker is not None and not worker.alive
        answer = holds()
        if answer if isinstance(answer, bool) else await answer:
            return
        if dead or time.monotonic() > deadline:
            said = f"\n{worker.log[-4000:]}" if worker is not None else ""
            raise AssertionError(f"{'the worker ended' if dead else f'waited {PATIENCE:g} s'} before: {what}{said}")
        await asyncio.sleep(0.02)


async def all_ended(handles: Iterable[JobHandle[Any]], app: App) -> list[Job]:
    """Wait until these jobs are in a final state; gives their rows."""
    return [await app.ended(handle.id, handle.kind, PATIENCE) for handle in handles]


async def states(app: App, where: JobFilter | None = None) -> dict[str, int]:
    """How many jobs are in which state."""
    counts: dict[str, int] = {}
    cursor = None
    while True:
        page = await app.jobs.list(where, limit=1000, cursor=cursor)
        for job in page.jobs:
            counts[job.state.value] = counts.get(job.state.value, 0) + 1
        cursor = page.next
        if cursor is None:
            return counts
