"""How the scripts of the Redis store are put together: from the parts that they share, what they use and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidewheel._store import redis
from tidewheel._store.redis.scripts import in_place, needed, script

FOLDER = Path(redis.__file__).parent / "lua"
PARTS = """\
-- What all share: unused is not among it.
local FIRST, SECOND = 1, 20  -- places
local ROOT = string.sub(KEYS[1], 1, -5)
local ALL = ROOT .. 'all'
local OTHER = ROOT .. 'other'

if ROOT == '' then
    return FIRST
end

local known

-- Nobody calls it but the next one.
local function inner(row)
    if row then
        known = row[FIRST]
    end
    return known
end

local function outer(row)
    return inner(row) or 'unused SECOND'
end

local function unused()
    return outer(OTHER)
end
"""


def test_what_is_used_comes_along_with_what_it_uses() -> None:
    kept = needed(PARTS, "return outer(ask)")
    assert [line for line in kept.splitlines() if line.startswith("local")] == [
        "local FIRST, SECOND = 1, 20  ",
        "local ROOT = string.sub(KEYS[1], 1, -5)",
        "local known",
        "local function inner(row)",
        "local function outer(row)",
    ]
    assert "    return FIRST\nend\n" in kept, "what is done when a part is loaded is done always"


def test_what_stands_in_a_text_or_a_comment_is_no_use() -> None:
    assert "local function" not in needed(PARTS, "return 'outer' -- unused()")


def test_numbers_stand_where_their_names_stood() -> None:
    parts, body = in_place(PARTS, "return outer(ask[SECOND], 'SECOND', one.FIRST)")
    assert body == "return outer(ask[20], 'SECOND', one.FIRST)"
    assert "known = row[1]" in parts
    assert "'unused SECOND'" in parts
    assert "local FIRST" not in parts


@pytest.mark.parametrize("name", [path.stem for path in FOLDER.glob("*.lua") if path.read_text()[:2] == "#!"])
def test_a_script_keeps_its_first_line_and_says_which_layout_it_is_for(name: str) -> None:
    text = script(name).text
    assert text.startswith("#!lua")
    assert "redis.error_reply(format('LAYOUT" in text
    assert "LEAST" not in text
