"""From `module:attribute` to an App, with a message for each way it can go wrong."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tidewheel._cli.errors import USAGE, CliError, did_you_mean, listed

if TYPE_CHECKING:
    from tidewheel import App

_FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def load_app(reference: str) -> App:
    """Import the app that `reference` names. The current directory is importable.

    What the module prints while it is imported goes to stderr, so that --json stays clean.

    Raises:
        CliError: the reference is malformed, the module is missing or broken, or it holds no such app.
    """
    module, attribute = load_module(reference)
    return _pick(module, attribute, reference)


def load_module(reference: str) -> tuple[ModuleType, str]:
    """Import the module of a reference; gives it and the attribute. See `load_app`."""
    module_name, attribute = _split(reference)
    make_importable()
    with contextlib.redirect_stdout(sys.stderr):
        return _import(module_name), attribute


def make_importable() -> None:
    """Put the current directory first on Python's path, as `python -m` does."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def _split(reference: str) -> tuple[str, str]:
    path, _, attribute = reference.partition(":")
    if _FORM.fullmatch(reference) and not path.endswith(".py"):
        return path, attribute
    # A file of the user's, as the shell completes it: src/shop/jobs.py, jobs.py:app, shop/jobs.
    dotted = re.sub(r"\.py$", "", path).strip("./\\").replace("/", ".").replace("\\", ".")
    guess = f"{dotted}:{attribute or 'app'}"
    remedy = f"Did you mean {guess!r}?" if _FORM.fullmatch(guess) else "For example: shop.jobs:app"
    raise CliError(f"{reference!r} names no app. Write module:attribute.", remedy=remedy, code=USAGE)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (error.name == name or name.startswith(error.name + ".")):
            raise _missing(name, error.name) from error
        remedy = f"The module {error.name!r} is not installed in {sys.prefix}." if error.name else ""
        raise _broken(name, error, remedy) from error
    except Exception as error:
        raise _broken(name, error) from error
    except SystemExit as error:
        raise CliError(
            f"Importing {name!r} ended the program with sys.exit({error.code!r}){_where(error)}.",
            remedy='Put what runs the program under `if __name__ == "__main__":`.',
            code=USAGE,
        ) from error


def _missing(name: str, part: str) -> CliError:
    parent, _, leaf = part.rpartition(".")
    if parent:
        try:
            places = list(importlib.import_module(parent).__path__)
        except AttributeError:
            return CliError(
                f"There is no module {name!r}: {parent!r} is a module, not a package.",
                remedy=f"Did you mean {f'{parent}:{leaf}'!r}?",
                code=USAGE,
            )
    else:
        places = [str(Path.cwd())]
    known = [module.name for module in pkgutil.iter_modules(places) if not module.name.startswith("_")]
    hint = did_you_mean(leaf, known) or (f"There is: {listed(known)}." if known else "")
    place = f"in {parent!r}" if parent else f"in {Path.cwd()} or on Python's path"
    return CliError(
        f"There is no module {part!r} {place}.",
        remedy=hint or "Run from your project's folder, or install your project into this environment.",
        code=USAGE,
    )


def _broken(name: str, error: Exception, remedy: str = "") -> CliError:
    from tidewheel import ConfigError

    if isinstance(error, SyntaxError):
        place = f" ({error.filename}:{error.lineno})" if error.filename else ""
        return CliError(f"Importing {name!r} failed: {type(error).__name__}: {error.msg}{place}.", code=USAGE)
    if isinstance(error, ConfigError):
        problems = "\n".join(f"- {problem}" for problem in error.problems)
        return CliError(f"{name!r} sets up something that cannot work{_where(error)}:\n{problems}", code=USAGE)
    return CliError(
        f"Importing {name!r} failed{_where(error)}: {type(error).__name__}: {error}",
        remedy=remedy or "TIDEWHEEL_DEBUG=1 shows the whole stack.",
        code=USAGE,
    )


def _where(error: BaseException) -> str:
    """The innermost line of the user's own code in the stack."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and f"{os.sep}tidewheel{os.sep}_" not in frame.filename
    ]
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _pick(module: ModuleType, attribute: str, reference: str) -> App:
    from tidewheel import App

    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            apps = [name for name, value in vars(module).items() if isinstance(value, App)]
            hint = did_you_mean(attribute, apps) or (f"Its apps: {listed(apps)}." if apps else "")
            hint = hint or did_you_mean(attribute, [n for n in vars(module) if not n.startswith("_")])
            raise CliError(
                f"The module {module.__name__!r} ({module.__file__}) has no {attribute!r}.",
                remedy=hint or 'It makes no app. Write `app = App("sqlite:///jobs.db")` in it.',
                code=USAGE,
            )
        found = getattr(found, part)
    if isinstance(found, App):
        return found
    raise _wrong_type(found, vars(module), reference)


def _wrong_type(found: Any, names: dict[str, Any], reference: str) -> CliError:
    from tidewheel import App, Task

    module = reference.partition(":")[0]
    apps = [name for name, value in names.items() if isinstance(value, App)]
    what = f"{reference!r} is a {type(found).__name__}, not an App."
    remedy = f"Its apps: {', '.join(f'{module}:{name}' for name in sorted(apps))}." if apps else ""
    if isinstance(found, Task):
        what = f"{reference!r} is a task, not an App."
    elif isinstance(found, type):
        what = f"{reference!r} is a class, not an App."
    elif isinstance(found, ModuleType):
        what = f"{reference!r} is a module, not an App."
        remedy = f"Write {found.__name__}:attribute."
    elif callable(found):
        what = f"{reference!r} is a function, not an App. Factories are not called."
        remedy = remedy or f"Assign its result to a name of the module: `app = {reference.partition(':')[2]}()`."
    return CliError(what, remedy=remedy or f"Assign an App to a name of {module!r} and give that.", code=USAGE)
