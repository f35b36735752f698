"""The few Jupyter messages that the guest exchanges with a kernel; used by the language kernels.

One thread at a time. Messages that are malformed or wrongly signed are passed over: code in the
kernel can reach these sockets too.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
from collections.abc import Iterable
from typing import Any

import zmq

_DELIMITER = b"<IDS|MSG>"
_KINDS = {"shell": zmq.DEALER, "control": zmq.DEALER, "iopub": zmq.SUB}


class Message:
    """One message of a kernel."""

    def __init__(self, header: dict[str, Any], parent: dict[str, Any], content: dict[str, Any]):
        self.kind = header.get("msg_type")
        self.parent = parent.get("msg_id")
        self.content = content


class Connection:
    """The client side of a kernel's sockets.

    Args:
        settings: The content of the connection file.
        channels: Which of `shell`, `control` and `iopub` to open.
    """

    def __init__(
        self, settings: dict[str, Any], channels: Iterable[str] = ("shell", "iopub")
    ) -> None:
        self._context = zmq.Context()
        self._key = str(settings["key"]).encode()
        self._session = os.urandom(8).hex()
        self._numbers = itertools.count(1)
        self._sockets = {name: self._open(settings, name) for name in channels}

    def _open(self, settings: dict[str, Any], channel: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(_KINDS[channel])
        socket.linger = 0
        socket.rcvhwm = 0
        # Milliseconds; the kernel may still be starting, and is waited for.
        socket.reconnect_ivl = 10
        if channel == "iopub":
            socket.subscribe(b"")
        gap = "-" if settings["transport"] == "ipc" else ":"
        address = f"{settings['ip']}{gap}{settings[channel + '_port']}"
        socket.connect(f"{settings['transport']}://{address}")
        return socket

    def socket(self, channel: str) -> zmq.Socket[bytes]:
        """The socket of a channel, to poll."""
        return self._sockets[channel]

    def send(self, channel: str, kind: str, content: dict[str, Any]) -> str:
        """Sends a request; gives its id, which answers name as their parent."""
        identity = f"{self._session}_{next(self._numbers)}"
        header = {
            "msg_id": identity,
            "msg_type": kind,
            "session": self._session,
            "username": "guest",
            "date": "2000-01-01T00:00:00.000000Z",
            "version": "5.4",
        }
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        self._sockets[channel].send_multipart([_DELIMITER, self._sign(parts), *parts])
        return identity

    def receive(self, channel: str) -> Message | None:
        """The next message that has already come, or None."""
        while True:
            try:
                parts = self._sockets[channel].recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return None
            message = self._read(parts)
            if message is not None:
                return message

    def close(self) -> None:
        """Closes all sockets."""
        self._context.destroy(linger=0)

    def _read(self, parts: list[bytes]) -> Message | None:
        try:
            start = parts.index(_DELIMITER) + 1
            signed = parts[start + 1 : start + 5]
            if not hmac.compare_digest(parts[start], self._sign(signed)):
                return None
            header, parent, _, content = (json.loads(part) for part in signed)
            return Message(header, parent, content)
        except (ValueError, IndexError, AttributeError):
            return None

    def _sign(self, parts: list[bytes]) -> bytes:
        signature = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            signature.update(part)
        return signature.hexdigest().encode()
