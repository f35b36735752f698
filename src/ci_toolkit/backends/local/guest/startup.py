"""The Python kernel's own process: ipykernel, changed so that its output is exact and bounded.

Started by `python.py` as a script, with a connection file and the descriptor of the interrupt
pipe. Everything textual (prints, values, displays, tracebacks) goes through descriptors 1 and 2;
only pictures travel as Jupyter messages.
"""

from __future__ import annotations

import base64
import builtins
import contextlib
import os
import signal
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
# The folder of this script is no place to import from in the user's program.
sys.path[:] = [entry for entry in sys.path if entry != _HERE]
# Without the debugger a kernel starts faster; the user may still import it.
sys.modules["debugpy"] = None  # type: ignore[assignment]
from ipykernel.displayhook import ZMQShellDisplayHook  # noqa: E402
from ipykernel.ipkernel import IPythonKernel  # noqa: E402
from ipykernel.kernelapp import IPKernelApp  # noqa: E402
from ipykernel.zmqshell import ZMQDisplayPublisher, ZMQInteractiveShell  # noqa: E402
from traitlets import Type  # noqa: E402
from traitlets.config import Config  # noqa: E402

sys.path.insert(0, _HERE)
import figures  # noqa: E402
import stopping  # noqa: E402
import streams  # noqa: E402

del sys.path[0]

_IMAGES = 16
_IMAGE_BYTES = 20_000_000
_IMAGE_TYPES = ("image/png", "image/jpeg")
_run: ContextVar[int] = ContextVar("run")
_callable, _vars, _setattr = callable, vars, setattr
_BUILTINS = {name: value for name, value in vars(builtins).items() if callable(value)}


class Publisher(ZMQDisplayPublisher):
    """Prints the text of what is displayed, and publishes its pictures, so many and no more."""

    def start_run(self) -> None:
        """Begins to count anew."""
        self._images_left = _IMAGES
        self._bytes_left = _IMAGE_BYTES
        self._left_out = False
        self._run = getattr(self, "_run", 0) + 1
        _run.set(self._run)
        self._older = weakref.WeakSet(threading.enumerate())
        self._older.discard(threading.current_thread())

    def publish(self, data: dict[str, Any], *_args: Any, **_options: Any) -> None:
        """Shows one object in the formats that it has."""
        if "text/plain" in data:
            print(data["text/plain"])  # noqa: T201
        for media_type in _IMAGE_TYPES:
            image = data.get(media_type)
            if isinstance(image, str):
                with contextlib.suppress(ValueError):
                    image = base64.b64decode(image)
            if isinstance(image, bytes):
                self.publish_image(media_type, image)

    def publish_image(self, media_type: str, image: bytes) -> None:
        """Sends a picture, unless the run has shown too many or it is an earlier run's."""
        if not self._of_this_run():
            return
        if self._images_left < 1 or len(image) > self._bytes_left:
            if not self._left_out:
                said = f"[pictures were left out: a run shows {_IMAGES}, of 20 MB together]"
                print(said, file=sys.stderr)  # noqa: T201 - it is the run's own output
            self._left_out = True
            return
        self._images_left -= 1
        self._bytes_left -= len(image)
        super().publish({media_type: image})

    def _of_this_run(self) -> bool:
        # Tasks carry the run that began them, as do threads that work for one. Of other threads
        # no more is known than when they were started.
        run = _run.get(None)
        if run is None:
            return threading.current_thread() not in self._older
        return run == self._run

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002
        """Leaves what has been printed where it is."""


class EchoHook(ZMQShellDisplayHook):
    """Prints the value of a last expression as plain Python would, and keeps it only in `_`."""

    shell: Any

    def start_displayhook(self) -> None:
        """Nothing goes to a front end."""

    def write_output_prompt(self) -> None:
        """There is no prompt."""

    def write_format_data(self, format_dict: dict[str, Any], _md: object = None) -> None:
        """Shows the value like anything displayed."""
        self.shell.display_pub.publish(format_dict)

    def update_user_ns(self, result: object) -> None:
        """Keeps the last value, and no older ones that would fill the memory."""
        self.shell.user_ns["_"] = result

    def log_output(self, _format_dict: object) -> None:
        """Keeps no history."""

    def finish_displayhook(self) -> None:
        """Nothing went to a front end."""


class Exit:
    """`exit` and `quit`: end the run, not the session."""

    def __repr__(self) -> str:
        return "Use exit() to end this run; the session goes on."

    def __call__(self, code: object = None) -> None:
        """Ends the run.

        Raises:
            SystemExit: Always.
        """
        raise SystemExit(code)


