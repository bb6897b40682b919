"""The command line, `tidewheel`. Only `main` is named here; click and the commands load when it runs."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with `argv` (default: the arguments of the process) and give its exit code."""
    from tidewheel._cli.root import run

    return run(argv)
