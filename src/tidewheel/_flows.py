"""From what a task declares to what its jobs carry: the limits by name, and the gates of one job."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from tidewheel._limits import MOST, AnyLimit, Breaker, Limit, Rate, name_problem
from tidewheel._model.errors import ConfigError, LimitKeyError
from tidewheel._model.flow import Flow, Pass, flow_text
from tidewheel._model.limit import LimitRow
from tidewheel._paths import NoValue, Source, look_up, reader, shown, source_problem, source_text
from tidewheel._serde import to_plain

if TYPE_CHECKING:
    from tidewheel._settings import TaskSettings
    from tidewheel._store.base import LimitStore

LONGEST_VALUE: Final = 200
"""Characters of a key that are kept as they are."""


_KINDS: Final[dict[str, type[AnyLimit]]] = {"concurrency": Limit, "rate": Rate, "breaker": Breaker}
_WANTED: Final[dict[type[AnyLimit], str]] = {
    Limit: "a number or a Limit(...)",
    Rate: "a Rate(...), such as Rate(100, per='1m')",
    Breaker: "a Breaker(...), such as Breaker(5, within='1m', open_for='30s')",
}


class Named(NamedTuple):
    """A limit under the name it has in the store."""

    name: str
    limit: AnyLimit


def limits_of(
    task: str, fn: Callable[..., Any], given: Mapping[str, Any], known: Mapping[str, AnyLimit]
) -> tuple[Named, ...]:
    """The limits of a task, from its options by name; `known` are those of the app's other tasks.

    Raises:
        ConfigError: everything that cannot work, at once.
    """
    parameters = inspect.signature(fn).parameters
    problems: list[str] = []
    found: dict[str, AnyLimit] = {}
    for sort, kind in _KINDS.items():
        for one in _several(given.get(sort)):
            try:
                limit = _as_limit(one, kind)
            except ConfigError as error:
                problems += [f"{task}: {sort}: {problem}" for problem in error.problems]
                continue
            name = limit.name or _default_name(task, sort, limit.key)
            wrong = [] if limit.name else [name_problem(name)]
            wrong += [_named(what, source_problem(source, parameters)) for what, source in _sources(limit)]
            other = found.get(name) or known.get(name)
            if other is not None and not _same(other, limit):
                wrong.append(
                    f"there are two limits named {name!r}: {other} and {limit}. Give one of them another name=, or give "
                    "the same object to both."
                )
            wrong += _order_problems(name, limit, found, known)
            problems += [f"{task}: {sort}: {problem}" for problem in wrong if problem]
            found[name] = limit
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return tuple(Named(*one) for one in found.items())


def _order_problems(
    name: str, limit: AnyLimit, found: Mapping[str, AnyLimit], known: Mapping[str, AnyLimit]
) -> Iterable[str]:
    """An order is that of one line: of one task, and of one limit."""
    if not in_order(limit):
        return
    if name in known:
        yield f"the limit {name!r} has an order, and another task uses it, too. Give each task a limit of its own."
    if others := [one for one, other in found.items() if one != name and in_order(other)]:
        yield f"{name!r} and {others[0]!r} both have an order. Keep the one you mean."


def in_order(limit: AnyLimit) -> bool:
    """Whether its jobs start one by one, in the order of their line."""
    return isinstance(limit, Limit) and limit.order is not None


def check_in_line(task: str, limits: Sequence[Named], before: TaskSettings, after: TaskSettings) -> None:
    """Refuse settings by which a job would leave the line that the others of its key stand in.

    Raises:
        ConfigError: there are some.
    """
    for name in (one.name for one in limits if in_order(one.limit)):
        moved = [what for what in ("queue", "priority", "lifo") if getattr(before, what) != getattr(after, what)]
        if moved:
            raise ConfigError(
                [
                    f"{task}: {what}={getattr(after, what)!r}: its jobs start in the order of one line (the limit "
                    f"{name!r}), and this one would stand elsewhere. Leave it out."
                    for what in moved
                ]
            )
        if after.fair is not None:
            raise ConfigError(f"{task}: fair moves jobs in line, and the limit {name!r} keeps their order. Keep one.")


def _several(given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    return tuple(given) if isinstance(given, list | tuple | set | frozenset) else (given,)


def _as_limit(given: Any, kind: type[AnyLimit]) -> AnyLimit:
    if isinstance(given, kind):
        return given
    if kind is Limit and isinstance(given, int):
        return Limit(given)
    if isinstance(given, Rate):
        raise ConfigError(f"{given} counts starts in a time. Give it as rate=.")
    if isinstance(given, Limit):
        raise ConfigError(f"{given} counts what runs at once. Give it as concurrency=.")
    if isinstance(given, Breaker):
        raise ConfigError(f"{given} counts failures. Give it as breaker=.")
    raise ConfigError(f"{shown(given)} must be {_WANTED[kind]}, or a list of such.")


def _default_name(task: str, sort: str, key: Source | None) -> str:
    if key is None:
        return f"{task}.{sort}"
    text = key.removeprefix("args.") if isinstance(key, str) else getattr(key, "__name__", "")
    return f"{task}.{sort}.{text if text and text != '<lambda>' else 'key'}"


def _sources(limit: AnyLimit) -> Iterable[tuple[str, Source]]:
    if limit.key is not None:
        yield "key", limit.key
    if isinstance(limit.cost, str) or callable(limit.cost):
        yield "cost", limit.cost


def _named(what: str, problem: str) -> str:
    return f"{what}: {problem}" if problem else ""


def _same(one: AnyLimit, other: AnyLimit) -> bool:
    return _meaning(one) == _meaning(other)


def _meaning(limit: AnyLimit) -> tuple[Any, ...]:
    return limit.rule, limit.key, limit.cost, limit.order if isinstance(limit, Limit) else None


class Measure:
    """Works out the gates of a task's jobs."""

    def __init__(self, task: str, fn: Callable[..., Any], limits: Sequence[Named]) -> None:
        parameters = inspect.signature(fn).parameters
        self._task = task
        # One with an order comes first: see `Pass.order`.
        first = sorted(limits, key=lambda one: not in_order(one.limit))
        self._entries = [_Entry.of(one, parameters) for one in first]
        self.fixed = None if any(entry.value or entry.cost for entry in self._entries) else self.flow(None)
        """The flow of all its jobs, when they pass the same gates at the same cost."""

    def flow(self, arguments: Any) -> str:
        """What a job with these arguments carries; `arguments` has them as attributes.

        Raises:
            LimitKeyError: a limit finds no key, or no cost, in them.
        """
        passes: dict[str, Pass] = {}
        for name, limit, value, cost in self._entries:
            one = Pass(
                name,
                "" if value is None else self._value(name, limit, value, arguments),
                (limit.cost or 1) if cost is None else self._cost(name, limit, cost, arguments),
                isinstance(limit, Breaker) or (isinstance(limit, Limit) and limit.order is None),
                (isinstance(limit, Limit) and limit.order) or "",
                isinstance(limit, Breaker),
            )
            passes.setdefault(one.key, one)
        return flow_text(Flow(tuple(passes.values())))

    def _value(self, name: str, limit: AnyLimit, read: Callable[[Any], object], arguments: Any) -> str:
        try:
            return value_text(look_up(read, arguments))
        except ValueError as error:
            raise self._wrong(name, "key", limit.key, str(error)) from error.__cause__

    def _cost(self, name: str, limit: Rate, read: Callable[[Any], object], arguments: Any) -> int:
        try:
            found = look_up(read, arguments)
        except NoValue as error:
            raise self._wrong(name, "cost", limit.cost, str(error)) from error.__cause__
        if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= MOST:
            what = f"found {shown(found)}; a cost is a whole number, 1 or more"
            raise self._wrong(name, "cost", limit.cost, what)
        if found > limit.capacity:
            capacity = f"{'count' if limit.burst is None else 'burst'} is {limit.capacity}"
            raise self._wrong(name, "cost", limit.cost, f"found {found}, which never fits: {capacity}")
        return found

    def _wrong(self, name: str, what: str, source: Any, found: str) -> LimitKeyError:
        text = source_text(source)
        return LimitKeyError(f"{self._task}: the {what} of the limit {name!r}, {text}, {found}. It was not enqueued.")


