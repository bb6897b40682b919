"""Retry policies: what follows a failure."""

from __future__ import annotations

import json
import pickle
import random
import smtplib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel._model.backoff import Backoff, BackoffFunction, custom, delays, exponential, fixed, linear
from tidewheel._model.duration import SECOND, Span
from tidewheel._model.errors import DecodeError, EncodeError, Retry
from tidewheel._model.retry import MAX_ATTEMPTS, Decision, GiveUp, RetryIn, RetryPolicy

S = SECOND
DICE = random.Random(1)


class Declined(Exception):
    class Inner(Exception):
        pass


class Expired(Declined):
    pass


def decide(policy: RetryPolicy, error: BaseException, attempt: int = 1, elapsed: float = 0) -> Decision:
    return policy.decide(attempt, error, round(elapsed * S), DICE)


def seconds(decision: Decision) -> float | None:
    return decision.delay / S if isinstance(decision, RetryIn) else None


def test_default_is_three_attempts_from_one_second_doubling() -> None:
    policy = RetryPolicy()
    assert 0.9 <= (seconds(decide(policy, OSError(), 1)) or 0) <= 1
    assert 1.8 <= (seconds(decide(policy, OSError(), 2)) or 0) <= 2
    assert decide(policy, OSError(), 3) == GiveUp("attempt 3 of 3 failed")
    assert decide(policy, OSError(), 9) == GiveUp("attempt 9 of 3 failed")


def test_one_attempt_means_no_retry() -> None:
    assert decide(RetryPolicy(1), OSError()) == GiveUp("there is one attempt only")


def test_the_number_of_the_jobs_row_has_the_last_word() -> None:
    policy = RetryPolicy(3, fixed("1s"))
    assert policy.decide(3, OSError(), 0, DICE, attempts=5) == RetryIn(S)
    assert isinstance(policy.decide(1, OSError(), 0, DICE, attempts=1), GiveUp)


@given(st.integers(0, 20_000), st.integers(0, 10**18), st.integers(1, 20_000))
def test_any_attempt_and_age_gets_a_decision(attempt: int, elapsed: int, most: int) -> None:
    policy = RetryPolicy(5, exponential("1s", 7.5, cap=None, jitter="full"), within="30 days")
    decision = policy.decide(attempt, OSError(), elapsed, DICE, attempts=most)
    if isinstance(decision, RetryIn):
        assert attempt < most
        assert 0 <= decision.delay <= 30 * 86400 * S - elapsed


def test_a_duration_or_a_function_will_do_as_backoff() -> None:
    assert decide(RetryPolicy(2, "7s"), OSError()) == RetryIn(7 * S)
    assert decide(RetryPolicy(2, 0.5), OSError()) == RetryIn(S // 2)
    assert decide(RetryPolicy(3, lambda attempt, _: attempt * 10), OSError(), 2) == RetryIn(20 * S)
    assert RetryPolicy.of(5) == RetryPolicy(5)


def test_no_retry_starts_after_the_budget() -> None:
    policy = RetryPolicy(100, fixed("1m"), within="10m")
    assert decide(policy, OSError(), 1, elapsed=540) == RetryIn(60 * S)
    over = decide(policy, OSError(), 1, elapsed=541)
    assert over == GiveUp("the next attempt would start 10m1s after the enqueue, over the budget of 10m")


def test_the_most_specific_class_wins_wherever_it_stands() -> None:
    policy = RetryPolicy(
        9,
        fixed(1),
        rules={Exception: fixed(2), Expired: fixed(3), ConnectionError: "4s"},
        never=(Declined, OSError),
    )
    assert seconds(decide(policy, ValueError())) == 2
    assert seconds(decide(policy, Expired())) == 3
    assert seconds(decide(policy, ConnectionResetError())) == 4
    assert seconds(decide(policy, KeyboardInterrupt())) == 1
    assert decide(policy, FileNotFoundError()) == GiveUp("FileNotFoundError is not retried")
    assert decide(policy, Declined()) == GiveUp(f"{Declined.__module__}.Declined is not retried")


def test_only_these() -> None:
    policy = RetryPolicy(9, fixed(1), only=OSError, never=FileNotFoundError, rules={TimeoutError: fixed(2)})
    assert seconds(decide(policy, PermissionError())) == 1
    assert seconds(decide(policy, TimeoutError())) == 2
    assert isinstance(decide(policy, FileNotFoundError()), GiveUp)
    assert isinstance(decide(policy, ValueError()), GiveUp)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("ValueError", UnicodeError()),
        ("builtins.ValueError", ValueError()),
        ("smtplib.SMTPResponseException", smtplib.SMTPAuthenticationError(535, b"no")),
        ("json.JSONDecodeError", json.JSONDecodeError("x", "", 0)),  # lives in json.decoder
        (f"{Declined.__module__}.Declined.Inner", Declined.Inner()),
        (f"{Declined.__module__}.Declined", Expired()),
    ],
)
def test_classes_may_be_named(name: str, error: Exception) -> None:
    policy = RetryPolicy(9, fixed(1), never=name)
    assert isinstance(decide(policy, error), GiveUp)
    assert decide(policy, KeyError()) == RetryIn(S)


