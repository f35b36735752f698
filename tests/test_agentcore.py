"""What the AgentCore backend makes of answers, of refusals, and of everything that breaks."""

import ast
import base64
import gc
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions as boto
from botocore.config import Config

from ci_toolkit import CodeInterpreter, Outcome, Scope
from ci_toolkit.backends.agentcore import AgentCoreBackend
from ci_toolkit.backends.agentcore.answers import Answer, NoResultError, StoredFile, read_answer
from ci_toolkit.backends.agentcore.verdicts import CLIENT, SERVICE, judge
from ci_toolkit.backends.base import Sandbox
from ci_toolkit.backends.errands.programs import interruption, prepare
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.emulator import AgentCoreEmulator, Fault
from ci_toolkit.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    CodeInterpreterError,
    ConfigurationError,
    InvalidArgumentsError,
    OutcomeUnknownError,
    QuotaExceededError,
    SandboxLostError,
    ThrottledError,
)
from ci_toolkit.results import Image
from ci_toolkit.workspaces import InMemoryWorkspace

INVOKE = "InvokeCodeInterpreter"
START = "StartCodeInterpreterSession"


class Keys(boto3.Session):
    """Credentials that nobody looks at; reads no settings of this machine."""

    def __init__(self, *, read_timeout: float | None = None) -> None:
        super().__init__(aws_access_key_id="none", aws_secret_access_key="none")
        self._read_timeout = read_timeout

    def client(self, *arguments: Any, **named: Any) -> Any:
        config = named.pop("config")
        if self._read_timeout is not None:
            config = config.merge(Config(read_timeout=self._read_timeout))
        return super().client(*arguments, config=config, **named)  # type: ignore[call-overload]


KEYS = Keys()  # One for all tests: a session reads the API's model at its first use.


@pytest.fixture
def emulator() -> Iterator[AgentCoreEmulator]:
    emulator = AgentCoreEmulator(InMemoryBackend(run_python=True))
    with emulator:
        yield emulator


@pytest.fixture
def backend(emulator: AgentCoreEmulator) -> Iterator[AgentCoreBackend]:
    backend = AgentCoreBackend("us-east-1", endpoint_url=emulator.url, boto_session=KEYS)
    yield backend
    backend.close()


@pytest.fixture
def sandbox(backend: AgentCoreBackend) -> Sandbox:
    return backend.start(name="test")


@pytest.fixture
def runs(tmp_path: Path) -> Callable[[], int]:
    file = tmp_path / "runs"
    return lambda: len(file.read_text().split()) if file.exists() else 0


@pytest.fixture
def code(tmp_path: Path) -> str:
    """Code that leaves a line for each time that it runs."""
    return (
        f"with open({str(tmp_path / 'runs')!r}, 'a') as f:\n    _ = f.write('ran\\n')\nprint('ok')"
    )


def tools(emulator: AgentCoreEmulator) -> list[str]:
    return [request.tool for request in emulator.requests if request.operation == INVOKE]


def operations(emulator: AgentCoreEmulator) -> list[str]:
    return [request.operation for request in emulator.requests]


