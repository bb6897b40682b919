"""What is read off the text of a flow is what decoding it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tidewheel._model.flow import Flow, Pass, flow_text, lone_slot

words = some.text(alphabet='ab:",[]\\\né ', max_size=6)
passes = some.builds(
    Pass, some.just("api"), words, some.sampled_from([1, 1, 1, 2]), some.booleans(), some.sampled_from(["", "block"])
)


@given(some.lists(passes, max_size=2))
def test_a_lone_slot_is_read_off_its_text(passes: list[Pass]) -> None:
    found = lone_slot(flow_text(Flow(tuple(passes))))
    (one,) = passes if len(passes) == 1 else (Pass("", holds=False),)
    plain = one.holds and one.cost == 1 and not one.order and flow_text(Flow((one,))).count('"') == 4
    assert found == (("api", one.key) if plain and "\\" not in flow_text(Flow((one,))) else None)


@pytest.mark.parametrize(
    "text", ["", "[]", "[[]]", '[[["a","b",1,true]', 'x[["a","b",1,true]]]', '[[["a" "b",1,true]]]']
)
def test_what_is_no_flow_is_none(text: str) -> None:
    assert lone_slot(text) is None