class Shell(ZMQInteractiveShell):
    """IPython with tracebacks on standard error and exit codes."""

    displayhook_class = Type(EchoHook)
    display_pub_class = Type(Publisher)

    exit_code: int | None = None

    def _showtraceback(self, etype: type, evalue: BaseException, stb: Iterable[str]) -> None:
        self.exit_code = 1
        if issubclass(etype, SystemExit):
            self.exit_code = _exit_code(evalue)
        elif etype.__name__ in {"KeyboardInterrupt", "CancelledError"} and stopping.asked():
            sys.stderr.write(stopping.place(evalue, self))
        else:
            shown = [part for part in stb if _HERE not in part]
            sys.stderr.write("\n".join(shown).rstrip("\n") + "\n")

    def system(self, cmd: str) -> None:
        """Runs `!command` with the streams of this process, each for itself."""
        self.system_raw(cmd)

    def enable_matplotlib(self, gui: str | None = None) -> tuple[str | None, str]:
        """Stays with the way figures are shown here, whatever `%matplotlib` asks for."""
        return gui, "agg"


class Kernel(IPythonKernel):
    """ipykernel whose replies carry the exit code."""

    shell: Any
    shell_class = Type(Shell)

    def raw_input(self, prompt: str = "") -> str:
        """Stands for `input`; there is nobody to type.

        Raises:
            EOFError: Always, as Python does at the end of its standard input.
        """
        raise EOFError(
            "input() has nothing to read here: put the values into the code"
            + (f" (asked for: {prompt})" if prompt else "")
        )

    def getpass(self, prompt: str = "", *_args: Any, **_options: Any) -> str:
        """Stands for `getpass.getpass`, likewise."""
        return self.raw_input(prompt)

    def pre_handler_hook(self) -> None:
        """Leaves SIGINT ignored: it must stop the user's code and never what is around it."""

    def post_handler_hook(self) -> None:
        """Leaves SIGINT ignored, likewise."""

    async def do_execute(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Runs one cell; only here does SIGINT stop anything."""
        code = 1
        try:
            try:
                code = await self._execute(*args, **options)
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        except KeyboardInterrupt:
            # It came while IPython was at work for the user, and not in the user's own code.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            sys.stderr.write("KeyboardInterrupt: stopped\n")
        finally:
            _mend()
        count = self.shell.execution_count
        return {"status": "ok", "execution_count": count, "exit_code": code}

    async def _execute(self, *args: Any, **options: Any) -> int:
        shell = self.shell
        shell.exit_code = None
        shell.display_pub.start_run()
        stopping.start_run()
        _mend()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            reply: dict[str, Any] = await super().do_execute(*args, **options)
        except Exception:  # noqa: BLE001 - without a reply the run would last until its limit
            _mend()
            traceback.print_exc()
            return 1
        return int(reply["status"] == "error") if shell.exit_code is None else shell.exit_code


def _mend() -> None:
    """Undoes what a run has broken for all that follow; what it has only changed, stays."""
    for name, value in _BUILTINS.items():
        if not _callable(_vars(builtins).get(name)):
            _setattr(builtins, name, value)
    streams.repair()


def _exit_code(left: BaseException) -> int:
    code = getattr(left, "code", None)
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)  # noqa: T201
    return 1


def _settings() -> Config:
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.cache_size = 0
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.xmode = "Plain"
    config.InteractiveShellApp.exec_PYTHONSTARTUP = False
    config.IPKernelApp.log_level = 50
    return config


def _adapt(shell: Any) -> None:
    """Changes what has no setting."""
    warnings.filterwarnings("ignore", "To exit: use", UserWarning)
    if hasattr(shell, "_tee"):
        # It keeps all that was ever printed, in memory and for ever.
        shell._tee = lambda **_: contextlib.nullcontext()  # noqa: SLF001
    shell.display_formatter.active_types = ["text/plain", *_IMAGE_TYPES]
    shell.user_ns["exit"] = shell.user_ns["quit"] = Exit()
    shell.display_pub.start_run()
    shell.events.register("post_execute", lambda: figures.show_open(shell.display_pub))
    shell.events.register("post_execute", streams.flush)


def main() -> None:
    """Runs the kernel until it is killed."""
    connection_file, interrupt_fd = sys.argv[1], int(sys.argv[2])
    streams.install()
    figures.watch_imports()
    app = IPKernelApp.instance(
        config=_settings(),
        kernel_class=Kernel,
        connection_file=connection_file,
        outstream_class=None,
    )
    before = dict(os.environ)
    app.initialize([])
    # It asks all programs for colours, which a reader of plain text does not want.
    os.environ.clear()
    os.environ.update(before)
    sys.modules.pop("debugpy", None)
    sys.argv[:] = [""]
    _adapt(app.shell)
    stopping.listen(interrupt_fd, app)
    app.start()


if __name__ == "__main__":
    main()
