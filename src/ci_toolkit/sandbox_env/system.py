"""What libraries need of the system, which the sandbox sees read-only; finds what is missing."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ci_toolkit.libraries import Library
from ci_toolkit.sandbox_env.environment import Environment

__all__ = ["Missing", "install_missing", "missing"]


@dataclass(frozen=True)
class Missing:
    """A part of the system that a library cannot do without.

    Attributes:
        library: The name of the library.
        what: What is missing.
        packages: The packages of Debian and Ubuntu that have it.
    """

    library: str
    what: str
    packages: tuple[str, ...]


_NEEDS: Final = {
    Missing("Wand", "ImageMagick", ("imagemagick",)): "import wand.image",
    Missing("opencv-python", "libGL and GLib", ("libgl1", "libglib2.0-0")): "import cv2",
}
"""What is needed, and a piece of code that fails without it."""


def missing(environment: Environment, libraries: Iterable[Library]) -> list[Missing]:
    """What the system lacks for these libraries, which are installed."""
    names = {library.name for library in libraries}
    return [
        each
        for each, code in _NEEDS.items()
        if each.library in names and not environment.runs(code)
    ]


def install_missing(lacking: Iterable[Missing]) -> bool:
    """Installs it with the system's package manager, where that is Debian's and this is root.

    Returns:
        Whether it was tried, and worked.
    """
    program = shutil.which("apt-get")
    if program is None or os.geteuid() != 0:
        return False
    packages = [package for each in lacking for package in each.packages]
    install = [program, "install", "-y", "-qq", "--no-install-recommends", *packages]
    # A machine that has never asked for the lists of packages knows none.
    return _ran(install) or (_ran([program, "update", "-qq"]) and _ran(install))


def _ran(command: list[str]) -> bool:
    done = subprocess.run(  # noqa: S603 - the system's own package manager
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.returncode == 0
