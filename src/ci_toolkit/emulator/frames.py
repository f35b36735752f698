"""The frames of `application/vnd.amazon.eventstream`: what a result looks like on the wire.

A frame is its length, the length of its headers, a CRC of both, the headers, the payload, and a
CRC of all before it; numbers are big-endian.
"""

import json
import struct
from binascii import crc32
from collections.abc import Mapping

__all__ = ["LARGEST_PAYLOAD", "MEDIA_TYPE", "event", "exception"]

MEDIA_TYPE = "application/vnd.amazon.eventstream"
LARGEST_PAYLOAD = 24 * 1024 * 1024
"""Bytes; botocore reads no frame with a larger one."""

_STRING = 7
_AROUND = 16  # Bytes of a frame that are neither headers nor payload.


def event(name: str, payload: Mapping[str, object]) -> bytes:
    """A frame that carries an event, such as `result`."""
    return _json_frame({":message-type": "event", ":event-type": name}, payload)


def exception(name: str, message: str) -> bytes:
    """A frame that carries an exception under its name in the stream's union."""
    headers = {":message-type": "exception", ":exception-type": name}
    return _json_frame(headers, {"message": message})


def _json_frame(headers: Mapping[str, str], payload: Mapping[str, object]) -> bytes:
    # A lone surrogate, which code can print and UTF-8 cannot hold, becomes a question mark.
    body = json.dumps(payload, ensure_ascii=False).encode(errors="replace")
    return _frame({**headers, ":content-type": "application/json"}, body)


def _frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    packed = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", len(packed) + len(payload) + _AROUND, len(packed))
    message = b"".join((prelude, struct.pack("!I", crc32(prelude)), packed, payload))
    return message + struct.pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(text)) + text
