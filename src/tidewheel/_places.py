"""Whose turn it is, as code declares it (`Fair`), and what a job carries of it.

A place in line is a moment. First come first served is one way to choose it; here it is chosen so that tenants take turns,
whoever comes with how many.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tidewheel._flows import value_text
from tidewheel._limits import name_problem, refuse, whole_problem
from tidewheel._model import enqueue_rule as model
from tidewheel._model.duration import LONGEST, Span, human, micros
from tidewheel._model.errors import ConfigError, LimitKeyError
from tidewheel._model.job import LAST_PRIORITY
from tidewheel._paths import NoValue, Source, look_up, reader, shown, source_problem, source_text

UNIT: Final = 1000
"""Microseconds of the line's own time that one turn takes: fine enough for weights, and short enough that a tenant that was
served quickly has soon paid for it.
"""
_LIGHTEST: Final = 0.001
_HEAVIEST: Final = 1000
_DEAREST: Final = 1_000_000
_LONGEST_AGEING: Final = LONGEST // LAST_PRIORITY
"""So no place in line is further back than the longest duration."""


@dataclass(frozen=True, slots=True)
class Fair:
    """Tenants take turns, however many jobs each of them has waiting.

    Args:
        key: whose job it is: a path over the handler's arguments (`"args.tenant"`), or a function of the arguments by name.
        weights: by tenant, how many turns it has while one of weight 1, which all others have, has one: 0.001 to 1000.
        cost: how many turns one job takes, 1 to 1,000,000; a number, or a path or function as `key` takes them. Default 1.
        name: tasks that give the same name have their turns together. Default: the task's name.

    Raises:
        ConfigError: every value that cannot work, at once.
    """

    key: Source
    weights: Mapping[str, float] | None = None
    cost: int | Source = 1
    name: str | None = None

    def __post_init__(self) -> None:
        wrong = [f"key: {problem}"] if (problem := source_problem(self.key)) else []
        wrong += _weight_problems(self.weights)
        if isinstance(self.cost, int):
            wrong += whole_problem("cost", self.cost, _DEAREST)
        elif problem := source_problem(self.cost):
            wrong.append(f"cost: {problem}")
        if self.name is not None and (problem := name_problem(self.name)):
            wrong.append(problem)
        refuse(self, wrong)


def _weight_problems(weights: object) -> Iterable[str]:
    if weights is None:
        return
    if not isinstance(weights, Mapping):
        yield f"weights={weights!r} must say how much each tenant counts, such as {{'acme': 3}}."
        return
    for tenant, weight in weights.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not _LIGHTEST <= weight <= _HEAVIEST:
            yield f"weights[{tenant!r}]={weight!r} must be a number from {_LIGHTEST} to {_HEAVIEST}."


class Turns:
    """Works out whose turn the jobs of one task take, and how much of it.

    Raises:
        ConfigError: a path or a function wants what is no parameter of the function.
    """

    def __init__(self, task: str, fn: Callable[..., Any], fair: Fair) -> None:
        parameters = inspect.signature(fn).parameters
        sources = [("key", fair.key), *([] if isinstance(fair.cost, int) else [("cost", fair.cost)])]
        wrong = [f"{what}: {problem}" for what, one in sources if (problem := source_problem(one, parameters))]
        if wrong:
            raise ConfigError([f"{task}: fair: {problem}" for problem in wrong])
        self._task = task
        self._fair = fair
        self._name = fair.name or task
        self._weights = {_tenant(tenant): weight for tenant, weight in (fair.weights or {}).items()}
        self._key = reader(fair.key, parameters)
        cost = fair.cost
        self._cost = None if isinstance(cost, int) else self._checked(cost, reader(cost, parameters))
        self._same = cost if isinstance(cost, int) else 0

    def turn(self, arguments: Any) -> model.Fair:
        """What a job carries; `arguments` has them as attributes.

        Raises:
            LimitKeyError: there is no key, or no cost, in them.
        """
        try:
            tenant = value_text(look_up(self._key, arguments))
        except ValueError as error:
            raise self._wrong("key", self._fair.key, str(error)) from error.__cause__
        cost = self._same if self._cost is None else self._cost(arguments)
        step = round(UNIT * cost / self._weights.get(tenant, 1))
        return model.Fair(f"fair:{self._name.replace(':', '::')}:{tenant}", max(1, step))

    def _checked(self, source: Source, read: Callable[[Any], object]) -> Callable[[Any], int]:
        def cost(arguments: Any) -> int:
            try:
                found = look_up(read, arguments)
            except NoValue as error:
                raise self._wrong("cost", source, str(error)) from error.__cause__
            if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= _DEAREST:
                wrong = f"found {shown(found)}; a cost is a whole number, 1 to {_DEAREST:,}"
                raise self._wrong("cost", source, wrong)
            return found

        return cost

    def _wrong(self, what: str, source: Source, found: str) -> LimitKeyError:
        return LimitKeyError(f"{self._task}: the {what} of Fair, {source_text(source)}, {found}. It was not enqueued.")


def _tenant(tenant: object) -> str:
    try:
        return value_text(tenant)
    except ValueError as error:
        raise ConfigError(f"Fair: weights: {error}") from None


def ageing_of(value: Span) -> int:
    """The wait that is worth one step of priority, in microseconds.

    Raises:
        ValueError, TypeError: a time that cannot work.
    """
    span = micros(value)
    if span == 0:
        raise ValueError(f"{value!r} is no time at all. Leave it out, and priorities stay as they are.")
    if span > _LONGEST_AGEING:
        raise ValueError(f"{value!r} is too long. Give at most {human(_LONGEST_AGEING)}.")
    return span


def lead_of(priority: int, ageing: int) -> int:
    """How long before its time a job stands in line when each step of priority is worth so long a wait."""
    return (LAST_PRIORITY - priority) * ageing
