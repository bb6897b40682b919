"""`tidewheel tasks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidewheel._cli.errors import NOT_FOUND

Command = Callable[..., Any]


def test_pause_and_resume(shop: Command) -> None:
    assert shop("tasks", "pause", "flaky").out == "flaky: paused; running jobs go on, nothing new starts.\n"
    assert [line.split() for line in shop("tasks", "list").out.splitlines()] == [
        ["TASK", "QUEUE"],
        ["flaky", "paused", "default"],
        ["send_welcome", "email"],
    ]
    assert shop("tasks", "list", "--json").json["tasks"][0] == {"name": "flaky", "queue": "default", "paused": True}
    assert shop("tasks", "resume", "flaky", "--json").json == {"tasks": ["flaky"], "paused": False}
    assert "paused" not in shop("tasks", "list").out


def test_a_name_that_is_none(shop: Command) -> None:
    got = shop("tasks", "pause", "flaky", "send_welcom")
    assert got.code == NOT_FOUND
    assert "Did you mean 'send_welcome'?" in got.err
    assert "Nothing was changed" in got.err
    assert "paused" not in shop("tasks", "list").out


def test_without_the_app_only_a_paused_task_can_be_resumed(shop: Command) -> None:
    store = ("--store", "sqlite:///shop.db")
    assert shop("tasks", "pause", "gone", *store).code == 0
    got = shop("tasks", "resume", "gon", *store)
    assert (got.code, "There is no paused task 'gon'" in got.err) == (NOT_FOUND, True)
    assert "Did you mean 'gone'?" in got.err
    assert shop("tasks", "resume", "gone", *store).out == "gone: resumed.\n"
