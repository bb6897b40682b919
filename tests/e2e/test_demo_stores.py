"""The demonstration on a server: the same command with one URL more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers import postgres, redis
from tests.servers._process import wanted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module", params=["postgresql", "redis"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "redis":
        with wanted(redis.running(durable=True)) as server:
            yield f"{server.url}?namespace=demo"
    else:
        with wanted(postgres.running()) as other:
            yield other.url.replace("tester@", "tester:s3cret@") + "?schema=demo"


def test_a_worker_on_a_server_is_killed_and_nothing_is_lost(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tidewheel", "demo", "--json", "--pictures", "4", "--customers", "3"]
    run = subprocess.run(
        [*command, "--output", str(tmp_path / "out"), "--store", url],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert run.returncode == 0, run.stderr[-3000:]
    facts = json.loads(run.stdout)
    assert facts["wrong"] == []
    assert facts["kill"]["redone"] == 0
    assert facts["store"] == url.replace(":s3cret", "")
    assert "s3cret" not in run.stdout + run.stderr
    assert len(list((tmp_path / "out" / "mails").rglob("*.eml"))) == 4  # one more than customers: somebody's is refused
