"""Makes the Python environment that sandboxes use, and tries the libraries in it.

For `LocalBackend(python=...)`: with an environment of its own, code in a sandbox has the promised
libraries and none of the agent's packages. `installing` makes it from pinned versions (`pins.txt`),
`checking` does one small real thing with each library in a sandbox.
"""

from ci_toolkit.sandbox_env.checking import Tried, check
from ci_toolkit.sandbox_env.environment import Environment
from ci_toolkit.sandbox_env.installing import Step, install, requirements
from ci_toolkit.sandbox_env.system import Missing, install_missing, missing

__all__ = [
    "Environment",
    "Missing",
    "Step",
    "Tried",
    "check",
    "install",
    "install_missing",
    "missing",
    "requirements",
]
