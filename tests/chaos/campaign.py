"""A chaos campaign: workers are killed, frozen and stopped at random while a mixed load runs; the judge decides.

    scripts/chaos --minutes 5 --seed 1
    python -m tests.chaos.campaign --minutes 5 --seed 1 [--workers 4] [--lease 2s] [--json]

The seed fixes what is done to whom and the pauses between; what the jobs are at by then is up to the machine.
Exit code 0 when every promise was kept, 1 when one was broken (the folder with the evidence is kept then).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.chaos._card import Card, make_card
from tests.e2e._harness import PATIENCE, Site, WorkerProcess, states

from tidewheel import App, StoreUnavailable
from tidewheel._model.duration import SECOND, micros

EVERY: Final = 0.8
"""Seconds between two blows, on average."""
AHEAD: Final = 60
"""Jobs that wait, run or are scheduled, about."""
ACTIONS: Final = {"kill": 50, "pause": 25, "stop": 15, "stop at once": 10}
"""What is done to workers, by weight."""


class Campaign:
    """The load, the blows, and the end."""

    def __init__(self, site: Site, *, seconds: float, workers: int, seed: int, lease: float) -> None:
        self.site = site
        self.seconds = seconds
        self.lease = lease
        self.done = dict.fromkeys(ACTIONS, 0)
        self.added = 0
        self._blows = random.Random(seed)
        self._load = random.Random(seed + 1)
        self._slots: list[WorkerProcess | None] = [None] * workers
        self._frozen: set[int] = set()

    async def run(self, progress: Callable[[float, str], None]) -> None:
        """Feed and hit for the time given, then let everything come to its end."""
        async with self.site.app(crashes=100, attempts=1000) as app:
            begun = time.monotonic()
            self._start_missing()
            feeding = asyncio.create_task(self._feed(app))
            try:
                next_blow = begun + 2.0
                while (now := time.monotonic()) < begun + self.seconds:
                    if feeding.done():
                        break
                    self._start_missing()
                    if now >= next_blow:
                        self._hit()
                        next_blow = now + self._blows.expovariate(1 / EVERY)
                    progress(min(now - begun, self.seconds), f"{self.added} jobs, {sum(self.done.values())} blows")
                    await asyncio.sleep(0.05)
            finally:
                feeding.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await feeding
            progress(self.seconds, "coming to an end")
            await self._finish(app)

    # -- the load

    async def _feed(self, app: App) -> None:
        """Keep so much work about that there is always some waiting."""
        while True:
            live = {"available", "running", "scheduled", "retryable"}
            about = sum(
                sum(queue.counts[state] for state in queue.counts if state in live) for queue in await app.queues.list()
            )
            for _ in range(max(0, AHEAD - about)):
                # A worker that is frozen in the middle of a write keeps everybody waiting; the answer says so.
                with contextlib.suppress(StoreUnavailable):
                    await self._add(app)
            await asyncio.sleep(0.1)

    async def _add(self, app: App) -> None:
        dice = self._load
        kind = dice.choices(
            ("hop", "step", "crunch", "shaky", "sleepy", "block", "tell"), (40, 25, 10, 5, 5, 3, 12)
        )[0]  # fmt: skip
        seconds = dice.choice((0.0, dice.uniform(0, 0.2), dice.uniform(0, 1.0)))
        if kind in ("hop", "step") and dice.random() < 0.1:
            # Long enough to be still running elsewhere when a frozen worker comes back with a result of its own.
            seconds = dice.uniform(1.0, 3.0) * self.lease
        arguments: tuple[Any, ...] = (seconds,)
        if kind == "shaky":
            arguments = (dice.randint(1, 2),)
        elif kind == "tell":
            arguments = ("x" * dice.randint(1, 2000),)
        options: dict[str, Any] = {"priority": dice.randint(1, 1000)}
        if dice.random() < 0.15:
            options["delay"] = dice.uniform(0, 2.0)
        (handle,) = await self.site.add(app, kind, arguments, **options)
        self.added += 1
        if dice.random() < 0.02:
            await handle.cancel()

    # -- the blows

    def _start_missing(self) -> None:
        for number, worker in enumerate(self._slots):
            if worker is None or not worker.alive:
                self._slots[number] = self.site.worker(
                    "--concurrency", "8", "--threads", "4", "--cpu-processes", "1", "--grace", "0.5s",
                    app="many", lease=f"{self.lease:g}s",
                )  # fmt: skip

    def _hit(self) -> None:
        (action,) = self._blows.choices(list(ACTIONS), list(ACTIONS.values()))
        length = self._blows.uniform(0.5, 3.0) * self.lease
        working = [
            worker
            for worker in self._slots
            if worker is not None and worker.alive and worker.pid not in self._frozen and "started: " in worker.log
        ]
        if not working:
            return
        worker = self._blows.choice(working)
        self.done[action] += 1
        loop = asyncio.get_running_loop()
        if action == "kill":
            worker.kill()
        elif action == "pause":
            self._frozen.add(worker.pid)
            worker.pause()
            loop.call_later(length, self._thaw, worker)
        else:
            worker.send(signal.SIGTERM)
            if action == "stop at once":
                loop.call_later(0.1, worker.send, signal.SIGTERM)

    def _thaw(self, worker: WorkerProcess) -> None:
        if worker.pid in self._frozen:
            worker.resume()
            self._frozen.discard(worker.pid)

    # -- the end

    async def _finish(self, app: App) -> None:
        for worker in self._slots:
            if worker is not None:
                self._thaw(worker)
        deadline = time.monotonic() + PATIENCE + 3 * self.lease
        while time.monotonic() < deadline:
            self._start_missing()
            left = await states(app)
            if not left.keys() - {"completed", "cancelled", "discarded"}:
                break
            await asyncio.sleep(0.2)
        for worker in self._slots:
            if worker is not None and worker.alive:
                with contextlib.suppress(AssertionError):
                    await worker.stop()


def hold(folder: Path, *, seconds: float, workers: int, seed: int, lease: float, progress: Any = None) -> Card:
    """Hold a campaign in a folder and give its card."""
    site = Site(folder)
    campaign = Campaign(site, seconds=seconds, workers=workers, seed=seed, lease=lease)
    begun = time.monotonic()
    try:
        asyncio.run(campaign.run(progress or (lambda *_: None)))
    finally:
        site.end()
    return make_card(site, campaign.done, lease=lease, seconds=time.monotonic() - begun, seed=seed, workers=workers)


@contextlib.contextmanager
def _bar(seconds: float, *, shown: bool) -> Iterator[Callable[[float, str], None]]:
    if not shown:
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("chaos"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=seconds)
        yield lambda now, text: bar.update(task, completed=now, description=text)


def main(words: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="how long [default: 5], at most 600")
    parser.add_argument("--store", choices=("sqlite",), default="sqlite", help="the store [default: sqlite]")
    parser.add_argument("--seed", type=int, help="of the blows and the load [default: by chance]")
    parser.add_argument("--workers", type=int, default=4, help="worker processes [default: 4]")
    parser.add_argument("--lease", default="2s", help="[default: 2s]")
    parser.add_argument("--folder", type=Path, help="where the store and the evidence lie [default: a temporary one]")
    parser.add_argument("--json", action="store_true", help="print the card as JSON")
    given = parser.parse_args(words)
    if not 0 < given.minutes <= 600:
        parser.error(f"--minutes {given.minutes:g} must be more than 0 and at most 600.")
    if not 1 <= given.workers <= 64:
        parser.error(f"--workers {given.workers} must be 1 to 64.")
    try:
        lease = micros(given.lease) / SECOND
    except (ValueError, TypeError) as error:
        parser.error(f"--lease: {error}")
    if given.folder is not None and (given.folder / "jobs.db").exists():
        parser.error(f"--folder {given.folder} has a jobs.db of an earlier campaign. Name another folder.")
    seed = random.SystemRandom().randrange(1 << 31) if given.seed is None else given.seed
    folder = given.folder or Path(tempfile.mkdtemp(prefix="tidewheel-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    with _bar(given.minutes * 60, shown=sys.stderr.isatty()) as progress:
        card = hold(
            folder, seconds=given.minutes * 60, workers=given.workers, seed=seed, lease=lease, progress=progress
        )
    if given.json:
        print(json.dumps(asdict(card), indent=2))  # noqa: T201 -- it is a command
    else:
        card.show()
    if card.findings:
        print(f"The evidence is in {folder}: jobs.db, history.jsonl, worker*.log", file=sys.stderr)  # noqa: T201
        return 1
    if given.folder is None:
        import shutil

        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
