"""Lock files of PEP 751, ``pylock.toml``, as lines of a requirements file."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from terrastore.errors import RequirementsError
from terrastore.redaction import without_secrets
from terrastore.requirements.file_urls import file_url
from terrastore.requirements.lines import LineError, index_identity, is_file_url, is_url
from terrastore.requirements.toml import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from packaging.pylock import Package, PackageArchive, PackageDirectory, PackageSdist, PackageVcs, PackageWheel
    from packaging.pylock import Pylock as Lock
    from packaging.specifiers import SpecifierSet

    from terrastore.requirements.target import Target

    File: TypeAlias = PackageArchive | PackageSdist | PackageWheel
    Artefact: TypeAlias = File | PackageDirectory | PackageVcs

_ANEW: Final = "export it anew"
# Those that pip and uv both take, with the number of their hexadecimal digits.
_DIGESTS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
_PRINTABLE: Final = re.compile(r"[!-~]+")
_COMMIT: Final = {"git": re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}"), "hg": re.compile(r"[0-9a-f]{40}")}
_REVISION: Final = re.compile(r"[\w.:~-]+", re.ASCII)


def pylock_lines(
    path: str,
    data: bytes,
    *,
    target: Target,
    extras: Sequence[str] = (),
    groups: Sequence[str] = (),
    own_index: bool = False,
) -> list[str]:
    """Return a line for each file, directory and commit that a lock selects for ``target``.

    Of a package the best wheel is selected, else the sdist; the line has the digests of that file alone. ``extras`` and
    dependency ``groups`` are selected besides those that the lock takes by default.

    The index that most of the packages name is the one that is asked anyway, which may be a mirror of it; with
    ``own_index`` it is named, for where nobody says which that is. Files of other indexes are named by URL.

    :raises RequirementsError: for a lock that is broken, of another version, or for another target
    """
    lock = _lock(path, data)
    _check_target(path, lock, target)
    chosen = _selected(path, lock, target, _extras(path, lock, extras), _groups(path, lock, groups))
    try:
        asked = Counter(index for each in chosen if (index := _index(*each)) is not None)
    except ValueError as error:
        raise RequirementsError(f"{path}: {error}", hint=_ANEW) from None
    main = asked.most_common(1)[0][0] if asked else None
    lines = []
    for package, artefact in chosen:
        try:
            lines.append(_line(path, package, artefact, main))
        except ValueError as error:
            hint = error.hint if isinstance(error, LineError) else _ANEW
            raise RequirementsError(f"{path}: {package.name}: {error}", hint=hint) from None
    return [*([f"--index-url {main}"] if main and own_index else []), *_without_hash_mode(lines), *lines]


def _without_hash_mode(lines: Iterable[str]) -> list[str]:
    """Return the option that keeps hashes of some lines from being demanded of all, if it is needed.

    Directories and commits have none; those that stand there are looked at all the same.
    """
    return ["--no-require-hashes"] if len({" --hash=" in line for line in lines}) > 1 else []


def _lock(path: str, data: bytes) -> Lock:
    from packaging import pylock  # noqa: PLC0415 -- plain requirements files need none of it

    document = parsed(path, data)
    try:
        return pylock.Pylock.from_dict(document)
    except pylock.PylockUnsupportedVersionError:
        raise RequirementsError(
            f"{path} is of version {document['lock-version']}, and 1.0 can be read", hint="export it as version 1.0"
        ) from None
    except pylock.PylockValidationError as error:
        raise RequirementsError(f"{path} is no lock of PEP 751: {told(error)}", hint=_ANEW) from None


def _check_target(path: str, lock: Lock, target: Target) -> None:
    check_python(path, lock.requires_python, target)
    environments = lock.environments or ()
    markers = dict(target.markers)
    if environments and not any(each.evaluate(markers, context="requirement") for each in environments):
        meant = " or ".join(map(str, environments))
        raise RequirementsError(
            f"{path} is for {meant}, and this is {target}", hint="lock for this platform and interpreter as well"
        )


def check_python(path: str, wanted: SpecifierSet | None, target: Target) -> None:
    """See that the target's Python is one that a file is for.

    :raises RequirementsError: when it is not
    """
    version = target.markers["python_full_version"]
    if wanted is not None and not wanted.contains(version, prereleases=True):
        raise RequirementsError(
            f"{path} is for Python {wanted}, and this is {version}", hint="choose another interpreter with --python"
        )


def _extras(path: str, lock: Lock, wanted: Sequence[str]) -> frozenset[str]:
    return frozenset(named(path, "extra", wanted, lock.extras or ()))


def _groups(path: str, lock: Lock, wanted: Sequence[str]) -> frozenset[str]:
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    default = lock.default_groups or ()
    found = named(path, "group", wanted, (*(lock.dependency_groups or ()), *default))
    return frozenset({*found, *map(canonicalize_name, default)})


def named(path: str, what: str, wanted: Iterable[str], there: Iterable[str]) -> list[str]:
    """Return normalised names (PEP 503) of extras or groups, in their order.

    :raises RequirementsError: when one is not ``there``; those that are get named
    """
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    names = list(dict.fromkeys(map(canonicalize_name, wanted)))
    known = sorted({canonicalize_name(name) for name in there})
    for name in names:
        if name not in known:
            hint = f"it has {', '.join(known)}" if known else f"leave --{what} out"
            raise RequirementsError(f"{path} has no {what} {name}" if known else f"{path} has no {what}s", hint=hint)
    return [str(name) for name in names]


def _selected(
    path: str, lock: Lock, target: Target, extras: frozenset[str], groups: frozenset[str]
) -> list[tuple[Package, Artefact]]:
    """Return what is to be installed, sorted by name."""
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName  # noqa: PLC0415
    from packaging.pylock import PylockSelectError  # noqa: PLC0415

    environment: Any = dict(target.markers)  # all that packaging's TypedDict names
    try:
        found = lock.select(
            environment=environment,
            tags=target.tags(),
            extras=extras,
            dependency_groups=groups,
        )
        return sorted(found, key=lambda each: each[0].name)
    except PylockSelectError as error:
        raise RequirementsError(
            f"{path} does not fit {target}: {told(error)}", hint="lock for this platform and interpreter as well"
        ) from None
    except (UndefinedComparison, UndefinedEnvironmentName) as error:
        raise RequirementsError(f"{path}: a marker cannot be evaluated: {told(error)}", hint=_ANEW) from None


def _index(package: Package, artefact: Artefact) -> str | None:
    """Return the index that a file is to be asked for, without credentials; None when it is elsewhere.

    :raises ValueError: when a line cannot name it
    """
    url = getattr(artefact, "url", None)
    is_here = is_file_url(url) if url else getattr(artefact, "path", None) is not None
    return None if package.index is None or package.is_direct or is_here else _plain(index_identity(package.index))


def _line(path: str, package: Package, artefact: Artefact, main: str | None) -> str:
    """Return an artefact's line; ``main`` is the index that is asked.

    :raises ValueError: when a line cannot say it
    """
    from packaging.pylock import PackageDirectory, PackageVcs  # noqa: PLC0415

    if isinstance(artefact, PackageVcs):
        return f"{package.name} @ {_commit(path, artefact)}"
    if isinstance(artefact, PackageDirectory):
        return f"{package.name} @ {file_url(path, artefact.path)}{_fragment(artefact.subdirectory)}"
    hashes = "".join(f" --hash={each}" for each in _digests(artefact.hashes))
    if main is not None and _index(package, artefact) == main:
        return f"{package.name}=={_version(package, artefact)}{hashes}"
    subdirectory = _fragment(getattr(artefact, "subdirectory", None))
    return f"{package.name} @ {_place(path, artefact)}{subdirectory}{hashes}"


def _place(path: str, artefact: File) -> str:
    if artefact.url is None:
        return file_url(path, artefact.path or "")
    if not is_url(artefact.url) and not is_file_url(artefact.url):
        msg = f"{without_secrets(artefact.url)} is no URL"
        raise ValueError(msg)
    return _plain(artefact.url.partition("#")[0])


def _commit(path: str, vcs: PackageVcs) -> str:
    url = file_url(path, vcs.path or "") if vcs.url is None else _plain(vcs.url)
    if not is_url(url) and not is_file_url(url):
        msg = f"{without_secrets(url)} is no URL"
        raise ValueError(msg)
    if not re.fullmatch(r"git|hg|svn|bzr", vcs.type):
        msg = f"nobody fetches from version control of the kind {vcs.type!r}"
        raise ValueError(msg)
    if not _COMMIT.get(vcs.type, _REVISION).fullmatch(vcs.commit_id):
        msg = f"{vcs.commit_id!r} is no whole commit id of {vcs.type}"
        raise ValueError(msg)
    scheme = "" if url.startswith(f"{vcs.type}+") else f"{vcs.type}+"
    return f"{scheme}{url.partition('#')[0]}@{vcs.commit_id}{_fragment(vcs.subdirectory)}"


def _fragment(subdirectory: str | None) -> str:
    return f"#subdirectory={_plain(subdirectory)}" if subdirectory else ""


def _version(package: Package, artefact: File) -> str:
    from packaging.pylock import PackageSdist  # noqa: PLC0415
    from packaging.utils import parse_sdist_filename, parse_wheel_filename  # noqa: PLC0415

    if package.version is not None:
        return str(package.version)
    filename = getattr(artefact, "filename", "")
    return str((parse_sdist_filename if isinstance(artefact, PackageSdist) else parse_wheel_filename)(filename)[1])


def _digests(hashes: Mapping[str, str]) -> Iterator[str]:
    found = {name.lower(): value.lower() for name, value in hashes.items() if name.lower() in _DIGESTS}
    if not found:
        msg = f"it has no hash but {', '.join(sorted(hashes))}, and pip takes {', '.join(_DIGESTS)}"
        raise ValueError(msg)
    for name, value in sorted(found.items()):
        if not re.fullmatch(rf"[0-9a-f]{{{_DIGESTS[name]}}}", value):
            msg = f"{value!r} is no {name}"
            raise ValueError(msg)
        yield f"{name}:{value}"


def _plain(text: str) -> str:
    """Return a text of which a line of a requirements file makes one word.

    :raises ValueError: when there is white space in it, or what is not ASCII
    """
    if not _PRINTABLE.fullmatch(text):
        msg = f"{without_secrets(text)!r} is no URL: there is more than printable ASCII in it"
        raise ValueError(msg)
    return text


def told(error: Exception) -> str:
    """Return the first line of an error's text without secrets, to stand in the midst of a message."""
    text = without_secrets(str(error).splitlines()[0])
    return text[:1].lower() + text[1:]
