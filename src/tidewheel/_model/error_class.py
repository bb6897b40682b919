"""Exception classes by name: how retry rules are stored with a job and matched in another process."""

from __future__ import annotations

import builtins
import difflib
import sys
from collections.abc import Iterable
from typing import TypeAlias

ErrorClass: TypeAlias = type[BaseException] | str
"""An exception class, or its name: `"ValueError"`, `"smtplib.SMTPAuthenticationError"`."""


def qualified_name(cls: type) -> str:
    """`module.Class`, or just `Class` for built-ins."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def loaded_class(name: str) -> type | str:
    """The class a name leads to, or the name when its module is not loaded (it is, once the error was raised).

    So a name may be any that leads to the class: `requests.Timeout` as well as `requests.exceptions.Timeout`.
    """
    module, _, attribute = name.rpartition(".")
    found = getattr(sys.modules.get(module or "builtins"), attribute, None)
    return found if isinstance(found, type) else name


def class_name(where: str, one: ErrorClass) -> str:
    """The name of an exception class given as class or name; `where` is the setting, for the message.

    Raises:
        ValueError: a text that is no class name, or has no module and is no built-in exception.
        TypeError: something else.
    """
    if isinstance(one, type) and issubclass(one, BaseException):
        return qualified_name(one)
    if not isinstance(one, str):
        raise TypeError(
            f"{where} holds {one!r}, which is no exception class. "
            f'Give classes or their names, such as ValueError or "smtplib.SMTPException".'
        )
    name = one.strip().removeprefix("builtins.")
    if not all(part.isidentifier() or part == "<locals>" for part in name.split(".")):
        raise ValueError(f'{where} holds {one!r}, which is no class name. Write it as in "smtplib.SMTPException".')
    if "." not in name:
        known = [word for word, value in vars(builtins).items() if isinstance(value, type)]
        if name not in known or not issubclass(vars(builtins)[name], BaseException):
            close = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {close[0]!r}?" if close else 'Write its module too: "smtplib.SMTPException".'
            raise ValueError(f"{where} holds {one!r}, which is no built-in exception. {hint}")
    return name


def class_names(where: str, classes: Iterable[ErrorClass] | ErrorClass) -> list[str]:
    """The names of one class or several; see `class_name`."""
    several = (classes,) if isinstance(classes, str | type) else classes
    return [class_name(where, one) for one in several]
