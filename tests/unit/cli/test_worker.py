"""`tidewheel worker`, `dev`, `check`, `migrate`, and how they log."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tidewheel import Event
from tidewheel._cli import dev, logs, worker
from tidewheel._cli.errors import OK, PROBLEMS, RECYCLE, STORE, USAGE
from tidewheel._cli.target import sqlite_file, without_password
from tidewheel._engine.supervisor import Supervisor
from tidewheel._store.sqlite.schema import newest

Command = Callable[..., Any]
States = Callable[[], dict[str, str]]


@pytest.fixture(autouse=True)
def quiet_logging() -> Iterator[None]:
    """The handlers a command adds go with the test."""
    root, ours = logging.getLogger(), logging.getLogger("tidewheel")
    before, level, ours_level = list(root.handlers), root.level, ours.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    ours.setLevel(ours_level)


def test_a_worker_runs_what_there_is(jobs: Command, states: States) -> None:
    jobs("jobs", "promote", "later")
    got = jobs("worker", "shop:app", "--drain", "--queue", "email", "--no-uvloop")
    assert got.code == OK
    assert got.out == ""
    for text in (
        "tidewheel worker shop:app",
        "sqlite:///shop.db",
        "email",
        "flaky, send_welcome",
        "lease 30s",
        "Ctrl-C",
    ):
        assert text in got.err
    assert set(states().values()) == {"completed", "discarded"}


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--queue", "email=5", "--queue", "default"], "email=5, default=1"),
        (["--queue", "email", "--queue", "default", "--order", "strict"], "email, then default"),
        (["--queue", "email", "--queue", "default", "--order", "weighted"], "email, default"),
    ],
)
def test_a_worker_with_weights_or_in_strict_order(jobs: Command, words: list[str], shown: str) -> None:
    got = jobs("worker", "shop:app", "--drain", "--no-uvloop", "--max-jobs", "1", *words)
    assert got.code == RECYCLE
    assert shown in got.err


def test_queues_as_they_are_written() -> None:
    assert worker.queues_of(["a", "b", "a"]) == ("a", "b")
    assert worker.queues_of(["a=5", "b"]) == {"a": 5, "b": 1}
    assert worker.queues_of(["a=b=2"]) == {"a=b": 2}


def test_a_worker_as_json(jobs: Command) -> None:
    logging.getLogger().handlers.clear()
    got = jobs("worker", "--drain", "--queue", "default", "--json", "--log-format", "json")
    assert got.json == {"app": "shop:app", "stopped": "drained"}
    assert any(line.startswith('{"at":') and json.loads(line)["level"] == "info" for line in got.err.splitlines())


def test_a_worker_that_is_recycled(jobs: Command) -> None:
    assert jobs("worker", "--max-jobs", "1", "--json").code == RECYCLE


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--lease", "1ms", "--max-memory", "lots"], "- worker option max_memory: 'lots' is no size"),
        (["--processes", "2", "--lease", "1ms"], "lease"),
        (["--concurrency", "0"], "--concurrency"),
        (["--log-level", "verbose"], "Choose from debug, info"),
        (["--queue", ""], "queue name"),
        (["--queue", "email=lots"], "'lots' is no weight"),
        (["--queue", "email=0"], "'email' has the weight 0"),
        (["--queue", "email=2", "--queue", "email=3"], "two weights"),
        (["--queue", "email=2", "--order", "strict"], "queues=['email']"),
        (["--order", "strict"], "the first one first"),
        (["--order", "weigthed"], "Did you mean 'weighted'?"),
    ],
)
def test_options_that_cannot_work(shop: Command, words: list[str], says: str) -> None:
    got = shop("worker", *words)
    assert got.code == USAGE
    assert says in got.err
    assert "Traceback" not in got.err


def test_an_app_without_tasks(shop: Command, tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("from tidewheel import App\napp = App('sqlite:///bare.db')\n")
    got = shop("worker", "bare:app")
    assert got.code == USAGE
    assert "@app.task" in got.err


def test_several_processes_need_a_store_they_share(shop: Command, tmp_path: Path) -> None:
    (tmp_path / "memory.py").write_text("from tidewheel import App\napp = App('memory://')\n")
    got = shop("worker", "memory:app", "--processes", "2")
    assert got.code == USAGE
    assert "memory://" in got.err


def test_uvloop_that_is_not_there(shop: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    got = shop("worker", "--uvloop")
    assert got.code == USAGE
    assert "tidewheel[fast]" in got.err


def test_the_children_get_the_options_of_their_parent(shop: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    def run(self: Supervisor) -> int:
        made.append(worker._child_arguments())
        return 0

    monkeypatch.setattr(Supervisor, "run", run)
    got = shop(
        "worker",
        "--processes",
        3,
        "-q",
        "a",
        "-q",
        "b=3",
        "--order",
        "weighted",
        "-c",
        5,
        "--drain",
        "--grace",
        5,
        "--wait",
        0,
        "--no-uvloop",
        "--json",
    )
    assert got.json["processes"] == 3
    words = made[0]
    assert words[-4:] == ["--processes", "1", "--", "shop:app"]
    assert words[:-4] == [
        "--queue", "a", "--queue", "b=3", "--order", "weighted", "--concurrency", "5", "--grace", "5s", "--wait", "0s", "--drain",
        "--log-level", "info", "--log-format", "text", "--no-uvloop",
    ]  # fmt: skip
    with worker.worker.make_context("worker", list(words)) as context:
        assert context.params["queues"] == ("a", "b=3")


def test_dev_without_reload_runs_the_worker(
    shop: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {}

    def run(_app: Any, _name: str, options: dict[str, Any], **_: Any) -> str:
        given.update(options)
        return "stop"

    monkeypatch.setattr(dev, "run_worker", run)
    got = shop("dev", "--no-reload", "--queue", "email")
    assert got.code == OK
    assert "tidewheel worker shop:app" in got.err
    assert given["queues"] == ("email",)


def test_dev_watches_the_folder_of_the_app(shop: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    def run(_self: dev.Reloader) -> int:
        made.append(dev._child_arguments())
        return 0

    monkeypatch.setattr(dev.Reloader, "run", run)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    got = shop("dev", "-q", "email", "-c", "3", "--json")
    assert f"Watching 1 .py files in {tmp_path}." in got.err
    assert made == [
        ["--no-reload", "--log-level", "info", "--queue", "email", "--concurrency", "3", "--json", "--", "shop:app"]
    ]


def claimed(attempt: int = 1) -> Any:
    from tidewheel._model.job import Claimed

    return Claimed("id-1", 1, "send", "email", "{}", attempt, 3, 0, 0, 1_000_000)


def test_events_as_people_read_them(capsys: pytest.CaptureFixture[str]) -> None:
    from tidewheel._model.outcome import Complete, Snoozed

    dev._print_event(Event("job.started", 1_000_000, {"job": claimed()}))
    dev._print_event(Event("job.started", 1_000_000, {"job": claimed(2)}))
    dev._print_event(Event("job.completed", 2_500_000, {"job": claimed(), "outcome": Complete("1")}))
    dev._print_event(Event("job.snoozed", 1_001_000, {"job": claimed(), "outcome": Snoozed(60_000_000)}))
    dev._print_event(Event("job.stalled", 1_001_000, {"lease": ("id-1", 1)}))
    assert [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()] == [
        "started    send  id-1",
        "started    send  id-1  attempt 2 of 3",
        "completed  send  id-1  1.5s",
        "snoozed    send  id-1  1ms  again in 1m",
        "lease lost ('id-1', 1)",
    ]


def test_events_as_json(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from tidewheel import ErrorInfo
    from tidewheel._model.outcome import Discarded

    monkeypatch.setattr(sys, "__stdout__", sys.stdout)
    outcome = Discarded(ErrorInfo("ValueError", "boom"))
    dev._json_event(Event("job.discarded", 1_500_000, {"job": claimed(), "outcome": outcome}))
    got = json.loads(capfd.readouterr().out)
    assert (got["event"], got["task"], got["took"], got["error"]["message"]) == ("job.discarded", "send", 0.5, "boom")


def test_check_finds_nothing(shop: Command) -> None:
    got = shop("check", "shop:app")
    assert got.code == OK
    for text in (
        "sqlite:///shop.db",
        f"schema {newest()}",
        "2: flaky, send_welcome",
        "default, email",
        "No problems found.",
    ):
        assert text in got.out
    assert shop("check", "--json").json["ok"] is True


def test_check_shows_all_problems_at_once(shop: Command, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "from tidewheel import App, Retention\n"
        "app = App('sqlite:///odd.db', queues={'emial': Retention()})\n"
        "@app.task(run_in='process')\n"
        "def local(x: int) -> int: return x\n"
        "def hide():\n"
        "    @app.task(run_in='process')\n"
        "    def inner() -> None: ...\n"
        "    @app.task(timeout='1s')\n"
        "    def slow() -> None: ...\n"
        "hide()\n"
    )
    got = shop("check", "odd:app")
    assert got.code == PROBLEMS
    assert "does not exist yet" in got.out
    assert not (tmp_path / "odd.db").exists()
    assert "error   task inner: " in got.out
    assert "1 error, 2 warnings." in got.out
    problems = shop("check", "odd:app", "--json").json["problems"]
    assert [problem["level"] for problem in problems] == ["error", "warning", "warning"]


def test_warnings_are_problems_when_strict(shop: Command, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("from tidewheel import App\napp = App('sqlite:///odd.db')\n")
    assert shop("check", "odd:app").code == OK
    assert shop("check", "odd:app", "--strict").code == PROBLEMS


def test_check_of_a_store_alone(shop: Command, tmp_path: Path) -> None:
    assert shop("check", "--store", "sqlite:///shop.db").code == OK
    (tmp_path / "text.db").write_text("no database at all " * 100)
    got = shop("check", "--store", "sqlite:///text.db", "--json")
    assert got.code == PROBLEMS
    assert got.json["problems"][0]["where"] == "store"
    assert shop("check", "shop:app", "--app", "other:app").code == USAGE


def test_migrate(command: Command, tmp_path: Path) -> None:
    assert "schema 0 → " in command("migrate", "--store", "sqlite:///new.db").out
    got = command("migrate", "--store", "sqlite:///new.db", "--json").json
    assert got["before"] == got["after"] >= 1
    assert "is up to date" in command("migrate", "--store", "sqlite:///new.db").out
    assert command("migrate", "--store", "sqlite:///no/such/folder/new.db").code == STORE


def test_the_log_as_text_and_as_json() -> None:
    record = logging.makeLogRecord(
        {
            "name": "tidewheel",
            "levelname": "INFO",
            "msg": "hello %s",
            "args": ("\x1b[31m",),
            "created": 0.5,
            "job": "id-1",
        }
    )
    text = logs.TextFormatter(colour=False, number="2").format(record)
    assert text.split(" ", 1)[1] == "INFO    [2] hello \\x1b[31m"
    assert "\x1b[36m" in logs.TextFormatter(colour=True).format(record)
    line = json.loads(logs.JsonFormatter().format(record))
    assert (line["at"], line["level"], line["job"]) == ("1970-01-01T00:00:00.500000Z", "info", "id-1")
    record.exc_info = (ValueError, ValueError("boom"), None)
    assert "ValueError: boom" in logs.TextFormatter(colour=False).format(record)
    assert "ValueError: boom" in json.loads(logs.JsonFormatter().format(record))["stack"]


def test_an_app_that_set_up_its_own_log_keeps_it() -> None:
    mine = logging.NullHandler()
    logging.getLogger().handlers[:] = [mine]
    logs.set_up("debug", "text")
    assert logging.getLogger().handlers == [mine]
    assert logging.getLogger("tidewheel").level == logging.DEBUG


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///jobs.db", "sqlite:///jobs.db"),
        ("postgresql://ada:secret@db:5432/jobs", "postgresql://ada:***@db:5432/jobs"),
        ("redis://:secret@db", "redis://:***@db"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_the_file_of_a_url() -> None:
    assert sqlite_file("sqlite:///a%20b.db?durability=full") == Path("a b.db")
    assert sqlite_file("sqlite:////var/jobs.db") == Path("/var/jobs.db")
    assert sqlite_file("memory://") is None


def test_an_interrupt_is_no_failure_of_ours(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise click.Abort

    monkeypatch.setattr("tidewheel._cli.migrate.find_app", interrupted)
    got = command("migrate", "--store", "memory://")
    assert got.code == 130
    assert got.err == "Interrupted.\n"
