"""Faults on demand are what clients see of a bad day; garbage is answered and never falls over."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EventStreamError,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.emulator import AgentCoreEmulator, Fault
from ci_toolkit.emulator.faults import FaultKind
from ci_toolkit.errors import ConfigurationError

SYSTEM = "aws.codeinterpreter.v1"


@pytest.fixture(scope="module")
def backend() -> InMemoryBackend:
    return InMemoryBackend(run_python=True)


@pytest.fixture(scope="module")
def server(backend: InMemoryBackend) -> Iterator[AgentCoreEmulator]:
    emulator = AgentCoreEmulator(backend)
    with emulator:
        yield emulator


@pytest.fixture
def emulator(server: AgentCoreEmulator) -> Iterator[AgentCoreEmulator]:
    yield server
    server.clear_faults()


def client(url: str, attempts: int = 1) -> Any:
    return boto3.client(
        "bedrock-agentcore",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="emulator",
        aws_secret_access_key="emulator",
        config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
    )


@pytest.fixture
def boto(emulator: AgentCoreEmulator) -> Iterator[Any]:
    with closing(client(emulator.url)) as boto:
        yield boto


@pytest.fixture
def session(boto: Any) -> str:
    return str(boto.start_code_interpreter_session(codeInterpreterIdentifier=SYSTEM)["sessionId"])


def run(boto: Any, session: str, code: str) -> list[dict[str, Any]]:
    answer = boto.invoke_code_interpreter(
        codeInterpreterIdentifier=SYSTEM,
        sessionId=session,
        name="executeCode",
        arguments={"code": code, "language": "python"},
    )
    with closing(answer["stream"]) as stream:
        return list(stream)


def count(boto: Any, session: str) -> str:
    """How often `n` was counted up so far."""
    (event,) = run(boto, session, "print(globals().get('n', 0))")
    return str(event["result"]["content"][0]["text"])


COUNT = "n = globals().get('n', 0) + 1; print(n)"


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        ("throttle", "", (429, "ThrottlingException")),
        ("server_error", "", (500, "InternalServerException")),
        ("refuse", "", (403, "AccessDeniedException")),
        ("refuse", "ServiceQuotaExceededException", (402, "ServiceQuotaExceededException")),
    ],
)
def test_errors_before_the_stream_come_before_anything_has_run(
    emulator: AgentCoreEmulator,
    boto: Any,
    session: str,
    kind: FaultKind,
    code: str,
    expected: tuple[int, str],
) -> None:
    emulator.fault(Fault(kind=kind, code=code))

    with pytest.raises(ClientError) as caught:
        run(boto, session, COUNT)
    answer = caught.value.response

    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == expected
    assert count(boto, session) == "0"


def test_an_exception_inside_the_stream_comes_after_the_run(
    emulator: AgentCoreEmulator, boto: Any, session: str
) -> None:
    emulator.fault(Fault(kind="exception_in_stream", code="conflictException", message="busy"))

    with pytest.raises(EventStreamError) as caught:
        run(boto, session, COUNT)

    assert caught.value.response["Error"] == {"Code": "conflictException", "Message": "busy"}
    assert count(boto, session) == "1"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("cut_before", ConnectionClosedError),
        ("cut_inside", ProtocolError),
        ("cut_after", ProtocolError),
        ("corrupted_frame", ChecksumMismatch),
    ],
)
def test_a_connection_that_is_cut_or_bent_loses_a_result_of_code_that_ran(
    emulator: AgentCoreEmulator, boto: Any, session: str, kind: FaultKind, error: type[Exception]
) -> None:
    emulator.fault(Fault(kind=kind))

    with pytest.raises(error):
        run(boto, session, COUNT)

    assert count(boto, session) == "1"


def test_a_cut_can_come_before_the_run(
    emulator: AgentCoreEmulator, boto: Any, session: str
) -> None:
    emulator.fault(Fault(kind="cut_before", run=False))

    with pytest.raises(ConnectionClosedError):
        run(boto, session, COUNT)

    assert count(boto, session) == "0"


def test_a_result_comes_whole_before_the_end_of_the_body_is_cut(
    emulator: AgentCoreEmulator, boto: Any, session: str
) -> None:
    emulator.fault(Fault(kind="cut_after"))
    answer = boto.invoke_code_interpreter(
        codeInterpreterIdentifier=SYSTEM,
        sessionId=session,
        name="executeCode",
        arguments={"code": "print(1)", "language": "python"},
    )

    with closing(answer["stream"]) as stream:
        events = iter(stream)
        first = next(events)
        with pytest.raises(ProtocolError):
            next(events)

    assert first["result"]["content"] == [{"type": "text", "text": "1"}]


def test_a_truncated_frame_is_a_stream_without_a_result(
    emulator: AgentCoreEmulator, boto: Any, session: str
) -> None:
    emulator.fault(Fault(kind="truncated_frame"))

    assert run(boto, session, COUNT) == []
    assert count(boto, session) == "1"


def test_a_transport_that_sends_again_runs_the_code_again(
    emulator: AgentCoreEmulator, boto: Any, session: str
) -> None:
    emulator.fault(Fault(kind="cut_before", times=2))

    with closing(client(emulator.url, attempts=3)) as eager:
        (event,) = run(eager, session, COUNT)

    assert event["result"]["content"] == [{"type": "text", "text": "3"}]


def test_a_split_result_comes_as_two_events(
    emulator: AgentCoreEmulator, boto: Any, session: str
) -> None:
    emulator.fault(Fault(kind="split_result"))

    first, second = (event["result"] for event in run(boto, session, "print('abc')"))

    assert [b["text"] for b in (*first["content"], *second["content"])] == ["a", "bc"]
    assert "structuredContent" not in first
    assert second["structuredContent"]["stdout"] == "abc"


@pytest.mark.parametrize("kind", ["unknown_block", "unknown_member", "unknown_event"])
def test_what_the_api_does_not_know_yet_comes_beside_the_result(
    emulator: AgentCoreEmulator, boto: Any, session: str, kind: FaultKind
) -> None:
    emulator.fault(Fault(kind=kind))

    events = run(boto, session, "print('abc')")

    assert events[-1]["result"]["content"][0] == {"type": "text", "text": "abc"}


def test_a_fault_that_cannot_be_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="no kind of fault 'sulk'"):
        Fault(kind="sulk")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="not 'TeapotException'"):
        Fault(kind="refuse", code="TeapotException")


def test_slow_headers_are_slow(emulator: AgentCoreEmulator, boto: Any, session: str) -> None:
    emulator.fault(Fault(kind="slow_headers", seconds=0.3))
    began = monotonic()
    run(boto, session, "1")

    assert monotonic() - began >= 0.3


def test_a_fault_befalls_only_what_it_fits_and_only_so_often(
    emulator: AgentCoreEmulator, boto: Any, session: str
) -> None:
    emulator.fault(Fault(kind="throttle", tool="listFiles"))
    emulator.fault(Fault(kind="throttle", operation="StopCodeInterpreterSession"))
    emulator.fault(Fault(kind="throttle", tool="executeCode", after=1, times=2))

    statuses = []
    for _ in range(4):
        try:
            run(boto, session, "1")
            statuses.append(200)
        except ClientError as error:
            statuses.append(error.response["ResponseMetadata"]["HTTPStatusCode"])

    assert statuses == [200, 429, 429, 200]
    assert [(r.status, r.fault) for r in emulator.requests[-4:]] == [
        (200, None),
        (429, "throttle"),
        (429, "throttle"),
        (200, None),
    ]


def test_other_operations_can_be_cut_as_well(emulator: AgentCoreEmulator, boto: Any) -> None:
    emulator.fault(Fault(kind="cut_before", operation="StartCodeInterpreterSession"))
    with pytest.raises(ConnectionClosedError):
        boto.start_code_interpreter_session(codeInterpreterIdentifier=SYSTEM)

    emulator.fault(Fault(kind="cut_inside", operation="StartCodeInterpreterSession"))
    half = boto.start_code_interpreter_session(codeInterpreterIdentifier=SYSTEM)

    assert "sessionId" not in half  # botocore takes half a body for an empty answer


# --- garbage --------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
TOOLS = st.sampled_from(["executeCommand", "readFiles", "listFiles", "writeFiles", "removeFiles"])
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "path": JSON | st.text(max_size=300),
        "directoryPath": st.text(max_size=300),
        "paths": JSON | st.lists(st.text(max_size=300), max_size=3),
        "command": JSON,
        "taskId": JSON,
        "content": JSON
        | st.lists(
            st.fixed_dictionaries(
                {"path": st.text(max_size=300)}, optional={"text": st.text(), "blob": st.text()}
            ),
            max_size=3,
        ),
    },
)
NAMES = TOOLS | st.sampled_from(["startCommandExecution", "getTask", "stopTask"]) | JSON
PATHS = st.sampled_from(
    [
        f"/code-interpreters/{SYSTEM}/tools/invoke",
        f"/code-interpreters/{SYSTEM}/sessions/start",
        f"/code-interpreters/{SYSTEM}/sessions/stop?sessionId=0",
        f"/code-interpreters/{SYSTEM}/sessions/list",
        f"/code-interpreters/{SYSTEM}/sessions/get",
        "/code-interpreters",
        "/code-interpreters?maxResults=x&type=NONE",
        "/code-interpreters/%ff%00",
        "/%2e%2e//..",
    ]
)
FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def status_of(url: str, request: bytes, *, hang_up: bool = False) -> int:
    """The status of the answer to raw bytes; 0 when the connection was closed instead."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.sendall(request)
        if hang_up:
            connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split()[1]) if answer else 0


