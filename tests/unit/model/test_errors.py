"""The tree of errors: complete, exported, worded and fit for another process."""

from __future__ import annotations

import pickle

import pytest

import tidewheel
from tidewheel._model import errors
from tidewheel._model.errors import (
    Cancel,
    ConfigError,
    JobFailed,
    JobNotDone,
    ResultTimeout,
    Retry,
    Snooze,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TidewheelError,
)

EVERY = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, Exception)]
SIGNALS = {Retry, Snooze, Cancel}
PLAIN = [cls for cls in EVERY if cls not in SIGNALS and cls not in {ConfigError, JobFailed}]


@pytest.mark.parametrize("cls", EVERY)
def test_every_error_is_public_and_says_what_it_is(cls: type[Exception]) -> None:
    assert getattr(tidewheel, cls.__name__) is cls
    assert cls.__name__ in tidewheel.__all__
    assert cls.__module__ == "tidewheel", "so people import it, and so it stands in tracebacks and stored errors"
    assert cls.__doc__
    assert cls.__name__ in (errors.__doc__ or ""), "missing in the tree at the head of errors.py"


@pytest.mark.parametrize("cls", EVERY)
def test_errors_are_tidewheel_errors_and_signals_are_not(cls: type[Exception]) -> None:
    assert issubclass(cls, TidewheelError) is (cls not in SIGNALS)


@pytest.mark.parametrize("cls", PLAIN)
def test_without_a_message_the_docstring_speaks(cls: type[TidewheelError]) -> None:
    assert str(cls()) == cls.__doc__
    assert str(cls("because")) == "because"


@pytest.mark.parametrize(
    "error",
    [
        *(cls("because") for cls in EVERY if issubclass(cls, TidewheelError)),
        ConfigError(["one", "two"]),
        JobFailed("because", error_type="ValueError", traceback="Traceback ..."),
        Retry(),
        Retry("busy", after="1h30m"),
        Snooze(0.000001),
        Snooze("2 days"),
        Cancel("no need"),
    ],
    ids=repr,
)
def test_errors_travel_between_processes(error: Exception) -> None:
    error.add_note("seen on the way")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)


def test_config_error_lists_every_problem() -> None:
    error = ConfigError(["queue 'a' has no worker", "task 'b' has no name"])
    assert error.problems == ("queue 'a' has no worker", "task 'b' has no name")
    assert str(error) == "queue 'a' has no worker\ntask 'b' has no name"
    assert ConfigError("alone").problems == ("alone",)


def test_only_what_may_heal_by_itself_is_retriable() -> None:
    assert {cls for cls in EVERY if getattr(cls, "retriable", False)} == {StoreUnavailable, StoreFull}
    assert not StoreError.retriable


def test_a_result_timeout_is_also_a_timeout() -> None:
    assert issubclass(ResultTimeout, JobNotDone)
    assert issubclass(ResultTimeout, TimeoutError)


def test_signals_read_durations() -> None:
    assert Retry(after="1m").after == 60_000_000
    assert Retry().after is None
    assert Snooze(1.5).after == 1_500_000
    assert str(Snooze("90s")) == "snoozed for 1m30s"
    assert Cancel("gone").reason == "gone"
    with pytest.raises(ValueError, match="no duration"):
        Snooze("soon")
