"""How values look."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tidewheel._cli.show import Column, call, count, human, iso, moment, one_line, relative, safe, table

S = 1_000_000


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (None, "-"),
        (0, "now"),
        (-S // 2, "now"),
        (3 * S, "in 3s"),
        (-3 * S, "3s ago"),
        (300 * S, "in 5m"),
        (-90 * 60 * S, "1h ago"),
        (-30 * 3600 * S, "30h ago"),
        (-3 * 86400 * S, "3d ago"),
    ],
)
def test_moments_are_seen_from_now(at: int | None, text: str) -> None:
    now = 1_800_000_000 * S
    assert relative(None if at is None else now + at, now) == text


def test_a_moment_in_full() -> None:
    assert moment(1_800_000_000 * S, 1_800_000_060 * S) == "1m ago (2027-01-15 08:00:00 UTC)"
    assert iso(1_800_000_000 * S + 5) == "2027-01-15T08:00:00.000005Z"
    assert iso(10**30) == str(10**30)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0ms"),
        (850_000, "850ms"),
        (4_210_000, "4.2s"),
        (5 * S, "5s"),
        (75 * S, "1m15s"),
        (5400 * S, "1h30m"),
        (3605 * S, "1h"),
    ],
)
def test_durations(micros: int, text: str) -> None:
    assert human(micros) == text


def test_text_of_others_cannot_steer_the_terminal() -> None:
    assert safe("a\x1b[31mb\x9bc\u202ed\r\n") == "a\\x1b[31mb\\x9bc\\u202ed\\r\n"
    assert one_line("a\n  b\t c") == "a b c"
    assert one_line("x" * 20, 5) == "xxxx…"


def test_arguments_and_counts() -> None:
    assert call({"to": "a", "n": 3}) == 'to="a", n=3'
    assert call("broken {") == '"broken {"'
    assert [count(1, "job"), count(0, "job"), count(12_000, "queue")] == ["1 job", "0 jobs", "12,000 queues"]


def drawn(width: int) -> list[str]:
    rows: list[dict[str, str]] = [{"id": "0123456789", "state": "running", "why": "a long text that may be cut"}]
    columns = [
        Column[Any]("ID", lambda row: row["id"]),
        Column[Any]("STATE", lambda row: row["state"], rank=2),
        Column[Any]("WHY", lambda row: row["why"], rank=1, flexible=True),
    ]
    out = Console(file=io.StringIO(), width=width)
    out.print(table(rows, columns, width))
    assert isinstance(out.file, io.StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


def test_a_table_takes_the_room_there_is() -> None:
    assert drawn(100)[1] == "0123456789  running  a long text that may be cut"
    assert drawn(40)[1] == "0123456789  running  a long text that m…"
    assert drawn(30)[1] == "0123456789  a long text that …"
    assert drawn(12)[1] == "0123456789"
    assert drawn(6) == ["ID", "012345", "6789"]
