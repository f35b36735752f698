"""Contract suites: subclass one, give its fixture, and a backend or workspace of yours is checked.

```python
class TestMyBackend(BackendContract):
    known_differences = {"test_that_cannot_pass": "why"}

    @pytest.fixture
    def backend(self):
        backend = MyBackend()
        yield backend
        backend.close()
```

The suites need pytest; what else lies in this room does not, so they are imported when asked for.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ci_toolkit.testing.backends import COMMANDS, BackendContract
    from ci_toolkit.testing.contract import Contract
    from ci_toolkit.testing.workspaces import WorkspaceContract

__all__ = ["COMMANDS", "BackendContract", "Contract", "WorkspaceContract"]

_PLACES = {
    "COMMANDS": "ci_toolkit.testing.backends",
    "BackendContract": "ci_toolkit.testing.backends",
    "Contract": "ci_toolkit.testing.contract",
    "WorkspaceContract": "ci_toolkit.testing.workspaces",
}
_ASSERTING = ("backend_files", "backend_life", "backend_runs", "contract", "workspaces")


def __getattr__(name: str) -> object:
    """Imports a suite."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("pytest") is None:
        message = f"ci_toolkit.testing.{name} needs pytest: pip install pytest"
        raise ModuleNotFoundError(message, name="pytest")
    # Before the import: only then a failing comparison shows both of its sides.
    pytest = import_module("pytest")
    pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _ASSERTING))
    for known, place in _PLACES.items():
        globals()[known] = getattr(import_module(place), known)
    return globals()[name]
