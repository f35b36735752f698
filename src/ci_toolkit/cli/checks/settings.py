"""What the user asked `ci-toolkit doctor` to look at."""

from dataclasses import dataclass
from typing import Any

from ci_toolkit.backends.base import Backend
from ci_toolkit.cli.options import BackendName, IsolationName, NetworkName, open_backend

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of the command, by their names."""

    backend: BackendName = "local"
    isolation: IsolationName = "bubblewrap"
    network: NetworkName = "none"
    python: str | None = None
    region: str | None = None
    identifier: str | None = None
    endpoint_url: str | None = None
    workspace: str = ""

    def open(self, name: BackendName) -> Backend:
        """The backend of this name, with these settings."""
        of_local: dict[str, Any] = {"isolation": self.isolation, "python": self.python}
        of_service: dict[str, Any] = {
            "region": self.region,
            "identifier": self.identifier,
            "endpoint_url": self.endpoint_url,
            "session_timeout": 300,
        }
        # The network of the one need not be one that the other can have.
        network = self.network if name == self.backend else "none"
        return open_backend(name, network=network, **(of_local if name == "local" else of_service))
