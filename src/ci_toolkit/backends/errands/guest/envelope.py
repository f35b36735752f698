"""Goes before every program that is sent into the sandbox: its arguments, and its answer.

A program is one `python3` process of its own, so that nothing of it is left in the kernel where
the model's variables are. Its answer is printed between marks, in letters that terminals leave
alone; a long one lies in a file that is fetched.
"""

# The standard library only, and old ways with paths: this text is sent with every call.
# ruff: noqa: PTH108, PTH109, PTH123, T201

import base64
import contextlib
import hashlib
import json
import os
import sys
import time
from typing import Any

INLINE = 48 * 1024


def arguments() -> tuple[dict[str, Any], bytes]:
    """What the host sent: a header and raw bytes; forgets the files of earlier answers."""
    given = sys.argv[3]
    if given.startswith("@"):
        with open(given[1:], "rb") as file:
            data = file.read()
        os.unlink(given[1:])
    else:
        data = base64.b64decode(given)
    first, _, payload = data.partition(b"\n")
    header: dict[str, Any] = json.loads(first)
    for name in header.pop("forget", []):
        with contextlib.suppress(OSError):
            os.unlink(name)
    return header, payload


def answer(header: dict[str, Any], payload: bytes = b"") -> None:
    """Prints the answer, or where it lies."""
    place = {"cwd": os.getcwd(), "now": time.time()}
    data = json.dumps({**header, **place}).encode() + b"\n" + payload
    if len(data) > INLINE:
        name = f".ci-{sys.argv[1]}.b64"
        with open(name, "wb") as file:
            file.write(base64.b64encode(data))
        digest = hashlib.sha256(data).hexdigest()
        data = json.dumps({"file": name, "sha256": digest}).encode() + b"\n"
    print(f"\n<{sys.argv[1]}:{base64.b64encode(data).decode()}:{sys.argv[1]}>", flush=True)
