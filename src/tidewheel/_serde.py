"""Arguments and results as JSON, checked against the handler's type hints.

What is enqueued is decoded once on the spot, by the same decoder that a worker will use: a call that a
worker could not make fails in the caller's hands.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from tidewheel._model.errors import ConfigError, DecodeError, EncodeError, PayloadTooLarge

MAX_PAYLOAD: Final = 262_144
"""Bytes of JSON that arguments, a result, a progress value or `meta` may have, unless the app says otherwise."""

_KINDS: Final = inspect.Parameter


def _encode_other(value: Any) -> Any:
    """Types msgspec does not know: pydantic models show themselves by their methods."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    raise TypeError(f"a {type(value).__qualname__} cannot be written as JSON")


def _decode_other(kind: type, value: Any) -> Any:
    validate = getattr(kind, "model_validate", None)
    if validate is not None:
        return validate(value)
    if kind is object:  # as good as `Any`
        return value
    raise TypeError(f"a {kind.__qualname__} cannot be read from JSON")


_encoder: Final = msgspec.json.Encoder(enc_hook=_encode_other)


def to_plain(value: Any) -> Any:
    """A value as JSON would have it: an Enum, a UUID or a date as its text. Raises whatever a user's own types raise."""
    return msgspec.to_builtins(value, enc_hook=_encode_other)


def storable(text: str) -> str:
    r"""`text` as every store can hold it: a lone surrogate, as in the name of a file that is no UTF-8, becomes `\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode()


def _to_json(value: Any) -> bytes:
    """The JSON of a value. Raises whatever a user's own types raise, and ValueError for NaN and the infinities."""
    data = _encoder.encode(value)
    # msgspec writes `null` for them, and the job would get None without anybody having noticed.
    if b"null" in data and _not_finite(to_plain(value)):
        raise ValueError("NaN and infinite numbers do not exist in JSON; pass None, or text")
    return data


def _not_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_not_finite, value.values()))
    return isinstance(value, list | tuple) and any(map(_not_finite, value))


def encode(value: Any, *, what: str, limit: int = MAX_PAYLOAD) -> str:
    """`value` as JSON text; `what` names it in errors.

    Raises:
        EncodeError: it has a part that JSON cannot hold.
        PayloadTooLarge: its JSON is longer than `limit` bytes.
    """
    try:
        data = _to_json(value)
    except Exception as error:  # user types may raise anything
        raise EncodeError(
            f"{what} cannot be encoded: {error}. Pass JSON types, dataclasses, msgspec Structs, pydantic models, "
            "datetimes, UUIDs, decimals or bytes."
        ) from error
    if len(data) > limit:
        raise PayloadTooLarge(
            f"{what} has {len(data)} bytes as JSON, the cap is {limit}. Store the data elsewhere and pass its key, "
            "or raise the cap with App(max_payload=...)."
        )
    return data.decode()


