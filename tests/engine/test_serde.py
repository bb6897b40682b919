"""Arguments and results as JSON: what a caller gives is what a handler gets, or the caller is told which argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel import ConfigError, DecodeError, EncodeError, PayloadTooLarge
from tidewheel._serde import Codec, encode, storable


def codec(fn: Callable[..., Any], limit: int = 262_144) -> Codec:
    return Codec(fn.__name__, fn, limit)


def trip(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What `fn` answers when called through the wire."""
    there = codec(fn)
    back_args, back_kwargs = there.decode_call(there.encode_call(args, kwargs))
    return fn(*back_args, **back_kwargs)


# --- binding ---


def positional_only(a: int, b: int = 2, /) -> Any:
    return a, b


def keyword_only(*, a: int, b: int = 2) -> Any:
    return a, b


def mixed(a: int, /, b: int, *, c: int = 3) -> Any:
    return a, b, c


def star(a: int, *rest: int, c: int = 3, **more: int) -> Any:
    return a, rest, c, more


def same_name(a: int, /, **more: int) -> Any:
    return a, more


def nothing() -> Any:
    return "called"


def defaults(a: list[int] = [1], b: dict[str, int] = {"x": 1}, c: object = math.pi) -> Any:  # noqa: B006 -- mutable on purpose
    return a, b, c


def unhinted(a, b=None, *c, **d):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN003, ANN201
    return a, b, c, d


