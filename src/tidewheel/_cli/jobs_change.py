"""`jobs retry`, `cancel`, `promote`, `delete`: by ids, or by a filter after showing the count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from tidewheel._cli import plain
from tidewheel._cli.errors import NOT_FOUND, OK, USAGE, CliError
from tidewheel._cli.jobs import filter_options, make_filter
from tidewheel._cli.output import confirm, emit, json_option, say
from tidewheel._cli.params import examples, store_options, yes_option
from tidewheel._cli.show import count
from tidewheel._cli.target import ask

if TYPE_CHECKING:
    from tidewheel import Altered, App, JobFilter

COUNT_CAP: Final = 10_000
"""Jobs counted before a change by filter; beyond it the question says `more than`."""
PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """An action: its words, and the states it applies to."""

    verb: str
    done: str
    states: tuple[str, ...]
    remedy: str
    """Why it may not apply, for people."""


RETRY = Change(
    "retry",
    "retried",
    ("completed", "cancelled", "discarded"),
    "Only finished jobs are retried; use promote for others.",
)
CANCEL = Change(
    "cancel", "cancelled", ("scheduled", "available", "parked", "retryable", "running"), "It has ended already."
)
PROMOTE = Change(
    "promote",
    "promoted",
    ("scheduled", "retryable"),
    "Only scheduled and retryable jobs are promoted: limits bind everybody, and finished ones are retried.",
)
DELETE = Change(
    "delete",
    "deleted",
    ("scheduled", "available", "parked", "retryable", "completed", "cancelled", "discarded"),
    "It is running: cancel it first.",
)


def _command(change: Change, text: str, *lines: str, graph: str = "") -> click.Command:
    """`graph`: what the action does to a job and all that it waits for, where it can."""

    @click.command(change.verb, help=text, epilog=examples(*lines))
    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @store_options
    @filter_options
    @yes_option
    @json_option
    def command(
        app: str | None, store: str | None, ids: tuple[str, ...], yes: bool, as_json: bool, **given: Any
    ) -> int:
        whole = given.pop("graph", False)
        where = make_filter(given)
        if ids and not where.empty:
            raise CliError("Give ids or a filter, not both.", then="Nothing was changed.", code=USAGE)
        if whole and not ids:
            remedy = "Name the last job of the graph."
            raise CliError("--graph was given without an id.", remedy=remedy, then="Nothing was changed.", code=USAGE)
        if whole:
            return _by_graph(change, app, store, ids, as_json=as_json)
        if ids:
            return _by_ids(change, app, store, ids, as_json=as_json)
        return _by_filter(change, app, store, where, yes=yes, as_json=as_json)

    return click.option("--graph", is_flag=True, help=graph)(command) if graph else command


retry = _command(
    RETRY,
    "Make finished jobs available again, with fresh attempts.",
    "tidewheel jobs retry 0199a3f0-7c1e-7d52-9c0a-3f1d2b4c5e6f --app shop.jobs:app",
    "tidewheel jobs retry --state discarded --kind send_invoice --app shop.jobs:app",
    graph="Also what failed of the jobs that it waits for; what has completed is not done twice.",
)
cancel = _command(
    CANCEL,
    "Cancel jobs: waiting ones end at once, running ones are asked to stop.",
    "tidewheel jobs cancel --queue email --tag campaign-7 --app shop.jobs:app",
    graph="Also the jobs that it waits for, but for those that others wait for, too.",
)
promote = _command(
    PROMOTE,
    "Make scheduled and retryable jobs available now.",
    "tidewheel jobs promote --state retryable --app shop.jobs:app",
)
delete = _command(
    DELETE,
    "Delete jobs with their history. Running jobs stay: cancel them first.",
    "tidewheel jobs delete --state completed --older-than 7d --app shop.jobs:app",
)


def _by_ids(change: Change, app: str | None, store: str | None, ids: Sequence[str], *, as_json: bool) -> int:
    answers = ask(app, store, lambda found: _act(found, change, ids))
    if as_json:
        emit({"jobs": plain.plain(answers), "changed": sum(map(_applied, answers))})
    else:
        for answer in answers:
            _say(change, answer)
    if any(answer.before is None for answer in answers):
        return NOT_FOUND
    return OK if all(map(_applied, answers)) else 1


def _by_graph(change: Change, app: str | None, store: str | None, ids: Sequence[str], *, as_json: bool) -> int:
    """Jobs with all that they wait for. Those to which the action does not apply are no mistake."""

    async def act(found: App) -> list[Altered]:
        one = found.jobs.retry_graph if change is RETRY else found.jobs.cancel_graph
        return [answer for job_id in ids for answer in await one(job_id)]

    answers = [answer for answer in ask(app, store, act) if _applied(answer)]
    if as_json:
        emit({"jobs": plain.plain(answers), "changed": len(answers)})
    for answer in () if as_json else answers:
        _say(change, answer)
    if not answers and not as_json:
        say(f"Nothing of it could be {change.done}.", stderr=True)
    return OK if answers else 1


def _say(change: Change, answer: Altered) -> None:
    if answer.before is None:
        say(f"There is no job {answer.id!r} in this store.", stderr=True)
    elif answer.cancel_requested and answer.after is not None and not answer.after.final:
        say(f"{answer.id}  asked to stop; its worker hears of it within seconds")
    elif answer.after is None:
        say(f"{answer.id}  {change.done} (was {answer.before})")
    elif _applied(answer):
        say(f"{answer.id}  {answer.before} → {answer.after}")
    else:
        say(f"{answer.id}  stays {answer.before}. {_reason(change, answer)}", stderr=True)


def _reason(change: Change, answer: Altered) -> str:
    if change is RETRY and answer.before is not None and answer.before.final:
        return "A live job holds its unique key."
    return change.remedy


def _applied(answer: Altered) -> bool:
    return answer.before is not None and (answer.before != answer.after or answer.cancel_requested)


async def _act(app: App, change: Change, what: Sequence[str] | JobFilter) -> list[Altered]:
    actions: dict[str, Callable[[Any], Awaitable[list[Altered]]]] = {
        "retry": app.jobs.retry,
        "cancel": app.jobs.cancel,
        "promote": app.jobs.promote,
        "delete": app.jobs.delete,
    }
    return list(await actions[change.verb](what))


def _by_filter(
    change: Change, app: str | None, store: str | None, where: JobFilter, *, yes: bool, as_json: bool
) -> int:
    if where.empty:
        raise CliError(
            f"{change.verb} was given neither ids nor a filter, and it does not take every job there is.",
            remedy="Give ids, or narrow it with --state, --queue, --kind, --tag, --text or --older-than.",
            then="Nothing was changed.",
            code=USAGE,
        )
    narrowed = _narrow(change, where)

    async def counted(found: App) -> tuple[int, bool]:
        return await count_jobs(found, narrowed)

    number, more = ask(app, store, counted)
    changed: Counter[str] = Counter()
    if number:
        amount = f"more than {number:,} jobs" if more else count(number, "job")
        confirm(f"{change.verb} {amount}", yes=yes, as_json=as_json)
        changed = ask(app, store, lambda found: _all_of_them(found, change, narrowed))
    total = sum(changed.values())
    if as_json:
        emit({"matched": number, "matched_more": more, "changed": total, "by_state": dict(changed)})
    elif not number:
        say(f"No job matches that {change.verb} applies to.")
    else:
        say(_summary(change, changed))
    return OK


def _summary(change: Change, changed: Counter[str]) -> str:
    """What was done, as in `3 jobs cancelled, 2 running jobs asked to stop.`, for people."""
    running = changed["running"] if change is CANCEL else 0
    asked = f"{count(running, 'running job')} asked to stop" if running else ""
    done = f"{count(sum(changed.values()) - running, 'job')} {change.done}"
    return (asked if running == sum(changed.values()) and running else f"{done}, {asked}" if running else done) + "."


def _narrow(change: Change, where: JobFilter) -> JobFilter:
    """The filter, for the states the action applies to."""
    import msgspec

    from tidewheel import JobState

    if where.states and not set(where.states) & set(change.states):
        raise CliError(
            f"{change.verb} does not apply to {' or '.join(where.states)} jobs.",
            remedy=f"It applies to: {', '.join(change.states)}.",
            then="Nothing was changed.",
            code=USAGE,
        )
    states = tuple(JobState(name) for name in change.states if not where.states or name in where.states)
    return msgspec.structs.replace(where, states=states)


async def count_jobs(app: App, where: JobFilter) -> tuple[int, bool]:
    """How many jobs match, counted up to a cap; True when there are more."""
    number, cursor = 0, None
    while number < COUNT_CAP:
        page = await app.jobs.list(where, limit=PAGE, cursor=cursor)
        number += len(page.jobs)
        cursor = page.next
        if cursor is None:
            return number, False
    return number, True


async def _all_of_them(app: App, change: Change, where: JobFilter) -> Counter[str]:
    """Change all that match; how many, by the state they were in."""
    return Counter(str(answer.before) for answer in await _act(app, change, where) if _applied(answer))
