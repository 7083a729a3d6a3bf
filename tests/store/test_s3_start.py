"""What it takes to the first answer of S3: which modules, how many clients."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.store.test_s3_faults import OnWire

if TYPE_CHECKING:
    from terrastore.store.s3 import S3Store
    from tests.wire import Wire

READ = """
import json, sys
from terrastore.store.locations import open_store
store = open_store(sys.argv[1])
before = "botocore" in sys.modules
missing = store.read("v1/pointers/key.json") is None
modules = sorted(sys.modules)
from terrastore.store.s3 import client
print(json.dumps([before, missing, modules, client._client.cache_info().currsize]))
"""
# What botocore needs, and certifi where something else has brought it.
PACKAGES = {"botocore", "certifi", "dateutil", "jmespath", "six", "terrastore", "urllib3"}
HEAVY = {
    "asyncio",
    "concurrent.futures.process",
    "multiprocessing",
    "pydoc",
    "terrastore.archive",
    "terrastore.build",
    "terrastore.store.s3.upload",
    "unittest",
    "urllib3.contrib.pyopenssl",
    "urllib3.contrib.socks",
    "urllib3.http2.connection",
}


class TestStart(OnWire):
    """A process that asks a bucket for one object."""

    def asked(self, store: S3Store, parameters: str) -> Any:
        """Return what a new process tells of it."""
        command = [sys.executable, "-c", READ, f"{store}{parameters}"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def test_what_is_imported(self, wire: Wire, store: S3Store, parameters: str) -> None:
        """With the store nothing of botocore; with the first object botocore alone, and what it cannot do without."""
        before, missing, modules, _ = self.asked(store, parameters)
        assert (False, True) == (before, missing)
        assert ["GetObject"] == [request.operation for request in wire.requests]
        plain = [sys.executable, "-c", "import sys; print(*sys.modules)"]
        own = set(subprocess.run(plain, check=True, capture_output=True, text=True).stdout.split())
        packages = {name.partition(".")[0] for name in {*modules} - own}
        assert set() == packages - PACKAGES - {*sys.stdlib_module_names, "__editable__"}
        assert set() == HEAVY & {*modules}

    def test_one_client_is_made(self, store: S3Store, parameters: str) -> None:
        """The one that is patient with uploads waits for somebody who uploads."""
        assert 1 == self.asked(store, parameters)[3]
