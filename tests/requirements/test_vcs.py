"""A VCS URL says by itself whether it names one commit, and what it is without credentials."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terrastore.requirements.vcs import commit_of, identity

SHA1 = "0123456789abcdef0123456789abcdef01234567"
SHA256 = "0123456789abcdef" * 4
REVID = "revid:somebody@example.com-20090101-x"


@pytest.mark.parametrize(
    ("commit", "line"),
    [
        (SHA1, f"git+https://host.example/x.git@{SHA1}"),
        (SHA256, f"git+https://host.example/x.git@{SHA256}"),
        (SHA1, f"git+ssh://git@host.example/x.git@{SHA1}#egg=x"),
        (SHA1, f"git+ssh://git@host.example:team/x.git@{SHA1}"),
        (SHA1, f"git+git@host.example:team/x.git@{SHA1}"),
        (SHA1, f"git+file:///srv/x@{SHA1}"),
        (SHA1, f"git+https://user:pass@word@host.example/x@{SHA1}"),
        (SHA1, f"git+https://host.example/@scope/x@{SHA1}"),
        (SHA1, f"GIT+HTTPS://host.example/x@{SHA1.upper()}"),
        (SHA1, f"git+https://host.example/x%40y@{SHA1}?x=1#subdirectory=a@b"),
        (SHA1, f"x[dev] @ git+https://host.example/x@{SHA1} ; python_version < '4'"),
        (SHA1, f"x@git+https://host.example/x@{SHA1}"),
        (SHA1, f"git+https://host.example/x@{SHA1}; python_version < '4'"),
        (SHA1, f"-e git+https://host.example/x@{SHA1}#egg=x"),
        (SHA1, f"--editable=git+https://host.example/x@{SHA1}#egg=x"),
        (SHA1, f"hg+https://host.example/x@{SHA1}"),
        ("1234", "svn+https://host.example/x/trunk@1234#egg=x"),
        (REVID, f"bzr+https://host.example/x@{quote(REVID, safe='')}"),
        (None, "git+https://host.example/x"),
        (None, "git+https://host.example/x@"),
        (None, "git+https://host.example/x@main"),
        (None, "git+https://host.example/x@v1.0"),
        (None, "git+https://host.example/x@refs/pull/1/head"),
        (None, f"git+https://host.example/x@{SHA1[:12]}"),
        (None, f"git+https://host.example/x@{SHA1}0"),
        (None, f"git+https://{SHA1}@host.example/x"),
        (None, f"git+https://host.example/x#egg=x@{SHA1}"),
        (None, f"git+https://host.example/x?at=@{SHA1}"),
        (None, f"hg+https://host.example/x@{SHA256}"),
        (None, "hg+https://host.example/x@1234"),
        (None, "svn+https://host.example/x/trunk@HEAD"),
        (None, "svn+https://host.example/x/trunk@{2020-02-02}"),
        (None, "bzr+https://host.example/x@1234"),
        (None, f"https://host.example/x.zip@{SHA1}"),
        (None, f"x=={SHA1}"),
        (None, "git+https"),
        (None, ""),
    ],
)
def test_the_commit(commit: str | None, line: str) -> None:
    """A full commit of git or Mercurial, a revision of Subversion or Bazaar is one; what may move is none."""
    assert commit == commit_of(line)


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ("git+https://host.example/x.git", "git+https://host.example/x.git"),
        ("git+https://host.example/x@main", "git+https://user:pass@word@HOST.example:443/x@main"),
        ("git+https://host.example:8443/x", "git+https://token@host.example:8443/x"),
        ("git+ssh://host.example/x", "git+ssh://git@host.example:22/x"),
        ("git+ssh://host.example:team/x", "git+ssh://git@host.example:team/x"),
        ("git+ssh://host.example/team/x@v1", "git+git@host.example:team/x@v1"),
        ("git+https://host.example/x", "git+https://${USER}:${TOKEN}@host.example/x"),
        ("git+file:///srv/x@main", "git+file:///srv/x@main"),
        (f"git+https://h/x@{SHA1}", f"git+https://h/x@{SHA1.upper()}"),
        ("bzr+https://h/x@revid:me%40example.com", "bzr+https://h/x@revid%3Ame%40example.com"),
        ("git+https://h/x@${REF}", "git+https://h/x@${REF}"),
        ("git+https://h/x@Main", "git+https://h/x@Main"),
        ("git+https://h/x#egg=x&subdirectory=a/b", "git+https://h/x#subdirectory=a/b&egg=x&depth=1"),
        ("git+https://h/x#lfs=true", "git+https://h/x#sha256=0&lfs=true"),
        ("git+https://h/git?p=x.git", "git+https://h/git?p=x.git&access_token=secret"),
        ("svn+https://h/x@12", "svn+https://user@h/x@12 ; python_version < '4'"),
        ("git+https://h/x@main", "-e git+https://h/x@main"),
        ("git+https://[::1]:8443/x", "git+https://a:b@[::1]:8443/x"),
    ],
)
def test_the_identity(expected: str, line: str) -> None:
    """Scheme, host, path, ref and the fragments that choose what is built stay; credentials and the rest go."""
    assert expected == identity(line)
    assert expected == identity(expected)


@pytest.mark.parametrize("line", ["x==1", "https://user:secret@host.example/x.zip", "./x", "git+https:/h/x"])
def test_no_vcs_url(line: str) -> None:
    """What is no VCS URL has no identity here, and the message tells no secret."""
    with pytest.raises(ValueError, match="is no VCS URL") as raised:
        identity(line)
    assert "secret" not in str(raised.value)


WORD = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789._~-", min_size=1, max_size=8)


@given(
    user=WORD.map("U-{}".format),
    password=WORD.map("P-{}".format),
    host=WORD.map(str.lower),
    path=st.lists(WORD, min_size=1, max_size=3).map("/".join),
    ref=st.one_of(st.none(), WORD),
    fragment=st.sampled_from(["", "#egg=x", "#subdirectory=y"]),
)
def test_credentials_do_not_matter(
    user: str, password: str, host: str, path: str, ref: str | None, fragment: str
) -> None:
    """Whoever asks, it is the same project; another path or another ref is another."""
    at = "" if ref is None else f"@{ref}"
    plain = f"git+https://{host}/{path}{at}{fragment}"
    assert identity(plain) == identity(f"git+https://{user}:{password}@{host}/{path}{at}{fragment}")
    assert identity(plain) != identity(f"git+https://{host}/{path}/more{at}{fragment}")
    assert identity(plain) != identity(f"git+https://{host}/{path}@other-{ref}{fragment}")