class TestReading:
    def test_a_success_as_it_was_recorded(self) -> None:
        structured = {"stdout": "hi", "stderr": "", "exitCode": 0, "executionTime": 0.016}
        content = [{"type": "text", "text": "hi"}]
        event = {"content": content, "structuredContent": structured, "isError": False}
        assert read_answer([{"result": event}]) == Answer(
            text="hi", structured=True, stdout="hi", exit_code=0, seconds=0.016
        )

    def test_a_failure_keeps_what_was_printed_before_it(self) -> None:
        structured = {"stdout": "hi", "stderr": "\x1b[31mZeroDivisionError\x1b[0m", "exitCode": 1}
        event = {"content": [], "structuredContent": structured, "isError": True}
        assert read_answer([{"result": event}]) == Answer(
            is_error=True, structured=True, stdout="hi", stderr="ZeroDivisionError", exit_code=1
        )

    def test_several_results_are_one(self) -> None:
        first = {"content": [{"type": "text", "text": "a"}], "structuredContent": {"stdout": "a\n"}}
        second = {"content": [{"type": "text", "text": "b"}], "structuredContent": {"exitCode": 2}}
        third = {"content": [], "structuredContent": {"stdout": "b"}, "isError": True}
        answer = read_answer([{"result": e} for e in (first, second, third)])
        assert (answer.text, answer.stdout, answer.exit_code) == ("a\nb", "a\nb", 2)
        assert answer.is_error

    def test_all_kinds_of_blocks(self) -> None:
        blocks = [
            {"type": "image", "data": b"\x89PNG", "mimeType": "image/png"},
            {"type": "resource", "resource": {"type": "text", "uri": "file:///a", "text": "ä"}},
            {"type": "resource", "resource": {"type": "blob", "uri": "file:///b", "blob": b"\xff"}},
            {"type": "resource_link", "uri": "file:///c", "name": "c"},
        ]
        assert read_answer([{"result": {"content": blocks}}]) == Answer(
            images=(Image(media_type="image/png", data=b"\x89PNG", name="figure-1.png"),),
            files=(
                StoredFile(uri="file:///a", data="ä".encode()),
                StoredFile(uri="file:///b", data=b"\xff"),
            ),
            links=("file:///c",),
        )

    @pytest.mark.parametrize(
        "result",
        [
            {},
            {"content": None},
            {"content": [None, 3, "x", {}, {"type": "hologram"}, {"type": "text"}]},
            {"content": [{"type": "image", "data": "text", "mimeType": "image/png"}]},
            {"content": [{"type": "image", "data": b"x", "mimeType": "text/html"}]},
            {"content": [{"type": "resource"}], "structuredContent": 3},
        ],
    )
    def test_what_makes_no_sense_is_passed_over(self, result: dict[str, object]) -> None:
        answer = read_answer([{"unknown": {}}, {"result": result}])
        assert (answer.images, answer.files, answer.exit_code) == ((), (), None)

    @pytest.mark.parametrize("value", [True, "0", 2.5, 2**40, None])
    def test_an_exit_code_that_is_none_is_not_believed(self, value: object) -> None:
        result = {"content": [], "structuredContent": {"exitCode": value, "executionTime": "1"}}
        answer = read_answer([{"result": result}])
        assert (answer.exit_code, answer.seconds) == (None, None)

    def test_a_stream_without_a_result_is_no_success(self) -> None:
        with pytest.raises(NoResultError):
            read_answer([{"unknown": {}}])


class TestTable:
    def test_every_exception_of_the_service_has_a_verdict(self) -> None:
        model = KEYS.client("bedrock-agentcore", region_name="us-east-1", config=Config())
        invoke = model.meta.service_model.operation_model(INVOKE)
        names = {shape.name for shape in invoke.error_shapes}
        stream = invoke.output_shape.members["stream"].members
        names |= {name[0].upper() + name[1:] for name in stream if name != "result"}
        assert {name.removesuffix("Exception") for name in names} <= set(SERVICE)

    def test_what_has_no_verdict_of_its_own_cannot_come_of_these_calls(self) -> None:
        kinds = {
            kind
            for kind in vars(boto).values()
            if isinstance(kind, type) and issubclass(kind, boto.BotoCoreError)
        }
        without = {k.__name__ for k in kinds if not set(k.__mro__) & set(CLIENT)}
        assert without == {
            "BotoCoreError",
            "InvalidDNSNameError",
            "InvalidExpressionError",
            "InvalidS3AddressingStyleError",
            "InvalidS3UsEast1RegionalEndpointConfigError",
            "InvalidSTSRegionalEndpointsConfigError",
            "MD5UnavailableError",
            "OperationNotPageableError",
            "PaginationError",
            "StubResponseError",
            "UnStubbedResponseError",
            "StubAssertionError",
            "UnknownServiceStyle",
            "UnsupportedOutpostResourceError",
            "UnsupportedS3AccesspointConfigurationError",
            "UnsupportedS3ArnError",
            "UnsupportedS3ConfigurationError",
            "UnsupportedS3ControlArnError",
            "UnsupportedS3ControlConfigurationError",
            "WaiterConfigError",
            "WaiterError",
        }

    @pytest.mark.parametrize("error", [ValueError(), boto.BotoCoreError(), OSError()])
    def test_what_is_unknown_may_have_run(self, error: Exception) -> None:
        assert judge(error).may_have_run

    @pytest.mark.parametrize("kind", sorted(CLIENT, key=str))
    def test_in_the_middle_of_an_answer_everything_may_have_run(
        self, kind: type[Exception]
    ) -> None:
        error = kind.__new__(kind)
        assert judge(error, streaming=True).may_have_run