def test_a_name_of_a_module_that_is_not_loaded_matches_nothing() -> None:
    assert decide(RetryPolicy(9, fixed(1), never="no_such.module.Error"), KeyError()) == RetryIn(S)


def test_retry_brings_its_own_delay_and_no_rule_stops_it() -> None:
    policy = RetryPolicy(3, fixed(1), only=OSError, within="1m")
    assert decide(policy, Retry(after="30s")) == RetryIn(30 * S)
    assert decide(policy, Retry()) == RetryIn(S)
    assert isinstance(decide(policy, Retry(after=0), 3), GiveUp)
    assert isinstance(decide(policy, Retry(after="2m")), GiveUp)


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (lambda _a, _e: None, "the backoff function said stop"),
        (lambda _a, _e: 1 / 0, "the backoff function failed with ZeroDivisionError: division by zero"),
        (lambda _a, _e: "later", "the backoff function failed with ValueError: 'later' is no duration."),
        (lambda _a, _e: -1, "the backoff function failed with ValueError: The duration -1 is negative"),
        (lambda _a, _e: object, "the backoff function failed with TypeError"),
    ],
)
def test_a_function_that_fails_gives_the_job_up_and_says_why(fn: BackoffFunction, reason: str) -> None:
    decision = decide(RetryPolicy(3, custom(fn)), OSError())
    assert isinstance(decision, GiveUp)
    assert decision.reason.startswith(reason)


backoffs = st.sampled_from(
    [
        fixed(0),
        fixed("5s", jitter=0.25),
        linear("1s", cap="1m", jitter="equal"),
        exponential(),
        exponential("1s", cap="30m", jitter="1s"),
        exponential("2s", 1.5, None, jitter="full"),
        delays(1, 2, "1h"),
    ]
)
names = st.sampled_from(["ValueError", "OSError", "a.b.C", "smtplib.SMTPException", "KeyError"])


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicy:
    pool = draw(st.lists(names, unique=True))
    cut, end = sorted((draw(st.integers(0, len(pool))), draw(st.integers(0, len(pool)))))
    return RetryPolicy(
        draw(st.integers(1, MAX_ATTEMPTS)),
        draw(backoffs),
        within=draw(st.none() | st.integers(1, 10**6)),
        rules={name: draw(backoffs) for name in pool[:cut]},
        never=pool[cut:end],
        only=pool[end:],
    )


@given(policies())
def test_what_is_stored_with_a_job_comes_back_equal(policy: RetryPolicy) -> None:
    assert RetryPolicy.decode(json.loads(json.dumps(policy.encode()))) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301
    assert hash(RetryPolicy.decode(policy.encode())) == hash(policy)


