"""`tidewheel queues`, `deadletters`, `workers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tidewheel._cli.errors import NOT_FOUND, USAGE

Command = Callable[..., Any]
States = Callable[[], dict[str, str]]


def test_counts(jobs: Command) -> None:
    lines = jobs("queues", "list").out.splitlines()
    assert lines[0].split()[:4] == ["QUEUE", "SCHEDULED", "AVAILABLE", "PARKED"]
    assert [line.split()[:9] for line in lines[1:]] == [
        ["default", "-", "-", "-", "-", "-", "-", "-", "1"],
        ["email", "1", "1", "-", "-", "-", "1", "-", "1"],
    ]
    row = jobs("queues", "list", "--json").json["queues"][1]
    assert (row["name"], row["paused"], row["counts"]["available"]) == ("email", False, 1)
    assert row["oldest_available"].endswith("Z")


def test_pause_and_resume(jobs: Command) -> None:
    assert "email: paused" in jobs("queues", "pause", "email").out
    assert "email  paused" in jobs("queues", "list").out
    assert jobs("queues", "list", "--json").json["queues"][1]["paused"] is True
    assert jobs("queues", "resume", "email", "default", "--json").json == {
        "queues": ["email", "default"],
        "paused": False,
        "new": [],
    }
    assert "check the spelling" in jobs("queues", "pause", "emial").out


def test_drain(jobs: Command, states: States) -> None:
    refused = jobs("queues", "drain", "email")
    assert refused.code == USAGE
    assert "delete 1 waiting job of the queue 'email'" in refused.err
    assert jobs("queues", "drain", "email", "--yes").out == "1 job deleted.\n"
    assert set(states()) == {"done", "dead", "dead2", "later"}
    assert jobs("queues", "drain", "email").out == "Nothing waits in 'email'.\n"
    assert jobs("queues", "drain", "email", "--scheduled", "--yes", "--json").json == {"queue": "email", "deleted": 1}


def test_clean(jobs: Command, states: States) -> None:
    assert jobs("queues", "clean", "email", "--older-than", "1h", "--yes").out == "Nothing to clean in 'email'.\n"
    assert jobs("queues", "clean", "email").code == USAGE
    assert jobs("queues", "clean", "email", "--yes", "--json").json["deleted"] == 1
    assert jobs("queues", "clean", "email", "--state", "discarded", "--yes").out == "1 job deleted.\n"
    assert set(states()) == {"dead", "ready", "later"}
    wrong = jobs("queues", "clean", "email", "--state", "running", "--yes")
    assert wrong.code == USAGE


@pytest.mark.parametrize("verb", ["drain", "clean"])
def test_an_unknown_queue(jobs: Command, verb: str) -> None:
    got = jobs("queues", verb, "emial", "--yes")
    assert got.code == NOT_FOUND
    assert "Did you mean 'email'?" in got.err


def test_dead_letters(jobs: Command) -> None:
    lines = jobs("deadletters", "list").out.splitlines()
    assert lines[0].split() == ["ID", "TASK", "GIVEN", "UP", "TRIES", "QUEUE", "ERROR", "ARGUMENTS"]
    assert [line.split()[0] for line in lines[1:]] == ["dead2", "dead"]
    assert 'ValueError: boom 2  key="2"' in lines[1]
    row = jobs("deadletters", "list", "--queue", "default", "--json").json["dead_letters"]
    assert [(one["id"], one["attempts"], one["args"], one["error"]["message"]) for one in row] == [
        ("dead", 1, {"key": "1"}, "boom 1")
    ]
    assert row[0]["failed_at"].endswith("Z")
    assert jobs("deadletters", "list", "--tag", "y").out == "None matches.\n"


def test_one_dead_letter(jobs: Command) -> None:
    assert "ValueError: boom 1" in jobs("deadletters", "show", "dead").out
    assert jobs("deadletters", "show", "dead", "--json").json["state"] == "discarded"
    live = jobs("deadletters", "show", "ready")
    assert live.code == NOT_FOUND
    assert "it is available" in live.err
    assert jobs("deadletters", "show", "nope").code == NOT_FOUND


def test_requeue(jobs: Command, states: States) -> None:
    assert jobs("deadletters", "requeue", "dead").out == "1 dead letter requeued.\n"
    got = jobs("deadletters", "requeue", "dead", "dead2", "nope")
    assert got.code == NOT_FOUND
    assert "1 dead letter requeued." in got.out
    assert "2 of the ids were not requeued" in got.err
    assert states()["dead2"] == "available"


def test_purge(jobs: Command, states: States) -> None:
    for words in ([], ["dead", "--all"], ["--all", "--queue", "email"]):
        assert jobs("deadletters", "purge", *words, "--yes").code == USAGE
    assert jobs("deadletters", "purge", "--older-than", "1h", "--yes").out == "No dead letter matches.\n"
    refused = jobs("deadletters", "purge", "--all")
    assert refused.code == USAGE
    assert "purge 2 dead letters" in refused.err
    assert jobs("deadletters", "purge", "--queue", "email", "--yes", "--json").json == {
        "matched": 1,
        "matched_more": False,
        "changed": 1,
    }
    assert jobs("deadletters", "purge", "--all", "--yes").out == "1 dead letter purged.\n"
    assert set(states()) == {"done", "ready", "later"}


def test_no_dead_letters_and_no_workers(shop: Command) -> None:
    assert shop("deadletters", "list").out == "There are no dead letters.\n"
    assert "No worker is running." in shop("workers").out
    assert shop("workers", "--json").json == {"workers": []}
    assert "There are no queues yet" in shop("queues", "list").out
