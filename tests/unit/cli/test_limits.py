"""`tidewheel limits`, and what the other commands say of limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidewheel import App
from tidewheel._cli.errors import NOT_FOUND, USAGE
from tidewheel._cli.limits_show import rule_text
from tidewheel._model.limit import Rule
from tidewheel._model.worker import Want

Command = Callable[..., Any]

LIMITED = """
from tidewheel import App, Limit, Rate

app = App("sqlite:///limited.db")

@app.task(
    concurrency=Limit(1, key="args.tenant"),
    rate=[Rate(100, per="1m", name="vendor", cost="args.pages"), Rate(10, per=1, algorithm="bucket", burst=2, name="drip")],
)
async def send(tenant: str, pages: int = 1) -> None: ...
"""


@pytest.fixture
def limited(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """An app with limits, three jobs, and a worker that has begun with one of them: one more waits for it."""
    (tmp_path / "limited.py").write_text(LIMITED)
    monkeypatch.setenv("TIDEWHEEL_APP", "limited:app")
    names: dict[str, Any] = {}
    exec(LIMITED, names)  # noqa: S102 -- our own text
    app: App = names["app"]

    async def fill() -> None:
        async with app:
            await names["send"].options(id="first").enqueue("acme", pages=3)
            await names["send"].options(id="second").enqueue("acme")
            await names["send"].options(id="later", delay="1h").enqueue("bobs")
            store = await app.opened()
            claimed = await store.claim([Want("default", 10)], kinds=["send"], worker="w", lease=60_000_000)
            assert [one.id for one in claimed] == ["first"]

    asyncio.run(fill())
    return command


def test_list(limited: Command) -> None:
    lines = [line.split("  ") for line in limited("limits", "list").out.splitlines()]
    assert [[cell.strip() for cell in line if cell.strip()] for line in lines] == [
        ["LIMIT", "NOW", "DECLARED", "SET"],
        ["drip", "10 per 1s (bucket, burst 2)", "10 per 1s (bucket, burst 2)", "-"],
        ["send.concurrency.tenant", "1 at once", "1 at once", "-"],
        ["vendor", "100 per 1m", "100 per 1m", "-"],
    ]
    assert limited("limits", "list", "--json").json["limits"][2] == {
        "name": "vendor",
        "rule": {"count": 100, "per": 60.0, "algorithm": "sliding"},
        "declared": {"count": 100, "per": 60.0, "algorithm": "sliding"},
        "operator": None,
    }


def test_a_store_without_limits(jobs: Command) -> None:
    assert "There are no limits" in jobs("limits", "list").out
    got = jobs("limits", "show", "api")
    assert got.code == NOT_FOUND
    assert "There is no limit 'api'" in got.err


def test_show(limited: Command) -> None:
    out = limited("limits", "show", "send.concurrency.tenant").out
    assert "now       1 at once" in out
    assert [line.split() for line in out.splitlines()[-2:]] == [
        ["KEY", "RUNNING", "ROOM", "WAITING", "OPENS", "RULE"],
        ["acme", "1", "0", "yes", "-", "-"],
    ]
    shown = limited("limits", "show", "vendor", "--json").json
    (gate,) = shown["gates"]
    assert (gate["key"], gate["room"], gate["waiting"]) == ("vendor", 97, False)
    assert gate["rule"]["per"] == 60.0
    assert "Nothing passed it lately" in limited("limits", "show", "send.concurrency.tenant", "--key", "bobs").out
    assert "These are the first 1" in limited("limits", "show", "vendor", "--limit", "1").out


def test_show_names_keys_that_are_not_in_use_and_were_set_apart(limited: Command) -> None:
    name = "send.concurrency.tenant"
    limited("limits", "pause", name, "--key", "bobs")
    limited("limits", "set", name, "--key", "acme", "--slots", 4)
    assert limited("limits", "show", name).out.splitlines()[-1] == "bobs: not in use; set to paused."
    assert "bobs" not in limited("limits", "show", name, "--key", "acme").out
    shown = limited("limits", "show", name, "--json").json["set_keys"]
    assert [(one["name"], one["operator"]) for one in shown] == [
        (f"{name}:acme", {"slots": 4}),
        (f"{name}:bobs", {"paused": True}),
    ]


def test_set_and_clear(limited: Command) -> None:
    got = limited("limits", "set", "send.concurrency.tenant", "--slots", "3")
    assert got.out == "send.concurrency.tenant: set to 3 at once.\n"
    got = limited("limits", "set", "vendor", "--count", "5", "--per", "1h", "--json").json
    assert (got["name"], got["operator"]) == ("vendor", {"count": 5, "per": 3600.0})
    limited("limits", "set", "send.concurrency.tenant", "--slots", "9", "--key", "acme")
    out = limited("limits", "list").out
    assert "send.concurrency.tenant:acme" in out
    assert "5 per 1h" in out
    assert "9 at once" in limited("limits", "show", "send.concurrency.tenant").out
    got = limited("limits", "clear", "vendor")
    assert got.out == "vendor: cleared; it is 100 per 1m.\n"
    got = limited("limits", "clear", "send.concurrency.tenant", "--key", "acme")
    assert got.out == "send.concurrency.tenant:acme: cleared; it is what holds for the limit.\n"
    assert limited("limits", "clear", "vendor", "--json").json["operator"] is None


def test_pause_and_resume(limited: Command) -> None:
    assert "vendor: paused; what runs goes on" in limited("limits", "pause", "vendor", "drip").out
    assert "100 per 1m, paused" in limited("limits", "list").out
    rows = limited("limits", "resume", "vendor", "drip", "--json").json["limits"]
    assert [row["operator"] for row in rows] == [None, None]
    assert "send.concurrency.tenant:acme: paused" in (
        limited("limits", "pause", "send.concurrency.tenant", "--key", "acme").out
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["show", "vendr"], NOT_FOUND, "Did you mean 'vendor'?"),
        (["set", "vendr", "--count", 1], NOT_FOUND, "Did you mean 'vendor'?"),
        (["pause", "drip", "vendr"], NOT_FOUND, "There is no limit 'vendr'"),
        (["set", "vendor"], USAGE, "nothing was given to set"),
        (["set", "vendor", "--slots", 3], USAGE, "it has count and per, and no slots"),
        (["set", "vendor", "--count", 0, "--per", 0], USAGE, "per='0s' is no time at all"),
        (["set", "vendor", "--count", "x"], USAGE, "'x' is not a valid integer"),
        (["set", "vendor", "--count", 1, "--key", "a"], USAGE, "has no keys"),
    ],
)
def test_wrong_words(limited: Command, words: list[object], code: int, says: str) -> None:
    got = limited("limits", *words)
    assert got.code == code
    assert says in got.err
    assert [row["operator"] for row in limited("limits", "list", "--json").json["limits"]] == [None] * 3


def test_a_parked_job_says_what_parks_it(limited: Command) -> None:
    out = limited("jobs", "show", "second").out
    assert out.splitlines()[0] == "send  parked by send.concurrency.tenant:acme"
    assert "limits     send.concurrency.tenant:acme, vendor, drip" in out
    assert "vendor (cost 3)" in limited("jobs", "show", "first").out
    shown = limited("jobs", "show", "second", "--json").json
    assert (shown["state"], shown["parked_by"]) == ("parked", "send.concurrency.tenant:acme")
    assert shown["limits"][0] == {"gate": "send.concurrency.tenant:acme", "cost": 1}
    assert "flow" not in shown
    assert [row["id"] for row in limited("jobs", "list", "--state", "parked", "--json").json["jobs"]] == ["second"]


def test_parked_jobs_are_counted_drained_and_cancelled(limited: Command) -> None:
    assert limited("queues", "list", "--json").json["queues"][0]["counts"]["parked"] == 1
    assert limited("jobs", "cancel", "second", "--json").code == 0
    assert limited("jobs", "retry", "second").code == 0
    assert limited("queues", "drain", "default", "--yes").out == "1 job deleted.\n"


def test_an_enqueue_without_its_key_is_refused(limited: Command) -> None:
    got = limited("enqueue", "send", '{"tenant": ""}')
    assert got.code == USAGE
    assert "the key of the limit 'send.concurrency.tenant', args.tenant, found ''" in got.err


def test_check_lists_the_limits(limited: Command) -> None:
    limited("limits", "set", "vendor", "--count", "5")
    out = limited("check").out
    assert "limits      3: drip, send.concurrency.tenant, vendor" in out
    assert "warning limit vendor: An operator set it to 5 per 1m; the code says 100 per 1m." in out


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (None, "-"),
        (Rule(), "-"),
        (Rule(slots=1000), "1,000 at once"),
        (Rule(count=5, per=1_000_000, algorithm="sliding"), "5 per 1s"),
        (Rule(count=5, per=1_000_000, algorithm="fixed"), "5 per 1s (fixed)"),
        (Rule(count=5, per=1_000_000, algorithm="bucket", burst=9, paused=True), "5 per 1s (bucket, burst 9), paused"),
        (Rule(per=1_000_000), "per 1s"),
        (Rule(count=5), "5 starts"),
        (Rule(burst=5), "(burst 5)"),
        (Rule(paused=True), "paused"),
        (Rule(paused=False), "not paused"),
    ],
)
def test_rules_as_text(rule: Rule | None, text: str) -> None:
    assert rule_text(rule) == text