class TestPrograms:
    @pytest.mark.parametrize("name", ["command", "files", "find", "sweep", "transfer"])
    def test_what_is_sent_into_the_sandbox_is_short_and_fits_an_old_python(self, name: str) -> None:
        text = interruption("python", "") if name == "find" else prepare(name, {}).command
        (packed,) = (word for word in text.split() if word.startswith("eN"))
        assert len(text) < 12_000
        tree = ast.parse(zlib.decompress(base64.b64decode(packed)), feature_version=(3, 9))
        hints = [n.annotation for n in ast.walk(tree) if isinstance(n, ast.arg) and n.annotation]
        hints += [n.returns for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.returns]
        assert not [hint for hint in hints if isinstance(hint, ast.BinOp)]
        assert "ci_toolkit" not in {
            n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)
        }


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "expected", "says"),
        [
            ("AccessDeniedException", AccessDeniedError, "bedrock-agentcore:InvokeCodeInterpreter"),
            ("ServiceQuotaExceededException", QuotaExceededError, "Service Quotas"),
            ("ThrottlingException", ThrottledError, "asked again"),
            ("ValidationException", InvalidArgumentsError, "nothing was run"),
            ("ConflictException", OutcomeUnknownError, "not sent a second time"),
            ("InternalServerException", OutcomeUnknownError, "not sent a second time"),
        ],
    )
    def test_a_refused_call_is_typed_and_says_what_to_do(
        self,
        emulator: AgentCoreEmulator,
        sandbox: Sandbox,
        code: str,
        expected: type[CodeInterpreterError],
        says: str,
    ) -> None:
        emulator.fault(Fault(kind="refuse", operation=INVOKE, code=code, times=99))
        with pytest.raises(expected, match=says):
            sandbox.execute_code("1", timeout=10)
        emulator.clear_faults()
        assert sandbox.execute_code("print(1)", timeout=10).stdout == "1\n"

    @pytest.mark.parametrize(
        ("code", "expected", "says"),
        [
            ("AccessDeniedException", AccessDeniedError, "StartCodeInterpreterSession"),
            ("ServiceQuotaExceededException", QuotaExceededError, "maxCodeInterpreterSessions"),
            ("ThrottlingException", ThrottledError, "more calls"),
            ("ValidationException", ConfigurationError, "Check the arguments"),
            ("ResourceNotFoundException", ConfigurationError, "identifier exists"),
            ("InternalServerException", BackendUnavailableError, "start a session"),
        ],
    )
    def test_a_refused_start_is_typed_and_says_what_to_do(
        self,
        emulator: AgentCoreEmulator,
        backend: AgentCoreBackend,
        code: str,
        expected: type[CodeInterpreterError],
        says: str,
    ) -> None:
        emulator.fault(Fault(kind="refuse", operation=START, code=code, times=99))
        with pytest.raises(expected, match=says):
            backend.start(name="test")

    def test_a_start_is_asked_for_again_under_the_same_token_until_it_is_known(
        self, emulator: AgentCoreEmulator, backend: AgentCoreBackend
    ) -> None:
        emulator.fault(Fault(kind="server_error", operation=START))
        emulator.fault(Fault(kind="cut_before", operation=START, times=2))
        backend.start(name="test")
        tokens = [r.arguments["clientToken"] for r in emulator.requests if r.operation == START]
        assert len(tokens) == 4
        assert len(set(tokens)) == 1

    @pytest.mark.parametrize("kind", ["cut_before", "cut_inside", "server_error"])
    def test_a_start_is_asked_for_again_under_the_same_token(
        self, emulator: AgentCoreEmulator, backend: AgentCoreBackend, kind: Any
    ) -> None:
        emulator.fault(Fault(kind=kind, operation=START))
        backend.start(name="test")
        first, second = [r for r in emulator.requests if r.operation == START]
        assert first.arguments["clientToken"] == second.arguments["clientToken"]
        assert len(list(backend.list_leftovers("test"))) == 0

    def test_a_service_that_is_not_there_is_unavailable(self) -> None:
        backend = AgentCoreBackend(
            "us-east-1", endpoint_url="http://127.0.0.1:9", boto_session=KEYS
        )
        with pytest.raises(BackendUnavailableError, match="endpoint_url"):
            backend.start(name="test")


