"""`tidewheel worker --processes` and `tidewheel dev` as real processes: killed, stopped, reloaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.platform == "win32", reason="sends signals"),
]

APP = """
import asyncio
from tidewheel import App

app = App("sqlite:///jobs.db")

@app.task
async def version() -> int:
    return 1

@app.task
async def long() -> None:
    await asyncio.sleep(60)
"""


class Tidewheel:
    """The command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "stderr.txt"
        unwanted = ("TIDEWHEEL_STORE", "TIDEWHEEL_CHILD", "TIDEWHEEL_DEBUG")
        self.env = {name: value for name, value in os.environ.items() if name not in unwanted}
        self.env["TIDEWHEEL_APP"] = "jobs:app"
        self.started: list[subprocess.Popen[bytes]] = []
        (folder / "jobs.py").write_text(APP)

    def __call__(self, *words: str) -> Any:
        """Run a command to its end; gives its JSON document."""
        got = subprocess.run(
            [sys.executable, "-m", "tidewheel", *words, "--json"],
            cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        return json.loads(got.stdout)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command; its stderr is in `said`."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidewheel", *words],
                cwd=self.folder, env=self.env, stderr=log, stdout=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.started.append(process)
        return process

    def said(self) -> str:
        return self.log.read_text()

    def workers(self) -> set[int]:
        """Process ids of the workers that said they started and live."""
        return {worker["pid"] for worker in self("workers")["workers"] if alive(worker["pid"])}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # An orphan that nobody waits for (a container without init) is dead, too.
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def until(true: Callable[[], bool], what: str, said: Callable[[], str]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen within 20 s. It said:\n{said()}"
        time.sleep(0.1)


@pytest.fixture
def tidewheel(tmp_path: Path) -> Iterator[Tidewheel]:
    made = Tidewheel(tmp_path)
    made("migrate")
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
            process.wait()
    for pid in made.workers():
        os.kill(pid, signal.SIGKILL)


def test_a_killed_worker_process_is_replaced_and_all_stop_together(tidewheel: Tidewheel) -> None:
    supervisor = tidewheel.start("worker", "--processes", "2")
    until(lambda: len(tidewheel.workers()) == 2, "two workers", tidewheel.said)
    first, second = tidewheel.workers()
    os.kill(first, signal.SIGKILL)
    until(lambda: len(tidewheel.workers() - {first}) == 2, "a replacement", tidewheel.said)
    assert "was killed by SIGKILL" in tidewheel.said()
    assert tidewheel("enqueue", "version", "--wait", "20s")["result"] == 1
    workers = tidewheel.workers()
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0
    assert second in workers
    assert not any(alive(pid) for pid in workers)


def test_a_second_signal_hands_running_jobs_back_at_once(tidewheel: Tidewheel) -> None:
    job = tidewheel("enqueue", "long")["id"]
    supervisor = tidewheel.start("worker", "--processes", "2")
    until(lambda: tidewheel("jobs", "show", job)["state"] == "running", "the start of the job", tidewheel.said)
    supervisor.send_signal(signal.SIGINT)
    until(lambda: "1 jobs have 30s to end" in tidewheel.said(), "the first stop", tidewheel.said)
    assert supervisor.poll() is None
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(20) == 0
    row = tidewheel("jobs", "show", job)
    assert (row["state"], row["attempt"]) == ("available", 0)


def test_workers_end_with_a_supervisor_that_was_killed(tidewheel: Tidewheel) -> None:
    supervisor = tidewheel.start("worker", "--processes", "2")
    until(lambda: len(tidewheel.workers()) == 2, "two workers", tidewheel.said)
    workers = tidewheel.workers()
    supervisor.kill()
    supervisor.wait()
    until(lambda: not any(alive(pid) for pid in workers), "the end of the workers", tidewheel.said)


def test_options_that_cannot_work_are_said_once(tidewheel: Tidewheel) -> None:
    supervisor = tidewheel.start("worker", "--processes", "2", "--lease", "1ms")
    assert supervisor.wait(20) == 2
    assert tidewheel.said().count("Error") == 1


def test_dev_runs_the_new_code_after_a_change(tidewheel: Tidewheel, tmp_path: Path) -> None:
    dev = tidewheel.start("dev")
    assert tidewheel("enqueue", "version", "--wait", "20s")["result"] == 1
    until(lambda: "completed" in tidewheel.said(), "the line of the job", tidewheel.said)
    (tmp_path / "jobs.py").write_text("def (")
    until(lambda: "SyntaxError" in tidewheel.said(), "the report of the error", tidewheel.said)
    (tmp_path / "jobs.py").write_text(APP.replace("return 1", "return 22"))
    until(lambda: "reloaded" in tidewheel.said(), "the reload", tidewheel.said)
    assert tidewheel("enqueue", "version", "--wait", "20s")["result"] == 22
    dev.send_signal(signal.SIGINT)
    assert dev.wait(20) == 0
    assert not tidewheel.workers()
