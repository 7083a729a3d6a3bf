"""What an interpreter says of itself, as JSON: run by the one that is asked, as ``python -I -S -c``.

Must run on every Python 3, so its syntax is old. The one that runs us is not run again, but calls :func:`facts`.
"""

import importlib.machinery
import importlib.util
import os
import sys


def facts() -> "dict[str, object]":
    """Return the fields of :class:`~terrastore.interpreter.Interpreter`; in a virtual environment those of its base."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    # Whose directory an environment names as its home must have the library beside it, or another's may be taken.
    home, real = os.path.join(sys.base_prefix, "bin"), os.path.realpath(base)
    has_home = os.path.isdir(home) and not os.path.samefile(os.path.dirname(base), home)
    if has_home and os.path.samefile(os.path.dirname(real), home):
        base = real
    versioned = os.path.join(os.path.dirname(base), "python{}.{}".format(*sys.version_info))
    if os.path.exists(versioned) and os.path.samefile(versioned, base):
        base = versioned
    # An extension module's own suffix holds it, where sysconfig would load a thousand settings.
    suffix = (importlib.machinery.EXTENSION_SUFFIXES or [""])[0]
    if suffix.startswith(".cpython-"):
        soabi = suffix.split(".")[1]
    else:
        import sysconfig  # noqa: PLC0415 -- see above

        soabi = sysconfig.get_config_var("SOABI") or ""
    return {
        "executable": base,
        "base_prefix": sys.base_prefix,
        "implementation": sys.implementation.name,
        "version": list(sys.version_info),
        "soabi": soabi,
        "free_threaded": "t" in getattr(sys, "abiflags", ""),
        "debug": hasattr(sys, "gettotalrefcount"),
        "pointer_bits": sys.maxsize.bit_length() + 1,
        "magic": int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little"),
    }


if __name__ == "__main__":
    import json

    print(json.dumps(facts()))  # noqa: T201 -- where it is run, it prints
