"""How a guest is started and ended: inside bubblewrap, or unconfined; the only room that knows.

`Bubblewrap` and `Unconfined` offer the same: places as the guest sees them, a check, a start.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ci_toolkit.backends.local import mounts
from ci_toolkit.backends.local.cgroup import PidsGroup
from ci_toolkit.backends.local.environment import Interpreter
from ci_toolkit.backends.local.processes import Confined, Loose, Running, end
from ci_toolkit.backends.local.wire import Wire
from ci_toolkit.errors import BackendUnavailableError, ConfigurationError

__all__ = ["Bubblewrap", "Isolation", "Places", "Unconfined"]

GUEST = str(Path(__file__).parent / "guest")
_OPT_OUT = 'LocalBackend(isolation="none") runs code unconfined, with all your rights.'
_INSTALL = (
    "The local backend needs bubblewrap 0.8 or newer (apt install bubblewrap, "
    f"dnf install bubblewrap) on Linux. {_OPT_OUT}"
)
_SWITCH_ON = (
    "bubblewrap needs unprivileged user namespaces: see the sysctls "
    "kernel.unprivileged_userns_clone, user.max_user_namespaces and, on Ubuntu, "
    "kernel.apparmor_restrict_unprivileged_userns; a container needs a seccomp profile that "
    f"allows them. {_OPT_OUT}"
)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a sandbox's folders are, as its guest sees them."""

    working_directory: str
    state: str
    guest: str


class Isolation(Protocol):
    """A way to start guests."""

    def places(self, folder: Path) -> Places:
        """Where the folders of a session are for its guest."""
        ...

    def start(self, folder: Path, settings: dict[str, object], env: Mapping[str, str]) -> Running:
        """Starts a guest on a session's folder, which holds `home` and `state`.

        Raises:
            ConfigurationError: This machine cannot isolate in this way.
            BackendUnavailableError: It did not work this time.
        """
        ...


