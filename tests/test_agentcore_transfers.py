"""Files between an AgentCore sandbox and S3: many small ones at once, large ones straight."""

import hashlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import BotoCoreError

from ci_toolkit import CodeInterpreter, Limits, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.workspaces import S3Workspace

pytestmark = pytest.mark.local

SCOPE = Scope(user_id="ada", session_id="thread-1")
GIGABYTE = 1024**3


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    return boto3.Session(
        aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
    )


@pytest.fixture(scope="module")
def s3(session: boto3.Session) -> Iterator[Any]:
    """A client of moto's server, which is a process of its own so that its memory is not ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, stdout=quiet, stderr=quiet)
    client = session.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
    deadline = time.monotonic() + 60
    while True:
        try:
            client.create_bucket(Bucket="bucket")
            break
        except BotoCoreError:
            assert time.monotonic() < deadline, "moto's server does not start"
    yield client
    client.close()
    server.terminate()
    server.wait()


@pytest.fixture
def emulator() -> Iterator[AgentCoreEmulator]:
    engine = LocalBackend(network="host", output_bytes=8 * 1024 * 1024)
    emulator = AgentCoreEmulator(engine)
    with emulator:
        yield emulator
    engine.close()


@pytest.fixture
def interpreter(
    emulator: AgentCoreEmulator, session: boto3.Session, s3: Any
) -> Iterator[CodeInterpreter]:
    backend = AgentCoreBackend(boto_session=session, endpoint_url=emulator.url)
    workspace = S3Workspace("bucket", client=s3)
    with CodeInterpreter(backend, workspace, limits=Limits(timeout=300)) as interpreter:
        yield interpreter


def test_three_hundred_uploads_are_there_after_at_most_five_invokes(
    interpreter: CodeInterpreter, emulator: AgentCoreEmulator
) -> None:
    for number in range(300):
        interpreter.upload(f"file-{number:03}.bin", bytes([number % 256]) * 100_000, scope=SCOPE)
    count = "import os; print(sum(os.path.getsize(n) for n in os.listdir() if n[:5] == 'file-'))"

    outcome = interpreter.call("execute_code", {"code": count}, scope=SCOPE)

    assert outcome.text == "30000000"
    *preload, code = [request.tool for request in emulator.requests if request.tool]
    assert code == "executeCode"
    assert len(preload) <= 5


def test_a_gigabyte_goes_to_s3_and_back_without_filling_the_agent_s_memory(
    interpreter: CodeInterpreter, emulator: AgentCoreEmulator, s3: Any
) -> None:
    scope = Scope(user_id="ada", session_id="big")
    make = "head -c 1073741824 /dev/urandom > big.bin; sha256sum big.bin"
    digest = interpreter.call("execute_command", {"command": make}, scope=scope).text.split()[0]
    process = psutil.Process()
    before = process.memory_info().rss

    pushed = interpreter.call("ci_push_to_workspace", {"paths": ["big.bin"]}, scope=scope)

    grown = process.memory_info().rss - before
    assert "Saved big.bin to the workspace as code-interpreter/big.bin (1,073,741,824 bytes)." in (
        pushed.text
    )
    assert grown < 64 * 1024 * 1024
    head = s3.head_object(Bucket="bucket", Key="ada/big/code-interpreter/big.bin")
    assert head["ContentLength"] == GIGABYTE

    # The sandbox is lost; the next one gets the file back, straight as well.
    for request in emulator.requests:
        if request.session:
            emulator.expire(request.session)
    again = interpreter.call("execute_command", {"command": "sha256sum big.bin"}, scope=scope)

    assert "Restored: big.bin." in again.text
    assert again.text.endswith(f"{digest}  big.bin")
    assert process.memory_info().rss - before < 64 * 1024 * 1024


def test_what_the_sandbox_cannot_send_goes_through_the_host(
    session: boto3.Session, s3: Any, emulator: AgentCoreEmulator
) -> None:
    engine = LocalBackend(output_bytes=8 * 1024 * 1024)
    with AgentCoreEmulator(engine) as url:
        backend = AgentCoreBackend(boto_session=session, endpoint_url=url)
        with CodeInterpreter(backend, S3Workspace("bucket", client=s3)) as interpreter:
            scope = Scope(user_id="bob", session_id="thread-1")
            make = "head -c 40000000 /dev/urandom > big.bin; sha256sum big.bin"
            made = interpreter.call("execute_command", {"command": make}, scope=scope).text

            pushed = interpreter.call("ci_push_to_workspace", {"paths": ["big.bin"]}, scope=scope)

            assert "(40,000,000 bytes)" in pushed.text
            manifest = interpreter.files(scope, "code-interpreter/")
            assert [file.size for file in manifest] == [40_000_000]
            stored = interpreter.download("code-interpreter/big.bin", scope=scope)
    engine.close()
    assert hashlib.sha256(stored).hexdigest() == made.split()[0]
