"""A small app in a module of its own, and the command line run inside this process."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tidewheel._cli.root import run
from tidewheel._model.job import ErrorInfo, LogLine
from tidewheel._model.outcome import Complete, Discarded, Settlement
from tidewheel._model.worker import Want
from tidewheel._store.base import Store

SHOP = """
from tidewheel import App, RetryPolicy, current_job, fixed

app = App("sqlite:///shop.db")

@app.task(queue="email", tags=("mail",))
async def send_welcome(to: str, name: str = "you", count: int = 1) -> str:
    current_job().log.info("writing to %s", to)
    return f"sent to {to}"

@app.task(retry=RetryPolicy(1))
async def flaky(key: str) -> None:
    raise ValueError(f"boom {key}")

def make_app() -> App:
    return app
"""

TRACEBACK = (
    'Traceback (most recent call last):\n  File "shop.py", line 15, in flaky\n    raise ValueError\nValueError: boom'
)


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as the one JSON document it must be."""
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """`command("jobs", "list")` in an empty folder without environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("TIDEWHEEL_APP", "TIDEWHEEL_STORE", "TIDEWHEEL_DEBUG", "TIDEWHEEL_CHILD", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    before, path = set(sys.modules), list(sys.path)

    def invoke(*words: object) -> Outcome:
        capsys.readouterr()
        code = run([str(word) for word in words])
        got = capsys.readouterr()
        return Outcome(code, got.out, got.err)

    yield invoke
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty store and one with jobs, made once: tests copy them.

    The jobs: `done`, two dead letters `dead` and `dead2`, `ready`, and `later`, which is scheduled.
    """
    folder = tmp_path_factory.mktemp("stores")

    async def make(name: str, *, filled: bool) -> None:
        names: dict[str, Any] = {}
        exec(SHOP.replace("shop.db", str(folder / name)), names)  # noqa: S102 -- our own text
        app, send, flaky = names["app"], names["send_welcome"], names["flaky"]
        async with app:
            if filled:
                await send.options(id="done").enqueue("ada")
                await flaky.options(id="dead").enqueue("1")
                await flaky.options(id="dead2", queue="email", tags=("x",)).enqueue("2")
                await work(await app.opened())
                await send.options(id="ready").enqueue("bob")
                await send.options(id="later", delay="10m").enqueue("eve")

    asyncio.run(make("empty.db", filled=False))
    asyncio.run(make("jobs.db", filled=True))
    return folder


async def work(store: Store) -> None:
    """What a worker would do: `send_welcome` succeeds, `flaky` is given up."""
    wants = [Want("email", 10), Want("default", 10)]
    claims = await store.claim(wants, kinds=["send_welcome", "flaky"], worker="worker-1", lease=30_000_000)
    lines = (LogLine(1_800_000_000_000_000, "info", "writing to ada"),)
    settlements = []
    for claim in claims:
        error = ErrorInfo("ValueError", f"boom {json.loads(claim.args).get('key')}", TRACEBACK)
        outcome = Complete('"sent to ada"') if claim.kind == "send_welcome" else Discarded(error)
        settlements.append(Settlement(claim.lease, outcome, logs=lines if claim.kind == "send_welcome" else ()))
    await store.settle(settlements)


@pytest.fixture
def shop(command: Command, stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The same with an app, named by the environment, and its empty store."""
    (tmp_path / "shop.py").write_text(SHOP)
    shutil.copy(stores / "empty.db", tmp_path / "shop.db")
    monkeypatch.setenv("TIDEWHEEL_APP", "shop:app")
    return command


@pytest.fixture
def jobs(shop: Command, stores: Path, tmp_path: Path) -> Command:
    """The same with jobs in the store: see `stores`."""
    shutil.copy(stores / "jobs.db", tmp_path / "shop.db")
    return shop


@pytest.fixture
def states(shop: Command) -> Callable[[], dict[str, str]]:
    """State by id of every job."""

    def ask() -> dict[str, str]:
        return {row["id"]: row["state"] for row in shop("jobs", "list", "--limit", 1000, "--json").json["jobs"]}

    return ask
