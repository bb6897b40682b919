"""Forty people who do not exist, the same ones at every run."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_FIRST = (
    "Ada", "Björn", "Chloé", "Dmitri", "Elif", "Farid", "Grace", "Hiro", "Inés", "Jürgen",
    "Kwame", "Łucja", "Mei", "Noor", "Olga", "Paulo", "Quentin", "Rosa", "Søren", "Tariq",
    "Uma", "Violeta", "Wanjiru", "Ximena", "Yusuf", "Zoë",
)  # fmt: skip
_LAST = (
    "Okafor", "Lindqvist", "Moreau", "Sokolova", "Demir", "Haddad", "Hopper", "Tanaka", "García", "Weiß",
    "Mensah", "Kowalska", "Chen", "Rahman", "Ivanova", "Souza", "Dubois",
)  # fmt: skip
_PLAINER = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ß": "ss"})
_DOMAINS = ("example.org", "example.com", "example.net")  # reserved: a mail to them reaches nobody, ever


@dataclass(frozen=True, slots=True)
class Customer:
    """Whom a welcome mail is for. Travels as a job's argument."""

    number: int
    """1, 2, 3, ..."""
    name: str
    email: str

    @property
    def initials(self) -> str:
        return "".join(word[0] for word in self.name.split())


def make_customers(count: int) -> list[Customer]:
    """The first `count` of them."""
    return [_customer(number) for number in range(1, count + 1)]


def _customer(number: int) -> Customer:
    # 26 and 17 have no common divisor: 442 pairs before a name comes twice.
    name = f"{_FIRST[(number - 1) % len(_FIRST)]} {_LAST[(number - 1) % len(_LAST)]}"
    local = unicodedata.normalize("NFKD", name.translate(_PLAINER)).encode("ascii", "ignore").decode().lower()
    again = (number - 1) // (len(_FIRST) * len(_LAST))
    local = re.sub(r"\s+", ".", local) + (str(again + 1) if again else "")
    return Customer(number, name, f"{local}@{_DOMAINS[number % len(_DOMAINS)]}")
