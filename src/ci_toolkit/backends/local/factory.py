"""Makes sandboxes from the settings of a backend; between `LocalBackend` and `isolation`."""

import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ci_toolkit.backends.local import environment
from ci_toolkit.backends.local.calls import Calls
from ci_toolkit.backends.local.environment import Interpreter
from ci_toolkit.backends.local.house import House
from ci_toolkit.backends.local.isolation import Bubblewrap, Isolation, Places, Unconfined
from ci_toolkit.backends.local.processes import Running
from ci_toolkit.backends.local.sandbox import LANGUAGES, LocalSandbox
from ci_toolkit.backends.local.spawning import spawn
from ci_toolkit.backends.local.wire import FrameError, HangUpError
from ci_toolkit.errors import BackendUnavailableError, ConfigurationError

__all__ = ["Factory", "Limits", "find_python"]

_HELLO_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one sandbox may use; the arguments of `LocalBackend` of the same names."""

    memory_bytes: int
    file_bytes: int
    temporary_bytes: int
    processes: int
    output_bytes: int
    output_file_bytes: int


class Factory:
    """Starts sandboxes; finds out at the first one whether this machine can.

    Args:
        isolation: As for `LocalBackend`.
        network: As for `LocalBackend`.
        python: Absolute path of the interpreter.
        env: As for `LocalBackend`.
        limits: What each sandbox may use.
    """

    def __init__(
        self,
        *,
        isolation: Literal["bubblewrap", "none"],
        network: Literal["none", "host"],
        python: str,
        env: Mapping[str, str],
        limits: Limits,
    ) -> None:
        self._confined = isolation == "bubblewrap"
        self._network = network == "host"
        self._python = python
        self._env = env
        self._limits = limits
        self._lock = threading.Lock()
        self._found: tuple[Interpreter, Isolation, Mapping[str, str]] | None = None

    def make(self, house: House, *, warm: bool) -> LocalSandbox:
        """Starts a sandbox.

        Args:
            house: Where it lives, and who ends it.
            warm: Whether its Python is made ready before the first call.

        Raises:
            ConfigurationError: It cannot work on this machine or with these settings.
            BackendUnavailableError: It did not work this time.
        """
        house.check()
        interpreter, isolation, forwarded = self._prepare()
        folder = house.new_folder()
        try:
            places = isolation.places(folder)
            settings = self._settings(places, interpreter, warm=warm)
            env = self._environment(places, forwarded)
            running = spawn(lambda: isolation.start(folder, settings, env))
        except BaseException:
            house.end(folder.name)
            raise
        calls = Calls(running, folder.name)
        house.move_in(folder.name, calls)
        self._greet(calls, running, house, folder)
        return LocalSandbox(
            calls,
            id=folder.name,
            working_directory=places.working_directory,
            languages=LANGUAGES if interpreter.deno else LANGUAGES[:1],
            end=lambda: house.end(folder.name),
        )

    def _greet(self, calls: Calls, running: Running, house: House, folder: Path) -> None:
        try:
            calls.greet(timeout=_HELLO_SECONDS)
        except (HangUpError, TimeoutError, FrameError) as error:
            reason = running.wire.tail or str(error) or "no answer"
            house.end(folder.name)
            if "bwrap:" in reason:
                raise ConfigurationError(
                    f"bubblewrap could not set up a sandbox: {reason}"
                ) from error
            raise BackendUnavailableError(f"A sandbox did not start: {reason}") from error

    def _prepare(self) -> tuple[Interpreter, Isolation, Mapping[str, str]]:
        with self._lock:
            if self._found is None:
                interpreter = environment.inspect(self._python)
                settings = environment.forwarded_settings(os.environ, network=self._network)
                forwarded = {**settings, **self._env}
                isolation = self._isolate(interpreter, forwarded)
                self._found = interpreter, isolation, {k: v for k, v in forwarded.items() if v}
            return self._found

    def _isolate(self, interpreter: Interpreter, forwarded: Mapping[str, str]) -> Isolation:
        if self._confined:
            return Bubblewrap(
                python=interpreter,
                visible=environment.forwarded_files(forwarded),
                network=self._network,
                temporary_bytes=self._limits.temporary_bytes,
                processes=self._limits.processes,
            )
        return Unconfined(python=interpreter)

    def _settings(
        self, places: Places, interpreter: Interpreter, *, warm: bool
    ) -> dict[str, object]:
        # The limit of processes counts those of the user, so it means something only where the
        # sandbox is a user of its own; root it does not bind.
        counted = self._confined and os.geteuid() != 0
        return {
            "working_directory": places.working_directory,
            "state_dir": places.state,
            "deno": interpreter.deno,
            "keep_bytes": self._limits.output_bytes,
            "spill_bytes": self._limits.output_file_bytes,
            "memory_bytes": self._limits.memory_bytes,
            "file_bytes": self._limits.file_bytes,
            "processes": self._limits.processes if counted else None,
            "warm": warm,
        }

    def _environment(self, places: Places, forwarded: Mapping[str, str]) -> dict[str, str]:
        """Everything that the guest's environment holds."""
        state = places.state
        own = {} if self._confined else {"TMPDIR": f"{state}/tmp"}  # noqa: S108 - of its own
        # Without a network each further try would only cost its pause.
        never = {"NPM_CONFIG_FETCH_RETRIES": "0", "PIP_RETRIES": "0"}
        offline = {} if self._network else never
        return {
            **own,
            **offline,
            "DENO_DIR": f"{state}/deno",
            "HOME": places.working_directory,
            "IPYTHONDIR": f"{state}/ipython",
            "JUPYTER_CONFIG_DIR": f"{state}/jupyter",
            "JUPYTER_DATA_DIR": f"{state}/jupyter",
            "JUPYTER_RUNTIME_DIR": f"{state}/jupyter",
            "LANG": "C.UTF-8",
            "LOGNAME": "user",
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": f"{state}/matplotlib",
            "NO_COLOR": "1",
            "NPM_CONFIG_CACHE": f"{state}/cache/npm",
            "NPM_CONFIG_FUND": "false",
            "NPM_CONFIG_PREFIX": f"{state}/env",
            "NPM_CONFIG_UPDATE_NOTIFIER": "false",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PIP_CACHE_DIR": f"{state}/cache/pip",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "SHELL": "/bin/bash",
            "TERM": "dumb",
            "USER": "user",
            "XDG_CACHE_HOME": f"{state}/cache",
            "XDG_CONFIG_HOME": f"{state}/config",
            "XDG_DATA_HOME": f"{state}/data",
            **forwarded,
        }


def find_python(python: str) -> str:
    """The absolute path of an interpreter.

    Raises:
        ConfigurationError: There is none.
    """
    found = shutil.which(python)
    if found is None:
        raise ConfigurationError(f"There is no interpreter {python}.")
    return os.path.abspath(found)  # noqa: PTH100 - links are not followed: they are environments
