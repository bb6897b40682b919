"""A small app in a module of its own, and the command line run inside this process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tidewheel import App
from tidewheel._cli.root import run

SHOP = '''
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
'''


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
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
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


@pytest.fixture
def shop(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The same with an app, named by the environment, and its empty store."""
    (tmp_path / "shop.py").write_text(SHOP)
    monkeypatch.setenv("TIDEWHEEL_APP", "shop:app")
    assert command("migrate").code == 0
    return command


@pytest.fixture
def work(shop: Command) -> Callable[[], None]:
    """Run the jobs there are to their end."""

    def until_empty() -> None:
        made: App = sys.modules["shop"].app

        async def main() -> None:
            async with made:
                await made.worker(drain_and_exit=True, signals=False).run()

        asyncio.run(main())

    return until_empty


@pytest.fixture
def states(shop: Command) -> Callable[[], dict[str, str]]:
    """State by id of every job."""

    def ask() -> dict[str, str]:
        return {row["id"]: row["state"] for row in shop("jobs", "list", "--limit", 1000, "--json").json["jobs"]}

    return ask
