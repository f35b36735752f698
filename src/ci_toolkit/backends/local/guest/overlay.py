"""A small virtual environment on top of the read-only one, so that `pip install` has a place.

It shows everything of the environment below, and what is installed into it goes first.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
import sysconfig

_PIP = """#!/bin/sh
"{python}" -c 'import pip' 2>/dev/null || "{python}" -m ensurepip -q || exit 1
exec "{python}" -m pip "$@"
"""


def make(state_dir: str) -> str:
    """Writes the environment; gives the folder of its programs."""
    root = os.path.join(state_dir, "env")
    programs = os.path.join(root, "bin")
    packages = sysconfig.get_path("purelib", "venv", vars={"base": root, "platbase": root})
    os.makedirs(programs)
    os.makedirs(packages)
    interpreter = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    _write(
        os.path.join(root, "pyvenv.cfg"),
        f"home = {os.path.dirname(interpreter)}\ninclude-system-site-packages = false\n"
        f"version = {'.'.join(map(str, sys.version_info[:3]))}\n",
    )
    lines = [f"import site; site.addsitedir({path!r})\n" for path in site.getsitepackages()]
    _write(os.path.join(packages, "_below.pth"), "".join(lines))
    python = os.path.join(programs, "python")
    for name in ("python", "python3", "python{}.{}".format(*sys.version_info)):
        os.symlink(interpreter, os.path.join(programs, name))
    for name in ("pip", "pip3"):
        _write(os.path.join(programs, name), _PIP.format(python=python), mode=0o755)
    return programs


def environment(programs: str) -> dict[str, str]:
    """The environment of everything that the user runs: this one with the new programs first."""
    below = os.path.dirname(sys.executable)
    path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    return {
        **os.environ,
        "PATH": os.pathsep.join(dict.fromkeys([programs, below, *path.split(os.pathsep)])),
        "VIRTUAL_ENV": os.path.dirname(programs),
    }


def _write(path: str, text: str, *, mode: int = 0o644) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    with contextlib.suppress(OSError):
        os.chmod(path, mode)
