"""One virtual environment on disk; knows nothing of what is in it."""

import os
import subprocess
from pathlib import Path

from ci_toolkit.errors import ConfigurationError

__all__ = ["Environment"]

_OLDEST = (3, 11)


class Environment:
    """A virtual environment.

    Args:
        path: Its folder, which need not be there yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()

    @property
    def python(self) -> str:
        """Path of its interpreter, as `LocalBackend(python=...)` takes it."""
        return str(self.path / "bin" / "python")

    def make(self, base: str) -> None:
        """Makes it with an installer of its own, where that is not done already.

        Args:
            base: The interpreter that it is made with.

        Raises:
            ConfigurationError: The folder holds something else, or the interpreter cannot do it.
        """
        if (self.path / "pyvenv.cfg").is_file():
            if self.runs("import pip"):
                return
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigurationError(
                f"{self.path} holds something else than an environment: name another --path."
            )
        _check_version(base)
        done = _run([base, "-m", "venv", str(self.path)])
        if done.returncode != 0 or not self.runs("import pip"):
            said = (done.stdout + done.stderr).strip() or "it gives no reason"
            raise ConfigurationError(
                f"{base} could not make an environment at {self.path}: {said}\n"
                "On Debian and Ubuntu this needs: apt-get install python3-venv"
            )

    def runs(self, code: str) -> bool:
        """Whether its interpreter runs a piece of code without an error."""
        return _run([self.python, "-c", code]).returncode == 0

    def answer(self, code: str) -> str:
        """What a piece of code prints, without the end of the line; empty when it fails."""
        return _run([self.python, "-c", code]).stdout.strip()


def _check_version(base: str) -> None:
    asked = _run([base, "-c", "import sys; print(*sys.version_info[:2])"])
    words = asked.stdout.split()
    if len(words) != 2:
        raise ConfigurationError(f"{base} is no interpreter of Python: {asked.stderr.strip()}")
    if tuple(map(int, words)) < _OLDEST:
        raise ConfigurationError(
            f"{base} is Python {'.'.join(words)}; the pinned versions need 3.11 or later. "
            "Name a newer one with --python."
        )


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603 - the operator's own interpreter
            command, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