class _Entry(NamedTuple):
    name: str
    limit: Any
    value: Callable[[Any], object] | None
    """None: a limit without keys."""
    cost: Callable[[Any], object] | None
    """None: the same for all jobs."""

    @classmethod
    def of(cls, one: Named, parameters: Mapping[str, inspect.Parameter]) -> _Entry:
        readers = {what: reader(source, parameters) for what, source in _sources(one.limit)}
        return cls(one.name, one.limit, readers.get("key"), readers.get("cost"))


def value_text(value: object) -> str:
    """A key as the store has it: a single value as JSON would write it, a tuple of such as a JSON list, a long one by its
    SHA-256.

    Raises:
        ValueError: nothing, or a value that is more than one; the message says what was found.
    """
    if type(value) is tuple and value:
        value = msgspec.json.encode([value_text(one) for one in value]).decode()
    if value is None or value == "":
        raise ValueError(f"found {value!r}; a key is a text, a number, or another single value")
    text = value if type(value) is str else _single(value)
    # A NUL is more than some stores take, and no control character is fit for a name.
    if len(text) > LONGEST_VALUE or not text.isprintable():
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
    return text


def _single(value: object) -> str:
    try:
        plain = to_plain(value)
    except Exception:  # noqa: BLE001 -- no JSON type, or a type of the user's that fails
        plain = value
    if isinstance(plain, bool | int) or (isinstance(plain, float) and math.isfinite(plain)):
        return msgspec.json.encode(plain).decode()
    if not isinstance(plain, str) or not plain:
        sort = "an object" if isinstance(plain, dict) else "a list" if isinstance(plain, list | tuple) else ""
        raise ValueError(
            f"found {sort + ', ' if sort else ''}{shown(value)}; a key is a text, a number, or another single value"
        )
    return plain


class Declarations:
    """The limits of all tasks of an app, and whether its store was told."""

    def __init__(self) -> None:
        self.limits: dict[str, AnyLimit] = {}
        self.pending = False
        """There are some that the store was not told of yet."""

    def add(self, limits: Iterable[Named]) -> None:
        """Those of one more task."""
        for name, limit in limits:
            self.limits[name] = limit
            self.pending = True

    def forget(self) -> None:
        """The store is let go of: the next one is told again."""
        self.pending = bool(self.limits)

    async def tell(self, store: LimitStore) -> None:
        """Tell the store, once. What an operator said there goes before it."""
        if self.pending:
            rows = [LimitRow(name=name, declared=limit.rule) for name, limit in self.limits.items()]
            await store.put_limits(rows, declared=True)
            self.pending = len(rows) < len(self.limits)  # a task may have come while the store wrote