def test_defaults_take_little_room() -> None:
    assert RetryPolicy(5, fixed("2s")).encode() == {"attempts": 5, "backoff": {"kind": "fixed", "span": 2_000_000}}


@pytest.mark.parametrize(
    "policy",
    [RetryPolicy(3, custom(lambda _a, _e: 1)), RetryPolicy(3, rules={OSError: lambda _a, _e: 1})],
)
def test_code_cannot_be_stored_with_a_job(policy: RetryPolicy) -> None:
    with pytest.raises(EncodeError, match=r"<lambda> cannot be stored with a job.*@app.task\(retry="):
        policy.encode()


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"attempts": 0, "backoff": {"kind": "fixed", "span": 1}},
        {"attempts": 3, "backoff": {"kind": "spiral"}},
        {"attempts": 3, "backoff": {"kind": "fixed", "span": 1, "spread": 2}},
        {"attempts": 3, "backoff": {"kind": "fixed", "span": -1}},
        {"attempts": 3, "backoff": {"kind": "delays", "spans": []}},
        {"attempts": 3, "backoff": {"kind": "fixed", "span": 1}, "surprise": 1},
        {"attempts": 3, "backoff": {"kind": "fixed", "span": 1}, "within": -1},
        {"attempts": 3, "backoff": {"kind": "fixed", "span": 1}, "never": ["ValuError"]},
        {"attempts": 3, "backoff": {"kind": "fixed", "span": 1}, "rules": {"no name": None}},
    ],
)
def test_what_no_policy_wrote_is_refused(data: object) -> None:
    with pytest.raises(DecodeError, match="stored retry policy"):
        RetryPolicy.decode(data)


@pytest.mark.parametrize(
    ("make", "error", "part"),
    [
        (lambda: RetryPolicy(0), ValueError, "attempts=0 is out of range. Give 1 (no retry) to 1000"),
        (lambda: RetryPolicy(1001), ValueError, "attempts=1001"),
        (lambda: RetryPolicy(True), TypeError, "attempts=True (bool)"),
        (lambda: RetryPolicy("5"), TypeError, "attempts='5' (str)"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(3, None), TypeError, "backoff=None is no backoff"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(3, "soon"), ValueError, "'soon'"),
        (lambda: RetryPolicy(3, Backoff), TypeError, "is no backoff"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(within=0), ValueError, "attempts=1 for no retry"),
        (lambda: RetryPolicy(within="never"), ValueError, "'never' is no duration"),
        (lambda: RetryPolicy(never="ValuError"), ValueError, "Did you mean 'ValueError'?"),
        (lambda: RetryPolicy(never="PaymentDeclined"), ValueError, "Write its module too"),
        (lambda: RetryPolicy(never="print"), ValueError, "no built-in exception"),
        (lambda: RetryPolicy(only="not a name"), ValueError, "no class name"),
        (lambda: RetryPolicy(only=(int,)), TypeError, "no exception class"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(never=(3,)), TypeError, "never holds 3"),  # type: ignore[arg-type]
        (lambda: RetryPolicy(rules={OSError: None}), TypeError, "rules[<class 'OSError'>]=None"),  # type: ignore[dict-item]
        (lambda: RetryPolicy(never=OSError, only="OSError"), ValueError, "OSError is in two of"),
        (lambda: RetryPolicy(never=OSError, rules={OSError: 1}), ValueError, "OSError is in two of"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(
    make: Callable[[], Any], error: type[Exception], part: str
) -> None:
    with pytest.raises(error) as raised:
        make()
    assert part in str(raised.value)


def test_a_generator_of_classes_is_read_once() -> None:
    span: Span = 1
    policy = RetryPolicy(3, span, never=(cls for cls in (KeyError, "OSError")))
    assert isinstance(decide(policy, KeyError()), GiveUp)
    assert isinstance(decide(policy, OSError()), GiveUp)
