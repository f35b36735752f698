"""Frames between the host and a guest, read with distrust; between `LocalSandbox` and the pipes.

A frame is two lengths (header and payload, 4 bytes each, big endian), a JSON object and raw bytes.
"""

import contextlib
import json
import math
import os
import select
import struct
import threading
import time
from dataclasses import dataclass, field

__all__ = ["Frame", "FrameError", "FrameParser", "HangUpError", "Wire", "encode"]

MOST_HEADER = 64 * 1024
MOST_PAYLOAD = 24 * 1024 * 1024
_LENGTHS = struct.Struct(">II")
_PIECE = 1024 * 1024
_TAIL = 16 * 1024
_PATIENCE = 5.0


class FrameError(Exception):
    """What came is no frame, or not one that may come here."""


class HangUpError(Exception):
    """The other side has gone."""


@dataclass(frozen=True)
class Frame:
    """One message: a JSON object and raw bytes."""

    header: dict[str, object]
    payload: bytes = field(default=b"", repr=False)


def encode(header: dict[str, object], payload: bytes = b"") -> bytes:
    """A frame's bytes."""
    text = json.dumps(header).encode()
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


class FrameParser:
    """Turns bytes into frames, in bounded memory whatever the bytes are."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._buffer += data

    def next(self) -> Frame | None:
        """The next frame, or None where it has not come whole.

        Raises:
            FrameError: What has come is no frame.
        """
        if len(self._buffer) < _LENGTHS.size:
            return None
        header, payload = _LENGTHS.unpack_from(self._buffer)
        if header > MOST_HEADER or payload > MOST_PAYLOAD:
            raise FrameError(f"a frame of {header} and {payload} bytes is too large")
        start, end = _LENGTHS.size + header, _LENGTHS.size + header + payload
        if len(self._buffer) < end:
            return None
        text, content = self._buffer[_LENGTHS.size : start], self._buffer[start:end]
        del self._buffer[:end]
        return Frame(_parse(bytes(text)), bytes(content))


def _parse(text: bytes) -> dict[str, object]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise FrameError("a header is not an object")
    return header


class Wire:
    """The host's ends of a guest's standard streams; every wait has a deadline.

    One thread at a time may receive; any may send.

    Args:
        write: The guest's standard input.
        read: The guest's standard output.
        errors: The guest's standard error, of which the last part is kept for the operator.
    """

    def __init__(self, *, write: int, read: int, errors: int) -> None:
        self._write, self._read, self._errors = write, read, errors
        self._parser = FrameParser()
        self._tail = bytearray()
        self._sending = threading.Lock()
        self._complaining = threading.Lock()
        self._cut_going = self._cut_coming = False
        for descriptor in (write, read, errors):
            os.set_blocking(descriptor, False)

    @property
    def tail(self) -> str:
        """The last lines that the guest has written to its standard error."""
        self._take_errors()
        return self._tail.decode(errors="replace").strip()

    @property
    def broken(self) -> bool:
        """Whether a frame was left in the middle, so that no other can follow."""
        return self._cut_going or self._cut_coming

    def send(self, header: dict[str, object], payload: bytes = b"", *, deadline: float) -> None:
        """Sends one frame as a whole.

        Raises:
            HangUpError: The guest has gone and has not got the whole frame.
            TimeoutError: It does not read, or another frame has not got through before.
        """
        data = encode(header, payload)
        if not self._sending.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        try:
            self._send(memoryview(data), deadline)
        finally:
            self._sending.release()

    def _send(self, data: memoryview, deadline: float) -> None:
        if self._cut_going:
            raise HangUpError("a frame was cut off")
        left = data
        while left:
            self._wait_to_write(deadline)
            # An exception, such as the user's interrupt, may come between any two steps.
            self._cut_going = True
            try:
                left = left[os.write(self._write, left[:_PIECE]) :]
            except BlockingIOError:
                self._cut_going = len(left) < len(data)
            except OSError as error:
                raise HangUpError(str(error)) from None
        self._cut_going = False

    def receive(self, *, deadline: float) -> Frame:
        """The next frame.

        Raises:
            HangUpError: The guest has gone.
            TimeoutError: Nothing came in time.
            FrameError: What came is no frame.
        """
        if self._cut_coming:
            raise HangUpError("a frame was cut off")
        while True:
            if time.monotonic() >= deadline:
                # However much keeps coming.
                raise TimeoutError
            if (frame := self._parser.next()) is not None:
                return frame
            ready = self._poll(self._read, select.POLLIN, deadline)
            if self._errors in ready:
                self._take_errors()
            if self._read in ready:
                self._cut_coming = True
                self._parser.feed(self._take())
                self._cut_coming = False

    def close(self) -> None:
        """Closes all ends; nothing may be received any more."""
        # What another thread is sending gives way at the latest when its deadline has come.
        sent = self._sending.acquire(timeout=_PATIENCE)
        with self._complaining:
            ends = {self._write, self._read, self._errors} - {-1}
            self._write = self._read = self._errors = -1
            for descriptor in ends:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        if sent:
            self._sending.release()

    def _take(self) -> bytes:
        try:
            data = os.read(self._read, _PIECE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise HangUpError(str(error)) from None
        if not data:
            raise HangUpError("end of file")
        return data

    def _wait_to_write(self, deadline: float) -> None:
        if self._write < 0:
            raise HangUpError("closed")
        self._poll(self._write, select.POLLOUT, deadline)

    def _poll(self, descriptor: int, events: int, deadline: float) -> set[int]:
        """Waits for one descriptor, and meanwhile lets the guest's complaints flow."""
        if descriptor < 0:
            raise HangUpError("closed")
        poll = select.poll()
        poll.register(descriptor, events)
        if self._errors >= 0 and events == select.POLLIN:
            poll.register(self._errors, select.POLLIN)
        left = deadline - time.monotonic()
        ready = poll.poll(math.ceil(left * 1000)) if left > 0 else []
        if not ready:
            raise TimeoutError
        return {number for number, _ in ready}

    def _take_errors(self) -> None:
        with self._complaining, contextlib.suppress(OSError):
            data = os.read(self._errors, 64 * 1024) if self._errors >= 0 else b""
            self._tail = (self._tail + data)[-_TAIL:]
            if not data and self._errors >= 0:
                os.close(self._errors)
                self._errors = -1
