"""A chaos campaign: everything that can happen to workers and their store happens at random; the judge decides.

    scripts/chaos --minutes 5 --store postgres --seed 1
    python -m tests.chaos.campaign --minutes 5 --store sqlite --seed 1 [--workers 4] [--lease 2s] [--json]

The seed fixes what is done to whom and the pauses between; what the jobs are at by then is up to the machine.
Exit code 0 when every promise was kept, 1 when one was broken (the folder with the evidence is kept then).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.chaos import app as campaign_app
from tests.chaos._caller import Caller, Feed, living
from tests.chaos._card import Card, make_card
from tests.chaos._gates import judge_gates, judge_parents
from tests.chaos._grounds import STORES, Ground
from tests.chaos._scene import Scene
from tests.chaos.faults.base import Fault
from tests.chaos.faults.calls import RATES
from tests.e2e._harness import Site, WorkerProcess
from tests.e2e._history import Verdict, judge, read
from tests.e2e._records import Records, judge_records
from tests.e2e.apps import jobs
from tests.servers._process import NoServer

from tidewheel import App
from tidewheel._model.duration import SECOND, micros
from tidewheel.testing.faults import FaultPlan

LAST_PATIENCE: Final = 60.0
"""Seconds for everything to come to its end when the faults have ceased, besides a few leases."""
LINE_EVERY: Final = 30
"""Seconds between two lines of progress, where there is no terminal."""


class Campaign:
    """The load, the faults, and the end."""

    def __init__(self, site: Site, ground: Ground, *, seconds: float, workers: int, seed: int, lease: float) -> None:
        self.site = site
        self.ground = ground
        self.seconds = seconds
        self.lease = lease
        self.scene = Scene(site, workers, lease, ground.server)
        self.done: Counter[str] = Counter()
        """How often each fault struck."""
        self.repeats = 0
        self.records = Records()
        self._seed = seed
        self._starts = random.Random(f"{seed} starts")
        self._faults: list[Fault] = []
        self._over = asyncio.Event()

    async def run(self, progress: Callable[[float, str], None]) -> None:
        """Feed and hit for the time given, let everything come to its end, and read what the store has."""
        plan = FaultPlan(rates=RATES, seed=self._seed)
        harmed = campaign_app.build(self.ground.url, plan, str(self.site.history))
        async with jobs.build(self.ground.url) as quiet, harmed as app, self.ground.watched():
            self._faults = self.ground.faults()
            await self._storm(app, progress)
            progress(self.seconds, "coming to an end")
            await self._finish(quiet)
        if self.ground.server is not None:
            # Nothing that was answered may be only in memory.
            await asyncio.to_thread(self.ground.server.stop, signal.SIGKILL)
            await asyncio.to_thread(self.ground.server.start)
        async with jobs.build(self.ground.url) as fresh:
            self.records = await Records.read(fresh)

    async def _storm(self, app: App, progress: Callable[[float, str], None]) -> None:
        caller = Caller(app, self.scene.note)
        feed = Feed(caller, random.Random(f"{self._seed} load"), self.lease)
        self.scene.fill(self._worker)
        begun = time.monotonic()
        feeding = asyncio.create_task(feed.run())
        striking = [asyncio.create_task(self._strike(fault)) for fault in self._faults]
        try:
            while (now := time.monotonic()) < begun + self.seconds:
                if any(task.done() for task in (feeding, *striking)):
                    break  # with an error, which is raised below
                self.scene.fill(self._worker)
                blows = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
                progress(now - begun, f"{caller.given} jobs; {blows}")
                await asyncio.sleep(0.05)
        finally:
            self._over.set()
            feeding.cancel()
            ends = await asyncio.gather(feeding, *striking, return_exceptions=True)
            self.scene.note("over")
            self.repeats = caller.repeats
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def _worker(self, slot: int) -> WorkerProcess:
        harm = {} if self._over.is_set() else self._harm()
        words = ["--lease", f"{self.lease:g}s", "--concurrency", "8", "--threads", "4", "--cpu-processes", "1"]
        return self.site.start(
            ["-m", "tidewheel", "worker", "tests.chaos.app:app", *words, "--grace", "0.5s"],
            url=self.ground.url_for(slot), **harm,
        )  # fmt: skip

    def _harm(self) -> dict[str, str]:
        return {name: value for fault in self._faults for name, value in fault.environment(self._starts).items()}

    async def _strike(self, fault: Fault) -> None:
        """Strike until the campaign is over; a strike under way comes to its end."""
        dice = random.Random(f"{self._seed} {fault.name}")
        pause = fault.first + fault.pause(dice)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if pause == float("inf") else pause):
                    await self._over.wait()
                return
            if await fault.strike(self.scene, dice):
                self.done[fault.name] += 1
            pause = fault.pause(dice)

    async def _finish(self, app: App) -> None:
        for fault in self._faults:
            await fault.mend(self.scene)
        deadline = time.monotonic() + LAST_PATIENCE + 3 * self.lease
        while time.monotonic() < deadline and await living(app):
            self.scene.fill(self._worker)
            await asyncio.sleep(0.2)
        for worker in self.scene.workers():
            with contextlib.suppress(AssertionError):
                await worker.stop()

    def verdict(self) -> Verdict:
        """The judge's, by the history, the recorder's changes, and the rows and records at the end."""
        lines = read(self.site.history)
        changes = self.ground.recorder.changes()
        verdict = judge(lines, changes, lease=self.lease)
        judge_records(verdict, lines, self.records)
        judge_gates(verdict, changes, self.records.rows, campaign_app.SLOTS)
        judge_parents(verdict, changes, {line["job"]: line["children"] for line in lines if line.get("children")})
        return verdict


def hold(
    folder: Path,
    store: str = "sqlite",
    *,
    seconds: float,
    workers: int,
    seed: int,
    lease: float,
    pace: float = 1.0,
    progress: Callable[[float, str], None] = lambda *_: None,
) -> Card:
    """Hold a campaign in a folder and give its card.

    Raises:
        NoServer: the store's server is not here.
    """
    site, ground = Site(folder), Ground(store, folder, lease=lease, pace=pace)
    begun = time.monotonic()
    try:
        ground.start()
        site.url = ground.url
        campaign = Campaign(site, ground, seconds=seconds, workers=workers, seed=seed, lease=lease)
        try:
            asyncio.run(campaign.run(progress))
        finally:
            site.end()
        card = make_card(campaign, seconds=time.monotonic() - begun, seed=seed)
        if card.findings:
            _keep_evidence(folder, campaign)
    finally:
        ground.remove()
    return card


def _keep_evidence(folder: Path, campaign: Campaign) -> None:
    """What the store said goes with its server; so it is written down beside the history."""
    recorder = campaign.ground.recorder
    changes = [[at, *change] for at, change in zip(recorder.moments(), recorder.changes(), strict=True)]
    (folder / "changes.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in changes))
    told = [
        {"row": repr(job), "attempts": [repr(one) for one in campaign.records.attempts[job.id]]}
        for job in campaign.records.rows.values()
    ]
    (folder / "records.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in told))


@contextlib.contextmanager
def _progress(seconds: float) -> Iterator[Callable[[float, str], None]]:
    """A bar on a terminal; elsewhere a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        said = itertools.count(LINE_EVERY, LINE_EVERY)
        due = next(said)

        def line(now: float, text: str) -> None:
            nonlocal due
            if now >= due:
                due = next(said)
                print(f"{now:.0f} of {seconds:.0f} s: {text}", file=sys.stderr, flush=True)  # noqa: T201

        yield line
        return
    columns = (TextColumn("chaos"), BarColumn(20), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=seconds)
        yield lambda now, text: bar.update(task, completed=now, description=text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="how long [default: 5], at most 600")
    parser.add_argument("--store", choices=STORES, default="sqlite", help="the store [default: sqlite]")
    parser.add_argument("--seed", type=int, help="of the faults and the load [default: by chance]")
    parser.add_argument("--workers", type=int, default=4, help="worker processes [default: 4]")
    parser.add_argument("--lease", default="2s", help="[default: 2s]")
    parser.add_argument(
        "--pace", type=float, default=1.0, help="restarts of the server: so many times as often [default: 1, every 5 to 40 s]"
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, help="where the evidence lies [default: a temporary one]")
    parser.add_argument("--json", action="store_true", help="print the card as JSON")
    return parser


