"""Responses as ASGI sends them, the broken ones included."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ci_toolkit.emulator import frames
from ci_toolkit.emulator.answers import Result
from ci_toolkit.emulator.faults import Fault
from ci_toolkit.emulator.refusals import Refusal

__all__ = ["CUT", "Raw", "answer", "refuse", "stream"]

CUT = "ci_toolkit.emulator.cut"
"""The key of an ASGI scope under which the server puts what closes the connection."""

_JSON = "application/json"


class Raw(Response):
    """A response in parts, which may end with a cut of the connection.

    Args:
        parts: Parts of the body, each sent by itself; nothing at all, no headers either, when None.
        status: Of HTTP.
        headers: Beside the request id.
        cut: Whether the connection is closed in place of the end of the body.
    """

    def __init__(
        self,
        parts: tuple[bytes, ...] | None,
        *,
        status: int = 200,
        headers: Mapping[str, str],
        cut: bool = False,
    ) -> None:
        super().__init__(status_code=status, headers={"x-amzn-requestid": str(uuid4()), **headers})
        self._parts = parts
        self._cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        if self._parts is not None:
            await send(self._start())
            for part in self._parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        if self._cut:
            scope["extensions"][CUT]()
            while (await receive())["type"] != "http.disconnect":
                await asyncio.sleep(0)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _start(self) -> dict[str, Any]:
        # Starlette counts an empty body; the true one is chunked or says its own length.
        headers = [h for h in self.raw_headers if h[0] != b"content-length" or h[1] != b"0"]
        return {"type": "http.response.start", "status": self.status_code, "headers": headers}


def answer(members: Mapping[str, Any], *, status: int, fault: Fault | None) -> Raw:
    """An answer in JSON."""
    body = json.dumps(members).encode()
    headers = {"content-type": _JSON, "content-length": str(len(body))}
    if fault is not None and fault.kind == "cut_before":
        return Raw(None, headers={}, cut=True)
    if fault is not None and fault.kind == "cut_inside":
        return Raw((body[: len(body) // 2],), status=status, headers=headers, cut=True)
    return Raw((body,), status=status, headers=headers)


def refuse(refusal: Refusal) -> Raw:
    """An exception of the API before any stream."""
    body = json.dumps(refusal.body).encode()
    headers = {
        "content-type": _JSON,
        "content-length": str(len(body)),
        "x-amzn-errortype": refusal.code,
    }
    return Raw((body,), status=refusal.status, headers=headers)


def stream(result: Result, *, session: str, fault: Fault | None) -> Raw:
    """The stream of an invoke: one `result` frame, or what a fault makes of it.

    Raises:
        Refusal: The result does not fit into a frame that clients can read. What the service does
            with such a result is not known; that the work was done is true here as well.
    """
    headers = {"content-type": frames.MEDIA_TYPE, "x-amzn-code-interpreter-session-id": session}
    kind = fault.kind if fault is not None else ""
    if kind == "cut_before":
        return Raw(None, headers={}, cut=True)
    parts = _PARTS.get(kind, _whole)(result, fault)
    if max(map(len, parts)) > frames.LARGEST_PAYLOAD:
        words = f"The result is larger than {frames.LARGEST_PAYLOAD} bytes, the most of a frame."
        raise Refusal("InternalServerException", words)
    return Raw(parts, headers=headers, cut=kind in ("cut_inside", "cut_after"))


def _whole(result: Result, _: Fault | None) -> tuple[bytes, ...]:
    return (frames.event("result", result),)


def _half(result: Result, _: Fault | None) -> tuple[bytes, ...]:
    frame = frames.event("result", result)
    return (frame[: len(frame) // 2],)


def _corrupted(result: Result, _: Fault | None) -> tuple[bytes, ...]:
    frame = bytearray(frames.event("result", result))
    frame[len(frame) - 5] ^= 1  # The last byte of the payload.
    return (bytes(frame),)


def _exception(_: Result, fault: Fault | None) -> tuple[bytes, ...]:
    code = (fault and fault.code) or "internalServerException"
    return (frames.exception(code, fault.message if fault else ""),)


def _split(result: Result, _: Fault | None) -> tuple[bytes, ...]:
    content = result["content"]
    if len(content) == 1 and len(content[0].get("text", "")) > 1:
        text = content[0]["text"]
        content = [{**content[0], "text": t} for t in (text[:1], text[1:])]
    first = {"content": content[:1], "isError": result["isError"]}
    rest = {**result, "content": content[1:]}
    return frames.event("result", first), frames.event("result", rest)


def _unknown_block(result: Result, _: Fault | None) -> tuple[bytes, ...]:
    block = {"type": "hologram", "text": "A block of a kind that is not known."}
    return (frames.event("result", {**result, "content": [*result["content"], block]}),)


def _unknown_member(result: Result, _: Fault | None) -> tuple[bytes, ...]:
    more: Result = {**result, "novelty": {"value": 1}}
    if "structuredContent" in result:
        more["structuredContent"] = {**result["structuredContent"], "novelty": [1]}
    return (frames.event("result", more),)


def _unknown_event(result: Result, _: Fault | None) -> tuple[bytes, ...]:
    return frames.event("novelty", {"value": 1}), frames.event("result", result)


_PARTS = {
    "corrupted_frame": _corrupted,
    "cut_inside": _half,
    "exception_in_stream": _exception,
    "split_result": _split,
    "truncated_frame": _half,
    "unknown_block": _unknown_block,
    "unknown_event": _unknown_event,
    "unknown_member": _unknown_member,
}
