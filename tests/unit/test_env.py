"""Ids: valid, unique and in the order they were made, whatever the clock does."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import strategies as st

from tidewheel._env import Env, Uuid7, wall_clock

NOW = 1_700_000_000_000_000


def clock(times: Iterable[int]) -> Callable[[], int]:
    return iter(times).__next__


def test_an_id_is_a_uuid_of_version_7_that_holds_its_time() -> None:
    text = Uuid7(lambda: NOW)()
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == NOW // 1000


@given(st.lists(st.integers(0, 2**48 * 1000 - 10**9), min_size=2, max_size=50))
def test_ids_rise_and_stay_valid_whatever_the_clock_does(times: list[int]) -> None:
    made = Uuid7(clock(times))
    ids = [made() for _ in times]
    assert ids == sorted(set(ids))
    assert all((parsed := uuid.UUID(text)).version == 7 and parsed.variant == uuid.RFC_4122 for text in ids)


def test_a_clock_that_steps_back_is_waited_for() -> None:
    made = Uuid7(clock([NOW, NOW - 3_600_000_000, NOW - 1, NOW + 1000]))
    ids = [made() for _ in range(4)]
    assert ids == sorted(set(ids))
    assert [uuid.UUID(text).int >> 80 for text in ids] == [NOW // 1000] * 3 + [NOW // 1000 + 1]


def test_a_millisecond_whose_numbers_are_used_up_borrows_the_next() -> None:
    made = Uuid7(lambda: NOW)
    ids = [made() for _ in range(3 * 4096)]
    assert ids == sorted(set(ids))
    assert sorted({uuid.UUID(text).int >> 80 for text in ids}) == [NOW // 1000 + step for step in range(3)]


def test_ids_of_many_threads_are_unique_and_rise_in_each() -> None:
    made = Uuid7()
    lists: list[list[str]] = [[] for _ in range(8)]
    gate = threading.Barrier(len(lists))

    def work(mine: list[str]) -> None:
        gate.wait()
        mine.extend(made() for _ in range(1000))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({text for mine in lists for text in mine}) == 8000
    assert all(mine == sorted(mine) for mine in lists)


def test_two_makers_do_not_collide() -> None:
    assert len({Uuid7(lambda: NOW)() for _ in range(1000)}) == 1000


def test_the_default_env_tells_the_time_in_microseconds() -> None:
    env = Env()
    assert abs(env.clock() - wall_clock()) < 60_000_000
    assert wall_clock() > 1_700_000_000_000_000
    assert env.random is not Env().random
