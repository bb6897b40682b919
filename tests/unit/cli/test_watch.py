"""`--watch` in a pipe and in a terminal."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from tidewheel._cli import watch


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SHORTEST", 0)


async def three_looks(*, as_json: bool) -> None:
    looks = iter([1, 1, 2])

    async def ask() -> int:
        return next(looks)

    await watch.watch(
        ask, lambda n: {"n": n}, lambda n: f"look {n}", as_json=as_json, every="0s", ended=lambda n: n == 2
    )


async def test_json_lines_only_when_something_changed(capsys: pytest.CaptureFixture[str]) -> None:
    await three_looks(as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [{"n": 1}, {"n": 2}]


async def test_pictures_only_when_something_changed(capsys: pytest.CaptureFixture[str]) -> None:
    await three_looks(as_json=False)
    assert capsys.readouterr().out.split("\n") == ["look 1", "look 2", ""]


async def test_a_terminal_gets_the_picture_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, highlight=False, width=40)
    monkeypatch.setattr(watch, "console", lambda: screen)
    await three_looks(as_json=False)
    assert isinstance(screen.file, io.StringIO)
    assert "look 2" in screen.file.getvalue()
