"""What tools and packages are known to leave in an environment, written into the one that is being built.

Run by a build backend with ``folder``, where the wheel goes, and ``template``, a wheel in whose files ``<prefix>``
stands for the environment; sets ``wheel``, the name of the one that is made of it.
"""

import base64
import hashlib
import json
import os
import sys
import sysconfig
import zipfile

folder: str = globals()["folder"]
template: str = globals()["template"]
prefix = sys.prefix
packages = os.path.relpath(sysconfig.get_path("purelib"), prefix)


def write(path: str, text: str, *, mode: int = 0o644, encoding: str = "utf-8") -> None:
    """Write a file of the environment; ``<prefix>`` in its text stands for that."""
    place = os.path.join(prefix, path)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "w", encoding=encoding) as file:
        file.write(text.replace("<prefix>", prefix))
    os.chmod(place, mode)


kernel = {"argv": [f"{prefix}/bin/python", "-m", "x"], "display_name": "Python é", "env": {"X": prefix}}
write("share/jupyter/kernels/x/kernel.json", json.dumps(kernel))
write("share/x/src/from_path_file.py", "")
write("share/x/easy/from_easy_install.py", "")
write(f"{packages}/x.pth", "<prefix>/share/x/src\nimport sys; sys.from_path_file = '<prefix>'\n")
write(f"{packages}/easy-install.pth", "<prefix>/share/x/easy\n")
write(f"{packages}/x.egg-link", "<prefix>/share/x/src\n.")
write(f"{packages}/__editable___x_1_0_finder.py", "MAPPING = {'x': '<prefix>/share/x/src'}\n")
write(f"{packages}/x__config__.py", 'CONFIG = {"Python Information": {"path": r"<prefix>/bin/python"}}\n')
write("lib/pkgconfig/x.pc", "prefix=<prefix>\nCflags: -I${prefix}/include\n")
write("lib/cmake/X/XConfig.cmake", 'set(X_ROOT "<prefix>")\n')
write("lib/libx.la", "libdir='<prefix>/lib'\n")
write("etc/x.conf", "root = <prefix>\n")
write("bin/x-config", '#!/bin/sh\nprefix="<prefix>"\necho "-L$prefix/lib"\n', mode=0o755)
write(
    "bin/x-shim",
    "#!/usr/bin/env bash\nexport X=<prefix>\nexec '<prefix>/bin/python' -c 'import os; print(os.environ[\"X\"])'\n",
    mode=0o755,
)
write(
    "bin/x-develop",
    "#!<prefix>/bin/python -E\n# EASY-INSTALL-DEV-SCRIPT: 'x'\n__file__ = '<prefix>/share/x/src/x'\n"
    "import sys\nprint(sys.flags.ignore_environment, __file__)\n",
    mode=0o755,
)
write(
    "bin/x-doc",
    '#!<prefix>/bin/python\n"""What it does."""\nfrom __future__ import annotations\nprint(__doc__)\n',
    mode=0o755,
)
write(
    "bin/x-latin",
    "#!<prefix>/bin/python\n# -*- coding: latin-1 -*-\nprint(ascii('é'))\n",
    mode=0o4755,
    encoding="latin-1",
)
os.symlink("lib", f"{prefix}/lib64")
os.symlink(f"{prefix}/share/x", f"{prefix}/share/absolute")
os.symlink(f"{prefix}/share/absent", f"{prefix}/share/dangling")
write(f"{packages}/twisted/plugins/dropin.cache", "<prefix>")

wheel = os.path.basename(template)
with zipfile.ZipFile(template) as source, zipfile.ZipFile(os.path.join(folder, wheel), "w") as made:
    rows: list[str] = []
    for name in source.namelist():
        data = source.read(name).replace(b"<prefix>", prefix.encode())
        if name.endswith("/RECORD"):
            data = "".join([*rows, f"{name},,\n"]).encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}\n")
        facts = zipfile.ZipInfo(name)
        facts.external_attr = (0o100755 if ".data/scripts/" in name else 0o100644) << 16
        made.writestr(facts, data)
