"""From a URL to a store, without touching either."""

from pathlib import Path

import pytest

from terrastore.errors import UsageError
from terrastore.store.directory import DirectoryStore
from terrastore.store.locations import is_same, open_store, open_stores


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/srv/envs", "/srv/envs"),
        ("/srv/envs/", "/srv/envs"),
        ("/srv/./team/../envs", "/srv/envs"),
        ("/srv/with space/100%/ü", "/srv/with space/100%/ü"),
        ("/srv/a%20b", "/srv/a%20b"),
        ("/srv/a#b?c", "/srv/a#b?c"),
        ("file:///srv/envs", "/srv/envs"),
        ("file:///srv/envs/", "/srv/envs"),
        ("file://localhost/srv/envs", "/srv/envs"),
        ("FILE:///srv/envs", "/srv/envs"),
        ("file:///srv/a%20b/%C3%BC%23%3F", "/srv/a b/ü#?"),
        ("file:///srv/team/../envs", "/srv/envs"),
    ],
)
def test_a_directory_by_path_or_url(url: str, expected: str) -> None:
    """A path is taken as it stands, a file URL is decoded; both become absolute and plain."""
    store = open_store(url)
    assert isinstance(store, DirectoryStore)
    assert expected == str(store)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("envs", "work/envs"), ("./envs", "work/envs"), ("../envs", "envs"), (".", "work"), ("c:/envs", "work/c:/envs")],
)
def test_a_relative_path_starts_where_we_are(
    path: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store stays where it is when the working directory changes later."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    store = open_store(path)
    monkeypatch.chdir("/")
    assert str(tmp_path / expected) == str(store)


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path from a settings file, which no shell expands, may begin with a tilde."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert "/home/somebody/envs" == str(open_store("~/envs"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/envs",
        "gopher://user:hunter2@host/envs?token=hunter2",
        "git+ssh://host/envs",
        "file://host/envs",
        "file://",
        "file://envs",
        "x://",
    ],
)
def test_an_unknown_kind_is_refused(url: str) -> None:
    """What is no kind of store is a usage error that says what would be one, and repeats no secret."""
    with pytest.raises(UsageError) as caught:
        open_store(url)
    assert url.partition("://")[0] in caught.value.message
    assert caught.value.hint
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("url", ["file://[", "s3://[bucket/envs"])
def test_a_malformed_url_is_refused(url: str) -> None:
    """What is no URL at all is a usage error as well."""
    with pytest.raises(UsageError):
        open_store(url)


def test_opening_touches_nothing(tmp_path: Path) -> None:
    """A store that is not there yet is opened and not made."""
    open_store(str(tmp_path / "store"))
    open_store((tmp_path / "other").as_uri())
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url", ["s3:bucket", "s3:/bucket/prefix", "s3//bucket", "https:/host/path", "S3:bucket", "file:/x"]
)
def test_what_was_meant_for_a_url_is_no_directory(url: str) -> None:
    """A URL that lacks a character is told as that, and no directory of that name is made."""
    with pytest.raises(UsageError, match="neither a URL nor a path") as told:
        open_store(url)
    assert "did you mean" in told.value.hint


def test_a_store_named_twice_is_one(tmp_path: Path) -> None:
    """White space around a URL and a slash behind a path mean nothing."""
    store = open_stores([f"{tmp_path}/store", f" {tmp_path}/store/ "])
    assert f"{tmp_path}/store" == str(store)


@pytest.mark.parametrize(
    ("same", "one", "other"),
    [
        (True, "store", "./store/"),
        (True, "store", "link"),
        (True, "s3://envs/web", "s3://envs/web/"),
        (True, "s3://envs/web", "s3://envs/web?profile=other&region=eu-west-1"),
        (True, "https://user:password@envs.example/web", "https://envs.example/web"),
        (False, "store", "store/below"),
        (False, "s3://envs/web", "s3://envs/web2"),
        (False, "s3://envs/web", "s3://envs/web?endpoint_url=https://s3.example"),
        (False, "s3://envs/web", "https://envs.example/web"),
        (False, "s3://envs/web", "store"),
    ],
)
def test_stores_in_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool, one: str, other: str
) -> None:
    """Whatever leads there: nobody copies from a store to itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to("store")
    assert same == is_same(open_store(one), open_store(other)) == is_same(open_store(other), open_store(one))
