"""Programs that `ci-toolkit run` takes: which language a file is in, and how a sandbox runs it."""

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.results import Execution, FileWrite, OnOutput

__all__ = ["Language", "Program", "send_files"]

Language = Literal["python", "javascript", "typescript", "shell"]

_SUFFIXES: dict[str, Language] = {
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".ts": "typescript",
    ".mts": "typescript",
    ".sh": "shell",
    ".bash": "shell",
}
_NAMES: dict[Language, str] = {
    "python": "program.py",
    "javascript": "program.js",
    "typescript": "program.ts",
    "shell": "program.sh",
}
_STDIN = "-"
_PIECE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program and its arguments.

    Attributes:
        name: Of its file in the sandbox.
        language: What it is written in.
        source: Its text.
        arguments: What it is given.
    """

    name: str
    language: Language
    source: bytes
    arguments: tuple[str, ...]

    @classmethod
    def read(cls, file: str, arguments: Iterable[str], language: Language | None) -> "Program":
        """Reads a program from a file, or from standard input where that is `-`.

        Raises:
            ConfigurationError: It cannot be read, or its language is not known.
        """
        known = ", ".join(_SUFFIXES)
        found = language or _SUFFIXES.get(Path(file).suffix.lower())
        if found is None:
            raise ConfigurationError(
                f"The language of {file!r} is not known from its name, which ends in none of "
                f"{known}: add --language python, javascript, typescript or shell."
            )
        if file == _STDIN:
            name, source = _NAMES[found], sys.stdin.buffer.read()
        else:
            name, source = Path(file).name, _content(Path(file))
        return cls(name=name, language=found, source=source, arguments=tuple(arguments))

    def execute(self, sandbox: Sandbox, *, timeout: float, on_output: OnOutput) -> Execution:
        """Runs it in a sandbox, where its file lies in the working directory."""
        if self.language == "shell":
            shell = '"$(command -v bash || command -v sh)"'
            command = shlex.join([f"./{self.name}", *self.arguments])
            return sandbox.execute_command(
                f"exec {shell} {command}", timeout=timeout, on_output=on_output
            )
        code = self._python(sandbox) if self.language == "python" else self._javascript()
        return sandbox.execute_code(
            code, language=self.language, timeout=timeout, on_output=on_output
        )

    def _python(self, sandbox: Sandbox) -> str:
        """Runs the file as Python would: tracebacks name its lines, the last value is not shown."""
        path = str(PurePosixPath(sandbox.working_directory, self.name))
        return (
            f"__file__ = {path!r}; "
            f"__import__('sys').argv[:] = {[self.name, *self.arguments]!r}; "
            "exec(compile(open(__file__, 'rb').read(), __file__, 'exec'))"
        )

    def _javascript(self) -> str:
        try:
            code = self.source.decode()
        except UnicodeDecodeError:
            raise ConfigurationError(f"{self.name} is not in UTF-8.") from None
        if not self.arguments:
            return code
        given = json.dumps([self.name, *self.arguments])
        # On the first line, so that the lines of errors are those of the file.
        everything = "(globalThis as any)" if self.language == "typescript" else "globalThis"
        return f"{everything}.process.argv.splice(1, Infinity, ...{given}); {code}"


def send_files(sandbox: Sandbox, program: Program, uploads: Iterable[Path]) -> None:
    """Puts the program and the user's files into the working directory, piece by piece.

    A folder keeps its name and everything below it.

    Raises:
        ConfigurationError: A file cannot be read or written, or two would have one path.
    """
    found = [pair for upload in uploads for pair in _below(upload)]
    paths = [program.name, *(path for path, _ in found)]
    twice = sorted({path for path in paths if paths.count(path) > 1}) if len(paths) < 1000 else []
    if twice:
        raise ConfigurationError(f"Two files would be {twice[0]!r} in the sandbox; rename one.")
    files = [
        FileWrite(path=program.name, chunks=[program.source]),
        *(FileWrite(path=path, chunks=_pieces(file)) for path, file in found),
    ]
    for outcome in sandbox.write_files(files):
        if outcome.error is not None:
            raise ConfigurationError(f"{outcome.path} cannot be uploaded: {outcome.error}")


def _below(upload: Path) -> Iterator[tuple[str, Path]]:
    """Paths in the sandbox, and the files for them."""
    root = upload.resolve()
    if root.is_file():
        yield root.name, root
        return
    if not root.is_dir():
        raise ConfigurationError(f"There is no file or folder {str(upload)!r} to upload.")
    for file in sorted(root.rglob("*")):
        if file.is_file():
            yield PurePosixPath(root.name, file.relative_to(root)).as_posix(), file


def _pieces(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            yield from iter(lambda: opened.read(_PIECE), b"")
    except OSError as error:
        raise ConfigurationError(f"Cannot read {file}: {error.strerror}.") from error


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"Cannot read {file}: {error.strerror}.") from error