def request_bytes(method: str, path: str, session: str, body: bytes) -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        f"connection: close\r\nx-amzn-code-interpreter-session-id: {session}\r\n\r\n"
    )
    return head.encode() + body


@FUZZ
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH"]),
    path=PATHS,
    body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_garbage_is_answered_with_an_error_of_the_client(
    emulator: AgentCoreEmulator, method: str, path: str, body: bytes
) -> None:
    status = status_of(emulator.url, request_bytes(method, path, "0", body))

    assert 200 <= status < 500


@FUZZ
@given(name=NAMES, arguments=ARGUMENTS | JSON)
def test_garbage_for_tools_is_answered_and_the_session_lives_on(
    emulator: AgentCoreEmulator, boto: Any, session: str, name: object, arguments: object
) -> None:
    body = json.dumps({"name": name, "arguments": arguments}).encode()
    path = f"/code-interpreters/{SYSTEM}/tools/invoke"

    status = status_of(emulator.url, request_bytes("POST", path, session, body))

    assert 200 <= status < 500


@FUZZ
@given(noise=st.binary(min_size=1, max_size=500))
def test_noise_on_the_port_does_no_harm(emulator: AgentCoreEmulator, noise: bytes) -> None:
    assert 0 <= status_of(emulator.url, noise, hang_up=True) < 500


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b'{"name": 1' + b"0" * 9000 + b"}"],
)
def test_deep_and_long_json_is_refused(emulator: AgentCoreEmulator, body: bytes) -> None:
    path = f"/code-interpreters/{SYSTEM}/sessions/start"

    assert status_of(emulator.url, request_bytes("PUT", path, "0", body)) == 400


def test_after_all_this_the_server_answers(boto: Any, session: str) -> None:
    assert count(boto, session) == "0"