@pytest.mark.parametrize(
    ("fn", "args", "kwargs"),
    [
        (positional_only, (1,), {}),
        (positional_only, (1, 5), {}),
        (keyword_only, (), {"a": 1}),
        (keyword_only, (), {"a": 1, "b": 5}),
        (mixed, (1, 2), {}),
        (mixed, (1,), {"b": 2, "c": 9}),
        (star, (1,), {}),
        (star, (1, 2, 3), {"c": 4, "d": 5}),
        (same_name, (1,), {"a": 2}),
        (nothing, (), {}),
        (defaults, (), {}),
        (defaults, ([2],), {"c": {"deep": [None]}}),
        (unhinted, ({"a": [1, "x", None]},), {}),
        (unhinted, (1, 2, 3), {"e": 4}),
    ],
)
def test_a_call_arrives_as_python_itself_would_make_it(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    assert trip(fn, *args, **kwargs) == fn(*args, **kwargs)


@pytest.mark.parametrize(
    ("fn", "args", "kwargs", "words"),
    [
        (mixed, (), {}, "missing a required argument: 'a'"),
        (mixed, (1,), {}, "missing a required argument: 'b'"),
        (mixed, (1, 2, 3), {}, "too many positional arguments"),
        (mixed, (1, 2), {"d": 1}, "unexpected keyword argument 'd'"),
        (mixed, (1, 2), {"b": 1}, "multiple values for argument 'b'"),
        (positional_only, (), {"a": 1}, "'a' parameter is positional only"),
        (keyword_only, (1,), {}, "too many positional arguments"),
        (nothing, (1,), {}, "too many positional arguments"),
    ],
)
def test_a_call_that_does_not_fit_gets_pythons_own_words(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words) as told:
        codec(fn).encode_call(args, kwargs)

    assert fn.__name__ in str(told.value)
    assert "Nothing was enqueued" in str(told.value)


def test_a_mutable_default_is_the_functions_own_and_is_not_sent() -> None:
    assert codec(defaults).encode_call((), {}) == "{}"
    args, _ = codec(defaults).decode_call("{}")
    assert args[0] is (defaults.__defaults__ or ())[0]


# --- types ---


@dataclass
class Address:
    street: str
    since: date = date(2026, 1, 15)
    tags: set[str] = field(default_factory=set)


class Customer(msgspec.Struct):
    name: str
    address: Address
    parent: Customer | None = None


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


class Movie(TypedDict):
    title: str


class Model:
    """Shows itself as a pydantic model does."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and other.size == self.size

    __hash__ = None  # type: ignore[assignment]

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return {"size": self.size}

    @classmethod
    def model_validate(cls, value: Any) -> Model:
        if not isinstance(value, dict) or not isinstance(value.get("size"), int):
            raise ValueError("size: not a whole number")  # noqa: TRY004 -- pydantic's are ValueErrors
        return cls(value["size"])


VALUES: dict[str, tuple[Any, Any]] = {
    "dataclass": (Address, Address("Quay 1", tags={"home"})),
    "struct": (Customer, Customer("Ada", Address("Quay 1"), Customer("Eve", Address("Quay 2")))),
    "datetime": (datetime, datetime(2026, 1, 15, 12, 30, 1, 5, tzinfo=UTC)),
    "date": (date, date(2026, 1, 15)),
    "timedelta": (timedelta, timedelta(minutes=1, microseconds=5)),
    "uuid": (UUID, UUID("12345678-1234-5678-1234-567812345678")),
    "decimal": (Decimal, Decimal("10.10")),
    "bytes": (bytes, b"\x00\xff"),
    "enum": (Colour, Colour.RED),
    "int enum": (Level, Level.HIGH),
    "named tuple": (Point, Point(1, 2)),
    "typed dict": (Movie, {"title": "Metropolis"}),
    "model": (Model, Model(3)),
    "optional model": (Model | None, Model(3)),
    "models": (list[Model], [Model(1), Model(2)]),
    "tuple": (tuple[int, str], (1, "x")),
    "set": (frozenset[int], frozenset({1, 2})),
    "int keys": (dict[int, str], {1: "x"}),
    "literal": (Literal["a", "b"], "b"),
    "bounded": (Annotated[int, msgspec.Meta(ge=0)], 5),
    "huge int": (int, 2**200),
    "object": (object, {"any": ["thing", None]}),
    "text": (str, "\x00 ünïcode \U0001f41f"),
}


@pytest.mark.parametrize(("kind", "value"), VALUES.values(), ids=VALUES.keys())
def test_an_argument_and_a_result_keep_their_type(kind: Any, value: Any) -> None:
    def handler(value: Any) -> Any:
        return value

    handler.__annotations__ = {"value": kind, "return": kind}
    there = codec(handler)
    (back,), _ = there.decode_call(there.encode_call((value,), {}))

    assert back == value
    assert type(back) is type(value)
    assert there.decode_result(there.encode_result(value)) == value


def typed(count: int, who: Customer | None = None, ages: dict[str, list[int]] | None = None) -> int:
    return count


@pytest.mark.parametrize(
    ("args", "kwargs", "argument"),
    [
        (("5",), {}, "'count'"),
        ((True,), {}, "'count'"),
        ((5,), {"who": {"name": "Ada", "address": {"street": 1}}}, "'who.address.street'"),
        ((5,), {"ages": {"a": [1, "x"]}}, r"'ages\[\.\.\.\]\[1\]'"),
    ],
)
def test_a_wrong_type_names_the_argument(args: tuple[Any, ...], kwargs: dict[str, Any], argument: str) -> None:
    with pytest.raises(TypeError, match=f"typed: argument {argument}: Expected"):
        codec(typed).encode_call(args, kwargs)


def test_a_models_own_refusal_names_the_argument() -> None:
    def handler(model: Model) -> None: ...

    handler.__annotations__["model"] = Model
    with pytest.raises(TypeError, match=r"argument 'model': size: not a whole number"):
        codec(handler).encode_call(({"size": "big"},), {})


@dataclass
class Moody:
    value: int

    def __post_init__(self) -> None:
        if self.value:
            raise LookupError("not today")


def moody(it: Moody) -> Moody:
    return it


def test_what_a_users_type_raises_becomes_ours() -> None:
    """Whatever a `__post_init__` or a validator raises: a TypeError for the caller, a DecodeError for the worker."""
    with pytest.raises(TypeError, match="moody: LookupError: not today"):
        codec(moody).encode_call(({"value": 1},), {})
    with pytest.raises(DecodeError, match="not today"):
        codec(moody).decode_call('{"it": {"value": 1}}')
    with pytest.raises(DecodeError, match="not today"):
        codec(moody).decode_result('{"value": 1}')


class Stubborn:
    def model_dump(self, *, mode: str) -> Any:
        raise RuntimeError("I will not be dumped")


CYCLE: list[Any] = []
CYCLE.append(CYCLE)

UNENCODABLE = {
    "object": (object(), "a object cannot be written as JSON"),
    "generator": ((n for n in (1,)), "generator"),
    "lone surrogate": ("caf\udce9", "surrogates not allowed"),
    "tuple keys": ({(1, 2): 3}, "tuple"),
    "cycle": (CYCLE, "recursion"),
    "its own refusal": (Stubborn(), "I will not be dumped"),
    "nan": (math.nan, "NaN"),
    "deep nan": ({"a": [1.0, {"b": math.nan}]}, "NaN"),
    "infinity": ((1, -math.inf), "NaN and infinite"),
    "nan beside none": ([None, math.nan], "NaN"),
}


@pytest.mark.parametrize(("value", "reason"), UNENCODABLE.values(), ids=UNENCODABLE.keys())
def test_what_cannot_be_encoded_names_the_argument(value: Any, reason: str) -> None:
    with pytest.raises(EncodeError, match=r"The argument 'b' of unhinted .*cannot be encoded") as told:
        codec(unhinted).encode_call((1, value), {})
    assert reason in str(told.value)

    with pytest.raises(EncodeError, match="The result of unhinted cannot be encoded"):
        codec(unhinted).encode_result(value)


def test_null_is_no_nan() -> None:
    assert trip(unhinted, {"a": None, "null": "null", "f": 1.5}) == (
        {"a": None, "null": "null", "f": 1.5},
        None,
        (),
        {},
    )


# --- caps ---


def test_the_cap_names_the_largest_argument_and_its_size() -> None:
    def upload(name: str, data: str) -> None: ...

    with pytest.raises(PayloadTooLarge, match=r"upload .* the cap is 100; the largest is 'data' with 202") as told:
        codec(upload, 100).encode_call(("x" * 20, "y" * 200), {})
    assert "max_payload" in str(told.value)


def test_the_cap_is_in_bytes_and_inclusive() -> None:
    there = codec(unhinted, len('{"a":"éé"}'.encode()))
    assert there.encode_call(("éé",), {})
    with pytest.raises(PayloadTooLarge):
        there.encode_call(("ééé",), {})


def test_the_cap_holds_for_results() -> None:
    with pytest.raises(PayloadTooLarge, match="The result of unhinted has 12 bytes"):
        codec(unhinted, 10).encode_result("x" * 10)


# --- signatures ---


class Socket: ...


def custom(a: Socket) -> None: ...


def deep(a: dict[str, list[Socket | None]]) -> None: ...


def iterable(a: Iterable[int]) -> None: ...


def custom_result() -> list[Socket]:
    return []


@pytest.mark.parametrize(
    ("fn", "named"), [(custom, "Socket"), (deep, "Socket"), (iterable, "Iterable"), (custom_result, "Socket")]
)
def test_a_type_that_no_call_could_bring_is_found_at_once(fn: Callable[..., Any], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"Types in the signature of {fn.__name__}.* cannot travel.*{named}"):
        codec(fn)


def test_a_type_may_contain_itself() -> None:
    def handler(a: Customer) -> Customer:
        return a

    handler.__annotations__ = {"a": Customer, "return": Customer}
    assert codec(handler)


def test_hints_that_cannot_be_resolved_say_what_to_do() -> None:
    def handler(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821 -- on purpose

    def broken(a: "int int") -> None: ...  # type: ignore[valid-type]  # noqa: F722 -- on purpose

    with pytest.raises(ConfigError, match=r"handler cannot be resolved.*Nowhere.*module level"):
        codec(handler)
    with pytest.raises(ConfigError, match="broken cannot be resolved"):
        codec(broken)


# --- stored things ---


@pytest.mark.parametrize(
    "stored", ["", "{", "null", "[]", '{"a":1}', '{"a":"x","b":1}', '{"a":1,"b":1,"z":1}', '{"a":1,"b":"\udce9"}']
)
def test_a_payload_that_does_not_fit_any_more_is_a_decode_error(stored: str) -> None:
    with pytest.raises(DecodeError, match=r"do not fit mixed\(a: .*Was the function changed"):
        codec(mixed).decode_call(stored)


def test_a_result_that_does_not_fit_the_return_type_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match="does not fit the return type of typed: Expected `int`, got `str`"):
        codec(typed).decode_result('"x"')


def test_none_is_a_result() -> None:
    assert codec(nothing).encode_result(None) == "null"
    assert codec(nothing).decode_result("null") is None


def test_a_limit_of_what_is_encoded_by_name() -> None:
    assert encode({"a": 1}, what="meta") == '{"a":1}'
    with pytest.raises(PayloadTooLarge, match="meta has 7 bytes as JSON, the cap is 3"):
        encode({"a": 1}, what="meta", limit=3)


def test_storable_text_is_left_alone_but_for_surrogates() -> None:
    assert storable("ünï\x00\U0001f41f") == "ünï\x00\U0001f41f"
    assert storable("caf\udce9") == r"caf\udce9"


# --- whatever there is ---

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def anything(*args: Any, **kwargs: Any) -> Any: ...


def various(a: int, b: str, /, c: datetime, *rest: UUID, d: bytes, **more: Decimal) -> None: ...


ANYTHING, VARIOUS, STAR = codec(anything), codec(various), codec(star)


@settings(max_examples=40)
@given(st.lists(json_values, max_size=3), st.dictionaries(st.text(min_size=1), json_values, max_size=3))
def test_every_json_value_survives(args: list[Any], kwargs: dict[str, Any]) -> None:
    assert ANYTHING.decode_call(ANYTHING.encode_call(tuple(args), kwargs)) == (args, kwargs)
    assert ANYTHING.decode_result(ANYTHING.encode_result(args)) == args


@settings(max_examples=40)
@given(
    st.tuples(st.integers(), st.text(), st.datetimes(timezones=st.just(UTC)), st.uuids(), st.uuids()),
    st.fixed_dictionaries({"d": st.binary(max_size=50)}, optional={"e": st.decimals(allow_nan=False)}),
)
def test_every_typed_value_survives(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert VARIOUS.decode_call(VARIOUS.encode_call(args, kwargs)) == (list(args), kwargs)


@settings(max_examples=40)
@given(st.text())
def test_no_payload_breaks_the_decoder(text: str) -> None:
    try:
        STAR.decode_call(text)
    except DecodeError as error:
        assert "star" in str(error)  # noqa: PT017 -- most texts are refused, some are calls
