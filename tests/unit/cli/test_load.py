"""APP: each way it can be wrong has its message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidewheel import App
from tidewheel._cli.errors import USAGE, CliError
from tidewheel._cli.load import load_app

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("reference", "what", "remedy"),
    [
        ("shop", "names no app", "Did you mean 'shop:app'?"),
        ("shop.py:app", "names no app", "Did you mean 'shop:app'?"),
        ("src/shop/jobs.py", "names no app", "Did you mean 'src.shop.jobs:app'?"),
        ("", "names no app", "shop.jobs:app"),
        ("shop:", "names no app", "Did you mean 'shop:app'?"),
        ("shp:app", "There is no module 'shp' in", "Did you mean 'shop'?"),
        ("package.jbos:app", "There is no module 'package.jbos' in 'package'", "Did you mean 'jobs'?"),
        ("shop.app:app", "'shop' is a module, not a package", "Did you mean 'shop:app'?"),
        ("shop:ap", "has no 'ap'", "Did you mean 'app'?"),
        ("shop:zzz", "has no 'zzz'", "Its apps: app."),
        ("empty:app", "has no 'app'", "It makes no app."),
        ("shop:make_app", "is a function, not an App. Factories are not called", "Its apps: shop:app."),
        ("factory:make_app", "Factories are not called", "`app = make_app()`"),
        ("shop:App", "is a class, not an App", "Its apps: shop:app."),
        ("shop:flaky", "is a task, not an App", "Its apps: shop:app."),
        ("package:jobs", "is a module, not an App", "Write package.jobs:attribute."),
        ("needs:app", "Importing 'needs' failed at", "'nothing_of_this_name' is not installed"),
        ("wrongname:app", "cannot import name 'zzz'", "TIDEWHEEL_DEBUG=1"),
        ("syntax:app", "SyntaxError", ""),
        ("raises:app", "raises.py:2: ZeroDivisionError", "TIDEWHEEL_DEBUG=1"),
        ("exits:app", "ended the program with sys.exit(3)", "__main__"),
        ("config:app", "config.py:2:\n- ", ""),
    ],
)
def test_messages(shop: Command, tmp_path: Path, reference: str, what: str, remedy: str) -> None:
    files = {
        "empty.py": "",
        "factory.py": "def make_app(): ...",
        "package/__init__.py": "from . import jobs",
        "package/jobs.py": "",
        "needs.py": "import nothing_of_this_name",
        "wrongname.py": "from os import zzz",
        "syntax.py": "def (",
        "raises.py": "\n1 / 0",
        "exits.py": "import sys; sys.exit(3)",
        "config.py": "from tidewheel import App\napp = App('bogus://')",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(CliError) as got:
        load_app(reference)
    assert what in got.value.what
    assert remedy in got.value.remedy
    assert got.value.code == USAGE


def test_an_app_may_lie_deeper(shop: Command, tmp_path: Path) -> None:
    (tmp_path / "deep.py").write_text("import shop\nclass Holder:\n    app = shop.app\n")
    assert isinstance(load_app("deep:Holder.app"), App)


def test_what_a_module_prints_does_not_disturb_json(shop: Command, tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text("print('hello')\nfrom shop import app\n")
    got = shop("queues", "list", "--app", "chatty:app", "--json")
    assert got.json == {"queues": []}
    assert "hello" in got.err