def find_bubblewrap() -> str:
    """The program.

    Raises:
        ConfigurationError: It is missing or too old.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise ConfigurationError(_INSTALL)
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    version = re.search(r"(\d+)\.(\d+)", done.stdout)
    if version is None or (int(version[1]), int(version[2])) < (0, 8):
        raise ConfigurationError(f"{program} is {done.stdout.strip() or 'unusable'}. {_INSTALL}")
    return program


class Bubblewrap:
    """Namespaces of the sandbox's own, a read-only system, no capabilities.

    Args:
        python: The environment that is visible inside.
        visible: More host files and folders that are visible, read-only.
        network: Whether the host's network is shared.
        temporary_bytes: Size of `/tmp` and of `/dev/shm`.
        processes: How many processes and threads a sandbox may have.
    """

    def __init__(
        self,
        *,
        python: Interpreter,
        visible: Sequence[str],
        network: bool,
        temporary_bytes: int,
        processes: int,
    ) -> None:
        self._program = find_bubblewrap()
        self._python = python
        self._shown = mounts.visible([*python.folders, python.deno, *visible])
        self._network = network
        self._temporary_bytes = temporary_bytes
        self._processes = processes

    def places(self, folder: Path) -> Places:  # noqa: ARG002 - the same in every sandbox
        """Fixed places, but never one that would hide the Python environment."""
        return Places(
            working_directory=mounts.free_place("/home/user", self._shown),
            state=mounts.free_place("/var/lib/ci", self._shown),
            guest=mounts.free_place("/opt/ci-guest", self._shown),
        )

    def start(self, folder: Path, settings: dict[str, object], env: Mapping[str, str]) -> Running:
        """Starts bubblewrap; puts the guest under a limit of processes before it runs."""
        places = self.places(folder)
        command = [self._python.path, "-I", places.guest, json.dumps(settings)]
        try:
            # It may have been swept away with other old files.
            mounts.write_etc(folder.parent / "etc")
            arguments = [*self._arguments(folder, places), *mounts.environment(env)]
            return self._launch(command, arguments)
        except OSError as error:
            raise BackendUnavailableError(f"A sandbox could not be started: {error}") from error

    def _launch(self, command: Sequence[str], arguments: Sequence[str]) -> Running:
        with contextlib.ExitStack() as ends, contextlib.ExitStack() as theirs:
            told, tell = _pipe(ends, theirs)
            wait, go = _pipe(theirs, ends)
            listed = theirs.enter_context(mounts.as_file(arguments))
            numbers = ("--info-fd", tell, "--block-fd", wait, "--args", listed)
            popen, wire = _popen(
                [self._program, *map(str, numbers), "--", *command],
                env={},
                cwd="/",
                pass_fds=(tell, wait, listed),
            )
            theirs.close()
            try:
                pid = self._first_process(_everything(told), wire)
                first = os.pidfd_open(pid)
            except BaseException:
                # The first process may be gone by now, and the program about to follow it.
                end(popen)
                wire.close()
                raise
            running = Confined(popen, wire, first, PidsGroup.make(pid, self._processes))
            try:
                os.write(go, b"g")
            except OSError:
                running.kill()
                wire.close()
                raise
            return running

    def _arguments(self, folder: Path, places: Places) -> list[str]:
        own = [
            *mounts.bind(folder / "home", places.working_directory),
            *mounts.bind(folder / "state", places.state),
            *mounts.bind(Path(GUEST), places.guest, read_only=True),
        ]
        return [
            # The guest is the first process, which none of the others can signal or look into.
            # Else bubblewrap would be, and let everybody at the pipes to the host.
            *("--unshare-all", "--as-pid-1"),
            *(["--share-net"] if self._network else []),
            *("--unshare-user", "--uid", "1000", "--gid", "1000", "--disable-userns"),
            *("--cap-drop", "ALL", "--new-session", "--die-with-parent"),
            *("--hostname", "sandbox", "--clearenv"),
            *mounts.system(self._temporary_bytes),
            *mounts.settings(folder.parent / "etc", network=self._network),
            *own,
            *(
                word
                for path in self._shown
                for word in mounts.bind(Path(path), path, read_only=True)
            ),
            *("--chdir", places.working_directory, "--remount-ro", "/dev", "--remount-ro", "/"),
        ]

    def _first_process(self, told: bytes, wire: Wire) -> int:
        try:
            return int(json.loads(told)["child-pid"])
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(f"bubblewrap failed: {wire.tail}\n{_SWITCH_ON}") from None


class Unconfined:
    """No isolation at all: the code has every right of this process's user.

    Args:
        python: The environment that code runs in.
    """

    def __init__(self, *, python: Interpreter) -> None:
        self._python = python

    def places(self, folder: Path) -> Places:
        """The host's own paths."""
        return Places(
            working_directory=str(folder / "home"), state=str(folder / "state"), guest=GUEST
        )

    def start(self, folder: Path, settings: dict[str, object], env: Mapping[str, str]) -> Running:
        """Starts the guest as an ordinary process."""
        command = [self._python.path, "-I", GUEST, json.dumps(settings)]
        marked = {**env, "CI_SANDBOX": folder.name}
        try:
            popen, wire = _popen(command, env=marked, cwd=str(folder / "home"), pass_fds=())
        except OSError as error:
            raise BackendUnavailableError(f"The guest could not be started: {error}") from error
        return Loose(popen, wire, f"CI_SANDBOX={folder.name}")


def _pipe(read: contextlib.ExitStack, write: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed with what they belong to."""
    ends = os.pipe()
    for end_of_pipe, owner in zip(ends, (read, write), strict=True):
        owner.callback(os.close, end_of_pipe)
    return ends


def _everything(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, 4096):
        parts.append(part)
    return b"".join(parts)


def _popen(
    command: list[str], *, env: Mapping[str, str], cwd: str, pass_fds: Sequence[int]
) -> tuple["subprocess.Popen[bytes]", Wire]:
    """Starts a process, and gives the wire to its standard streams.

    The pipes are made here, since `Popen` loses those that it has made when the next one fails.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        stdin, write = _pipe(theirs, ours)
        read, stdout = _pipe(ours, theirs)
        errors, stderr = _pipe(ours, theirs)
        popen = subprocess.Popen(  # noqa: S603 - this is what a sandbox is for
            command,
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        ours.pop_all()
    return popen, Wire(write=write, read=read, errors=errors)
