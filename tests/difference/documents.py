"""Canonical documents, as keys are digests of."""

from __future__ import annotations

from typing import Any

INTERPRETER = {
    "implementation": "cpython",
    "version": "3.11.7",
    "soabi": "cpython-311-x86_64-linux-gnu",
    "free_threaded": False,
    "debug": False,
    "pointer_bits": 64,
}
HOST = {"system": "linux", "machine": "x86_64", "libc": "glibc"}


def document(*requirements: str, **parts: Any) -> dict[str, Any]:
    """Return a document of schema 2; ``interpreter`` and ``host`` are what differs from the usual ones."""
    usual: dict[str, Any] = {
        "schema": 2,
        "layout": 1,
        "salt": "",
        "installer": "pip",
        "seed": True,
        "requirements": sorted(requirements),
        "constraints": [],
        "resolution": {},
        "variables": {},
    }
    return (
        usual
        | parts
        | {
            "interpreter": INTERPRETER | parts.get("interpreter", {}),
            "host": HOST | parts.get("host", {}),
        }
    )


def of_schema_1(*requirements: str, **parts: Any) -> dict[str, Any]:
    """Return a document by the rules of schema 1."""
    made = document(*requirements, **parts) | {"schema": 1}
    del made["resolution"]
    return {"local": {}, "options": [], "machine": {}} | made
