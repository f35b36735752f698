"""Frames between the guest and its host: lengths, a JSON header, raw bytes.

The host's side of the same frames is `ci_toolkit.backends.local.wire`; it trusts nothing of them.
"""

from __future__ import annotations

import json
import os
import struct
import threading
from typing import Any

_LENGTHS = struct.Struct(">II")


class Wire:
    """Reads requests in one thread, writes frames from any."""

    def __init__(self, read: int, write: int) -> None:
        self._read = read
        self._write = write
        self._lock = threading.Lock()

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next request.

        Raises:
            EOFError: The host has gone.
        """
        header, payload = _LENGTHS.unpack(self._exactly(_LENGTHS.size))
        request = json.loads(self._exactly(header))
        return request, self._exactly(payload)

    def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Sends one frame as a whole; blocks while the host does not read."""
        text = json.dumps(header).encode()
        data = memoryview(_LENGTHS.pack(len(text), len(payload)) + text + payload)
        with self._lock:
            while data:
                data = data[os.write(self._write, data) :]

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = os.read(self._read, size)
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