class TestOnce:
    @pytest.mark.parametrize(
        "kind",
        [
            "exception_in_stream",
            "cut_before",
            "cut_inside",
            "cut_after",
            "truncated_frame",
            "corrupted_frame",
        ],
    )
    def test_whatever_breaks_code_runs_once_and_the_outcome_is_called_unknown(
        self,
        emulator: AgentCoreEmulator,
        sandbox: Sandbox,
        code: str,
        runs: Callable[[], int],
        kind: Any,
    ) -> None:
        emulator.fault(Fault(kind=kind, operation=INVOKE))
        began = time.monotonic()
        with pytest.raises(OutcomeUnknownError, match="second time"):
            sandbox.execute_code(code, timeout=30)
        assert time.monotonic() - began < 10
        assert (tools(emulator), runs()) == (["executeCode"], 1)
        assert sandbox.execute_code("print(1)", timeout=10).stdout == "1\n"

    def test_a_read_timeout_sends_nothing_again(
        self, emulator: AgentCoreEmulator, code: str, runs: Callable[[], int]
    ) -> None:
        keys = Keys(read_timeout=1)
        backend = AgentCoreBackend("us-east-1", endpoint_url=emulator.url, boto_session=keys)
        sandbox = backend.start(name="test")
        emulator.fault(Fault(kind="slow_headers", operation=INVOKE, seconds=2))
        with pytest.raises(OutcomeUnknownError, match="may have been done"):
            sandbox.execute_code(code, timeout=30)
        assert (tools(emulator), runs()) == (["executeCode"], 1)
        backend.close()

    def test_a_throttled_call_is_sent_again_and_runs_once(
        self,
        emulator: AgentCoreEmulator,
        sandbox: Sandbox,
        code: str,
        runs: Callable[[], int],
    ) -> None:
        emulator.fault(Fault(kind="throttle", operation=INVOKE, times=2))
        assert sandbox.execute_code(code, timeout=30).stdout == "ok\n"
        assert (tools(emulator), runs()) == (["executeCode"] * 3, 1)

    def test_throttling_that_does_not_end_is_told_and_nothing_has_run(
        self,
        emulator: AgentCoreEmulator,
        sandbox: Sandbox,
        code: str,
        runs: Callable[[], int],
    ) -> None:
        emulator.fault(Fault(kind="throttle", operation=INVOKE, times=99))
        with pytest.raises(ThrottledError):
            sandbox.execute_code(code, timeout=30)
        assert (tools(emulator), runs()) == (["executeCode"] * 5, 0)

    @pytest.mark.parametrize(
        "kind", ["split_result", "unknown_block", "unknown_member", "unknown_event"]
    )
    def test_what_is_new_in_an_answer_does_no_harm(
        self, emulator: AgentCoreEmulator, sandbox: Sandbox, code: str, kind: Any
    ) -> None:
        emulator.fault(Fault(kind=kind, operation=INVOKE))
        answer = sandbox.execute_code(code, timeout=30)
        assert (answer.stdout.strip(), answer.exit_code) == ("ok", 0)

    def test_a_run_is_one_call(self, emulator: AgentCoreEmulator, sandbox: Sandbox) -> None:
        for _ in range(3):
            sandbox.execute_code("1", timeout=10)
        assert operations(emulator) == [START, INVOKE, INVOKE, INVOKE]


