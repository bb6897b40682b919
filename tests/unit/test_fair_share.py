"""What `python -m tests.scale.fair` shows, in small."""

from __future__ import annotations

import pytest
from tests.scale.fair import SHARDS, capped, fair, first_come, live

pytestmark = pytest.mark.timeout(60)
MANY = 400


async def test_a_cap_for_each_key_helps_the_small_and_leaves_slots_idle() -> None:
    plain, cap = await live(first_come, shards=1, many=MANY), await live(capped, shards=1, many=MANY)
    assert cap.small < plain.small
    assert cap.steps > 1.5 * plain.steps


async def test_a_cap_for_each_key_is_nothing_to_a_tenant_with_many_keys() -> None:
    plain = await live(first_come, shards=SHARDS, many=MANY)
    assert await live(capped, shards=SHARDS, many=MANY) == pytest.approx(plain, rel=0.05)


@pytest.mark.parametrize("shards", [1, SHARDS])
async def test_fair_share_helps_the_small_whatever_keys_the_large_one_has(shards: int) -> None:
    plain, share = await live(first_come, shards=shards, many=MANY), await live(fair, shards=shards, many=MANY)
    assert share.small < plain.small
    assert share.steps == plain.steps  # no slot stands idle
