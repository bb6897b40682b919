"""The pictures of `docs` are what their scripts draw, and the life of a job is the table of moves."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tidewheel._model.state import MOVES

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(PICTURES)
    return runpy.run_path(str(PICTURES / name))


@pytest.mark.parametrize(
    "name",
    [
        "life_of_a_job",
        "backoff",
        "transactions",
        "limits",
        "once",
        "graphs",
        "batches",
        "fair",
        "order",
        "breaker",
        "sharing",
    ],
)
def test_a_picture_is_what_its_script_draws(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = script(f"{name}.py", monkeypatch)["draw"]()
    file = PICTURES / f"{name.replace('_', '-')}.svg"
    assert file.read_text("utf-8") == drawn, f"run: python docs/pictures/{name}.py"
    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - our own
    assert "prefers-color-scheme: dark" in drawn


def test_the_life_of_a_job_shows_every_move_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    arrows = script("life_of_a_job.py", monkeypatch)["ARROWS"]
    shown = [move for arrow in arrows for move in arrow.moves]
    assert len(shown) == len(set(shown))
    assert set(shown) == {(start, move, end) for (start, move), ends in MOVES.items() for end in ends}
