"""What every contract suite has: differences that are known, told and checked."""

from typing import ClassVar

import pytest

__all__ = ["Contract"]


class Contract:
    """A suite of tests that a subclass runs on an implementation of its own.

    Attributes:
        known_differences: Tests that cannot pass here, by name, and why. They have to fail: a
            difference that is gone fails the suite.
    """

    known_differences: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _known_difference(self, request: pytest.FixtureRequest) -> None:
        name = getattr(request.node, "originalname", request.node.name)
        if name in self.known_differences:
            mark = pytest.mark.xfail(reason=self.known_differences[name], strict=True)
            request.node.add_marker(mark)

    def test_every_known_difference_names_a_test(self) -> None:
        missing = [name for name in self.known_differences if not hasattr(self, name)]
        assert missing == []