class TestLoss:
    def test_a_session_that_ended_before_a_call_is_lost_and_nothing_has_run(
        self, emulator: AgentCoreEmulator, sandbox: Sandbox, code: str, runs: Callable[[], int]
    ) -> None:
        emulator.expire(sandbox.id)
        for _ in range(2):
            with pytest.raises(SandboxLostError) as caught:
                sandbox.execute_code(code, timeout=10)
            assert not caught.value.may_have_run
        assert (runs(), len(tools(emulator))) == (0, 1)

    def test_a_session_that_ends_during_a_call_is_lost_and_code_may_have_run(
        self, emulator: AgentCoreEmulator, sandbox: Sandbox
    ) -> None:
        threading.Timer(0.5, emulator.expire, [sandbox.id]).start()
        with pytest.raises(SandboxLostError) as caught:
            sandbox.execute_code("import time\ntime.sleep(3)", timeout=20)
        assert caught.value.may_have_run

    @pytest.mark.parametrize(
        ("code", "may_have_run"), [("ConflictException", True), ("ValidationException", False)]
    )
    def test_a_refusal_that_could_mean_a_loss_is_confirmed(
        self,
        emulator: AgentCoreEmulator,
        sandbox: Sandbox,
        code: str,
        may_have_run: bool,
    ) -> None:
        emulator.expire(sandbox.id)
        emulator.fault(Fault(kind="refuse", operation=INVOKE, code=code))
        with pytest.raises(SandboxLostError) as caught:
            sandbox.execute_code("1", timeout=10)
        assert caught.value.may_have_run is may_have_run
        assert operations(emulator)[-1] == "GetCodeInterpreterSession"

    def test_an_exception_in_the_stream_may_be_the_loss(
        self, emulator: AgentCoreEmulator, sandbox: Sandbox
    ) -> None:
        fault = Fault(
            kind="exception_in_stream", operation=INVOKE, code="resourceNotFoundException"
        )
        emulator.fault(fault)
        with pytest.raises(SandboxLostError) as caught:
            sandbox.execute_code("1", timeout=10)
        assert caught.value.may_have_run

    def test_a_run_that_nothing_ends_costs_the_sandbox_and_no_more_time(
        self, emulator: AgentCoreEmulator, sandbox: Sandbox
    ) -> None:
        emulator.fault(Fault(kind="slow_headers", tool="executeCode", seconds=30))
        began = time.monotonic()
        answer = sandbox.execute_code("1", timeout=0.5)
        assert time.monotonic() - began < 15
        assert (answer.ended, answer.state_kept, answer.failed) == ("timed_out", False, True)
        with pytest.raises(SandboxLostError) as caught:
            sandbox.execute_code("1", timeout=10)
        assert not caught.value.may_have_run
        assert "StopCodeInterpreterSession" in operations(emulator)

    def test_closing_from_another_thread_releases_a_call(
        self, emulator: AgentCoreEmulator, sandbox: Sandbox
    ) -> None:
        threading.Timer(0.5, sandbox.close).start()
        began = time.monotonic()
        with pytest.raises(SandboxLostError) as caught:
            sandbox.execute_code("import time\ntime.sleep(3)", timeout=20)
        assert caught.value.may_have_run
        assert time.monotonic() - began < 3


