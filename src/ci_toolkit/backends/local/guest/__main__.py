"""The program inside a sandbox: takes requests on standard input, answers on standard output.

Started as `python -I <this folder> <settings as JSON>`. The main thread reads requests and hears
interrupts; one worker thread does the work, so that one thing is done at a time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import overlay
import processes
import watch
from python import PythonKernel
from wire import Wire


def _standard_streams() -> tuple[int, int]:
    """Takes the host's pipes away from descriptors 0 and 1, where others might use them."""
    ends = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return ends


def main() -> None:
    """Serves one host until it hangs up."""
    # A handler, and not SIG_IGN, which the programs that it starts would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    settings: dict[str, Any] = json.loads(sys.argv[1])
    wire = Wire(*_standard_streams())
    processes.become_guest()
    watch.limit_processes(settings)
    os.chdir(settings["working_directory"])
    programs = overlay.make(settings["state_dir"])
    python = PythonKernel(
        os.path.join(programs, "python"),
        env=overlay.environment(programs),
        state_dir=settings["state_dir"],
        working_directory=settings["working_directory"],
    )
    # First of all, for it takes longest; nobody waits for it before the first run.
    python.prepare()
    wire.send({"event": "hello", "pid": os.getpid()})
    from guest import Guest  # noqa: PLC0415 - imported while the kernel starts

    guest = Guest(wire, settings, python, overlay.environment(programs))
    try:
        guest.serve()
    finally:
        processes.end_all()
        os._exit(0)


if __name__ == "__main__":
    main()
