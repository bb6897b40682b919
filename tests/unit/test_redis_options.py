"""URLs of the Redis store: servers alone, behind sentinels, in a cluster."""

from __future__ import annotations

import pytest

from tidewheel._cli.target import without_password
from tidewheel._model.duration import SECOND
from tidewheel._model.errors import ConfigError
from tidewheel._store.redis.address import Address
from tidewheel._store.redis.options import RedisOptions
from tidewheel._stores import shown_url


def test_a_url_says_everything() -> None:
    options = RedisOptions.parse(
        "rediss://ada:p%40ss@[::1]:7000/3?namespace=n&timeout=2s&tls_verify=none&connections=2"
    )
    assert (options.host, options.port, options.db, options.username, options.password) == (
        "::1",
        7000,
        3,
        "ada",
        "p@ss",
    )
    assert (options.tls, options.namespace, options.timeout, options.tls_verify) == (True, "n", 2 * SECOND, "none")
    assert options.place == "rediss://[::1]:7000/3"
    assert "p@ss" not in repr(options)


def test_a_url_of_sentinels_says_everything() -> None:
    url = "rediss+sentinel://ada:p%40ss@h1,[::1]:7000/mymaster?db=2&sentinel_password=wa%26tch&sentinel_tls=no"
    options = RedisOptions.parse(url)
    assert options.addresses == (Address("h1", 26379), Address("::1", 7000))
    assert (options.topology, options.master, options.db, options.tls) == ("sentinel", "mymaster", 2, True)
    assert (options.username, options.password, options.sentinel_password) == ("ada", "p@ss", "wa&tch")
    theirs = options.of_sentinels()
    assert (theirs.username, theirs.password, theirs.tls, theirs.db) == (None, "wa&tch", False, 0)
    assert options.place == "rediss+sentinel://h1:26379,[::1]:7000/mymaster/2"
    assert options == RedisOptions.parse(url.replace("mymaster?db=2", "mymaster/2?"))
    for shown in (repr(options), shown_url(url), without_password(url)):
        assert "ss@" not in shown
        assert "tch" not in shown


def test_a_url_of_a_cluster_says_everything() -> None:
    options = RedisOptions.parse("valkey+cluster://:secret@h1,h2:7000/?namespace=shop&wait_replicas=1")
    assert options.addresses == (Address("h1", 6379), Address("h2", 7000))
    assert (options.topology, options.namespace, options.wait_replicas, options.tls) == ("cluster", "shop", 1, False)
    assert options.password == "secret"  # noqa: S105 -- of the URL above
    assert options.place == "redis+cluster://h1:6379,h2:7000/"
    assert options.at(Address("h3", 1)) == "redis://h3:1/0 (found by redis+cluster://h1:6379,h2:7000/)"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://h/x", ("'x'", "no number")),
        ("redis://h?namespac=a", ("Did you mean namespace?",)),
        ("redis://h?namespace=a{b}", ("namespace=a{b}",)),
        ("redis://h?eviction=maybe", ("refuse, allow",)),
        ("redis://h?timeout=0&connections=none", ("timeout=0", "connections=none")),
        ("redis://u:secret@h:99999", ("no URL", "***")),
        ("redis://h1,h2/0", ("several servers", "redis+sentinel://", "redis+cluster://")),
        ("redis+sentinel://h1:26379", ("lacks the name", "/mymaster")),
        ("redis+sentinel://h1/mymaster/x", ("'x'", "no number")),
        ("redis+sentinel://h1/mymaster/1?db=2", ("db=2", "contradicts")),
        ("redis+cluster://h1:0/", ("not between 1 and 65535",)),
        ("redis+cluster://::1/", ("brackets",)),
        ("redis+cluster://h1/?sentinel_password=secret", ("sentinel_password is for",)),
        ("redis://h1?wait_replicas=many&db=-1", ("wait_replicas=many", "db=-1")),
        ("redis+ring://h1", ("no scheme", "redis+cluster://")),
    ],
)
def test_a_wrong_url_is_explained(url: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        RedisOptions.parse(url)
    for word in words:
        assert word in str(caught.value)
    assert "secret" not in str(caught.value)