def main(words: list[str] | None = None) -> int:
    """The command."""
    parser = _parser()
    given = parser.parse_args(words)
    if not 0 < given.minutes <= 600:
        parser.error(f"--minutes {given.minutes:g} must be more than 0 and at most 600.")
    if not 1 <= given.workers <= 64:
        parser.error(f"--workers {given.workers} must be 1 to 64.")
    if not 0 < given.pace <= 100:
        parser.error(f"--pace {given.pace:g} must be more than 0 and at most 100.")
    try:
        lease = micros(given.lease) / SECOND
    except (ValueError, TypeError) as error:
        parser.error(f"--lease: {error}")
    if given.folder is not None and (given.folder / "history.jsonl").exists():
        parser.error(f"--folder {given.folder} has the history of an earlier campaign. Name another folder.")
    seed = random.SystemRandom().randrange(1 << 31) if given.seed is None else given.seed
    folder = given.folder or Path(tempfile.mkdtemp(prefix="tidewheel-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"seconds": given.minutes * 60, "workers": given.workers, "seed": seed, "lease": lease}
    try:
        with _progress(given.minutes * 60) as progress:
            card = hold(folder, given.store, **options, pace=given.pace, progress=progress)
    except NoServer as error:
        parser.error(f"--store {given.store}: {error}")
    if given.json:
        print(json.dumps(asdict(card), indent=2))  # noqa: T201 -- it is a command
    else:
        card.show()
    if card.findings:
        print(f"The evidence is in {folder}: history, changes, records, logs of the workers", file=sys.stderr)  # noqa: T201
        return 1
    if given.folder is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
