"""The sandbox on this machine: bubblewrap, each language, figures, fonts, what was left behind."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec

from ci_toolkit.backends.base import Backend, Sandbox
from ci_toolkit.backends.orphans import Orphans
from ci_toolkit.cli.checks.findings import Finding, carry_out
from ci_toolkit.cli.checks.settings import Settings

__all__ = ["check_local"]

_INSTALL = "pip install 'ci-toolkit[local]'"
_ANSWERS = {
    "python": "print(6 * 7)",
    "javascript": "console.log(6 * 7)",
    "typescript": "const answer: number = 6 * 7; console.log(answer)",
}
_FIGURE = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
_SCRIPTS = {
    "Latin": "A\u00e9",
    "Greek": "\u03b1",
    "Cyrillic": "\u0416",
    "Chinese": "\u4e2d",
    "Japanese": "\u3042",
    "Korean": "\ud55c",
}
_FONTS = """
from matplotlib import font_manager, ft2font
held = set()
for font in font_manager.fontManager.ttflist:
    try:
        held |= set(ft2font.FT2Font(font.fname).get_charmap())
    except Exception:
        pass
print(" ".join(name for name, text in {scripts!r}.items() if not set(map(ord, text)) <= held))
"""
_REACH = """
import socket
try:
    socket.create_connection(("1.1.1.1", 53), timeout=3).close()
    print("reached")
except OSError:
    print("not reached")
"""


def check_local(settings: Settings) -> Iterator[Finding]:
    """Starts a sandbox with the user's settings, and runs something of everything in it."""
    if settings.python is None and find_spec("ipykernel") is None:
        found = "not set up: the extra 'local' is not installed"
        yield Finding(check="sandbox", status="off", found=found, advice=_INSTALL)
        return
    if settings.isolation == "bubblewrap":
        bubblewrap = carry_out("bubblewrap", 15, _bubblewrap)
        yield bubblewrap
        if bubblewrap.status == "fail":
            return
    deno = carry_out("deno", 60, lambda: _deno(settings))
    yield deno
    with ExitStack() as stack:
        started: list[Sandbox] = []
        yield carry_out("sandbox", 60, lambda: _sandbox(settings, stack, started))
        if not started:
            return
        (sandbox,) = started
        for language, code in _ANSWERS.items():
            if language == "python" or deno.status == "ok":
                yield carry_out(language, 60, partial(_language, sandbox, language, code))
        yield carry_out("shell", 30, lambda: _shell(sandbox))
        yield carry_out("figures", 90, lambda: _figures(sandbox))
        yield carry_out("fonts", 60, lambda: _fonts(sandbox))
        yield carry_out("network", 30, lambda: _network(sandbox, settings))
    yield carry_out("leftovers", 30, lambda: _leftovers(settings))


def _bubblewrap() -> Finding:
    from ci_toolkit.backends.local.isolation import find_bubblewrap  # noqa: PLC0415 - not on every system

    program = find_bubblewrap()
    done = subprocess.run(  # noqa: S603 - it was looked for
        [program, "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    return Finding(check="bubblewrap", status="ok", found=f"{done.stdout.strip()}, {program}")


def _deno(settings: Settings) -> Finding:
    from ci_toolkit.backends.local.environment import inspect  # noqa: PLC0415 - not on every system

    program = inspect(settings.python or sys.executable).deno
    if not program:
        found = "not in the sandbox's environment: no JavaScript and no TypeScript"
        return Finding(check="deno", status="off", found=found, advice=_INSTALL)
    done = subprocess.run(  # noqa: S603 - of the sandbox's environment
        [program, "--version"], capture_output=True, text=True, timeout=20, check=False
    )
    return Finding(check="deno", status="ok", found=done.stdout.partition("\n")[0])


def _sandbox(settings: Settings, stack: ExitStack, started: list[Sandbox]) -> Finding:
    backend: Backend = settings.open("local")
    stack.callback(backend.close)
    started.append(backend.start(name="ci-toolkit-doctor"))
    if settings.isolation == "none":
        advice = "Use it only where all code is trusted, or where the machine is a sandbox itself."
        found = "started, unconfined: code has all your rights"
        return Finding(check="sandbox", status="warn", found=found, advice=advice)
    found = "started in namespaces of its own, with a read-only system"
    return Finding(check="sandbox", status="ok", found=found)


def _language(sandbox: Sandbox, language: str, code: str) -> Finding:
    execution = sandbox.execute_code(code, language=language, timeout=45)
    if execution.stdout.strip() == "42":
        return Finding(check=language, status="ok", found="6 * 7 = 42")
    said = (execution.stderr or execution.stdout).strip().rpartition("\n")[2]
    return Finding(check=language, status="fail", found=said[:300] or "it answered nothing")


def _shell(sandbox: Sandbox) -> Finding:
    execution = sandbox.execute_command('echo "${BASH_VERSION:-sh}"', timeout=20)
    version = execution.stdout.strip()
    if execution.failed or not version:
        return Finding(check="shell", status="fail", found=execution.stderr.strip()[:300])
    if version == "sh":
        advice = "Install bash: models write for it."
        return Finding(check="shell", status="warn", found="sh, not bash", advice=advice)
    return Finding(check="shell", status="ok", found=f"bash {version}")


def _figures(sandbox: Sandbox) -> Finding:
    execution = sandbox.execute_code(_FIGURE, timeout=80)
    if execution.images:
        found = f"matplotlib drew one of {len(execution.images[0].data):,} bytes"
        return Finding(check="figures", status="ok", found=found)
    said = execution.stderr.strip().rpartition("\n")[2]
    advice = "pip install 'ci-toolkit[data]' in the environment of the sandbox"
    return Finding(check="figures", status="off", found=said[:300], advice=advice)


def _fonts(sandbox: Sandbox) -> Finding:
    execution = sandbox.execute_code(_FONTS.format(scripts=_SCRIPTS), timeout=45)
    if execution.failed:
        return Finding(check="fonts", status="off", found="matplotlib is not there to ask")
    missing = execution.stdout.split()
    if missing:
        return Finding(
            check="fonts",
            status="warn",
            found=f"figures have no letters for {', '.join(missing)}",
            advice="apt-get install fonts-noto-cjk fonts-dejavu",
        )
    return Finding(check="fonts", status="ok", found=f"letters for {', '.join(_SCRIPTS)}")


def _network(sandbox: Sandbox, settings: Settings) -> Finding:
    reached = sandbox.execute_code(_REACH, timeout=20).stdout.strip() == "reached"
    open_to_it = settings.isolation == "none" or settings.network != "none"
    if reached and not open_to_it:
        found = "code reaches the internet, which it must not"
        return Finding(check="network", status="fail", found=found)
    if open_to_it:
        found = "code has the network of this machine" + ("" if reached else ", without internet")
        return Finding(check="network", status="ok", found=found)
    return Finding(check="network", status="ok", found="code reaches nothing, as asked")


def _leftovers(settings: Settings) -> Finding:
    backend = settings.open("local")
    try:
        left = backend.list_leftovers("") if isinstance(backend, Orphans) else ()
    finally:
        backend.close()
    if not left:
        return Finding(check="leftovers", status="ok", found="no folders of processes that crashed")
    return Finding(
        check="leftovers",
        status="warn",
        found=f"folders of processes that crashed: {len(left)}",
        advice="ci-toolkit doctor --stop-orphans",
    )
