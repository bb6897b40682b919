"""`tidewheel why`: the answer, as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidewheel._cli.errors import NOT_FOUND, OK

Command = Callable[..., Any]


def test_the_answer_is_a_word_and_a_sentence(jobs: Command) -> None:
    got = jobs("why", "ready")
    assert got.code == OK
    assert got.out == "no_worker: No worker lives. Start one: tidewheel worker APP\n"
    assert jobs("why", "dead").out.startswith("ended: It was given up ")
    assert "ValueError: boom 1. To run it again: tidewheel deadletters requeue dead" in jobs("why", "dead").out


def test_the_answer_as_json(jobs: Command) -> None:
    got = jobs("why", "later", "--json").json
    assert list(got) == ["id", "code", "text", "until", "holders"]
    assert (got["id"], got["code"], got["holders"]) == ("later", "due", [])
    assert got["until"].endswith("Z")
    assert "It is due in " in got["text"]
    assert jobs("why", "ready", "--json").json["until"] is None


def test_a_job_that_is_not_there(jobs: Command) -> None:
    got = jobs("why", "nope")
    assert got.code == NOT_FOUND
    assert "There is no job 'nope'" in got.err
    assert jobs("why", "nope", "--json").json["error"]["code"] == NOT_FOUND


def test_what_others_wrote_steers_no_terminal(jobs: Command) -> None:
    jobs("enqueue", "send_welcome", "to=a", "--id", "odd\x1b[31m")
    got = jobs("why", "odd\x1b[31m")
    assert "\x1b" not in got.out
