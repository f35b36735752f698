"""`LocalBackend`: starts sandboxes on this machine; the backend room of the flow."""

import os
import sys
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NoReturn

from ci_toolkit.backends.base import Abilities, Sandbox
from ci_toolkit.backends.local import cgroup, leftovers
from ci_toolkit.backends.local.factory import Factory, Limits, find_python
from ci_toolkit.backends.local.house import House
from ci_toolkit.backends.local.isolation import find_bubblewrap
from ci_toolkit.backends.local.owner import Owner
from ci_toolkit.backends.local.pool import Pool
from ci_toolkit.backends.local.sandbox import LANGUAGES, LocalSandbox
from ci_toolkit.backends.orphans import Leftover
from ci_toolkit.errors import ConfigurationError, UnsupportedError
from ci_toolkit.telemetry import scoped_logger

__all__ = ["LocalBackend"]

_log = scoped_logger(__name__)


class LocalBackend:
    """Runs code in sandboxes on this machine; a `Backend` of the seam.

    Args:
        isolation: `bubblewrap`: a sandbox with its own user, process and network namespaces, a
            read-only system and nothing of the host's files and settings but what is listed here.
            `none`: no isolation; the code has all rights of this process's user.
        network: `none`, or `host`: everything that the host reaches, itself included.
        python: Path of the interpreter of the environment that code runs in; by default this one.
            The environment is visible inside, read-only.
        env: Variables for the sandbox. It has none of the host's but these: the certificate and
            package index settings (such as `SSL_CERT_FILE`, `PIP_INDEX_URL` and, with a network,
            the proxies), where they hold no credentials, so that `pip install` works where it
            works on the host. A name given here replaces such a setting, and `""` removes it.
        warm: Number of started sandboxes that are kept ready; each is used once.
        root: Host folder below which the folders of sandboxes are made; by default the folder of
            temporary files.
        memory_bytes: Memory of each process, and of all processes of a sandbox together.
        file_bytes: Size of each file.
        temporary_bytes: Size of `/tmp` and of `/dev/shm`, which live in memory.
        processes: Processes and threads of one sandbox.
        output_bytes: How much of each output stream of a run is answered.
        output_file_bytes: How much of a longer output is kept in a file of the sandbox.

    Raises:
        ConfigurationError: The settings are wrong, or bubblewrap is missing.
    """

    name = "local"
    languages: tuple[str, ...] = LANGUAGES

    def __init__(  # noqa: PLR0913 - each is a setting of its own, by keyword only
        self,
        *,
        isolation: Literal["bubblewrap", "none"] = "bubblewrap",
        network: Literal["none", "host"] = "none",
        python: str | None = None,
        env: Mapping[str, str] | None = None,
        warm: int = 0,
        root: str | os.PathLike[str] | None = None,
        memory_bytes: int = 4 * 1024**3,
        file_bytes: int = 8 * 1024**3,
        temporary_bytes: int = 1024**3,
        processes: int = 512,
        output_bytes: int = 128 * 1024,
        output_file_bytes: int = 64 * 1024**2,
    ) -> None:
        _check(isolation, network)
        self._network: Literal["none", "host"] = "host" if isolation == "none" else network
        self._factory = Factory(
            isolation=isolation,
            network=self._network,
            python=find_python(os.fspath(python or sys.executable)),
            env=dict(env or {}),
            limits=Limits(
                memory_bytes=memory_bytes,
                file_bytes=file_bytes,
                temporary_bytes=temporary_bytes,
                processes=processes,
                output_bytes=output_bytes,
                output_file_bytes=output_file_bytes,
            ),
        )
        self._root = None if root is None else os.fspath(root)
        self._house = House(self._root)
        self._pool = Pool(warm, weakref.WeakMethod(self._make))
        self._finalizer = weakref.finalize(self, _close, self._pool, self._house, Owner())
        if isolation == "none":
            _log.warning("LocalBackend runs code without isolation, with all rights of this user.")
        self._pool.refill()

    @property
    def abilities(self) -> Abilities:
        """What the network setting says; all else that a backend can do, but no `attach`."""
        return Abilities(network=self._network, stateful=frozenset(LANGUAGES))

    def start(self, *, name: str) -> Sandbox:
        """Starts a sandbox, or takes one that is ready; see `Backend.start`."""
        self._house.check()
        sandbox = self._pool.take() or self._make()
        sandbox.owner = self
        _log.debug("Sandbox %s is %r.", sandbox.id, name)
        return sandbox

    def attach(self, sandbox_id: str) -> NoReturn:
        """A sandbox here belongs to the process that started it; see `Backend.attach`."""
        raise UnsupportedError(f"A local sandbox cannot be attached to ({sandbox_id:.50}).")

    def list_leftovers(self, prefix: str) -> tuple[Leftover, ...]:
        """Folders of processes that were killed; see `Orphans.list_leftovers`.

        Sandboxes end with their process, and their folders keep no names, so that the prefix is
        that of the folders.
        """
        return tuple(
            Leftover(id=str(root), name=root.name, started=changed, abandoned=True)
            for root, changed in leftovers.abandoned(self._root)
            if root.name.startswith(prefix)
        )

    def end_leftover(self, leftover_id: str) -> None:
        """Removes such a folder, and empty control groups; see `Orphans.end_leftover`."""
        if leftover_id in {str(root) for root, _ in leftovers.abandoned(self._root)}:
            leftovers.remove_abandoned(Path(leftover_id))
        cgroup.sweep()

    def close(self) -> None:
        """Ends every sandbox of this backend; see `Backend.close`."""
        self._finalizer()

    def _make(self, *, warm: bool = False) -> LocalSandbox:
        return self._factory.make(self._house, warm=warm)


def _check(isolation: str, network: str) -> None:
    if isolation not in ("bubblewrap", "none"):
        raise ConfigurationError(f'isolation is "bubblewrap" or "none", not {isolation!r}.')
    if network == "internet":
        raise ConfigurationError(
            'network="internet" is not available in the local backend yet: '
            'use "none", or "host", which shares the network of this machine.'
        )
    if network not in ("none", "host"):
        raise ConfigurationError(f'network is "none" or "host", not {network!r}.')
    if isolation == "bubblewrap":
        find_bubblewrap()


def _close(pool: Pool, house: House, owner: Owner) -> None:
    """Ends everything; knows the backend no more, which may be gone."""
    # A fork has the same finalizers, and runs them when it ends.
    if owner.is_here:
        pool.close()
        house.close()
