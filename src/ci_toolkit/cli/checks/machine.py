"""The machine: Python, space for sandboxes, limits on processes."""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

from ci_toolkit.cli.checks.findings import Finding, carry_out

__all__ = ["check_machine"]

_LEAST_BYTES = 1024**3
_GIB = 1024**3


def check_machine() -> Iterator[Finding]:
    """What this machine has."""
    yield carry_out("machine", 10, _machine)
    yield carry_out("disk", 10, _disk)
    yield carry_out("cgroups", 15, _cgroups)
    yield carry_out("node", 15, _node)


def _machine() -> Finding:
    system = f"{platform.system()} {platform.machine()}"
    return Finding(
        check="machine", status="ok", found=f"Python {platform.python_version()} on {system}"
    )


def _disk() -> Finding:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    found = f"{free / _GIB:.1f} GiB free in {folder}, where sandboxes write"
    if free >= _LEAST_BYTES:
        return Finding(check="disk", status="ok", found=found)
    advice = "Make room, or set TMPDIR to a folder on a larger disk."
    return Finding(check="disk", status="warn", found=found, advice=advice)


def _cgroups() -> Finding:
    """Makes a group as the local backend does for each sandbox."""
    from ci_toolkit.backends.local.cgroup import PidsGroup  # noqa: PLC0415 - not on every system

    with subprocess.Popen(["/bin/sh", "-c", "read _"], stdin=subprocess.PIPE) as process:
        group = PidsGroup.make(process.pid, 16)
        process.communicate(b"\n")
    if group is not None:
        group.remove()
        found = "the processes of a sandbox are bounded by a group of their own"
        return Finding(check="cgroups", status="ok", found=found)
    if os.geteuid() != 0:
        found = "none can be made here; the user's own limit bounds the processes of a sandbox"
        return Finding(check="cgroups", status="ok", found=found)
    return Finding(
        check="cgroups",
        status="warn",
        found="none can be made here, and root has no other limit: a sandbox may start any number "
        "of processes",
        advice="Run as another user than root, or make /sys/fs/cgroup writable.",
    )


def _node() -> Finding:
    program = shutil.which("node")
    if program is None:
        found = "not installed, and not needed: JavaScript runs on Deno"
        return Finding(check="node", status="off", found=found)
    done = subprocess.run(  # noqa: S603 - the user's own
        [program, "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    found = f"{done.stdout.strip()}, not needed: JavaScript runs on Deno"
    return Finding(check="node", status="ok", found=found)
