"""Makes commands of the programs of `guest`, and reads what they answer; the floor of the room.

A program travels inside the command that runs it, so that nothing has to be installed and one
command is enough. Arguments too long for a command line go before it as a file; an answer too long
for a terminal is fetched from a file. The names of such files begin with `.ci-`, and the next
program removes them.
"""

import base64
import binascii
import json
import re
import shlex
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

__all__ = [
    "Program",
    "ProgramError",
    "Reply",
    "interruption",
    "prepare",
    "read_reply",
    "source_of",
    "unpack",
]

# The whole command is one argument of `sh -c`, for which Linux allows 128 KiB.
_LONGEST_COMMAND = 120_000
_MARKED = re.compile(r"<([0-9a-f]{32}):([A-Za-z0-9+/=\s]*):\1>")
_BOOT = "import base64,sys,zlib;exec(zlib.decompress(base64.b64decode(sys.argv[2])))"
_CALL = '\nanswer(*main(*arguments()))\nif "after" in globals(): after()\n'
_STORED_NAME = re.compile(r"\.ci-[0-9a-f]{32}\.b64")
_GUEST = Path(__file__).parent / "guest"
_BEFORE = {
    "command": ("envelope", "ending"),
    "files": ("envelope", "paths"),
    "sweep": ("envelope", "ending"),
    "transfer": ("envelope", "paths"),
}


class ProgramError(Exception):
    """A program's answer is missing or makes no sense; the text is for the operator."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program on its way.

    Attributes:
        token: Marks its process and its answer.
        command: What the shell runs.
        stored: The file of arguments to write first, as path and content; None when inline.
    """

    token: str
    command: str
    stored: tuple[str, bytes] | None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A program's answer.

    Attributes:
        header: JSON, believed in nothing.
        payload: Raw bytes.
        stored: The name of the file that holds the answer instead; empty when it is here.
        sha256: The digest of what the file holds, decoded.
    """

    header: dict[str, object]
    payload: bytes
    stored: str = ""
    sha256: str = ""


def prepare(name: str, header: dict[str, object], payload: bytes = b"") -> Program:
    """Makes the command of a program.

    Args:
        name: A file of `guest`, without its suffix.
        header: Its arguments.
        payload: Raw bytes that go with them.
    """
    token = uuid4().hex
    data = json.dumps(header).encode() + b"\n" + payload
    start = f"exec python3 -I -S -c {shlex.quote(_BOOT)} {token} {_source(name)} "
    room = _LONGEST_COMMAND - len(start)
    if 4 * len(data) // 3 + 4 < room:
        return Program(token=token, command=start + base64.b64encode(data).decode(), stored=None)
    path = f".ci-{token}.in"
    return Program(token=token, command=f"{start}@{path}", stored=(path, data))


def interruption(kind: str, mark: str) -> str:
    """The command that sends SIGINT to a run's processes; see `guest/find.py`."""
    source = base64.b64encode(zlib.compress(source_of("find").encode(), 9)).decode()
    find = f"python3 -I -S -c {shlex.quote(_BOOT)} - {source} {kind} {shlex.quote(mark)}"
    return f'found=$({find}); [ -z "$found" ] || kill -INT $found'


def read_reply(program: Program, printed: Iterable[str]) -> Reply:
    """Finds the answer in what the command printed.

    Args:
        program: The program.
        printed: The texts in which it may be, the likeliest first.

    Raises:
        ProgramError: It is not there.
    """
    texts = list(printed)
    for text in texts:
        for found in _MARKED.finditer(text):
            if found[1] == program.token:
                return _stored_or_here(_decoded(found[2]))
    words = " ".join(" ".join(texts).split())[-500:]
    raise ProgramError(f"a program in the sandbox ended without an answer: {words!r}")


def unpack(reply: Reply, content: bytes) -> Reply:
    """The answer that lay in a file.

    Raises:
        ProgramError: The file holds something else.
    """
    data = _decoded(content.decode("ascii", "replace"))
    if sha256(data).hexdigest() != reply.sha256:
        raise ProgramError("the answer of a program was damaged on its way")
    header, payload = _split(data)
    return Reply(header=header, payload=payload)


def _stored_or_here(data: bytes) -> Reply:
    header, payload = _split(data)
    stored, digest = header.get("file"), header.get("sha256")
    if isinstance(stored, str) and _STORED_NAME.fullmatch(stored) and isinstance(digest, str):
        return Reply(header={}, payload=b"", stored=stored, sha256=digest)
    return Reply(header=header, payload=payload)


def _split(data: bytes) -> tuple[dict[str, object], bytes]:
    first, _, payload = data.partition(b"\n")
    try:
        header = json.loads(first)
    except (ValueError, RecursionError):
        raise ProgramError("the answer of a program is not JSON") from None
    if not isinstance(header, dict):
        raise ProgramError("the answer of a program has no header")
    return header, payload


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ProgramError("the answer of a program is not base64") from None


@cache
def _source(name: str) -> str:
    parts = [*_BEFORE.get(name, ("envelope",)), name]
    source = "\n".join(map(source_of, parts)) + _CALL
    return base64.b64encode(zlib.compress(source.encode(), 9)).decode()


def source_of(name: str) -> str:
    """A file of `guest`, without its imports of others, which stand before it in one text."""
    lines = (_GUEST / f"{name}.py").read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("from ci_toolkit."))
