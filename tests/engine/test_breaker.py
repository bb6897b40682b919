"""Breakers in code: what cannot work is refused, what a job carries, and what the store is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tidewheel import App, Breaker, ConfigError, Limit
from tidewheel._cli.limits_show import rule_text
from tidewheel._model.flow import Pass, flow_of
from tidewheel._model.limit import Rule


async def fetch(host: str) -> None: ...


def problems(call: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as told:
        call()
    return list(told.value.problems)


@pytest.fixture
def app() -> App:
    return App("memory://")


def test_a_job_tells_the_breaker_of_its_key_how_it_ended(app: App) -> None:
    task = app.task(concurrency=5, breaker=Breaker(3, within="1m", open_for=30, key="args.host"))(fetch)
    passes = (Pass("fetch.concurrency"), Pass("fetch.breaker.host", "x", trips=True))
    assert flow_of(task.job("x").new.flow or "").passes == passes
    rule = Rule(failures=3, within=60_000_000, open_for=30_000_000, probes=1)
    assert app.declarations.limits["fetch.breaker.host"].rule == rule


def test_a_breaker_that_cannot_work_is_refused_with_all_that_is_wrong() -> None:
    failures, within, open_for, probes = problems(lambda: Breaker(0, within=0, open_for="soon", probes=0))
    assert failures == "Breaker: failures=0 is out of range. Give 1 to 1,000."
    assert within == "Breaker: within=0 is no time at all. Give seconds, or text such as '1m'."
    assert open_for.startswith("Breaker: open_for: 'soon' is no duration.")
    assert probes == "Breaker: probes=0 is out of range. Give 1 to 1,000,000,000."
    assert "failures=2000 is out of range" in problems(lambda: Breaker(2000, within=1, open_for=1))[0]


def test_each_sort_of_limit_has_its_option(app: App) -> None:
    one = Breaker(1, within=1, open_for=1)
    assert "Give it as breaker=." in problems(lambda: app.task(rate=one)(fetch))[0]  # type: ignore[call-overload]
    assert "Give it as concurrency=." in problems(lambda: app.task(breaker=Limit(1))(fetch))[0]  # type: ignore[call-overload]
    assert "must be a Breaker(...)" in problems(lambda: app.task(breaker=5)(fetch))[0]  # type: ignore[call-overload]


def test_how_the_command_shows_it() -> None:
    rule = Breaker(3, within="1m", open_for="30s").rule
    assert rule_text(rule) == "shut for 30s after 3 failures in 1m"


async def test_its_numbers_stand_in_the_code(app: App) -> None:
    app.task(breaker=Breaker(1, within=1, open_for=1))(fetch)
    async with app:
        assert "whose numbers stand in the code" in (await _refused(app))
        assert (await app.limits.pause("fetch.breaker")).operator == Rule(paused=True)
        with pytest.raises(ConfigError, match=r"'fetch\.breaker' is a breaker\. hit\(\) is for a Rate"):
            await app.limits.hit("fetch.breaker")
        with pytest.raises(ConfigError, match=r"'fetch\.breaker' is a breaker: it has no slots"):
            await app.limits.slot("fetch.breaker").acquire()


async def _refused(app: App) -> str:
    with pytest.raises(ConfigError) as told:
        await app.limits.set("fetch.breaker", slots=1)
    return str(told.value)
