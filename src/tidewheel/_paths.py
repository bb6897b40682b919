"""Where a limit finds its key, or a rate its cost: a path such as `args.tenant` or `args.items[0].id`, or a function.

A path begins with a parameter of the handler and goes on through fields, keys of dicts and places of lists. A function
is given the arguments it names. Both see the arguments as the handler will: with its types and its defaults.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Source: TypeAlias = str | Callable[..., object]
"""A path over the arguments, or a function of the arguments by name."""

_PATH: Final = re.compile(r"args\.([^\W\d]\w*)((?:\.[^\s.\[\]:]+|\[\d{1,9}\])*)")
_STEP: Final = re.compile(r"\.([^\s.\[\]:]+)|\[(\d+)\]")
_KINDS: Final = inspect.Parameter
_OPEN: Final = (_KINDS.VAR_KEYWORD, _KINDS.VAR_POSITIONAL)
_SHOWN: Final = 60


class NotFound(LookupError):
    """There is no such value; the message says what there is."""


class NoValue(ValueError):
    """A source has no value in these arguments; the message says how it came."""


def steps_of(path: str) -> tuple[str | int, ...]:
    """The steps of a path; the first is the parameter.

    Raises:
        ValueError: it is no path.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise ValueError(f"{path!r} is no path over the arguments. Write one like args.tenant or args.items[0].id.")
    rest = (int(place) if place else field for field, place in _STEP.findall(found[2]))
    return (found[1], *rest)


def source_problem(source: Any, parameters: Mapping[str, inspect.Parameter] | None = None) -> str:
    """What is wrong with a source, with the remedy; empty when nothing is. `parameters`: the handler's, if known."""
    if isinstance(source, str):
        return _path_problem(source, parameters)
    if not callable(source) or isinstance(source, type):
        return f"{source!r} is neither a path such as 'args.tenant' nor a function of the arguments."
    if inspect.iscoroutinefunction(source):
        return f"{source!r} is async. Give a plain function that only looks at the arguments."
    try:
        wanted = inspect.signature(source).parameters.values()
    except (ValueError, TypeError):
        return f"{source!r} does not say what it wants. Wrap it: lambda tenant: ..."
    if parameters is None:
        return ""
    for one in (one for one in wanted if one.default is _KINDS.empty and one.kind not in _OPEN):
        if one.kind is _KINDS.POSITIONAL_ONLY:
            return f"{source!r} takes {one.name!r} by position only; arguments are given by name."
        if one.name not in parameters:
            return f"{source!r} wants {one.name!r}, which is no parameter of the function. {_listed(parameters)}"
    return ""


def _path_problem(path: str, parameters: Mapping[str, inspect.Parameter] | None) -> str:
    try:
        first = str(steps_of(path)[0])
    except ValueError as error:
        return str(error)
    if parameters is not None and first not in parameters:
        return f"{path!r} begins with no parameter of the function. {_listed(parameters)}"
    return ""


def _listed(parameters: Mapping[str, inspect.Parameter]) -> str:
    return f"It has: {', '.join(parameters)}." if parameters else "It has none."


def reader(source: Source, parameters: Mapping[str, inspect.Parameter]) -> Callable[[Any], object]:
    """How to find the value: a function of an object that has the arguments as attributes.

    It raises `NotFound`, or whatever a function of the user's raises.
    """
    if isinstance(source, str):
        first, *rest = steps_of(source)
        return lambda arguments: _walk(getattr(arguments, str(first)), f"args.{first}", rest)
    wanted = inspect.signature(source).parameters.values()
    everything = any(one.kind is _KINDS.VAR_KEYWORD for one in wanted)
    by_name = (_KINDS.POSITIONAL_OR_KEYWORD, _KINDS.KEYWORD_ONLY)
    named = {one.name for one in wanted if one.kind in by_name}
    names = [name for name in parameters if everything or name in named]
    return lambda arguments: source(**{name: getattr(arguments, name) for name in names})


def look_up(read: Callable[[Any], object], arguments: Any) -> object:
    """What a `reader` finds.

    Raises:
        NoValue: it found nothing, or a function of the user's failed, which is its cause then.
    """
    try:
        return read(arguments)
    except NotFound as error:
        raise NoValue(f"found nothing: {error}") from None
    except Exception as error:
        raise NoValue(f"failed with {type(error).__name__}: {error}") from error


def source_text(source: Source) -> str:
    """A source as errors name it."""
    return source if isinstance(source, str) else getattr(source, "__qualname__", repr(source))


def _walk(value: Any, path: str, steps: list[str | int]) -> object:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(value, list | tuple):
                raise NotFound(f"{path} is {shown(value)}, which has no places")
            if step >= len(value):
                raise NotFound(f"{path} has {len(value)} item{'' if len(value) == 1 else 's'}")
            value, path = value[step], f"{path}[{step}]"
        else:
            if isinstance(value, Mapping):
                if step not in value:
                    raise NotFound(f"{path} has no {step!r}")
                value = value[step]
            else:
                try:
                    value = getattr(value, step)
                except AttributeError:
                    raise NotFound(f"{path} is {shown(value)}, which has no {step!r}") from None
            path = f"{path}.{step}"
    return value


def shown(value: object) -> str:
    """A value for an error message: short, and never an error itself."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 -- a user's __repr__
        text = f"<{type(value).__qualname__}>"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({type(value).__qualname__})"
