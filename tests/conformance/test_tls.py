"""Encrypted ways to a server: a certificate that is not the right one is refused with the remedy, before a word is said."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.conformance._redis_kit import new_name
from tests.servers._process import NoServer, missing
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.servers.tls import Authority, Certificate, Front, front

from tidewheel import App, StoreError

HERE = "DNS:localhost,IP:127.0.0.1"


class Papers(NamedTuple):
    """Who signs, and certificates of servers."""

    authority: Path
    right: Certificate
    wrong_name: Certificate
    expired: Certificate


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    try:
        made = Authority(tmp_path_factory.mktemp("authority"))
        return Papers(
            made.file,
            made.certify("right", HERE),
            made.certify("elsewhere", "DNS:elsewhere.example"),
            made.certify("expired", HERE, until="20210101000000Z"),
        )
    except NoServer as error:
        missing(error)
        raise


class Way:
    """One of the stores, behind TLS."""

    def __init__(self, server: Redis | Postgres) -> None:
        self._server = server
        self._name = new_name()
        self._postgres = isinstance(server, Postgres)

    def behind(self, certificate: Certificate) -> AbstractContextManager[Front]:
        return front(self._server.port, certificate, postgres=self._postgres)

    def url(self, at: Front, authority: Path | None, check: str = "full") -> str:
        if self._postgres:
            trusted = f"&sslrootcert={authority}" if authority else ""
            sslmode = {"full": "verify-full", "certificate": "verify-ca", "none": "require"}[check]
            place = f"postgresql://tester@localhost:{at.port}/postgres?schema={self._name}"
            return f"{place}&sslmode={sslmode}{trusted}"
        trusted = f"&tls_ca={authority}" if authority else ""
        return f"rediss://localhost:{at.port}/0?namespace={self._name}&tls_verify={check}{trusted}"

    @property
    def to_trust(self) -> str:
        """The option that names the authority."""
        return "?sslrootcert=" if self._postgres else "?tls_ca="


@pytest.fixture(params=["redis", "newest_postgres"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.getfixturevalue(request.param))


async def refused(way: Way, certificate: Certificate, authority: Path | None, *words: str) -> None:
    """The store is not opened, the message says `words`, and the server has heard nothing from us."""
    with way.behind(certificate) as at:
        app = App(way.url(at, authority))
        with pytest.raises(StoreError) as caught:
            await app.info()
        await app.close()
        assert at.heard == 0
    assert not caught.value.retriable
    for word in words:
        assert word in str(caught.value), str(caught.value)


async def test_the_right_certificate_is_taken(way: Way, papers: Papers) -> None:
    with way.behind(papers.right) as at:
        async with App(way.url(at, papers.authority)) as app:
            assert (await app.info()).schema > 0
        assert at.heard > 0


@pytest.mark.parametrize("check", ["certificate", "none"])
async def test_who_asks_for_less_gets_less(way: Way, papers: Papers, check: str) -> None:
    authority = papers.authority if check == "certificate" else None
    with way.behind(papers.wrong_name) as at:
        async with App(way.url(at, authority, check)) as app:
            assert (await app.info()).schema > 0


async def test_a_certificate_for_another_host_is_refused(way: Way, papers: Papers) -> None:
    await refused(
        way,
        papers.wrong_name,
        papers.authority,
        "localhost",
        "certificate is not valid for",
        "the name that the certificate is for",
    )


async def test_a_certificate_of_an_unknown_authority_is_refused(
    way: Way, papers: Papers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # drivers look there for somebody to trust
    for authority in (Authority(tmp_path).file, None):
        await refused(way, papers.right, authority, "localhost", "certificate", way.to_trust)


async def test_an_expired_certificate_is_refused(way: Way, papers: Papers) -> None:
    await refused(way, papers.expired, papers.authority, "certificate has expired", "new one")
