"""What tests of several recipes share."""

from __future__ import annotations

from tests.end_to_end.conftest import machine, offered

__all__ = ["machine", "offered"]
