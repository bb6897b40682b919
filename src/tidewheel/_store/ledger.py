"""The schema's history as an SQL store keeps it: which migrations were applied, and whether this code fits them.

The store asks its database what is there; what follows from that is the same for all. A schema that is one version
newer fits: migrations only add, so the code before keeps working on it (`docs/upgrading`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tidewheel._model.errors import SchemaMismatch

AHEAD: Final = 1
"""How many versions newer a schema may be than the code that uses it."""


class Migration(NamedTuple):
    """A numbered text that brings a schema from the version before to its own."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """What the ledger remembers of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Ledger:
    """The judgement over one place.

    `place`: what a message calls it, at the beginning of a sentence.
    `elsewhere`: what to use instead when the place is somebody else's.
    `remedy`: the command that migrates it.
    `migrations`: those this code knows, in order.
    """

    place: str
    elsewhere: str
    remedy: str
    migrations: Sequence[Migration]

    @property
    def newest(self) -> int:
        """The schema version this code is written for."""
        return self.migrations[-1].number

    def check_foreign(self, tables: Collection[str]) -> None:
        """Refuse tables of our names where there is no ledger.

        Raises:
            SchemaMismatch: there are some.
        """
        if tables:
            raise SchemaMismatch(
                f"{self.place} has tables named {_some(tables)} that Tidewheel did not make. "
                f"Use {self.elsewhere}, or rename them; nothing was touched."
            )

    def foreign_ledger(self, name: str, columns: Collection[str]) -> SchemaMismatch:
        """What to raise when the ledger's table has other columns than ours."""
        return SchemaMismatch(
            f"{self.place} has a table {name} that is not Tidewheel's (its columns are {', '.join(sorted(columns))}). "
            f"Use {self.elsewhere}, or rename it; nothing was touched."
        )

    def version(self, applied: Mapping[int, str], tables: Collection[str]) -> int:
        """The schema version found; 0 when nothing was applied yet.

        `applied`: the checksums in the ledger by their number; `tables`: our tables beside it.

        Raises:
            SchemaMismatch: tables that the ledger does not know, a schema too new, or a changed migration.
        """
        version = max(applied, default=0)
        if not version and tables:
            raise SchemaMismatch(
                f"{self.place} has tables named {_some(tables)}, and no record of Tidewheel making them. "
                f"Use {self.elsewhere}, or rename them; nothing was touched."
            )
        if version > self.newest + AHEAD:
            raise SchemaMismatch(
                f"{self.place} has schema version {version}, this version of Tidewheel is made for {self.newest} and "
                f"can use {self.newest + AHEAD}. Upgrade Tidewheel on this machine; nothing was touched."
            )
        for migration in self.migrations:
            if applied.get(migration.number, migration.checksum) != migration.checksum:
                raise SchemaMismatch(
                    f"{self.place}: the migration {migration.name} was applied to it with another text than the one of "
                    "this version. It was made by a changed build of Tidewheel; use that build, or "
                    f"{self.elsewhere}. Nothing was touched."
                )
        return version

    def check_automatic(self, version: int, migrate: str) -> None:
        """Refuse to migrate on opening where the URL says not to; an empty place is always set up.

        Raises:
            SchemaMismatch: the schema is older and `migrate` is "manual".
        """
        if version and migrate == "manual":
            raise SchemaMismatch(
                f"{self.place} has schema version {version}, this version of Tidewheel needs {self.newest}. "
                f"Run `{self.remedy}`, or leave out ?migrate=manual."
            )

    def missing(self, version: int) -> list[Migration]:
        """What is to be applied, in order."""
        return [migration for migration in self.migrations if migration.number > version]


def _some(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:3])