class Codec:
    """Turns calls of one function into JSON and back. Made from its signature, once.

    Raises:
        ConfigError: a parameter or result whose type cannot travel as JSON.
    """

    def __init__(self, name: str, fn: Callable[..., Any], limit: int = MAX_PAYLOAD) -> None:
        self._name = name
        self._limit = limit
        self._signature = inspect.signature(fn)
        parameters = list(self._signature.parameters.values())
        self.hints = hints = hints_of(name, fn)
        """Types by the names of parameters."""
        fields: list[Any] = []
        self._simple = True
        for one in parameters:
            kind: Any = hints.get(one.name, Any)
            default: Any
            if one.kind is _KINDS.VAR_POSITIONAL:
                kind, default = list[kind], msgspec.field(default_factory=list)
                self._simple = False
            elif one.kind is _KINDS.VAR_KEYWORD:
                kind, default = dict[str, kind], msgspec.field(default_factory=dict)
                self._simple = False
            elif one.default is _KINDS.empty:
                default = msgspec.NODEFAULT
            else:
                default = msgspec.field(default_factory=_constant(one.default))
            fields.append((one.name, kind, default))
        struct = _struct(name, fields)
        self._names = tuple(one.name for one in parameters)
        self._by_position = sum(
            one.kind in (_KINDS.POSITIONAL_ONLY, _KINDS.POSITIONAL_OR_KEYWORD) for one in parameters
        )
        self._only_position = frozenset(one.name for one in parameters if one.kind is _KINDS.POSITIONAL_ONLY)
        self._parameters = parameters
        self._arguments = _decoder(name, struct)
        self._result = _decoder(f"{name} -> result", hints.get("return", Any))

    def encode_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The JSON text of a call, by parameter name.

        Raises:
            TypeError: the call does not fit the signature, or an argument has the wrong type.
            EncodeError: an argument cannot be written as JSON.
            PayloadTooLarge: the arguments are over the cap.
        """
        return self.encode_checked(args, kwargs)[0]

    def encode_checked(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, Any]:
        """The same, and an object that has the arguments as attributes, as a worker will decode them."""
        bound = self._quickly_bound(args, kwargs)
        try:
            data = _to_json(bound)
        except Exception as error:  # user types may raise anything
            raise self._blame(bound, error) from error
        if len(data) > self._limit:
            sizes = {name: len(_encoder.encode(value)) for name, value in bound.items()}
            worst = max(sizes, key=sizes.__getitem__)
            raise PayloadTooLarge(
                f"The arguments of {self._name} have {len(data)} bytes as JSON, the cap is {self._limit}; the largest "
                f"is {worst!r} with {sizes[worst]}. Store the data elsewhere and pass its key, or raise the cap with "
                "App(max_payload=...)."
            )
        try:
            values = self._arguments.decode(data)
        except msgspec.ValidationError as error:
            self._bound(args, kwargs)  # raises Python's own words when the call does not fit the signature
            raise TypeError(f"{self._name}: {_readable(error)}. Nothing was enqueued.") from None
        except Exception as error:  # from a `__post_init__` or a validator of the user's
            raise TypeError(f"{self._name}: {type(error).__name__}: {error}. Nothing was enqueued.") from error
        return data.decode(), values

    def _quickly_bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name. What is missing or unknown is left to the check that follows."""
        if self._simple and len(args) <= self._by_position:
            bound = dict(zip(self._names, args, strict=False)) if args else {}
            if not kwargs:
                return bound
            bound.update(kwargs)
            if len(bound) == len(args) + len(kwargs) and self._only_position.isdisjoint(kwargs):
                return bound
        return self._bound(args, kwargs)

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return dict(self._signature.bind(*args, **kwargs).arguments)
        except TypeError as error:
            raise TypeError(f"{self._name}: {error}. Nothing was enqueued.") from None

    def _blame(self, bound: Mapping[str, Any], error: Exception) -> EncodeError:
        for name, value in bound.items():
            try:
                _to_json(value)
            except Exception as reason:  # noqa: BLE001 -- this is the argument to name
                return EncodeError(
                    f"The argument {name!r} of {self._name} ({type(value).__qualname__}) cannot be encoded: {reason}. "
                    "Pass JSON types, dataclasses, msgspec Structs, pydantic models, datetimes, UUIDs, decimals or "
                    "bytes. Nothing was enqueued."
                )
        return EncodeError(f"The arguments of {self._name} cannot be encoded: {error}. Nothing was enqueued.")

    def decode_call(self, text: str) -> tuple[list[Any], dict[str, Any]]:
        """The positional and keyword arguments of a stored call.

        Raises:
            DecodeError: the payload does not fit the signature (any more).
        """
        try:
            values = self._arguments.decode(text)
        except Exception as error:  # also from a `__post_init__` or a validator of the user's
            raise DecodeError(
                f"The stored arguments do not fit {self._name}{self._signature}: {_readable(error)}. "
                "Was the function changed after the job was enqueued? Make it accept the old form and retry the job."
            ) from error
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for one in self._parameters:
            value = getattr(values, one.name)
            if one.kind is _KINDS.VAR_POSITIONAL:
                args += value
            elif one.kind is _KINDS.VAR_KEYWORD:
                kwargs |= value
            elif one.kind is _KINDS.KEYWORD_ONLY:
                kwargs[one.name] = value
            else:
                args.append(value)
        return args, kwargs

    def encode_result(self, value: Any) -> str:
        """The JSON text of what the function returned.

        Raises:
            EncodeError: it cannot be written as JSON, or is over the cap.
        """
        if value is None:
            return "null"
        return encode(value, what=f"The result of {self._name}", limit=self._limit)

    def decode_result(self, text: str) -> Any:
        """The function's result as its return type.

        Raises:
            DecodeError: what is stored does not fit the return type.
        """
        try:
            return self._result.decode(text)
        except Exception as error:  # also from a `__post_init__` or a validator of the user's
            raise DecodeError(f"The stored result does not fit the return type of {self._name}: {error}.") from error


def hints_of(name: str, fn: Callable[..., Any]) -> dict[str, Any]:
    """The type hints of a function.

    Raises:
        ConfigError: a name in them is not there.
    """
    import typing

    try:
        return typing.get_type_hints(fn, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise ConfigError(
            f"The type hints of {name} cannot be resolved: {error}. Import the names they use at module level, "
            "outside `if TYPE_CHECKING`."
        ) from error


def _struct(name: str, fields: list[Any]) -> type[msgspec.Struct]:
    return msgspec.defstruct(f"{name} arguments", fields, kw_only=True, forbid_unknown_fields=True, omit_defaults=False)


def _decoder(name: str, kind: Any) -> msgspec.json.Decoder[Any]:
    try:
        decoder = msgspec.json.Decoder(kind, dec_hook=_decode_other)
        unknown = _unknown_types(kind)
    except TypeError as error:
        raise ConfigError(f"A type in the signature of {name} cannot travel as JSON: {error}") from error
    if unknown:
        raise ConfigError(
            f"Types in the signature of {name} cannot travel as JSON: {', '.join(unknown)}. Use JSON types (list for "
            "what can be iterated), dataclasses, msgspec Structs, pydantic models, datetimes, UUIDs, decimals or bytes."
        )
    return decoder


def _unknown_types(kind: Any) -> list[str]:
    """Names of the types below `kind` that no call could ever bring."""
    from msgspec import inspect as kinds

    found: dict[str, None] = {}
    seen: set[int] = set()  # a type may contain itself
    try:
        todo: list[Any] = [kinds.type_info(kind)]
    except Exception:  # noqa: BLE001 -- what the decoder takes and this does not know is no reason to refuse it
        return []
    while todo:
        one = todo.pop()
        if isinstance(one, list | tuple):
            todo += one
        elif isinstance(one, kinds.CustomType):
            if one.cls is not object and not hasattr(one.cls, "model_validate"):
                found[one.cls.__qualname__] = None
        elif isinstance(one, kinds.Type | kinds.Field) and id(one) not in seen:
            seen.add(id(one))
            todo += [getattr(one, field) for field in one.__struct_fields__ if not field.startswith("default")]
    return list(found)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _readable(error: Exception) -> str:
    """Msgspec says "Expected `int`, got `str` - at `$.count`"; people look for the argument's name."""
    message, _, path = str(error).partition(" - at `$.")
    return f"argument {path.rstrip('`')!r}: {message}" if path else message
