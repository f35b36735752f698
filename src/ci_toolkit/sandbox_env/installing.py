"""Installs the libraries into an environment with pip, and tells each step of it."""

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from platform import machine
from typing import Final

from ci_toolkit.errors import ConfigurationError
from ci_toolkit.libraries import Library
from ci_toolkit.sandbox_env.environment import Environment

__all__ = ["PINS", "RUNTIME", "Step", "install", "requirements"]

PINS: Final = Path(__file__).with_name("pins.txt")
"""A version for everything that is installed, what libraries need included."""

RUNTIME: Final = ("deno", "ipykernel", "jupyter_client", "tree-sitter", "tree-sitter-typescript")
"""What the local sandbox itself needs in the environment; the extra `local` is held to it."""

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_MACHINE = re.compile(r'platform_machine (==|!=) "(\w+)"')
_PIP_VERSION = "import pip; print(pip.__version__)"
_TELLS_PROGRESS = (24, 1)
_ERRORS_KEPT = 12
_FFMPEG = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"


@dataclass(frozen=True)
class Step:
    """What the installer is doing.

    Attributes:
        text: In words.
        done: How much of the download has come, in bytes.
        total: How large the download is; 0 where that is not known, or nothing is loaded.
    """

    text: str
    done: int = 0
    total: int = 0


def requirements(libraries: Iterable[Library]) -> tuple[str, ...]:
    """What has to be asked of an installer for this machine, each with its pinned version."""
    pins = _pins()
    names = [*RUNTIME, *(library.requirement for library in libraries)]
    return tuple(f"{name}=={pins[_normal(name)]}" for name in names)


def install(
    environment: Environment,
    libraries: Iterable[Library],
    *,
    base: str,
    report: Callable[[Step], None],
) -> tuple[str, ...]:
    """Makes the environment and installs what is missing; what is there already is kept.

    Packages come from where pip's own settings say, and never have to be compiled.

    Args:
        environment: Where to.
        libraries: What code in the sandbox shall find.
        base: The interpreter that the environment is made with, if it is not there yet.
        report: Told each step.

    Returns:
        The distributions that were installed now, such as `numpy-2.4.6`.

    Raises:
        ConfigurationError: It did not work; the text says why. A second try goes on from there.
    """
    report(Step(f"Seeing to the environment {environment.path}"))
    environment.make(base)
    _renew_pip(environment, report)
    installed = _pip(environment, ["--constraint", str(PINS), *requirements(libraries)], report)
    _show_ffmpeg(environment)
    return installed


def _renew_pip(environment: Environment, report: Callable[[Step], None]) -> None:
    """Makes pip the pinned one, where that can be had; it is only for telling more."""
    pinned = _pins()["pip"]
    if environment.answer(_PIP_VERSION) != pinned:
        with suppress(ConfigurationError):
            _pip(environment, [f"pip=={pinned}"], report)


def _pip(
    environment: Environment, words: list[str], report: Callable[[Step], None]
) -> tuple[str, ...]:
    # A version may be one of a preview, such as 26.0b1.
    version = tuple(map(int, re.findall(r"\d+", environment.answer(_PIP_VERSION))))
    progress = "raw" if version >= _TELLS_PROGRESS else "off"
    command = [environment.python, "-u", "-m", "pip", "install", "--no-input", "--no-color"]
    command += ["--only-binary", ":all:", "--disable-pip-version-check"]
    command += ["--progress-bar", progress, *words]
    last: list[str] = []
    installed: tuple[str, ...] = ()
    with subprocess.Popen(  # noqa: S603 - the environment's own pip
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in _lines(process, report):
            last = [*last, line][-_ERRORS_KEPT:]
            if line.startswith("Successfully installed "):
                installed = tuple(line.split()[2:])
    if process.returncode != 0:
        errors = [line for line in last if line.startswith("ERROR:")] or last
        said = "\n".join(errors)
        raise ConfigurationError(
            f"pip could not install the libraries; what is there is kept for a second try:\n{said}"
        )
    return installed


def _lines(process: "subprocess.Popen[str]", report: Callable[[Step], None]) -> Iterator[str]:
    """What pip says, but for the progress of downloads, which is reported."""
    text = ""
    for line in map(str.strip, process.stdout or ()):
        if found := _PROGRESS.fullmatch(line):
            report(Step(text, int(found[1]), int(found[2])))
            continue
        if told := _told(line):
            text = told
            report(Step(text))
        yield line


def _told(line: str) -> str:
    """A line of pip's, in a few words; empty when it is of no interest."""
    verb, _, rest = line.partition(" ")
    if verb == "Collecting":
        return f"Resolving {rest.split(' (')[0]}"
    if verb == "Downloading":
        return f"Downloading {rest.partition('-')[0]} {rest[rest.rfind('(') :]}".rstrip()
    if line.startswith("Installing collected packages"):
        return f"Installing {line.count(',') + 1} packages"
    return ""


def _pins() -> dict[str, str]:
    """The version of each distribution on this machine."""
    found = {}
    for line in PINS.read_text().splitlines():
        pin, _, marker = line.partition(";")
        if line.startswith("#") or not _holds(marker):
            continue
        name, _, version = pin.strip().partition("==")
        found[name] = version
    return found


def _holds(marker: str) -> bool:
    """Whether a pin's condition, of the one kind that there is, is true here."""
    found = _MACHINE.fullmatch(marker.strip())
    return not marker or (found is not None and (machine() == found[2]) is (found[1] == "=="))


def _normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", requirement.partition("[")[0]).lower()


def _show_ffmpeg(environment: Environment) -> None:
    """Puts the ffmpeg that a library brings along where programs are looked for."""
    link = Path(environment.python).with_name("ffmpeg")
    program = environment.answer(_FFMPEG)
    if program and not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(program)
