"""The emulator as a Starlette application: requests in, read by the API's model; responses out."""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ci_toolkit.emulator.faults import INSTEAD, INVOKE, Fault, Faults
from ci_toolkit.emulator.options import EmulatorOptions
from ci_toolkit.emulator.records import RequestRecord, shortened
from ci_toolkit.emulator.refusals import Refusal, invalid
from ci_toolkit.emulator.responses import answer, refuse, stream
from ci_toolkit.emulator.service import Service
from ci_toolkit.emulator.shapes import Operation, operations, read

__all__ = ["App"]

_REMEMBERED = 10_000
_log = logging.getLogger(__name__)


class App:
    """Serves the API over a service.

    Args:
        service: What answers.
        options: The emulator's.
        faults: What goes wrong.
        requests: Where each request is noted.
        executor: Runs what takes long.
    """

    def __init__(
        self,
        service: Service,
        options: EmulatorOptions,
        faults: Faults,
        requests: list[RequestRecord],
        executor: Executor,
    ) -> None:
        self._service = service
        self._options = options
        self._faults = faults
        self._requests = requests
        self._executor = executor

    def build(self) -> Starlette:
        """The application."""
        routes = [
            Route(operation.path, partial(self._serve, operation), methods=[operation.method])
            for operation in operations()
        ]
        handlers: dict[Any, Callable[..., Coroutine[Any, Any, Response]]] = {
            HTTPException: self._unknown
        }
        return Starlette(routes=routes, exception_handlers=handlers)

    async def _unknown(self, _: Request, error: Exception) -> Response:
        self._note(RequestRecord(status=404))
        return refuse(Refusal("UnknownOperationException", str(error)))

    async def _serve(self, operation: Operation, request: Request) -> Response:
        record = RequestRecord(operation=operation.name)
        self._note(record)
        try:
            response = await self._answer(operation, request, record)
        except Refusal as refusal:
            response = refuse(refusal)
        except ClientDisconnect:
            return Response()
        except Exception:  # noqa: BLE001 - whatever it is, the server goes on
            _log.exception("The emulator failed at %s.", operation.name)
            response = refuse(Refusal("InternalServerException", "The emulator failed."))
        if record.fault != "cut_before":
            record.status = response.status_code
        return response

    def _note(self, record: RequestRecord) -> None:
        self._requests.append(record)
        del self._requests[:-_REMEMBERED]

    async def _answer(
        self, operation: Operation, request: Request, record: RequestRecord
    ) -> Response:
        members = await self._read(operation, request)
        record.tool = members.get("name", "") if operation.name == INVOKE else ""
        record.session = members.get("sessionId", "")
        record.arguments = shortened(members.get("arguments", {}) if record.tool else members)
        fault = self._faults.take(operation.name, record.tool)
        record.fault = fault.kind if fault is not None else None
        result = await self._work(operation, members, fault)
        if fault is not None and fault.kind in INSTEAD:
            raise Refusal(fault.code or INSTEAD[fault.kind], fault.message)
        if fault is not None and fault.kind == "slow_headers":
            await asyncio.sleep(fault.seconds)
        if operation.name == INVOKE:
            return stream(result, session=record.session, fault=fault)
        return answer(result, status=operation.status, fault=fault)

    async def _work(
        self, operation: Operation, members: Mapping[str, Any], fault: Fault | None
    ) -> dict[str, Any]:
        if fault is not None and not fault.runs:
            return {"content": [{"type": "text", "text": ""}], "isError": False}
        if operation.name == INVOKE:
            return await self._service.invoke(members)
        return await self._service.operations[operation.name](members)

    async def _read(self, operation: Operation, request: Request) -> dict[str, Any]:
        body = await self._body(request)
        places = {
            "uri": request.path_params,
            "querystring": request.query_params,
            "header": request.headers,
        }
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, _members, operation, body, places)

    async def _body(self, request: Request) -> bytes:
        """The body, all of it read even when it is too large: clients listen only then."""
        body = bytearray()
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size <= self._options.payload_bytes:
                body += chunk
        if size > self._options.payload_bytes:
            raise invalid(f"The request is larger than {self._options.payload_bytes} bytes.")
        return bytes(body)


def _members(
    operation: Operation, body: bytes, places: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    try:
        parsed = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise invalid("The body is not valid JSON.", reason="CannotParse") from None
    if not isinstance(parsed, dict):
        raise invalid("The body is not a JSON object.", reason="CannotParse")
    members, problems = read(operation, parsed, places)
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise invalid(count + "; ".join(m for _, m in problems), fields=problems)
    return members
