"""An artifact store for whole Python environments.

>>> import terrastore
>>> terrastore.ensure("requirements.txt", target=".venv", store="s3://acme-envs/web")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terrastore.api import Progress, ensure, open_store
    from terrastore.errors import TerrastoreError
    from terrastore.key import EnvKey
    from terrastore.run import Outcome

__version__ = "0.1.0"
__all__ = ["EnvKey", "Outcome", "Progress", "TerrastoreError", "__version__", "ensure", "open_store"]

# Where they are. The command line is a program of its own, and imports what it needs alone.
_PLACES = {
    "EnvKey": "key",
    "Outcome": "run",
    "Progress": "api",
    "TerrastoreError": "errors",
    "ensure": "api",
    "open_store": "api",
}


def __getattr__(name: str) -> Any:
    """Import what is public when it is asked for (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
