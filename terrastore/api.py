"""Environments from somebody else's program: what ``import terrastore`` offers.

    >>> import terrastore
    >>> outcome = terrastore.ensure("requirements.txt", target=".venv", store="s3://acme-envs/web")  # doctest: +SKIP
    >>> outcome.outcome, outcome.target  # doctest: +SKIP
    ('fetched', '/srv/app/.venv')

Nothing is printed, and neither settings files nor ``TERRASTORE_*`` variables are read: what is not said has the
command line's default. What goes wrong is a :class:`~terrastore.errors.TerrastoreError`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypedDict

from terrastore import folders, place
from terrastore.ensuring import ensure as _ensure
from terrastore.errors import UsageError
from terrastore.inputs import Inputs
from terrastore.report import Phase, Report
from terrastore.run import Policy
from terrastore.store.locations import open_stores

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from terrastore.run import Outcome
    from terrastore.store.protocol import Store

    Path = str | os.PathLike[str]

_EVERY: Final = 0.1
"""Seconds between two reports of one phase."""


class Progress(NamedTuple):
    """Something that a run has to say.

    ``kind`` is ``phase``, ``warning`` or ``remark``; ``text`` the phase's name, such as ``fetch``, or what is told. Of
    a phase ``done`` of ``total`` (None when that is not known) are in ``unit``: bytes, or a count; ``is_over`` when it
    has ended.
    """

    kind: Literal["phase", "warning", "remark"]
    text: str
    done: int = 0
    total: int | None = None
    unit: str = ""
    is_over: bool = False


class Options(TypedDict, total=False):
    """What else can be said, by the names of the command line's options.

    Lengths of time are in seconds and sizes in bytes. ``build``, ``publish``, ``cache`` and ``seed`` stand for
    ``--no-build`` and so on; ``signers`` for ``--signer``, ``lasts`` for ``--expires``, and ``build_blindly`` for
    ``--on-store-error build``.
    """

    index_url: str
    extra_index_url: tuple[str, ...]
    find_links: tuple[str, ...]
    no_index: bool
    pre: bool
    only_binary: tuple[str, ...]
    no_binary: tuple[str, ...]
    require_hashes: bool
    index_alias: tuple[str, ...]
    salt: str
    key_env: tuple[str, ...]
    seed: bool
    any_patch: bool
    extras: tuple[str, ...]
    groups: tuple[str, ...]
    project: bool
    require_locked: bool
    build: bool
    expect: str
    refresh: bool
    max_age: float
    verify: bool
    rebuild: bool
    publish: bool
    require_publish: bool
    backup: bool
    force: bool
    wait: float
    build_blindly: bool
    wheelhouse: bool
    cache: bool
    link_mode: Literal["copy", "clone", "hardlink"]
    cache_limit: int
    trust: str
    realm: str
    signers: tuple[str, ...]
    lasts: float


_ASKED: Final = Options.__annotations__.keys() & set(Inputs._fields) - {"cache"}


def ensure(
    requirements: Path | Iterable[Path] = (),
    *,
    target: Path | None = None,
    link: Path | None = None,
    releases: Path | None = None,
    store: Store | str | Iterable[str] | None = None,
    constraints: Path | Iterable[Path] = (),
    python: str | None = None,
    installer: Literal["pip", "uv"] = "pip",
    cache_dir: Path | None = None,
    progress: Callable[[Progress], object] | None = None,
    **options: Unpack[Options],
) -> Outcome:
    """Make sure that the environment that the requirements ask for is there, at ``target`` or behind ``link``.

    :param requirements: requirements files, locks or projects; the one in the working directory when none is named
    :param target: where it is to stand; ``.venv`` when neither this nor ``link`` is named
    :param link: a symbolic link to the current one of several releases
    :param releases: where releases stand; ``releases`` beside the link when none is named
    :param store: a store, its URL, or several URLs, the nearest first; the user's own when none is named
    :param python: which interpreter, such as ``3.12`` or a path; the one that runs this when none is named
    :param progress: is called with what happens, from any thread, one call at a time
    :raises TerrastoreError: when the environment is not there; the old one is then as it was
    """
    given: dict[str, Any] = dict(options)
    asked = {name: given.pop(name) for name in _ASKED if name in given}
    cache = os.fspath(cache_dir) if cache_dir is not None else folders.user_cache()
    inputs = Inputs(
        requirements=_paths(requirements),
        constraints=_paths(constraints),
        python=python,
        installer=installer,
        cache=cache,
        **asked,
    )
    report = Report() if progress is None else _Reporter(progress)
    where = _place(target, link, releases)
    outcome = _ensure(inputs, where, store=_opened(store), cache=cache, policy=Policy(**given), report=report)
    if outcome.retired is not None and place.discard(outcome.retired):
        outcome = outcome._replace(retired=None)
    return outcome


def open_store(*urls: str) -> Store:
    """Return the store at a URL, or several as one, the nearest first; without any the one in the user's data folder.

    :raises UsageError: for an unknown kind of store
    """
    return open_stores(urls)


class _Reporter(Report):
    """Hands on what happens, a tenth of a second apart."""

    def __init__(self, progress: Callable[[Progress], object]) -> None:
        super().__init__()
        self._progress = progress
        self._told: dict[int, float] = {}
        self._lock = threading.RLock()

    def warn(self, message: str) -> None:
        super().warn(message)
        self._say(Progress("warning", message))

    def remark(self, message: str) -> None:
        self._say(Progress("remark", message))

    def begun(self, phase: Phase) -> None:
        self._tell(phase)

    def ended(self, phase: Phase) -> None:
        self._tell(phase, is_over=True)

    def moved(self, phase: Phase) -> None:
        if time.monotonic() - self._told.get(id(phase), 0.0) >= _EVERY:
            self._tell(phase)

    def _tell(self, phase: Phase, *, is_over: bool = False) -> None:
        self._told[id(phase)] = time.monotonic()
        self._say(Progress("phase", phase.name, phase.done, phase.total, phase.unit, is_over))

    def _say(self, progress: Progress) -> None:
        with self._lock:
            self._progress(progress)


def _place(target: Path | None, link: Path | None, releases: Path | None) -> place.Target | place.Releases:
    if link is None:
        if releases is not None:
            raise UsageError("releases need a link", hint="name the link to the current release")
        return place.Target.at(os.fspath(target or ".venv"))
    if target is not None:
        raise UsageError("target and link contradict each other", hint="leave one out")
    return place.Releases.at(os.fspath(link), os.fspath(releases) if releases is not None else None)


def _opened(store: Store | str | Iterable[str] | None) -> Store:
    if store is None or isinstance(store, str):
        return open_store(*filter(None, [store]))
    return open_store(*store) if isinstance(store, Iterable) else store


def _paths(said: Path | Iterable[Path]) -> tuple[str, ...]:
    return (os.fspath(said),) if isinstance(said, (str, os.PathLike)) else tuple(os.fspath(each) for each in said)
