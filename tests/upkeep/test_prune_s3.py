"""Pruning in S3: where a removal can be conditional, and where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.pruning import PruneContract
from tests.store.test_s3 import OnServer

if TYPE_CHECKING:
    from terrastore.store.s3 import S3Store


class TestMoto(OnServer, PruneContract):
    kind = "moto"


class TestRadosgw(OnServer, PruneContract):
    kind = "radosgw"

    def test_it_is_known_that_removals_heed_conditions(self, store: S3Store) -> None:
        """A probe tells, which does not stay."""
        assert store._removes_by_version
        assert set() == self.everything()


class TestOld(OnServer, PruneContract):
    """Conditions of a removal do not count there: looking comes before it."""

    kind = "radosgw_16"
    tls = True

    def test_it_is_known_that_removals_heed_no_conditions(self, store: S3Store) -> None:
        """A probe tells, which does not stay."""
        assert not store._removes_by_version
        assert set() == self.everything()
