"""`tidewheel enqueue`: one job from the command line."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from tidewheel._cli.errors import USAGE, CliError, did_you_mean
from tidewheel._cli.output import emit, json_option, say
from tidewheel._cli.params import SPAN, OptionalValue, examples, store_options
from tidewheel._cli.target import ask, unknown

if TYPE_CHECKING:
    from tidewheel import App, JobHandle

NOTHING = "Nothing was enqueued."
FOREVER = "forever"


_DID: Final = {
    "created": "enqueued",
    "existing": "was there already; nothing new was enqueued",
    "replaced": "waits already, and took over what this one says",
    "dropped": "was the last one its throttle lets in now; nothing new was enqueued",
}


class Wait(click.ParamType[str]):
    """A duration, or nothing said: as long as it takes."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return FOREVER if value == FOREVER else SPAN.convert(value, param, ctx)


@click.command(
    cls=OptionalValue,
    optional={"--wait": FOREVER},
    epilog=examples(
        "tidewheel enqueue --app shop.jobs:app send_welcome to=ada@example.org name=Ada --delay 10m",
        """tidewheel enqueue --app shop.jobs:app resize '["photo.jpg", 640]' --wait 1m""",
    ),
)
@click.argument("task")
@click.argument("arguments", metavar="[ARGS]...", nargs=-1)
@store_options
@click.option("--delay", type=SPAN, help="Run it this much later (90s, 1h30m).")
@click.option("--queue", metavar="QUEUE", help="Instead of the task's queue.")
@click.option("--priority", type=click.IntRange(1, 1000), help="1 is first, 1000 last.")
@click.option("--id", "own_id", metavar="ID", help="Your own id: enqueued twice it is one job.")
@click.option("--unique", metavar="KEY", help="At most one live job has this key.")
@click.option("--idempotency-key", metavar="KEY", help="Whoever gives it again in its time gets this job.")
@click.option("--idempotency-ttl", type=SPAN, help="The time of the key; 24h unless given.")
@click.option("--expires", type=SPAN, help="Cancelled when it has not started by then (10m, 1h).")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Repeatable.")
@click.option("--wait", type=Wait(), metavar="[DURATION]", help="Wait for the result, at most so long when given.")
@json_option
def enqueue(
    app: str | None,
    store: str | None,
    task: str,
    arguments: tuple[str, ...],
    wait: str | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Enqueue one job of TASK.

    ARGS are key=value pairs, or one JSON list (by position), or one JSON object (by name). A value is read
    as JSON where that works (n=3, big=true) and as text otherwise or where the parameter is text.
    """
    chosen = _options(given)

    async def question(found: App) -> dict[str, Any]:
        handle = await _enqueue(found, task, arguments, chosen, store=store)
        if not as_json:
            _say(handle)
        answer: dict[str, Any] = {
            "id": handle.id,
            "task": handle.kind,
            "queue": handle.queue,
            "created": handle.created,
            "did": handle.did,
            "cancelled": handle.cancelled,
            "remaining": handle.remaining,
            "reset_at": handle.reset_at,
        }
        if wait is not None:
            answer["result"] = _jsonable(await handle.result(timeout=None if wait == FOREVER else wait))
        return answer

    answer = ask(app, store, question, create=True)
    if as_json:
        emit(answer)
    elif wait is not None:
        say("result: " + json.dumps(answer["result"], ensure_ascii=False))
    return 0


def _options(given: dict[str, Any]) -> dict[str, Any]:
    chosen = {name: value for name, value in given.items() if value not in (None, ())}
    if "own_id" in chosen:
        chosen["id"] = chosen.pop("own_id")
    return chosen


async def _enqueue(
    app: App, name: str, arguments: Sequence[str], chosen: dict[str, Any], *, store: str | None
) -> JobHandle[Any]:
    if app.url.startswith("memory:"):
        raise CliError(
            "memory:// lives in one process: a job enqueued from here would end with this command.",
            remedy="Use a store that processes share, such as sqlite:///jobs.db.",
            then=NOTHING,
        )
    if not app.tasks:
        raise CliError(
            "A store alone knows no tasks." if store else f"The app has no task, so not {name!r} either.",
            remedy="Give --app module:attribute: tasks and their types come from the code.",
            then=NOTHING,
            code=USAGE,
        )
    if name not in app.tasks:
        raise unknown("task", name, app.tasks, then=NOTHING)
    task = app.tasks[name]
    args, kwargs = parse_arguments(arguments, task.fn)
    try:
        handle: JobHandle[Any] = await task.options(**chosen).enqueue(*args, **kwargs)
    except (TypeError, ValueError) as error:
        what = str(error).removesuffix(NOTHING).strip()
        raise CliError(what, remedy=f"It takes {signature(task.fn)}.", then=NOTHING, code=USAGE) from error
    return handle


def _say(handle: JobHandle[Any]) -> None:
    say(f"{handle.id}  {handle.kind} {_DID[handle.did]} (queue {handle.queue})")
    if handle.cancelled is not None:
        say(f"{handle.cancelled}  was cancelled to make room")


def parse_arguments(words: Sequence[str], fn: Any) -> tuple[list[Any], dict[str, Any]]:
    """The words after TASK as positional and named arguments of `fn`.

    Raises:
        CliError: JSON that is none, a word without `=`, a name given twice or unknown.
    """
    if len(words) == 1 and words[0].lstrip()[:1] in ("[", "{"):
        try:
            found = json.loads(words[0])
        except ValueError as error:
            raise CliError(
                f"The arguments {words[0]!r} are no JSON: {error}.",
                remedy="""Quote them for the shell: '["a", 1]' or '{"to": "a"}'.""",
                then=NOTHING,
                code=USAGE,
            ) from error
        return (found, {}) if isinstance(found, list) else ([], found)
    named: dict[str, Any] = {}
    parameters = _signature(fn).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise CliError(
                f"{word!r} is no argument: it is not of the form key=value.",
                remedy=f"""Write {next(iter(parameters), "to")}={word}, or one JSON list: '["{word}"]'.""",
                then=NOTHING,
                code=USAGE,
            )
        if key in named:
            raise CliError(f"The argument {key!r} is given twice.", then=NOTHING, code=USAGE)
        if parameters and key not in parameters and not takes_any:
            hint = did_you_mean(key, parameters) or f"It takes {signature(fn)}."
            raise CliError(f"The task has no argument {key!r}.", remedy=hint, then=NOTHING, code=USAGE)
        named[key] = _value(text, parameters.get(key))
    return [], named


def _signature(fn: Any) -> inspect.Signature:
    try:
        return inspect.signature(fn, eval_str=True)
    except NameError:
        return inspect.signature(fn)


def signature(fn: Any) -> str:
    """The parameters as the code has them: `(to: str, name: str)`."""
    return str(_signature(fn).replace(return_annotation=inspect.Signature.empty))


def _value(text: str, parameter: inspect.Parameter | None) -> Any:
    if parameter is not None and parameter.annotation in (str, "str"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _jsonable(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value, str_keys=True)
