"""A private package index: a real devpi-server that nobody reads without a login, and a git server like it."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import secrets
import subprocess
import sysconfig
import tarfile
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.conftest import make_wheel
from tests.loopback import certificate
from tests.processes import until
from tests.program_environments import program_environment
from tests.servers import BOUND
from tests.static_server import nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

# Others for each process that runs tests: what a command line of another one shows is not ours.
_OURS = secrets.token_hex(4)
OWNER, OWNERS_PASSWORD = "owner", f"0wner-{_OURS}"
READER, TOKEN = "reader", f"Tr4dew1nd-{_OURS}"
ODD_READER, ODD_PASSWORD = "odd", f"p@ss/w%rd:9#{_OURS}"
TOKEN_AS_USER = f"us3rT0ken{_OURS}"
TOKEN_IN_PATH = f"pA7hT0kenQz{_OURS}"
_PATIENCE = 300.0
_ADMIN = f"r00t-{_OURS}"
LOGINS = (
    (OWNER, OWNERS_PASSWORD),
    (READER, TOKEN),
    (ODD_READER, ODD_PASSWORD),
    (TOKEN_AS_USER, ""),
    (TOKEN_AS_USER, "x-oauth-basic"),
)
"""Every login there is, user and password."""

BACKEND = """
import privately, zipfile

def build_wheel(folder, *_):
    name = "homemade-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("homemade.py", "MADE_WITH = %r\\n" % privately.NAME)
        wheel.writestr("homemade-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: homemade\\nVersion: 1.0\\n")
        wheel.writestr(
            "homemade-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        )
        wheel.writestr("homemade-1.0.dist-info/RECORD", "")
    return name
"""
PYPROJECT = (
    '[build-system]\nrequires = ["privately"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    '[project]\nname = "homemade"\nversion = "1.0"\n'
)
METADATA = "Metadata-Version: 2.1\nName: homemade\nVersion: 1.0\n"


@dataclass(frozen=True, kw_only=True)
class PrivateIndex:
    """Has ``privately`` 1.0, a wheel, and ``homemade`` 1.0, an sdist whose build needs the former.

    ``host`` is host and port, ``tls_host`` those of HTTPS, for who trusts the certificate in the file ``ca``; ``path``
    is that of the index, with a slash before it.
    """

    host: str
    tls_host: str
    ca: str
    path: str = f"/{OWNER}/private/+simple/"

    @property
    def plain(self) -> str:
        """The URL without any login."""
        return f"http://{self.host}{self.path}"

    def url(self, login: str) -> str:
        """Return the URL with ``login`` as its user and password, as they are to stand there."""
        return f"http://{login}@{self.host}{self.path}"

    def tls_url(self, login: str) -> str:
        """Return such a URL of HTTPS."""
        return f"https://{login}@{self.tls_host}{self.path}"

    def with_token_in_path(self, token: str = TOKEN_IN_PATH) -> str:
        """Return the URL that is a secret itself."""
        return f"http://{self.host}/read/{token}{self.path}"


def basic(user: str, password: str) -> str:
    """Return what stands behind ``Basic`` in a request (RFC 7617)."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@contextlib.contextmanager
def running_devpi() -> Iterator[PrivateIndex]:
    """Yield the index, with its packages, as devpi-lockdown has nginx guard it."""
    scripts = program_environment("devpi") / "bin"
    with tempfile.TemporaryDirectory(prefix="devpi-") as folder:
        data, socket = f"{folder}/data", f"{folder}/socket"
        env = os.environ | {"HOME": folder}
        init = [f"{scripts}/devpi-init", "--serverdir", data, "--no-root-pypi", "--root-passwd", _ADMIN]
        subprocess.run(init, check=True, env=env, stdin=subprocess.DEVNULL, capture_output=True)
        serve = [*BOUND, f"{scripts}/devpi-server", "--serverdir", data, "--unix-socket", socket, "--offline-mode"]
        with open(f"{folder}/log", "wb") as log:
            server = subprocess.Popen(serve, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(lambda: os.path.exists(socket) or server.poll() is not None, patience=_PATIENCE)
            assert server.poll() is None, Path(folder, "log").read_text()
            own = certificate(Path(folder))
            guard = _guard(socket)
            with (
                nginx(Path(folder), directives=guard) as address,
                nginx(Path(folder), directives=guard, certificate=own) as encrypted,
            ):
                index = PrivateIndex(host=urlsplit(address).netloc, tls_host=urlsplit(encrypted).netloc, ca=own.crt)
                _fill(index, Path(folder))
                yield index
        finally:
            server.terminate()
            server.wait()


def _guard(socket: str) -> str:
    """Return nginx's part: devpi has a say in every request; tokens in place of a login become one."""
    backend = f"proxy_pass http://unix:{socket}:; proxy_set_header X-Outside-URL $scheme://$http_host"
    login = f"Basic {basic(READER, TOKEN)}"
    return f"""
        set $login $http_authorization;
        if ($http_authorization = "Basic {basic(TOKEN_AS_USER, "")}") {{ set $login "{login}"; }}
        if ($http_authorization = "Basic {basic(TOKEN_AS_USER, "x-oauth-basic")}") {{ set $login "{login}"; }}
        location / {{
            auth_request /+authcheck; add_header Vary Authorization; add_header Cache-Control max-age=600;
            {backend}; proxy_set_header Authorization $login;
        }}
        location = /+authcheck {{
            internal; {backend}; proxy_set_header Authorization $login; proxy_set_header X-Original-URI $request_uri;
            proxy_pass_request_body off; proxy_set_header Content-Length "";
        }}
        location /read/{TOKEN_IN_PATH}/ {{
            proxy_pass http://unix:{socket}:/; proxy_set_header X-Outside-URL $scheme://$http_host/read/{TOKEN_IN_PATH};
            proxy_set_header Authorization "{login}";
        }}
    """


def _fill(index: PrivateIndex, folder: Path) -> None:
    admin, owner = basic("root", _ADMIN), basic(OWNER, OWNERS_PASSWORD)
    for user, password in ((OWNER, OWNERS_PASSWORD), (READER, TOKEN), (ODD_READER, ODD_PASSWORD)):
        _put(index, f"/{user}", {"password": password}, admin)
    _put(index, f"/{OWNER}/private", {"type": "stage", "bases": [], "volatile": True}, owner)
    wheel = make_wheel(folder, "privately", "1.0", {"privately.py": "NAME = 'privately'\n"})
    uv = str(Path(sysconfig.get_path("scripts"), "uv"))
    command = [uv, "publish", "--no-cache", "--publish-url", f"http://{index.host}/{OWNER}/private/"]
    subprocess.run(
        [*command, "-u", OWNER, "-p", OWNERS_PASSWORD, str(wheel), str(make_sdist(folder))],
        check=True,
        capture_output=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("UV_")},
    )


def _put(index: PrivateIndex, path: str, document: dict[str, object], login: str) -> None:
    # devpi's own header: what is named so needs no account for the server before it.
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}", "Accept": "application/json"}
    request = urllib.request.Request(f"http://{index.host}{path}", json.dumps(document).encode(), headers, method="PUT")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request):
        pass


def project_files() -> dict[str, str]:
    """Return the files of ``homemade`` by name."""
    return {"pyproject.toml": PYPROJECT, "backend.py": BACKEND, "PKG-INFO": METADATA}


def make_sdist(folder: Path) -> Path:
    """Write ``homemade`` as an sdist."""
    path = folder / "homemade-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in project_files().items():
            member = tarfile.TarInfo(f"homemade-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path