class TestLife:
    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"region": "Mars"}, "us-east-1"),
            ({"identifier": "not one"}, "aws.codeinterpreter.v1"),
            ({"identifier": "arn:aws:x:y:z:code-interpreter-custom/a-0123456789"}, "last slash"),
            ({"session_timeout": 0}, "1 to 28800"),
            ({"session_timeout": 28_801}, "1 to 28800"),
            ({"session_timeout": True}, "1 to 28800"),
            ({"network": "host"}, '"internet"'),
            ({"endpoint_url": "127.0.0.1"}, "http://"),
            ({"certificates": [{"arn": "x"}]}, "location"),
            ({"filesystem_configurations": [3]}, "efsConfiguration"),
            ({"concurrency": 0}, "1 to 1000"),
        ],
    )
    def test_settings_that_cannot_be_are_refused_at_once(
        self, settings: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=says):
            AgentCoreBackend(**{"region": "us-east-1", "boto_session": KEYS, **settings})

    def test_a_region_is_needed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        with pytest.raises(ConfigurationError, match="needs a region"):
            AgentCoreBackend()

    def test_credentials_are_needed_at_the_first_use(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, emulator: AgentCoreEmulator
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        backend = AgentCoreBackend("us-east-1", endpoint_url=emulator.url)
        with pytest.raises(AccessDeniedError, match="credentials"):
            backend.start(name="test")

    def test_a_session_says_when_it_ends(self, backend: AgentCoreBackend, sandbox: Sandbox) -> None:
        assert sandbox.expires_at is not None
        assert 3500 < sandbox.expires_at - time.time() <= 3600
        again = backend.attach(sandbox.id).expires_at
        assert again == pytest.approx(sandbox.expires_at, abs=2)

    @pytest.mark.parametrize("wrong", ["", "local-1/2", "x" * 41, "01K00Z3F8WZ9KBBW4QGRJCVBHH"])
    def test_ids_of_no_session_are_not_attached_to(
        self, backend: AgentCoreBackend, wrong: str
    ) -> None:
        with pytest.raises(SandboxLostError):
            backend.attach(wrong)

    @pytest.mark.parametrize("kind", ["throttle", "server_error", "refuse", "cut_before"])
    def test_closing_never_raises(
        self, emulator: AgentCoreEmulator, sandbox: Sandbox, kind: Any
    ) -> None:
        emulator.fault(Fault(kind=kind, operation="StopCodeInterpreterSession", times=99))
        began = time.monotonic()
        sandbox.close()
        assert time.monotonic() - began < 16
        with pytest.raises(SandboxLostError):
            sandbox.execute_code("1", timeout=10)

    @pytest.mark.parametrize("kind", ["server_error", "refuse", "cut_before", "cut_inside"])
    def test_a_session_that_cannot_be_asked_for_is_not_called_lost(
        self, emulator: AgentCoreEmulator, backend: AgentCoreBackend, sandbox: Sandbox, kind: Any
    ) -> None:
        fault = Fault(kind=kind, operation="GetCodeInterpreterSession", times=99)
        emulator.fault(fault)
        with pytest.raises((BackendUnavailableError, AccessDeniedError)):
            backend.attach(sandbox.id)

    def test_a_long_name_is_cut(
        self, emulator: AgentCoreEmulator, backend: AgentCoreBackend
    ) -> None:
        backend.start(name="n" * 300)
        assert emulator.requests[-1].arguments["name"] == "n" * 100

    def test_sessions_start_beside_each_other_and_all_are_stopped(self) -> None:
        emulator = AgentCoreEmulator(InMemoryBackend(), start_latency=0.5)
        with emulator as url:
            backend = AgentCoreBackend("us-east-1", endpoint_url=url, boto_session=KEYS)
            backend.start(name="warm")
            began = time.monotonic()
            threads = [
                threading.Thread(target=backend.start, kwargs={"name": "test"}) for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert time.monotonic() - began < 2.5
            backend.close()
            assert operations(emulator).count("StopCodeInterpreterSession") == 9

    def test_an_attached_session_is_left_alone(
        self, emulator: AgentCoreEmulator, sandbox: Sandbox
    ) -> None:
        other = AgentCoreBackend("us-east-1", endpoint_url=emulator.url, boto_session=KEYS)
        other.attach(sandbox.id)
        other.close()
        assert sandbox.execute_code("print(1)", timeout=10).stdout == "1\n"

    def test_sessions_of_a_backend_that_is_forgotten_are_stopped(
        self, emulator: AgentCoreEmulator
    ) -> None:
        backend = AgentCoreBackend("us-east-1", endpoint_url=emulator.url, boto_session=KEYS)
        sandbox = backend.start(name="test")
        del backend
        gc.collect()
        assert sandbox.execute_code("print(1)", timeout=10).stdout == "1\n"
        del sandbox
        gc.collect()
        assert operations(emulator)[-1] == "StopCodeInterpreterSession"

    def test_sessions_are_stopped_when_the_interpreter_ends(
        self, emulator: AgentCoreEmulator
    ) -> None:
        script = (
            "import boto3\nfrom ci_toolkit.backends.agentcore import AgentCoreBackend\n"
            "keys = boto3.Session(aws_access_key_id='none', aws_secret_access_key='none')\n"
            f"backend = AgentCoreBackend('us-east-1', endpoint_url={emulator.url!r}, "
            "boto_session=keys)\nsandbox = backend.start(name='test')\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
        assert operations(emulator) == [START, "StopCodeInterpreterSession"]

    def test_trace_headers_go_with_every_request(self, emulator: AgentCoreEmulator) -> None:
        trace = {"traceId": "Root=1-5759e988-bd862e3fe1be46a994272793", "traceParent": ""}
        backend = AgentCoreBackend(
            "us-east-1", endpoint_url=emulator.url, boto_session=KEYS, trace=lambda: trace
        )
        backend.start(name="test").close()
        assert [r.arguments.get("traceId") for r in emulator.requests] == [trace["traceId"]] * 2

    def test_neither_keys_nor_settings_show(self, backend: AgentCoreBackend) -> None:
        assert repr(backend) == "AgentCoreBackend('us-east-1', 'aws.codeinterpreter.v1')"


class TestConversation:
    def test_it_survives_the_end_of_its_session(
        self, emulator: AgentCoreEmulator, backend: AgentCoreBackend
    ) -> None:
        scope = Scope(user_id="ada", session_id="thread-1")
        with CodeInterpreter(backend, InMemoryWorkspace()) as interpreter:

            def run(code: str) -> Outcome:
                return interpreter.call("execute_code", {"code": code}, scope=scope)

            assert run("x = 1\nprint(x)").text == "1"
            (session,) = {r.session for r in emulator.requests if r.session}
            emulator.expire(session)
            again = run("print('x' in globals())")
            assert "lost" in again.text
            assert again.text.endswith("False")
            assert "lost" not in run("print(2)").text
        assert operations(emulator).count(START) == 2
