"""`tidewheel bench` measures what it says, on a real store with real worker processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

FIGURES = {
    "store", "jobs", "enqueue_one_per_s", "enqueue_bulk_per_s", "drain_1_per_s", "drain_2_per_s", "latency_ms", "rss_mib"
}  # fmt: skip


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidewheel", "bench", *words], capture_output=True, text=True, check=False, timeout=50
    )


def test_the_json_has_all_figures_and_the_store_is_left_empty(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bench.db'}"
    done = bench("--store", url, "--jobs", "600", "--repeat", "1", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures.keys() == FIGURES
    assert figures["jobs"] == 600
    assert figures["store"].startswith("sqlite 3.")
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p95"] <= figures["latency_ms"]["p99"]
    assert all(figures[name] > 0 for name in FIGURES - {"store", "jobs", "latency_ms"})
    listed = subprocess.run(
        [sys.executable, "-m", "tidewheel", "jobs", "list", "--store", url, "--json"],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert json.loads(listed.stdout)["jobs"] == []


def test_with_limits(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bench.db'}"
    done = bench("--store", url, "--jobs", "300", "--repeat", "1", "--limits", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures.keys() == FIGURES | {"drain_1_limited_per_s"}
    assert list(figures["drain_1_limited_per_s"]) == ["no limit", "a limit", "a limit by key, 10,000 keys", "a rate"]
    assert all(figure > 0 for figure in figures["drain_1_limited_per_s"].values())
    listed = subprocess.run(
        [sys.executable, "-m", "tidewheel", "limits", "list", "--store", url, "--json"],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert json.loads(listed.stdout)["limits"] == []


def test_a_store_that_other_processes_cannot_see_is_refused() -> None:
    done = bench("--store", "memory://", "--jobs", "100", "--repeat", "1")
    assert done.returncode != 0
    assert "seen by one process only" in done.stderr
