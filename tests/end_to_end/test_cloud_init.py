"""The user data of docs/recipes/cloud-init.md, made as it says there, and obeyed by cloud-init on a bare machine."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from terrastore.boot.documents import PAYLOAD_TYPE
from terrastore.trust import PublicKey
from terrastore.trust.envelope import PAYLOAD_TYPE as POINTER_TYPE
from terrastore.trust.signing import generate
from tests.bare_machine import SCRIPTS
from tests.recipes import pages

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bare_machine import BareMachine, Equipped

MOST_OF_EC2 = 16 * 1024
# What a distribution's file has beside users, disks and keys of hosts.
MODULES = """\
datasource_list: [NoCloud]
cloud_init_modules: [write-files]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
"""
BOOT = """
set -e
cloud-init schema --config-file /srv/user-data
cp /srv/cloud.cfg /etc/cloud/cloud.cfg
mkdir -p /var/lib/cloud/seed/nocloud
cp /srv/user-data /var/lib/cloud/seed/nocloud/
echo 'instance-id: first' >/var/lib/cloud/seed/nocloud/meta-data
cloud-init init --local
cloud-init init
cloud-init modules --mode=config
cloud-init modules --mode=final
"""


def user_data(folder: Path, trust: str, requirements: str, store: str) -> str:
    """Make user data by the page's own commands, for a store that the machine has, and for what can be seen here."""
    commands = pages.example("cloud-init", "user data")
    (folder / "trust").write_text(trust)
    (folder / "requirements.txt").write_text(requirements)
    (folder / "scripts").symlink_to(SCRIPTS)
    subprocess.run(["sh", "-euc", commands], cwd=folder, check=True)
    made = (folder / "user-data").read_text()
    assert len(made) < MOST_OF_EC2
    # The tests' Python need not be the machine's to the patch version, and there is no systemd.
    here = {
        "s3://acme-envs/web": store,
        "--no-build": "--no-build --any-patch --no-seed",
        "systemctl start app": "/srv/app/current/bin/alpha >/srv/started",
    }
    for old, new in here.items():
        assert 1 == made.count(old)
        made = made.replace(old, new)
    return made


def test_the_first_boot(machine: BareMachine, offered: Equipped, tmp_path: Path) -> None:
    """From user data and a signed store to a process that runs from a release."""
    store = offered.put_on(machine)
    key = str(tmp_path / "key")
    line = PublicKey("ci-2026", generate(key)).line
    offered.sign(store, f"v1/self/{offered.itself['tag']}.json", PAYLOAD_TYPE, key)
    offered.sign(store, f"v1/pointers/{offered.key}.json", POINTER_TYPE, key)
    (machine.folder / "user-data").write_text(user_data(tmp_path, f"{line}\n", offered.requirements, "/srv/store"))
    (machine.folder / "cloud.cfg").write_text(MODULES)
    result = machine("sh", "-c", BOOT, writable=True)
    assert 0 == result.code, result.out + result.err
    pages.told("cloud-init", "hit", pages.result(result.out), {"/srv/store": pages.STORE})
    assert "alpha 1.0\n" == (machine.folder / "started").read_text()
    assert offered.key == (machine.folder / "app/current").readlink().name
