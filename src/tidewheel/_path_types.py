"""Whether a key path may find nothing, as far as the type hints of the handler tell."""

from __future__ import annotations

from typing import Any, Final

from msgspec import inspect as kinds

from tidewheel._paths import steps_of

_UNKNOWN: Final = (kinds.AnyType, kinds.CustomType, kinds.ExtType, kinds.RawType)
_SEVERAL: Final = (
    kinds.CollectionType,
    kinds.DictType,
    kinds.TupleType,
    kinds.StructType,
    kinds.DataclassType,
    kinds.NamedTupleType,
    kinds.TypedDictType,
)


def path_doubt(path: str, hint: Any) -> str:
    """Why a path may find nothing, by the type hint of its parameter; empty when it looks well."""
    first, *rest = steps_of(path)
    types, walked = _kinds_of(hint), f"args.{first}"
    for step in rest:
        if any(isinstance(one, kinds.NoneType) for one in types):
            return f"{walked} may be None, and then it finds nothing"
        if not types or any(isinstance(one, _UNKNOWN) for one in types):
            return ""
        found = [inner for one in types for inner in _below(one, step)]
        if not found:
            return f"{walked} has no {step!r}"
        types, walked = found, f"{walked}[{step}]" if isinstance(step, int) else f"{walked}.{step}"
    if any(isinstance(one, kinds.NoneType) for one in types):
        return f"{walked} may be None, and then it finds nothing"
    if types and all(isinstance(one, _SEVERAL) for one in types):
        return f"{walked} is an object or a list, no single value"
    return ""


def _kinds_of(hint: Any) -> list[kinds.Type]:
    """What a value may be; nothing where that is not known."""
    try:
        return _flat(kinds.type_info(hint))
    except Exception:  # noqa: BLE001 -- a type that only a user's own hook knows
        return []


def _flat(one: kinds.Type) -> list[kinds.Type]:
    return [inner for part in one.types for inner in _flat(part)] if isinstance(one, kinds.UnionType) else [one]


def _below(one: kinds.Type, step: str | int) -> list[kinds.Type]:
    """What a step leads to."""
    if isinstance(one, kinds.DictType):
        return _flat(one.value_type) if isinstance(step, str) else []
    if isinstance(step, int):
        if isinstance(one, kinds.TupleType):
            return _flat(one.item_types[step]) if step < len(one.item_types) else []
        return _flat(one.item_type) if isinstance(one, kinds.ListType | kinds.VarTupleType) else []
    if isinstance(one, kinds.StructType | kinds.DataclassType | kinds.NamedTupleType | kinds.TypedDictType):
        for field in one.fields:
            if field.name == step:
                return _flat(field.type)
        # A property, whose type nobody asks for.
        return [kinds.AnyType()] if hasattr(one.cls, step) else []
    return []
