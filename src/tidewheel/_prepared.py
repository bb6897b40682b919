"""Jobs that are made and not yet enqueued, one by one or as a graph: `chain`, `group`, `prepared.after(...)`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, get_args, overload

import msgspec

from tidewheel._handle import JobHandle
from tidewheel._model.after import After, OnFailure
from tidewheel._model.errors import ConfigError
from tidewheel._model.job import NewJob
from tidewheel._names import check_name

if TYPE_CHECKING:
    from tidewheel._task import Task

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class PreparedJob(msgspec.Struct, Generic[R_co], frozen=True, eq=False, gc=False):
    """A job that is ready for `app.enqueue_many` and `app.enqueue_graph`, with the task it is of."""

    task: Task[..., R_co]
    new: NewJob
    children: tuple[PreparedJob[Any], ...] = ()
    """Prepared jobs that it waits for: they are enqueued together with it."""
    strict: bool = False
    """Its enqueue raises when another job holds its key."""

    def __repr__(self) -> str:
        return f"<PreparedJob {self.new.kind} {self.new.id}>"

    @property
    def id(self) -> str:
        """The id that the job will have."""
        return self.new.id

    def after(self, *others: Other, on_failure: OnFailure = "fail") -> PreparedJob[R_co]:
        """The same job, which starts when the others have ended, too.

        Args:
            others: prepared jobs, which are enqueued together with it, a `group` of such, or jobs that are enqueued
                already: their handles, or their ids.
            on_failure: what it means for this job when one of them is cancelled or given up. "fail" (default): it is given
                up, too. "continue": it starts at once and waits for none any more. "ignore": that one counts as ended; its
                error is among the `children()`. "remove": the same, and it is not among them.

        Raises:
            ConfigError: itself, a word that is none, or an id that cannot be one.
            TypeError: something to wait for that is no job.
        """
        if on_failure not in get_args(OnFailure):
            words = ", ".join(map(repr, get_args(OnFailure)))
            raise ConfigError(f"{self.new.kind}: on_failure={on_failure!r} must be one of {words}.")
        edges = {one.id: one for one in self.new.after}
        children = {one.id: one for one in self.children}
        for other in _flat(others):
            other_id = _id_of(other)
            if other_id == self.id:
                raise ConfigError(f"{self.new.kind}: the job {self.id} cannot wait for itself.")
            edges.setdefault(other_id, After(other_id, on_failure))
            if isinstance(other, PreparedJob):
                children.setdefault(other_id, other)
        new = msgspec.structs.replace(self.new, after=tuple(edges.values()))
        return PreparedJob(self.task, new, tuple(children.values()), self.strict)


class Group(Generic[R_co]):
    """Prepared jobs that run side by side, made by `group`: a piece of a `chain`, or something to wait for."""

    __slots__ = ("jobs",)

    def __init__(self, jobs: Iterable[PreparedJob[R_co]]) -> None:
        self.jobs = tuple(jobs)

    def __repr__(self) -> str:
        return f"<Group of {len(self.jobs)} jobs>"

    def after(self, *others: Other, on_failure: OnFailure = "fail") -> Group[R_co]:
        """The same, and each of them starts when the others have ended. See `PreparedJob.after`."""
        return Group(one.after(*others, on_failure=on_failure) for one in self.jobs)


Piece: TypeAlias = PreparedJob[Any] | Group[Any]
Other: TypeAlias = Piece | JobHandle[Any] | str
LastT = TypeVar("LastT", bound=Piece)


@overload
def group(jobs: Iterable[PreparedJob[R]], *, on_failure: OnFailure = "fail") -> Group[R]: ...
@overload
def group(
    jobs: Iterable[PreparedJob[Any]], *, then: PreparedJob[R], on_failure: OnFailure = "fail"
) -> PreparedJob[R]: ...
def group(
    jobs: Iterable[PreparedJob[Any]], *, then: PreparedJob[Any] | None = None, on_failure: OnFailure = "fail"
) -> Piece:
    """Jobs that run side by side, and with `then` the job that runs when all of them have ended.

    Args:
        jobs: prepared jobs, such as the last ones of chains.
        then: finds their results by `current_job().children()`, in the order of `jobs`.
        on_failure: what it means for `then` when one of them is cancelled or given up; see `PreparedJob.after`.

    Raises:
        ConfigError: there are none.
        TypeError: one is no prepared job.
    """
    several = Group(jobs)
    for one in several.jobs:
        if not isinstance(one, PreparedJob):
            raise _no_job(one, "group()")
    if not several.jobs:
        raise ConfigError("group() got no jobs. Give it one or more, made with task.job(...).")
    return several if then is None else _led(then, several, on_failure)


@overload
def chain(last: LastT, /, *, on_failure: OnFailure = "fail") -> LastT: ...
@overload
def chain(one: Piece, last: LastT, /, *, on_failure: OnFailure = "fail") -> LastT: ...
@overload
def chain(one: Piece, two: Piece, last: LastT, /, *, on_failure: OnFailure = "fail") -> LastT: ...
@overload
def chain(one: Piece, two: Piece, three: Piece, last: LastT, /, *, on_failure: OnFailure = "fail") -> LastT: ...
@overload
def chain(
    one: Piece, two: Piece, three: Piece, four: Piece, last: LastT, /, *, on_failure: OnFailure = "fail"
) -> LastT: ...
@overload
def chain(*pieces: Piece, on_failure: OnFailure = "fail") -> Any: ...
def chain(*pieces: Piece, on_failure: OnFailure = "fail") -> Any:
    """Jobs that run one after the other. Gives the last one, which brings the others along.

    Args:
        pieces: prepared jobs and groups; behind a group the next piece waits for all of its jobs. Each finds the results
            of the piece before it by `current_job().children()`.
        on_failure: what it means for a piece when one before it is cancelled or given up; see `PreparedJob.after`.

    Raises:
        ConfigError: there are none.
        TypeError: one is neither a prepared job nor a group.
    """
    if not pieces:
        raise ConfigError("chain() got no jobs. Give it one or more, made with task.job(...).")
    for one in pieces:
        if not isinstance(one, PreparedJob | Group):
            raise _no_job(one, "chain()")
    last = pieces[0]
    for piece in pieces[1:]:
        last = _led(piece, last, on_failure)
    return last


def in_order(jobs: Iterable[PreparedJob[Any]]) -> list[NewJob]:
    """What the store is given for jobs and all that they bring along: each once, children before those that wait.

    Raises:
        ConfigError: a job would wait for itself, by way of others.
    """
    found, edges = _gathered(jobs)
    done: dict[str, NewJob] = {}
    way: dict[str, Iterator[str]] = {}  # from a job to the one that is looked at, each with its children still to come
    for start in found:
        if start not in done:
            way[start] = iter(edges[start])
        while way:
            job_id = next(reversed(way))
            child = next(way[job_id], None)
            if child is None:
                del way[job_id]
                done[job_id] = msgspec.structs.replace(found[job_id], after=tuple(edges[job_id].values()))
            elif child in way:
                circle = [*way][[*way].index(child) :]
                names = " waits for ".join(f"{found[one].kind} {one}" for one in [*circle, child])
                raise ConfigError(f"These jobs wait for one another: {names}. Take one `after` out.")
            elif child in found and child not in done:
                way[child] = iter(edges[child])
    return list(done.values())


def _gathered(jobs: Iterable[PreparedJob[Any]]) -> tuple[dict[str, NewJob], dict[str, dict[str, After]]]:
    """All jobs by id, and what each waits for. The same job may be there twice, once with more to wait for."""
    found: dict[str, NewJob] = {}
    edges: dict[str, dict[str, After]] = {}
    seen: set[int] = set()
    todo = list(jobs)[::-1]
    while todo:
        job = todo.pop()
        if id(job) in seen:
            continue
        seen.add(id(job))
        found.setdefault(job.id, job.new)
        known = edges.setdefault(job.id, {})
        for one in job.new.after:
            known.setdefault(one.id, one)
        todo += reversed(job.children)
    return found, edges


def _led(piece: Piece, previous: Piece, on_failure: OnFailure) -> Any:
    """The piece, whose first jobs wait for the previous one."""
    before = list(_flat([previous]))
    jobs = [one for one in _flat([piece]) if isinstance(one, PreparedJob)]
    if any(one.children for one in jobs):
        jobs = _led_in(jobs, before, on_failure)
    else:
        jobs = [one.after(*before, on_failure=on_failure) for one in jobs]
    return Group(jobs) if isinstance(piece, Group) else jobs[0]


def _led_in(jobs: Sequence[PreparedJob[Any]], before: Sequence[Other], on_failure: OnFailure) -> list[PreparedJob[Any]]:
    """The same for graphs: those of their jobs that wait for no other job of them are the first."""
    earlier = {new.id for new in in_order(one for one in before if isinstance(one, PreparedJob))}
    made: dict[int, PreparedJob[Any]] = {}
    todo = [*jobs]
    while todo:
        job = todo[-1]
        mine = [one for one in job.children if one.id not in earlier]
        missing = [one for one in mine if id(one) not in made]
        if missing:
            todo += missing
            continue
        todo.pop()
        children = tuple(made.get(id(one), one) for one in job.children)
        made[id(job)] = (
            PreparedJob(job.task, job.new, children, job.strict) if mine else job.after(*before, on_failure=on_failure)
        )
    return [made[id(one)] for one in jobs]


def _flat(others: Iterable[Other]) -> Iterator[PreparedJob[Any] | JobHandle[Any] | str]:
    for one in others:
        if isinstance(one, Group):
            yield from one.jobs
        else:
            yield one


def _id_of(other: object) -> str:
    if isinstance(other, PreparedJob | JobHandle):
        return other.id
    if not isinstance(other, str):
        raise _no_job(other, "after()")
    try:
        return check_name(other, "a job id")
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _no_job(given: object, where: str) -> TypeError:
    if inspect.iscoroutine(given):
        given.close()
    remedy = "Make jobs with task.job(...), not task.enqueue(...)"
    if where == "after()":
        remedy += ", or give the handle or the id of one that is enqueued"
    return TypeError(f"{where} got {given!r}, which is no prepared job. {remedy}.")
