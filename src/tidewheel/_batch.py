"""Batch handlers as code declares them: one call of the function for many jobs (`Batch`), what the function gets
(`BatchItem`), and how one job of such a task travels.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from tidewheel._context import JobContext
from tidewheel._flows import value_text
from tidewheel._limits import refuse
from tidewheel._model.duration import SECOND, Span, human, micros
from tidewheel._model.errors import ConfigError, DecodeError, LimitKeyError
from tidewheel._paths import Source, look_up, reader, source_problem, source_text
from tidewheel._serde import MAX_PAYLOAD, Codec, hints_of

T_co = TypeVar("T_co", covariant=True)

MOST_ITEMS: Final = 10_000
"""No batch is larger: a store takes no more in one call."""
LONGEST_WAIT: Final = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Batch:
    """One call of a handler for many jobs. The handler takes a list, each job is one item of it.

    Args:
        size: at most so many jobs in a call; 1 to 10 000.
        wait: so long after its first job a batch starts with what it has (seconds, or "2s"); at most 1 h. Default 1 s.
        least: with so many jobs a batch starts at once when no more wait in the store. Default: `size`, so a batch that
            is not full waits for its time; 1: nothing ever waits for company that is not there.
        key: when given, all jobs of a batch have the same key: a path over a job's arguments (`"args.rows.tenant"`, where
            `rows` is the handler's parameter, and one item here), or a function of the arguments by name.

    Raises:
        ConfigError: every value that cannot work, at once.
    """

    size: int
    wait: Span = "1s"
    least: int | None = None
    key: Source | None = None

    def __post_init__(self) -> None:
        problems = _number("size", self.size)
        if self.least is not None:
            problems += (wrong := _number("least", self.least))
            if not wrong and not problems and self.least > self.size:
                problems.append(f"least={self.least} is more than size={self.size}: no batch ever has so many.")
        try:
            if micros(self.wait) > LONGEST_WAIT:
                problems.append(f"wait={self.wait!r} is too long. Give at most {human(LONGEST_WAIT)}.")
        except (ValueError, TypeError) as error:
            problems.append(f"wait: {error}")
        if self.key is not None and (problem := source_problem(self.key)):
            problems.append(f"key: {problem}")
        refuse(self, problems)

    @property
    def enough(self) -> int:
        """With so many it starts when there are no more."""
        return self.size if self.least is None else self.least

    @property
    def patience(self) -> float:
        """`wait` in seconds."""
        return micros(self.wait) / SECOND


def _number(what: str, value: Any) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        return [f"{what}={value!r} is no whole number. Give 1 to {MOST_ITEMS:,}."]
    return [] if 1 <= value <= MOST_ITEMS else [f"{what}={value} is out of range. Give 1 to {MOST_ITEMS:,}."]


@dataclass(frozen=True, slots=True, eq=False)
class BatchItem(Generic[T_co]):
    """A job of a batch, for handlers that take `list[BatchItem[T]]`."""

    value: T_co
    """What was enqueued."""
    job: JobContext
    """Its attempt: id, fence, log, progress, and `cancelled` when its result will not count any more."""


class BatchCodec(Codec):
    """Turns one job of a batch handler into JSON and back: its call has one item where the function takes a list.

    Raises:
        ConfigError: the function does not take a single list, returns something else than a list or None, or one of the
            types cannot travel as JSON; or the key looks at something that is no parameter.
    """

    def __init__(self, name: str, fn: Callable[..., Any], batch: Batch | None, limit: int = MAX_PAYLOAD) -> None:
        parameter = only_parameter(name, fn)
        hints = hints_of(name, fn)
        item, self.wants_items = _item_hint(name, parameter.name, hints.get(parameter.name, Any))
        super().__init__(name, _for_one(fn, parameter.name, item, _result_hint(name, hints.get("return", Any))), limit)
        self._batch = batch
        self._parameter = parameter.name
        self._read = None
        if batch is not None and batch.key is not None:
            if problem := source_problem(batch.key, {parameter.name: parameter}):
                raise ConfigError(f"{name}: batch: key: {problem}")
            self._read = reader(batch.key, {parameter.name: parameter})

    def encode_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """See `Codec.encode_call`; a job without a key is refused here, too."""
        return self.encode_checked(args, kwargs)[0]

    def encode_checked(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, Any]:
        """See `Codec.encode_checked`.

        Raises:
            LimitKeyError: the batch finds no key in the arguments.
        """
        text, values = super().encode_checked(args, kwargs)
        if self._read is not None:
            self._key(values, "It was not enqueued.")
        return text, values

    def decode_item(self, text: str) -> tuple[Any, str]:
        """The item of a stored call, and its key; empty when batches have none.

        Raises:
            DecodeError: the payload does not fit, or has no key.
        """
        (value,), _ = self.decode_call(text)
        if self._read is None:
            return value, ""
        try:
            return value, self._key(types.SimpleNamespace(**{self._parameter: value}), "Was the key changed?")
        except LimitKeyError as error:
            raise DecodeError(str(error)) from error

    def _key(self, arguments: Any, so: str) -> str:
        assert self._read is not None and self._batch is not None and self._batch.key is not None  # noqa: S101, PT018
        try:
            return value_text(look_up(self._read, arguments))
        except ValueError as error:
            what = f"the key of its batches, {source_text(self._batch.key)}"
            raise LimitKeyError(f"{self._name}: {what}, {error}. {so}") from error.__cause__


def batch_problems(name: str, fn: Callable[..., Any], batch: Any) -> Sequence[str]:
    """What is wrong with a batch handler, as far as it can be told while its module is read."""
    if batch is None:
        return ()
    if not isinstance(batch, Batch):
        return (f"{name}: batch={batch!r} must be a Batch(...), such as Batch(100, wait='2s').",)
    try:
        only_parameter(name, fn)
        try:
            hints_of(name, fn)
        except ConfigError:  # names that come further down: `app.check()` looks again
            return ()
        BatchCodec(name, fn, batch)
    except ConfigError as error:
        return error.problems
    return ()


def only_parameter(name: str, fn: Callable[..., Any]) -> inspect.Parameter:
    """The parameter that takes the list.

    Raises:
        ConfigError: there is none, or there are more.
    """
    parameters = list(inspect.signature(fn).parameters.values())
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if (
        len(parameters) != 1
        or parameters[0].kind not in by_position
        or parameters[0].default is not inspect.Parameter.empty
    ):
        found = f"{name}{inspect.signature(fn)}"
        raise ConfigError(
            f"{found} cannot handle a batch: it must take one argument, a list: {name}(items: list[Item])."
        )
    return parameters[0]


def _item_hint(name: str, parameter: str, hint: Any) -> tuple[Any, bool]:
    """The type of one item, and whether the handler wants `BatchItem`s."""
    if hint is Any or hint is list:
        return Any, False
    if typing.get_origin(hint) is not list:
        raise ConfigError(
            f"{name}: {parameter} is {_shown(hint)}, and a batch handler takes a list. Write {parameter}: list[Item], or "
            f"list[BatchItem[Item]]."
        )
    (item,) = typing.get_args(hint)
    if item is BatchItem:
        return Any, True
    if typing.get_origin(item) is BatchItem:
        return typing.get_args(item)[0], True
    return item, False


def _result_hint(name: str, hint: Any) -> Any:
    """The type of one job's result."""
    if hint is None or hint is Any:
        return hint
    found: list[Any] = []
    for one in _members(hint):
        if one is type(None):
            found.append(None)
        elif one in (list, tuple):
            return Any
        elif typing.get_origin(one) in (list, tuple, Sequence):
            found += [inner for arg in typing.get_args(one) if arg is not ... for inner in _members(arg)]
        else:
            raise ConfigError(
                f"{name} returns {_shown(hint)}. A batch handler returns a list with a result for each item, an exception "
                "where one failed, or None."
            )
    results = [one for one in found if not (isinstance(one, type) and issubclass(one, BaseException))]
    if Any in results:
        return Any
    return typing.Union[tuple(results)] if results else None  # noqa: UP007 -- made of types at run time


def _members(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _shown(hint: Any) -> str:
    return getattr(hint, "__name__", repr(hint)) if isinstance(hint, type) and not typing.get_args(hint) else str(hint)


def _for_one(fn: Callable[..., Any], parameter: str, item: Any, result: Any) -> Callable[..., Any]:
    """A function that has the signature of one job."""

    def one() -> None:
        """Never called."""

    one.__name__ = getattr(fn, "__name__", "batch")
    one.__annotations__ = {parameter: item, "return": result}
    one.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=item)],
        return_annotation=result,
    )
    return one


def results_of(name: str, answer: Any, count: int) -> Sequence[Any]:
    """What the function gave, one for each item.

    Raises:
        ValueError: it is no list of that length.
    """
    if answer is None:
        return (None,) * count
    if not isinstance(answer, list | tuple):
        raise TypeError(
            f"{name} returned a {type(answer).__qualname__} for a batch. Return a list with a result for each item, an "
            "exception where one failed, or None."
        )
    if len(answer) != count:
        raise ValueError(
            f"{name} returned {len(answer)} results for {count} items, so nobody can say whose they are. Return one for each, "
            "in their order."
        )
    return answer
