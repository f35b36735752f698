"""The local backend keeps every promise of the seam, confined and unconfined."""

import pytest

from ci_toolkit.backends.base import Backend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.testing import BackendContract

pytestmark = pytest.mark.local


class TestBubblewrapContract(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return LocalBackend()


class TestUnconfinedContract(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return LocalBackend(isolation="none")
