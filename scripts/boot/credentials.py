"""Who a machine is to AWS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from http.client import HTTPException
from typing import NamedTuple
from urllib.request import ProxyHandler, Request, build_opener

from scripts.boot.running import DENIED, Failure, variable

_NONE = "there are no credentials for s3:// stores here"


class Keys(NamedTuple):
    """What requests are signed with."""

    access_key: str
    secret: str
    token: str


def credentials(profile: str | None) -> Keys:
    """Return the keys that variables say, aws knows, a container is given, or the machine's role has."""
    is_named = profile or variable("AWS_PROFILE") or variable("AWS_WEB_IDENTITY_TOKEN_FILE")
    if variable("AWS_ACCESS_KEY_ID") and not profile:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return Keys(*map(variable, names))
    if is_named or any(os.path.exists(os.path.expanduser(f"~/.aws/{file}")) for file in ("config", "credentials")):
        if shutil.which("aws"):
            command = ["aws", "configure", "export-credentials", *(["--profile", profile] if profile else [])]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return keys_in(done.stdout)
        if is_named:
            raise Failure(DENIED, f"{_NONE}: aws has none, or is not there")
    if container := container_address():
        return keys_in(nearby(container, container_login()))
    role = of_machine("iam/security-credentials/").split()[0]
    return keys_in(of_machine(f"iam/security-credentials/{role}"))


def keys_in(text: str) -> Keys:
    found = json.loads(text)
    token = found.get("Token") or found.get("SessionToken") or ""
    return Keys(found["AccessKeyId"], found["SecretAccessKey"], token)


def container_address() -> str:
    relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    return f"http://169.254.170.2{relative}" if relative else variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")


def container_login() -> dict[str, str]:
    token, file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"), variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if file:
        with open(file) as opened:
            token = opened.read().strip()
    return {"Authorization": token} if token else {}


def own_region() -> str:
    """Return the region that this machine is in."""
    try:
        return of_machine("placement/region")
    except Failure:
        return "us-east-1"


def of_machine(path: str) -> str:
    """Return what EC2 tells of this machine (its instance metadata service, version 2)."""
    if variable("AWS_EC2_METADATA_DISABLED").lower() == "true":
        raise Failure(DENIED, _NONE)
    base = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").rstrip("/") or "http://169.254.169.254"
    token = nearby(f"{base}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, method="PUT")
    return nearby(f"{base}/latest/meta-data/{path}", {"X-aws-ec2-metadata-token": token})


def nearby(url: str, headers: dict[str, str], method: str = "GET") -> str:
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(Request(url, headers=headers, method=method), timeout=2) as answer:
            text: str = answer.read(64 * 1024).decode()
            return text
    except (OSError, HTTPException) as error:
        raise Failure(DENIED, f"{_NONE}: {url}: {error}") from None
