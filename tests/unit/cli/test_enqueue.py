"""`tidewheel enqueue`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tidewheel._cli.enqueue import parse_arguments, signature
from tidewheel._cli.errors import FAILURE, NOT_FOUND, USAGE, CliError

Command = Callable[..., Any]


def handler(to: str, n: int = 1, big: bool = False, who: str | None = "me", items: list[int] | None = None) -> None: ...


@pytest.mark.parametrize(
    ("words", "args", "kwargs"),
    [
        ([], [], {}),
        (['["a", 1]'], ["a", 1], {}),
        ([' {"to": "a"}'], [], {"to": "a"}),
        (["to=5", "n=5"], [], {"to": "5", "n": 5}),
        (["to=", "big=true"], [], {"to": "", "big": True}),
        (["to=a=b", "who=Ada"], [], {"to": "a=b", "who": "Ada"}),
        (["to=x", "items=[1, 2]"], [], {"to": "x", "items": [1, 2]}),
        (["to=x", "who=null"], [], {"to": "x", "who": None}),
    ],
)
def test_arguments(words: list[str], args: list[Any], kwargs: dict[str, Any]) -> None:
    assert parse_arguments(words, handler) == (args, kwargs)


@pytest.mark.parametrize(
    ("words", "what", "remedy"),
    [
        (["ada"], "'ada' is no argument", "Write to=ada"),
        (["to=1", "to=2"], "'to' is given twice", ""),
        (["too=1"], "no argument 'too'", "Did you mean 'to'?"),
        (["zzz=1"], "no argument 'zzz'", "It takes (to: str"),
        (["[1,"], "are no JSON", "Quote them"),
        (["a b=1"], "is no argument", ""),
    ],
)
def test_wrong_arguments(words: list[str], what: str, remedy: str) -> None:
    with pytest.raises(CliError) as got:
        parse_arguments(words, handler)
    assert what in got.value.what
    assert remedy in got.value.remedy
    assert got.value.then == "Nothing was enqueued."


def test_the_signature_reads_like_the_code() -> None:
    def local(to: Any, name: str = "you") -> None: ...

    assert signature(local) == "(to: Any, name: str = 'you')"


def test_a_job_with_options(shop: Command) -> None:
    got = shop(
        "enqueue", "send_welcome", "to=ada@example.org", "name=Ada", "--delay", "10m", "--priority", 7, "--id", "my-1",
        "--queue", "slow", "--tag", "a", "--tag", "b", "--unique", "ada", "--expires", "1h", "--json",
    )  # fmt: skip
    assert got.json == {
        "id": "my-1", "task": "send_welcome", "queue": "slow", "created": True, "did": "created",
        "cancelled": None, "remaining": None, "reset_at": None,
    }  # fmt: skip
    row = shop("jobs", "show", "my-1", "--json").json
    assert row["args"] == {"to": "ada@example.org", "name": "Ada"}
    assert (row["state"], row["priority"], row["tags"]) == ("scheduled", 7, ["a", "b"])
    again = shop("enqueue", "send_welcome", "to=x", "--id", "my-1")
    assert "was there already" in again.out
    assert re.search(r"expires +in (1h|59m)", shop("jobs", "show", "my-1").out)


def test_an_idempotency_key_is_given_once(shop: Command) -> None:
    words = ("--idempotency-key", "request-7", "--idempotency-ttl", "1h", "--json")
    first = shop("enqueue", "send_welcome", "to=ada", *words).json
    again = shop("enqueue", "send_welcome", "to=bob", "--idempotency-key", "request-7", "--json").json
    assert again == {**first, "created": False, "did": "existing"}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["send_welcom", "to=x"], NOT_FOUND, "Did you mean 'send_welcome'?"),
        (["send_welcome"], USAGE, "missing a required argument: 'to'"),
        (["send_welcome", "to=x", "count=many"], USAGE, "argument 'count': Expected `int`, got `str`"),
        (["send_welcome", "to=x", "--queue", " "], USAGE, "queue"),
        (["send_welcome", "to=x", "--priority", "0"], USAGE, "--priority"),
    ],
)
def test_what_cannot_be_enqueued_is_not(shop: Command, words: list[str], code: int, says: str) -> None:
    got = shop("enqueue", *words)
    assert got.code == code
    assert says in got.err
    assert got.err.count("Nothing was enqueued.") <= 1
    assert shop("jobs", "list", "--json").json["jobs"] == []


def test_a_bare_store_knows_no_tasks(shop: Command) -> None:
    got = shop("enqueue", "--store", "sqlite:///shop.db", "send_welcome", "to=x")
    assert got.code == USAGE
    assert "--app" in got.err


def test_a_store_in_memory_is_refused(shop: Command) -> None:
    got = shop("enqueue", "--store", "memory://", "send_welcome")
    assert got.code == FAILURE
    assert "memory://" in got.err


def test_waiting_for_a_job_that_is_done(jobs: Command) -> None:
    got = jobs("enqueue", "send_welcome", "to=x", "--id", "done", "--wait", "--json").json
    assert (got["result"], got["created"]) == ("sent to ada", False)
    assert 'result: "sent to ada"' in jobs("enqueue", "--id", "done", "--wait", "send_welcome", "to=x").out
    failed = jobs("enqueue", "flaky", "key=1", "--id", "dead", "--wait", "5s")
    assert failed.code == FAILURE
    assert "ValueError: boom 1" in failed.err


def test_waiting_has_an_end(shop: Command) -> None:
    got = shop("enqueue", "send_welcome", "to=x", "--wait", "0s")
    assert got.code == FAILURE
    assert "Error" in got.err
