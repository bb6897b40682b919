"""The command itself: help, exit codes, errors, what loads when."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from tidewheel import ConfigError, EncodeError, JobFailed, JobNotFound, StoreError, StoreUnavailable
from tidewheel._cli import deadletters, errors, jobs, limits, queues, root, tasks

Command = Callable[..., Any]

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def commands(
    table: Mapping[str, tuple[str, str]] = root.COMMANDS, prefix: str = ""
) -> Iterator[tuple[str, str, click.Command]]:
    """Name, summary and command, groups opened up."""
    groups = {
        "jobs": jobs.COMMANDS,
        "queues": queues.COMMANDS,
        "tasks": tasks.COMMANDS,
        "limits": limits.COMMANDS,
        "deadletters": deadletters.COMMANDS,
    }
    for name, (target, summary) in table.items():
        module, _, attribute = target.partition(":")
        found = getattr(importlib.import_module(f"tidewheel._cli.{module}"), attribute)
        if isinstance(found, click.Group):
            yield from commands(groups[name], f"{name} ")
        else:
            yield prefix + name, summary, found


ALL = list(commands())


@pytest.mark.parametrize(("name", "summary", "found"), ALL, ids=[name for name, _, _ in ALL])
def test_every_command_has_help_json_and_a_place_in_the_reference(
    command: Command, name: str, summary: str, found: click.Command
) -> None:
    got = command(*name.split(), "--help")
    assert got.code == 0
    assert "--json" in got.out
    assert "Example" in got.out
    assert summary.endswith(".")
    section = re.search(rf"^## `{name}[ `].*?(?=^## |\Z)", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert section, f"docs/reference/cli.md has no section on {name}"
    assert f"$ tidewheel {name}" in section[0]
    for parameter in found.params:
        if isinstance(parameter, click.Option) and parameter.name not in ("app", "store", "as_json", "yes"):
            assert f"`{parameter.opts[0]}" in section[0], f"{name} {parameter.opts[0]} is not documented"


def test_the_help_lists_the_commands_and_the_exit_codes(command: Command) -> None:
    got = command("--help")
    assert got.code == 0
    for name in root.COMMANDS:
        assert f"\n  {name} " in got.out
    reference = DOCS.read_text(encoding="utf-8")
    for code, meaning in errors.EXIT_CODES:
        assert f"{code}  {meaning}" in got.out
        assert f"| {code} | {meaning} |" in reference


def test_without_a_command_the_help_comes_with_a_usage_error(command: Command) -> None:
    got = command()
    assert got.code == errors.USAGE
    assert "Commands:" in got.err


def test_the_version(command: Command) -> None:
    assert command("--version").out.startswith("tidewheel 0.")
    got = command("version", "--json").json
    assert got["python"].endswith(".".join(map(str, sys.version_info[:3])))
    assert "sqlite" in command("version").out


def test_help_loads_neither_rich_nor_a_command_nor_a_driver() -> None:
    script = (
        "import sys; from tidewheel._cli import main; main(['--help']);"
        "print(sorted({'rich', 'sqlite3', 'multiprocessing', 'tidewheel._cli.jobs', 'tidewheel._cli.worker'}"
        " & set(sys.modules)))"
    )
    got = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert got.stdout.splitlines()[-1] == "[]"


def test_python_m_tidewheel_is_the_command() -> None:
    got = subprocess.run([sys.executable, "-m", "tidewheel", "jbos"], capture_output=True, text=True, check=False)
    assert got.returncode == errors.USAGE
    assert "Did you mean 'jobs'?" in got.stderr
    assert "Traceback" not in got.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["jbos"], "Did you mean 'jobs'?"),
        (["jobs", "lst"], "Did you mean 'list'?"),
        (["frobnicate"], "Commands: worker, dev"),
        (["jobs", "list", "--sate", "running"], "--state"),
        (["jobs", "list", "--state", "runing"], "Did you mean 'running'?"),
        (["jobs", "list", "--state", "xyz"], "Choose from scheduled"),
        (["jobs", "list", "--older-than", "5 parsecs"], "is no duration"),
        (["jobs", "list"], "TIDEWHEEL_STORE"),
        (["jobs", "list", "--app", "a:b", "--store", "memory://"], "exclude one another"),
        (["queues", "list", "--store", "sqlit:///x"], "Did you mean sqlite?"),
        (["queues", "list", "--store", "redsi+sentinel://x/m"], "Did you mean redis+sentinel?"),
        (["queues", "list", "--store", "valky+cluster://x/"], "Did you mean valkey+cluster?"),
        (["queues", "list", "--store", "sqlite:///x.db?durabilty=full"], "Did you mean durability?"),
        (["worker"], "TIDEWHEEL_APP"),
    ],
)
def test_wrong_usage_is_said_in_one_go_without_a_stack(command: Command, words: list[str], says: str) -> None:
    got = command(*words)
    assert got.code == errors.USAGE
    assert says in got.err
    assert got.err.startswith("Error: ")
    assert "Traceback" not in got.err
    assert got.out == ""


def test_with_json_an_error_is_the_one_document(command: Command) -> None:
    got = command("jobs", "list", "--store", "sqlite:///nowhere.db", "--json")
    assert got.code == errors.STORE
    assert got.json["error"]["code"] == errors.STORE
    assert "nowhere.db" in got.json["error"]["message"]
    assert "nowhere.db" in got.err


def test_looking_never_makes_a_database(command: Command, tmp_path: Path) -> None:
    for words in (["jobs", "list"], ["queues", "list"], ["workers"], ["deadletters", "list"], ["check"]):
        command(*words, "--store", "sqlite:///typo.db")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("these are my notes, not a database. " * 100)
    got = command("queues", "list", "--store", "sqlite:///notes.db")
    assert got.code == errors.STORE
    assert "notes.db" in got.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailable("busy"), errors.STORE),
        (StoreError("broken"), errors.STORE),
        (ExceptionGroup("of a task group", [StoreUnavailable("busy")]), errors.STORE),
        (JobNotFound("gone"), errors.NOT_FOUND),
        (ConfigError(["one", "two"]), errors.USAGE),
        (EncodeError("no JSON"), errors.USAGE),
        (JobFailed("gave up"), errors.FAILURE),
        (KeyboardInterrupt(), errors.INTERRUPTED),
        (RuntimeError("who knows"), errors.FAILURE),
    ],
)
def test_every_error_has_its_exit_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEWHEEL_DEBUG", raising=False)
    assert errors.report(error, as_json=True) == code
    got = capsys.readouterr()
    assert json.loads(got.out)["error"]["code"] == code
    assert "Traceback" not in got.err


def test_several_problems_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    errors.report(ConfigError(["the first", "the second"]), as_json=False)
    assert capsys.readouterr().err.splitlines()[1:] == ["  - the first", "  - the second"]


def test_debugging_shows_the_stack(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWHEEL_DEBUG", "1")
    assert "Traceback" in command("jobs", "list", "--store", "sqlite:///nowhere.db").err


@pytest.mark.parametrize(
    ("given", "known", "says"),
    [
        ("sned", ["send", "other"], "Did you mean 'send'?"),
        ("SEND", ["send"], "Did you mean 'send'?"),
        ("welcome", ["email.send_welcome"], "Did you mean 'email.send_welcome'?"),
        ("zzz", ["send"], ""),
    ],
)
def test_did_you_mean(given: str, known: list[str], says: str) -> None:
    assert errors.did_you_mean(given, known) == says


def test_bench_and_demo_hand_over_their_options(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidewheel._bench import run as bench
    from tidewheel._demo import run as demo

    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def main(*args: Any, **kwargs: Any) -> int:
        calls.append((args, kwargs))
        return 3

    monkeypatch.setattr(bench, "main", main)
    monkeypatch.setattr(demo, "main", main)
    assert command("bench", "--store", "memory://", "--jobs", "1000", "--limits", "--json").code == 3
    assert command("demo", "--plain").code == 3
    assert calls[0] == (("memory://", 1000, 3, 500), {"limits": True, "as_json": True})
    assert calls[1][1]["plain"] is True
