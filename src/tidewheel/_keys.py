"""From the rule a task declares to what its jobs carry: the key that the desk of the store is asked for."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from tidewheel._flows import value_text
from tidewheel._model.enqueue_rule import EnqueueRule
from tidewheel._model.errors import ConfigError, LimitKeyError
from tidewheel._paths import look_up, reader, source_problem, source_text
from tidewheel._rules import AnyRule, Debounce, Idempotent, KeepLast, Throttle, Unique
from tidewheel._serde import to_plain

_SORTS: Final[dict[type, str]] = {
    Unique: "unique",
    Throttle: "throttle",
    Debounce: "debounce",
    KeepLast: "last",
    Idempotent: "idem",
}


class Keys:
    """Works out the keys of the jobs of one task, by one rule.

    Raises:
        ConfigError: the rule's key wants what is no parameter of the function.
    """

    def __init__(self, task: str, fn: Callable[..., Any], rule: AnyRule) -> None:
        parameters = inspect.signature(fn).parameters if rule.key is not None else {}
        problem = "" if rule.key is None else source_problem(rule.key, parameters)
        if problem:
            raise ConfigError(f"{task}: {_SORTS[type(rule)]}: key: {problem}")
        self._task = task
        self._given = rule
        self._model = rule.rule
        self._sort = _SORTS[type(rule)]
        self._read = None if rule.key is None else reader(rule.key, parameters)

    @property
    def strict(self) -> bool:
        """Whether an enqueue raises when the key is held."""
        return isinstance(self._given, Unique) and self._given.on_conflict == "raise"

    def rule(self, queue: str, payload: str, arguments: Any) -> EnqueueRule:
        """What a job carries; `payload` is the JSON of its arguments, `arguments` has them as attributes.

        Raises:
            LimitKeyError: there is no key in them.
        """
        by_queue = self._given.scope == "queue"
        owner = _escaped(queue if by_queue else self._task)
        key = f"{self._sort}{'.queue' if by_queue else ''}:{owner}:{self._value(payload, arguments)}"
        return msgspec.structs.replace(self._model, key=key)

    def _value(self, payload: str, arguments: Any) -> str:
        if self._read is not None:
            return self._found(self._read, arguments)
        if isinstance(self._given, Idempotent):
            return value_text(self._given.word)
        return digest(payload, arguments) if isinstance(self._given, Unique) else ""

    def _found(self, read: Callable[[Any], object], arguments: Any) -> str:
        try:
            return value_text(look_up(read, arguments))
        except ValueError as error:
            raise self._wrong(str(error)) from error.__cause__

    def _wrong(self, found: str) -> LimitKeyError:
        text = source_text(self._given.key) if self._given.key is not None else ""
        what = type(self._given).__name__
        return LimitKeyError(f"{self._task}: the key of {what}, {text}, {found}. It was not enqueued.")


def digest(payload: str, arguments: Any) -> str:
    """The arguments in short: the same for the same ones, in whatever order they were named, and whether one was given or
    left to its default. `payload` is their JSON, `arguments` has them as attributes.
    """
    plain = msgspec.json.decode(payload)
    for name in arguments.__struct_fields__:
        if name not in plain:
            with suppress(Exception):  # a default that is no JSON says nothing by which calls could differ
                plain[name] = to_plain(getattr(arguments, name))
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()[:32]


def _escaped(name: str) -> str:
    """A name in which no colon can be taken for the one behind it."""
    return name.replace("\\", "\\\\").replace(":", "\\:") if ":" in name or "\\" in name else name
