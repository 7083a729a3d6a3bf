"""Every failure a caller can act on, by what can be done about it.

    TerrastoreError            1   a defect of terrastore itself
    ├── UsageError             2   the command or the configuration is wrong
    ├── RequirementsError      3   requirements cannot be read
    ├── NotInStoreError        4   nothing in the store, and building is off
    ├── BuildError             5   the installer failed, or its result cannot be packed
    ├── StoreUnreachableError  6   the store cannot be reached or answers nonsense
    ├── StoreRefusedError      7   the store refuses us, has no room, or is not there
    ├── ArchiveRefusedError    8   something was in the store and was refused
    ├── HostError              9   no fitting interpreter, or this host lacks what is needed
    └── WaitError             10   waited too long for somebody else

"Not there" is never an error: it is ``None``.
"""

from __future__ import annotations

from typing import ClassVar, Final

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM, as a shell reports SIGINT."""


class TerrastoreError(Exception):
    """A failure with one line that names the thing and one that says what to do.

    ``message`` and ``hint`` are lower case, without a full stop, and hold no secret.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "defect"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TerrastoreError):
    """The command line, the settings or the target are not usable as given."""

    exit_code = 2
    kind = "usage"


class RequirementsError(TerrastoreError):
    """A requirements file is missing or holds a line that cannot be used; both are named."""

    exit_code = 3
    kind = "requirements"


class NotInStoreError(TerrastoreError):
    """No store has the environment and ``--no-build`` was given."""

    exit_code = 4
    kind = "not-in-store"


class BuildError(TerrastoreError):
    """virtualenv or the installer failed, or what they made cannot be packed.

    ``here``: not what others wait for failed, but what is made for this machine alone.
    """

    exit_code = 5
    kind = "build"

    def __init__(self, message: str, *, hint: str = "", here: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.here = here


class StoreUnreachableError(TerrastoreError):
    """The store did not answer, or its answer makes no sense."""

    exit_code = 6
    kind = "store-unreachable"


class StoreRefusedError(TerrastoreError):
    """The store says no: permission, no room, or it does not exist."""

    exit_code = 7
    kind = "store-refused"


_LONGEST: Final = 1000
HEAL: Final = "where building is allowed, run without --no-build, or with --rebuild: it is built anew"
"""What to do about something in a store that is refused."""


class ArchiveRefusedError(TerrastoreError):
    """A pointer or an archive was there and does not verify.

    ``later``: it is of a later version, sound for those who can read it, and must not be replaced.
    """

    exit_code = 8
    kind = "archive-refused"

    def __init__(self, message: str, *, hint: str = "", later: bool = False) -> None:
        # What it quotes may be as long as somebody liked.
        super().__init__(message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…", hint=hint)
        self.later = later


class HostError(TerrastoreError):
    """No interpreter fits, or this host offers less than the environment needs."""

    exit_code = 9
    kind = "host"


class WaitError(TerrastoreError):
    """Somebody else held what we need for longer than we were told to wait."""

    exit_code = 10
    kind = "wait"


def reason(error: BaseException) -> str:
    """Return in a few words, lower case, why something cannot be read, written or reached."""
    # That of a certificate is in the midst of a strerror for those who know OpenSSL.
    told = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    if getattr(error, "reason", None) == "WRONG_VERSION_NUMBER":
        return "that port does not speak TLS"
    return (told or str(error)).lower()


def root_cause(error: BaseException) -> BaseException:
    """Return the error that led to this one, by way of others."""
    while before := error.__cause__ or error.__context__:
        error = before
    return error
