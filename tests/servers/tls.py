"""Certificates of our own making, and TLS before a private server: the PostgreSQL and the Valkey of the wheels speak none."""

from __future__ import annotations

import select
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tests.servers._process import NoServer

_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_CONFIG: Final = """
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
"""
_ASKS_FOR_TLS: Final = 8
"""Bytes of the message with which a client of PostgreSQL begins."""


class Certificate(NamedTuple):
    """Files of a server."""

    file: Path
    key: Path


class Authority:
    """Signs certificates in a folder of its own; `file` is what clients are told to trust.

    Raises:
        NoServer: there is no `openssl`; says how to get it.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            raise NoServer("openssl, which makes the certificates, is not on the PATH. On Debian: apt install openssl.")
        self._folder = folder
        self.file = folder / "authority.pem"
        (folder / "ca.cnf").write_text(_CONFIG)
        (folder / "index.txt").touch()
        self._openssl(
            "req",
            "-x509",
            *_KEY,
            "-keyout",
            "authority.key",
            "-out",
            self.file.name,
            "-days",
            "2",
            "-subj",
            "/CN=Tests",
        )

    def certify(self, name: str, alternatives: str, *, until: str = "20991231235959Z") -> Certificate:
        """A certificate for `alternatives`, such as "DNS:localhost,IP:127.0.0.1"."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        (self._folder / f"{name}.ext").write_text(f"subjectAltName={alternatives}\n")
        self._openssl("req", "-new", *_KEY, "-keyout", made.key.name, "-out", f"{name}.csr", "-subj", f"/CN={name}")
        self._openssl(
            *("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", self.file.name, "-keyfile", "authority.key"),
            *("-startdate", "20200101000000Z", "-enddate", until, "-extfile", f"{name}.ext"),
            *("-in", f"{name}.csr", "-out", made.file.name),
        )
        return made

    def _openssl(self, *words: str) -> None:
        done = subprocess.run(["openssl", *words], cwd=self._folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoServer(f"openssl {words[0]} failed, so TLS cannot be tested here: {done.stderr}")


class Front:
    """Takes TLS at `port` and hands on what comes through; `heard` is how many bytes clients have said in it."""

    def __init__(self, behind: int, certificate: Certificate, *, postgres: bool) -> None:
        self.heard = 0
        self._behind = behind
        self._postgres = postgres
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.file, certificate.key)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._listen, name="tests tls", daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):  # the door was shut
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._serve, args=[client], name="tests tls client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):  # ssl.SSLError is one: the client did not like what it saw
            if self._postgres:
                client.recv(_ASKS_FOR_TLS)
                client.sendall(b"S")
            with (
                self._context.wrap_socket(client, server_side=True) as secure,
                socket.create_connection(("127.0.0.1", self._behind)) as server,
            ):
                self._carry(secure, server)

    def _carry(self, secure: ssl.SSLSocket, server: socket.socket) -> None:
        while True:
            ready = [secure] if secure.pending() else select.select([secure, server], [], [])[0]
            for source in ready:
                some = source.recv(1 << 16)
                if not some:
                    return
                self.heard += len(some) if source is secure else 0
                (server if source is secure else secure).sendall(some)

    def shut(self) -> None:
        """Let nobody in any more; who is in may end what he has begun."""
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()


@contextmanager
def front(behind: int, certificate: Certificate, *, postgres: bool = False) -> Iterator[Front]:
    """TLS before the server at the port `behind`, for the time of a block."""
    one = Front(behind, certificate, postgres=postgres)
    try:
        yield one
    finally:
        one.shut()
