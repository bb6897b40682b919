"""The settings of the operation runner."""

from __future__ import annotations

from typing import Any

import pytest

from tidewheel._model.backoff import fixed
from tidewheel._model.errors import ConfigError
from tidewheel._operations import OperationConfig


def test_defaults() -> None:
    config = OperationConfig()
    assert (config.retries, config.timeout_micros, config.batch_size) == (3, 15_000_000, 50)
    assert config.policy.attempts == 4


@pytest.mark.parametrize("settings", [{"retries": 0, "timeout": 1, "batch_size": 1}, {"retries": 10, "timeout": "1m"}])
def test_limits_are_allowed(settings: dict[str, Any]) -> None:
    OperationConfig(**settings)


def test_all_problems_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        OperationConfig(
            retries=11,
            timeout="2m",
            batch_size=0,
            concurrency=True,
            cache_size="big",  # type: ignore[arg-type]
            backoff="soon",
            never="ValuError",
            only=(3,),  # type: ignore[arg-type]
        )
    assert [problem.split(".")[0] for problem in raised.value.problems] == [
        "retries=11 is out of range",
        "batch_size=0 is out of range",
        "concurrency=True is no whole number",
        "cache_size='big' is no whole number",
        "timeout='2m' is out of range",
        "'soon' is no duration",
        "never holds 'ValuError', which is no built-in exception",
        "only holds 3, which is no exception class",
    ]


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"timeout": 0.5}, "timeout=0.5 is out of range. Give a duration from 1 s to 60 s."),
        ({"timeout": None}, "timeout: None"),
        ({"retries": -1}, "retries=-1 is out of range. Give 0 to 10."),
        ({"batch_size": 1001}, "batch_size=1001 is out of range. Give 1 to 1,000."),
        ({"never": OSError, "only": OSError}, "OSError is in two of"),
        ({"backoff": None}, "backoff=None is no backoff"),
    ],
)
def test_each_problem_names_value_and_remedy(settings: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError) as raised:
        OperationConfig(**settings)
    assert len(raised.value.problems) == 1
    assert part in str(raised.value)


def test_a_generator_of_classes_is_read_once() -> None:
    config = OperationConfig(never=(cls for cls in (KeyError, ValueError)), backoff=fixed(1))
    assert config.policy.never == {"KeyError", "ValueError"}
