"""SHA-256 (FIPS 180-4) of small data, by CPython's own module, as ``random`` has it.

``hashlib`` brings OpenSSL, which takes longer to load than a run that has nothing to do takes for all the rest; of
large data it is faster by far, so files are left to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256
    except ImportError:
        try:
            from _sha256 import sha256  # below Python 3.12
        except ImportError:  # an interpreter may be built to have OpenSSL's alone
            from hashlib import sha256

__all__ = ["sha256"]
