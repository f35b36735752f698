"""The local backend keeps every promise of the seam, confined and unconfined."""

from collections.abc import Iterator

import pytest

from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.testing import BackendContract

pytestmark = pytest.mark.local


class TestBubblewrap(BackendContract):
    @pytest.fixture
    def backend(self) -> Iterator[LocalBackend]:
        backend = LocalBackend()
        yield backend
        backend.close()


class TestUnconfined(BackendContract):
    @pytest.fixture
    def backend(self) -> Iterator[LocalBackend]:
        backend = LocalBackend(isolation="none")
        yield backend
        backend.close()
