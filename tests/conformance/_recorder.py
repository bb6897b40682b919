"""A pytest plugin that writes down what became of every promise: `pytest -p tests.conformance._recorder --promises FILE`.

A test counts for the store that its `make_store` named (`record_property("store", name)`). What was not run is not in
the recording; a test that failed in any of its phases has failed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conformance._semantics import Recording


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--promises", metavar="FILE", help="write what became of each promise of the conformance suite")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--promises")
    if path and not hasattr(config, "workerinput"):  # with xdist the reports of all come together in the first process
        config.pluginmanager.register(Recorder(Path(path)), "promises")


class Recorder:
    """Gathers outcomes and writes them when the session ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: Recording = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        store = dict(report.user_properties).get("store")
        if store is None:
            return
        _, suite, case = report.nodeid.split("::", 2)
        test = case.partition("[")[0]
        cases = self._found.setdefault(str(store), {}).setdefault(f"{suite}.{test}", {})
        if report.failed:
            cases[case] = "failed"
        elif report.skipped:
            why = report.longrepr[2] if isinstance(report.longrepr, tuple | list) else str(report.longrepr)
            cases[case] = f"skipped: {why.removeprefix('Skipped: ')}"
        elif report.when == "call":
            cases[case] = "passed"

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps(self._found, indent=1, sort_keys=True), encoding="utf-8")
