"""`tidewheel jobs`: reading and changing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tidewheel._cli import jobs_change, output
from tidewheel._cli.errors import FAILURE, NOT_FOUND, USAGE

Command = Callable[..., Any]
States = Callable[[], dict[str, str]]

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_the_list(jobs: Command) -> None:
    got = jobs("jobs", "list").out.splitlines()
    assert got[0].split() == ["ID", "STATE", "TASK", "WHEN", "TRY", "QUEUE", "ARGUMENTS"]
    assert [line.split()[:3] for line in got[1:]] == [
        ["later", "scheduled", "send_welcome"],
        ["ready", "available", "send_welcome"],
        ["dead2", "discarded", "flaky"],
        ["dead", "discarded", "flaky"],
        ["done", "completed", "send_welcome"],
    ]
    assert "in 10m" in got[1] or "in 9m" in got[1]
    assert 'to="bob"' in got[2]
    assert "ValueError: boom 2" in got[3]
    assert not any(line != line.rstrip() for line in got)


def test_the_list_in_a_narrow_terminal(jobs: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    got = jobs("jobs", "list").out.splitlines()
    assert max(map(len, got)) <= 30
    assert got[1].split() == ["later", "scheduled", "send_welcome"]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--state", "discarded"], ["dead2", "dead"]),
        (["--state", "discarded", "--state", "SCHEDULED"], ["later", "dead2", "dead"]),
        (["--queue", "email"], ["later", "ready", "dead2", "done"]),
        (["--kind", "flaky"], ["dead2", "dead"]),
        (["--tag", "mail", "--state", "completed"], ["done"]),
        (["--text", "bob"], ["ready"]),
        (["--older-than", "1h"], []),
        (["--limit", "1"], ["later"]),
    ],
)
def test_filters(jobs: Command, words: list[str], ids: list[str]) -> None:
    assert [row["id"] for row in jobs("jobs", "list", *words, "--json").json["jobs"]] == ids


def test_pages(jobs: Command) -> None:
    first = jobs("jobs", "list", "--limit", "4", "--json").json
    assert first["next"] is not None
    second = jobs("jobs", "list", "--limit", "4", "--cursor", first["next"], "--json").json
    assert [row["id"] for row in second["jobs"]] == ["done"]
    assert second["next"] is None
    assert f"There are more: --cursor {first['next']}" in jobs("jobs", "list", "--limit", "4").out
    wrong = jobs("jobs", "list", "--cursor", "xyz")
    assert wrong.code == USAGE
    assert "'xyz'" in wrong.err


def test_empty_lists(shop: Command) -> None:
    assert shop("jobs", "list").out == "There are no jobs.\n"
    assert shop("jobs", "list", "--queue", "x").out == "No job matches.\n"


def test_the_page_of_a_job(jobs: Command) -> None:
    done = jobs("jobs", "show", "done").out
    for text in ("send_welcome  completed", 'to="ada"', "1 of 3", "UTC)", '"sent to ada"', "writing to ada", "mail"):
        assert text in done
    dead = jobs("jobs", "show", "dead").out
    for text in ("flaky  discarded", "ValueError: boom 1", "Traceback (most recent call last)", "#1  discard"):
        assert text in dead
    later = jobs("jobs", "show", "later").out
    assert re.search(r"due +in (10|9)m", later)


def test_a_job_as_json(jobs: Command) -> None:
    row = jobs("jobs", "show", "done", "--json").json
    assert row["result"] == "sent to ada"
    assert row["args"] == {"to": "ada"}
    assert TIME.fullmatch(row["enqueued_at"])
    assert TIME.fullmatch(row["finished_at"])
    assert [line["message"] for line in row["logs"]] == ["writing to ada"]
    dead = jobs("jobs", "show", "dead", "--json").json
    assert dead["error"]["message"] == "boom 1"
    assert dead["attempts"][0]["outcome"] == "discard"


def test_logs(jobs: Command) -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d info +writing to ada\n", jobs("jobs", "logs", "done").out)
    assert jobs("jobs", "logs", "done", "--json").json[0]["level"] == "info"
    assert jobs("jobs", "logs", "ready").out == "The job logged nothing.\n"
    assert "writing to ada" in jobs("jobs", "logs", "done", "--follow").out
    assert json.loads(jobs("jobs", "logs", "done", "--follow", "--json").out)["message"] == "writing to ada"


@pytest.mark.parametrize("words", [["show"], ["logs"]])
def test_a_job_that_is_not_there(jobs: Command, words: list[str]) -> None:
    got = jobs("jobs", *words, "nope")
    assert got.code == NOT_FOUND
    assert "'nope'" in got.err
    assert jobs("jobs", *words, "nope", "--json").json["error"]["code"] == NOT_FOUND


def test_watching_a_job_ends_with_it(jobs: Command) -> None:
    for words in (["--watch", "done"], ["done", "--watch", "0.2"], ["done", "--watch"]):
        assert "send_welcome  completed" in jobs("jobs", "show", *words).out
    lines = jobs("jobs", "show", "--watch", "done", "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["done"]


@pytest.mark.parametrize(
    ("verb", "job", "after"),
    [
        ("retry", "dead", "available"),
        ("retry", "done", "available"),
        ("cancel", "ready", "cancelled"),
        ("cancel", "later", "cancelled"),
        ("promote", "later", "available"),
    ],
)
def test_changing_by_id(jobs: Command, states: States, verb: str, job: str, after: str) -> None:
    before = states()[job]
    got = jobs("jobs", verb, job)
    assert got.code == 0
    assert got.out == f"{job}  {before} → {after}\n"
    assert states()[job] == after


def test_deleting_by_id(jobs: Command, states: States) -> None:
    assert jobs("jobs", "delete", "done", "dead", "--json").json["changed"] == 2
    assert set(states()) == {"dead2", "ready", "later"}


@pytest.mark.parametrize(
    ("verb", "job", "says"),
    [
        ("retry", "ready", "Only finished jobs are retried"),
        ("cancel", "done", "It has ended already"),
        ("promote", "ready", "Only scheduled and retryable jobs"),
    ],
)
def test_what_does_not_apply_is_said(jobs: Command, verb: str, job: str, says: str) -> None:
    got = jobs("jobs", verb, job)
    assert got.code == FAILURE
    assert says in got.err
    assert jobs("jobs", verb, job, "--json").json["changed"] == 0


def test_an_id_that_is_not_there_does_not_stop_the_others(jobs: Command, states: States) -> None:
    got = jobs("jobs", "cancel", "nope", "ready")
    assert got.code == NOT_FOUND
    assert "'nope'" in got.err
    assert states()["ready"] == "cancelled"


def test_changing_by_filter_shows_the_count_and_asks(
    jobs: Command, states: States, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = jobs("jobs", "cancel", "--queue", "email")
    assert refused.code == USAGE
    assert "This would cancel 2 jobs." in refused.err
    assert "--yes" in refused.err
    assert states()["ready"] == "available"

    answers = iter([False, True])
    asked: list[str] = []

    def confirm(question: str, **_: Any) -> bool:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr(output, "interactive", lambda: True)
    monkeypatch.setattr("click.confirm", confirm)
    no = jobs("jobs", "cancel", "--queue", "email")
    assert no.code == FAILURE
    assert "nothing was changed" in no.err
    assert states()["ready"] == "available"
    assert jobs("jobs", "cancel", "--queue", "email").out == "2 jobs cancelled.\n"
    assert asked == ["This will cancel 2 jobs. Go on?"] * 2
    assert [states()[job] for job in ("done", "dead2", "ready", "later")] == [
        "completed", "discarded", "cancelled", "cancelled",
    ]  # fmt: skip


def test_changing_by_filter_as_json(jobs: Command) -> None:
    got = jobs("jobs", "delete", "--text", "e", "--yes", "--json").json
    assert got == {
        "matched": 5,
        "matched_more": False,
        "changed": 5,
        "by_state": {"available": 1, "completed": 1, "discarded": 2, "scheduled": 1},
    }
    assert jobs("jobs", "delete", "--queue", "email", "--yes").out == "No job matches that delete applies to.\n"


@pytest.mark.parametrize("verb", ["retry", "cancel", "promote", "delete"])
def test_everything_there_is_is_no_filter(jobs: Command, states: States, verb: str) -> None:
    before = states()
    got = jobs("jobs", verb, "--yes")
    assert got.code == USAGE
    assert "neither ids nor a filter" in got.err
    assert jobs("jobs", verb, "done", "--queue", "email").code == USAGE
    assert states() == before


def test_a_filter_for_states_the_action_does_not_apply_to(jobs: Command) -> None:
    got = jobs("jobs", "promote", "--state", "completed", "--yes")
    assert got.code == USAGE
    assert "It applies to: scheduled, retryable." in got.err


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "0 jobs cancelled."),
        ({"available": 1}, "1 job cancelled."),
        ({"available": 2, "scheduled": 1, "running": 1}, "3 jobs cancelled, 1 running job asked to stop."),
        ({"running": 2}, "2 running jobs asked to stop."),
    ],
)
def test_running_jobs_are_only_asked_to_stop(changed: dict[str, int], text: str) -> None:
    assert jobs_change._summary(jobs_change.CANCEL, Counter(changed)) == text
