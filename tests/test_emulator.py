"""The AgentCore emulator answers as the service was recorded to: whole values, over real HTTP."""

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from ci_toolkit import errors
from ci_toolkit.backends.memory import InMemoryBackend, Request
from ci_toolkit.emulator import AgentCoreEmulator, EmulatorOptions
from ci_toolkit.results import Execution, Image

SYSTEM = "aws.codeinterpreter.v1"
Result = dict[str, Any]


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Peer:
    """A boto3 client that says only what matters."""

    def __init__(self, url: str, service: str = "bedrock-agentcore") -> None:
        self.boto: Any = boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="emulator",
            aws_secret_access_key="emulator",
            config=Config(
                retries={"total_max_attempts": 1},
                max_pool_connections=100,
                parameter_validation=False,
            ),
        )
        self.session = ""

    def start(self, **members: object) -> str:
        members = {"codeInterpreterIdentifier": SYSTEM, **members}
        self.session = str(self.boto.start_code_interpreter_session(**members)["sessionId"])
        return self.session

    def events(self, tool: str, session: str = "", **arguments: object) -> list[Result]:
        answer = self.boto.invoke_code_interpreter(
            codeInterpreterIdentifier=SYSTEM,
            sessionId=session or self.session,
            name=tool,
            arguments=arguments,
        )
        return list(answer["stream"])

    def invoke(self, tool: str, session: str = "", **arguments: object) -> Result:
        (event,) = self.events(tool, session, **arguments)
        result: Result = event["result"]
        return result

    def python(self, code: str, session: str = "", **more: object) -> Result:
        return self.invoke("executeCode", session, code=code, language="python", **more)


def refusal(call: Callable[[], object]) -> tuple[int, str, str]:
    """Status, code and message of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return status, answer["Error"]["Code"], answer["Error"]["Message"]


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend(run_python=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emulator(backend: InMemoryBackend, clock: Clock) -> Iterator[AgentCoreEmulator]:
    emulator = AgentCoreEmulator(backend, clock=clock)
    with emulator:
        yield emulator


@pytest.fixture
def peer(emulator: AgentCoreEmulator) -> Iterator[Peer]:
    peer = Peer(emulator.url)
    with closing(peer.boto):
        peer.start(name="tests")
        yield peer


def text_block(text: str) -> Result:
    return {"type": "text", "text": text}


def told(text: str, *, error: bool = False) -> Result:
    return {"content": [text_block(text)], "isError": error}


# --- code -----------------------------------------------------------------------------------------


def test_output_of_code_is_stripped_at_both_ends(backend: InMemoryBackend, peer: Peer) -> None:
    backend.reply("describe", Execution(stdout="   mean\n 1.5\n", duration=0.25))

    assert peer.python("describe") == {
        "content": [text_block("mean\n 1.5")],
        "structuredContent": {
            "stdout": "mean\n 1.5",
            "stderr": "",
            "exitCode": 0,
            "executionTime": 0.25,
        },
        "isError": False,
    }


def test_a_program_that_prints_and_raises_has_a_block_for_each_channel(
    backend: InMemoryBackend, peer: Peer
) -> None:
    failed = Execution(stdout="hi\n", stderr="ZeroDivisionError\n", exit_code=1, duration=0.117)
    backend.reply("print('hi'); 1 / 0", failed)

    assert peer.python("print('hi'); 1 / 0") == {
        "content": [text_block("hi"), text_block("ZeroDivisionError")],
        "structuredContent": {
            "stdout": "hi",
            "stderr": "ZeroDivisionError",
            "exitCode": 1,
            "executionTime": 0.117,
        },
        "isError": True,
    }


def test_standard_error_alone_is_no_error(peer: Peer) -> None:
    result = peer.python("import sys; print('careful', file=sys.stderr)")

    assert (result["isError"], result["content"]) == (False, [text_block("careful")])
    assert result["structuredContent"]["stderr"] == "careful"
    assert result["structuredContent"]["exitCode"] == 0


def test_silence_is_no_block(peer: Peer) -> None:
    assert peer.python("x = 1")["content"] == []


def test_python_keeps_its_variables_until_they_are_cleared(peer: Peer) -> None:
    peer.python("x = 6 * 7")
    kept = peer.python("f'x is still {x}'")
    cleared = peer.python("y = 1; 'x' in globals()", clearContext=True)
    after = peer.python("y")

    assert kept["content"] == [text_block("'x is still 42'")]
    assert cleared["content"] == [text_block("False")]
    assert after["content"] == [text_block("1")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"language": "python"}, "Error: executeCode needs 'code'."),
        ({"code": "1"}, "Error: executeCode needs 'language'."),
        (
            {"code": "1", "language": "python", "runtime": "deno"},
            "Error: the runtime 'deno' does not run python.",
        ),
    ],
)
def test_arguments_that_do_not_fit_a_tool_are_an_error_result(
    peer: Peer, arguments: Result, words: str
) -> None:
    assert peer.invoke("executeCode", **arguments) == told(words, error=True)


def test_figures_come_only_when_they_are_asked_for(backend: InMemoryBackend) -> None:
    image = Image(media_type="image/png", data=b"\x89PNG", name="figure")
    backend.reply("plot", Execution(stdout="drawn\n", images=(image,)))
    found = {}
    for images in (False, True):
        with AgentCoreEmulator(backend, images=images) as url, closing((peer := Peer(url)).boto):
            peer.start()
            found[images] = peer.python("plot")["content"]

    assert found == {
        False: [text_block("drawn")],
        True: [
            text_block("drawn"),
            {"type": "image", "data": b"\x89PNG", "mimeType": "image/png"},
        ],
    }


# --- commands and tasks ---------------------------------------------------------------------------


def test_a_command_that_succeeds_has_its_output_in_stdout(
    backend: InMemoryBackend, peer: Peer
) -> None:
    backend.reply_command("ls", Execution(stdout="a\n", stderr="b\n", duration=0.076))

    assert peer.invoke("executeCommand", command="ls") == {
        "content": [text_block("a\r\nb\r\n")],
        "structuredContent": {
            "stdout": "a\r\nb\r\n",
            "stderr": "",
            "exitCode": 0,
            "executionTime": 0.076,
        },
        "isError": False,
    }


def test_a_command_that_fails_has_all_its_output_in_stderr(
    backend: InMemoryBackend, peer: Peer
) -> None:
    failed = Execution(stdout="hello\n", exit_code=3, duration=0.09)
    backend.reply_command("echo hello; exit 3", failed)

    assert peer.invoke("executeCommand", command="echo hello; exit 3") == {
        "content": [text_block("hello\r\n")],
        "structuredContent": {
            "stdout": "",
            "stderr": "hello\r\n",
            "exitCode": 3,
            "executionTime": 0.09,
        },
        "isError": True,
    }


def test_a_signal_ends_a_command_with_the_status_that_a_shell_tells(
    backend: InMemoryBackend, peer: Peer
) -> None:
    backend.reply_command("kill -9 $$", Execution(exit_code=-9))

    result = peer.invoke("executeCommand", command="kill -9 $$")

    assert result["structuredContent"]["exitCode"] == 137


def test_control_characters_of_a_command_become_question_marks(
    backend: InMemoryBackend, peer: Peer
) -> None:
    backend.reply_command("ring", "\x07a\tb\n")

    assert peer.invoke("executeCommand", command="ring")["content"] == [text_block("?a\tb\r\n")]


def test_a_backend_without_commands_says_so(peer: Peer) -> None:
    result = peer.invoke("executeCommand", command="ls")

    assert result["isError"]
    assert "has no reply for 'ls'" in result["content"][0]["text"]
    assert "structuredContent" not in result


def test_a_task_is_started_asked_for_and_stopped_by_its_id(
    backend: InMemoryBackend, peer: Peer
) -> None:
    go = threading.Event()

    def work(_: Request) -> Execution:
        go.wait(10)
        return Execution(stdout="finished-at-13\n", duration=20.1)

    backend.reply_command("work", work)
    started = peer.invoke("startCommandExecution", command="work")
    task = started["structuredContent"]["taskId"]
    working = peer.invoke("getTask", taskId=task)
    go.set()
    while (ended := peer.invoke("getTask", taskId=task)) == working:
        pass
    stopped = peer.invoke("stopTask", taskId=task)

    assert started == {
        "content": [text_block("Successfully started a command execution task")],
        "structuredContent": {
            "taskId": task,
            "taskStatus": "submitted",
            "stdout": "",
            "stderr": "",
        },
        "isError": False,
    }
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", task)
    assert working == {
        "content": [text_block("Task is working")],
        "structuredContent": {"taskStatus": "working"},
        "isError": False,
    }
    assert ended["structuredContent"] == {
        "taskStatus": "completed",
        "stdout": "finished-at-13\r\n",
        "stderr": "",
        "exitCode": 0,
        "executionTime": 20.1,
    }
    assert not ended["isError"]
    words = "Task cannot be canceled (current status: TaskStatus.COMPLETED)"
    assert stopped == told(words, error=True)


def test_a_task_that_is_stopped_is_canceled(backend: InMemoryBackend, peer: Peer) -> None:
    def work(request: Request) -> str:
        request.interrupted.wait(10)
        return ""

    backend.reply_command("work", work)
    task = peer.invoke("startCommandExecution", command="work")["structuredContent"]["taskId"]
    stopped = peer.invoke("stopTask", taskId=task)

    assert (stopped["isError"], stopped["structuredContent"]) == (False, {"taskStatus": "canceled"})
    assert peer.invoke("getTask", taskId=task)["structuredContent"] == {"taskStatus": "canceled"}
    assert peer.python("1 + 1")["content"] == [text_block("2")]


def test_an_unknown_task_is_an_error_result(peer: Peer) -> None:
    expected = told("Error: there is no task 'none'.", error=True)

    assert peer.invoke("getTask", taskId="none") == expected
    assert peer.invoke("stopTask", taskId="none") == expected


# --- files ----------------------------------------------------------------------------------------


def test_files_are_written_read_listed_and_removed(peer: Peer) -> None:
    files = [
        {"path": "data/a.csv", "text": "x\n1\n"},
        {"path": "data/image.png", "blob": b"\x89PNG\xff"},
    ]

    assert peer.invoke("writeFiles", content=files) == told("Successfully wrote all 2 files")
    assert peer.invoke("readFiles", paths=["data/a.csv", "data/image.png"]) == {
        "content": [
            {
                "type": "resource",
                "resource": {
                    "type": "text",
                    "uri": "file:///data/a.csv",
                    "mimeType": "text/csv",
                    "text": "x\n1\n",
                },
            },
            {
                "type": "resource",
                "resource": {
                    "type": "blob",
                    "uri": "file:///data/image.png",
                    "mimeType": "image/png",
                    "blob": b"\x89PNG\xff",
                },
            },
        ],
        "isError": False,
    }
    assert peer.invoke("listFiles", directoryPath="data") == {
        "content": [
            {
                "type": "resource_link",
                "mimeType": "text/csv",
                "uri": "file:///data/a.csv",
                "name": "a.csv",
                "description": "File",
            },
            {
                "type": "resource_link",
                "mimeType": "image/png",
                "uri": "file:///data/image.png",
                "name": "image.png",
                "description": "File",
            },
        ],
        "isError": False,
    }
    removed = peer.invoke("removeFiles", paths=["data/a.csv"])
    assert removed == told("Successfully removed all 1 files")
    assert peer.invoke("readFiles", paths=["data/a.csv"])["isError"]


@pytest.mark.parametrize("arguments", [{}, {"path": ""}, {"directoryPath": ""}, {"path": "."}])
def test_a_new_session_holds_what_the_service_leaves_there(peer: Peer, arguments: Result) -> None:
    links = peer.invoke("listFiles", **arguments)["content"]

    assert [(link["name"], link["description"]) for link in links] == [
        (".ipython", "Directory"),
        ("log", "Directory"),
        ("node_modules", "Directory"),
        ("nodejs-js-execution", "Directory"),
        ("nodejs-ts-execution", "Directory"),
        ("package-lock.json", "File"),
        ("package.json", "File"),
        ("run", "Directory"),
    ]
    assert links[1] == {
        "type": "resource_link",
        "uri": "file:///log",
        "name": "log",
        "description": "Directory",
    }


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x"])
def test_paths_that_are_not_below_the_root_are_refused(peer: Peer, path: str) -> None:
    calls: list[tuple[str, Result]] = [
        ("readFiles", {"paths": [path]}),
        ("writeFiles", {"content": [{"path": path, "text": ""}]}),
        ("removeFiles", {"paths": [path]}),
        ("listFiles", {"directoryPath": path}),
    ]
    for tool, arguments in calls:
        result = peer.invoke(tool, **arguments)
        assert "path traversal" in result["content"][0]["text"]
        assert (result["isError"], "structuredContent" in result) == (True, False)


@pytest.mark.parametrize(
    "bad",
    [
        {"path": "../out", "text": ""},
        {"path": "log", "text": "a directory is there"},
        {"path": "package.json/x", "text": "a file is above it"},
        {"path": "both", "text": "", "blob": b""},
        {"path": "neither"},
        {"path": "", "text": ""},
    ],
)
def test_where_one_file_cannot_be_written_none_is(peer: Peer, bad: Result) -> None:
    result = peer.invoke("writeFiles", content=[{"path": "good", "text": "x"}, bad])

    assert result["isError"]
    assert peer.invoke("readFiles", paths=["good"])["isError"]


def test_a_missing_file_is_an_error_result(peer: Peer) -> None:
    words = "files: [Errno 2] No such file or directory: 'none'"

    assert peer.invoke("readFiles", paths=["none"]) == told(f"Error reading {words}", error=True)
    assert peer.invoke("removeFiles", paths=["none"]) == told(f"Error removing {words}", error=True)
    listed = peer.invoke("listFiles", directoryPath="none")
    assert listed == told(f"Error listing {words}", error=True)


def test_bytes_that_only_claim_to_be_text_come_back_whole(peer: Peer) -> None:
    peer.invoke("writeFiles", content=[{"path": "a.txt", "blob": b"\xff\xfe"}])

    (block,) = peer.invoke("readFiles", paths=["a.txt"])["content"]

    assert block["resource"]["blob"] == b"\xff\xfe"


# --- the wire -------------------------------------------------------------------------------------


def test_the_headers_of_an_invoke_are_those_of_the_service(
    emulator: AgentCoreEmulator, peer: Peer
) -> None:
    answer = send(
        emulator.url,
        "POST",
        f"/code-interpreters/{SYSTEM}/tools/invoke",
        json.dumps({"name": "executeCode", "arguments": {"code": "1", "language": "python"}}),
        {"x-amzn-code-interpreter-session-id": peer.session},
    )
    headers = {name: value for name, value in answer.headers.items() if name != "date"}

    assert re.fullmatch("[0-9a-f-]{36}", headers.pop("x-amzn-requestid"))
    assert headers == {
        "content-type": "application/vnd.amazon.eventstream",
        "transfer-encoding": "chunked",
        "x-amzn-code-interpreter-session-id": peer.session,
    }


def test_an_error_says_its_kind_in_a_header(emulator: AgentCoreEmulator) -> None:
    answer = send(emulator.url, "PUT", f"/code-interpreters/{SYSTEM}/sessions/start", "{")

    assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert json.loads(answer.body) == {
        "message": "The body is not valid JSON.",
        "reason": "CannotParse",
    }


@pytest.mark.parametrize(
    ("operation", "members", "field"),
    [
        ("start", {"sessionTimeoutSeconds": 0}, "sessionTimeoutSeconds"),
        ("start", {"sessionTimeoutSeconds": 28_801}, "sessionTimeoutSeconds"),
        ("start", {"sessionTimeoutSeconds": "many"}, "sessionTimeoutSeconds"),
        ("start", {"name": ""}, "name"),
        ("start", {"name": "n" * 101}, "name"),
        ("start", {"clientToken": "short"}, "clientToken"),
        ("start", {"certificates": [{"location": {}}]}, "certificates.1.member.location"),
        ("list", {"maxResults": 0}, "maxResults"),
        ("list", {"maxResults": 101}, "maxResults"),
        ("list", {"status": "GONE"}, "status"),
        ("list", {"nextToken": "nonsense"}, "nextToken"),
        ("invoke", {"name": "runCode"}, "name"),
        ("invoke", {}, "name"),
        ("invoke", {"name": "executeCode", "arguments": []}, "arguments"),
        (
            "invoke",
            {"name": "executeCode", "arguments": {"code": "1", "language": "ruby"}},
            "arguments.language",
        ),
        ("invoke", {"name": "executeCode", "arguments": {"code": 1}}, "arguments.code"),
        ("invoke", {"name": "readFiles", "arguments": {"paths": "a"}}, "arguments.paths"),
        (
            "invoke",
            {"name": "writeFiles", "arguments": {"content": [{"path": "a", "blob": "?"}]}},
            "arguments.content.1.member.blob",
        ),
        (
            "invoke",
            {"name": "writeFiles", "arguments": {"content": [{"text": "a"}]}},
            "arguments.content.1.member.path",
        ),
    ],
)
def test_members_that_do_not_fit_the_model_are_named(
    emulator: AgentCoreEmulator, operation: str, members: Result, field: str
) -> None:
    method, path = {
        "start": ("PUT", "sessions/start"),
        "list": ("POST", "sessions/list"),
        "invoke": ("POST", "tools/invoke"),
    }[operation]
    session = {"x-amzn-code-interpreter-session-id": "A" * 26}
    answer = send(
        emulator.url, method, f"/code-interpreters/{SYSTEM}/{path}", json.dumps(members), session
    )
    body = json.loads(answer.body)

    assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert body["reason"] == "FieldValidationFailed"
    assert [found["name"] for found in body["fieldList"]] == [field]


@pytest.mark.parametrize("session", [None, "", "not-an-id", "a" * 41])
def test_a_session_id_that_can_be_none_is_refused(
    emulator: AgentCoreEmulator, session: str | None
) -> None:
    headers = {} if session is None else {"x-amzn-code-interpreter-session-id": session}
    path = f"/code-interpreters/{SYSTEM}/tools/invoke"

    answer = send(emulator.url, "POST", path, '{"name": "listFiles"}', headers)

    assert answer.status == 400


def test_a_request_that_is_too_large_is_refused(backend: InMemoryBackend) -> None:
    with (
        AgentCoreEmulator(backend, payload_bytes=1_000_000) as url,
        closing((peer := Peer(url)).boto),
    ):
        peer.start()
        found = refusal(lambda: peer.python("#" * 1_000_000))

        assert found[:2] == (400, "ValidationException")
        assert peer.python("1")["content"] == [text_block("1")]


def test_a_result_that_is_too_large_is_refused(backend: InMemoryBackend) -> None:
    with AgentCoreEmulator(backend, payload_bytes=1000) as url, closing((peer := Peer(url)).boto):
        peer.start()
        backend.sandboxes[0].files.write("big", b"x" * 1001)

        assert refusal(lambda: peer.invoke("readFiles", paths=["big"]))[0] == 400


def test_a_result_that_no_client_could_read_is_an_error(
    backend: InMemoryBackend, peer: Peer
) -> None:
    backend.reply("flood", "x" * 13_000_000)

    assert refusal(lambda: peer.python("flood"))[:2] == (500, "InternalServerException")


def test_unknown_routes_are_answered(emulator: AgentCoreEmulator) -> None:
    found = [
        send(emulator.url, method, path).status
        for method, path in [
            ("GET", "/"),
            ("DELETE", f"/code-interpreters/{SYSTEM}/sessions/start"),
            ("POST", f"/code-interpreters/{SYSTEM}/tools/none"),
        ]
    ]

    assert found == [404, 404, 404]


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_is_told_as_it_was_started(
    emulator: AgentCoreEmulator, peer: Peer, clock: Clock
) -> None:
    peer.start(name="mine", sessionTimeoutSeconds=60)
    found = peer.boto.get_code_interpreter_session(
        codeInterpreterIdentifier=SYSTEM, sessionId=peer.session
    )
    del found["ResponseMetadata"]

    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", peer.session)
    assert found.pop("createdAt").timestamp() == clock.now
    assert found == {
        "codeInterpreterIdentifier": SYSTEM,
        "sessionId": peer.session,
        "name": "mine",
        "sessionTimeoutSeconds": 60,
        "status": "READY",
    }


def test_sessions_are_listed_page_by_page_and_by_status(peer: Peer) -> None:
    sessions = [peer.session, *(peer.start() for _ in range(4))]
    stop(peer, sessions[1])

    def pages(**members: object) -> list[list[str]]:
        found: list[list[str]] = []
        token: dict[str, str] = {}
        while True:
            page = peer.boto.list_code_interpreter_sessions(
                codeInterpreterIdentifier=SYSTEM, maxResults=2, **members, **token
            )
            found.append([item["sessionId"] for item in page["items"]])
            if "nextToken" not in page:
                return found
            token = {"nextToken": page["nextToken"]}

    newest = sessions[::-1]
    assert pages() == [newest[:2], newest[2:4], newest[4:]]
    assert pages(status="TERMINATED") == [[sessions[1]]]
    assert pages(status="READY") == [newest[:2], [sessions[2], sessions[0]]]


def test_stopping_is_idempotent_and_final(backend: InMemoryBackend, peer: Peer) -> None:
    stop(peer, peer.session)
    stop(peer, peer.session)

    assert backend.sandboxes == ()
    assert status_of(peer) == "TERMINATED"
    assert refusal(lambda: peer.python("1"))[:2] == (404, "ResourceNotFoundException")


def test_unknown_sessions_and_interpreters_are_not_found(peer: Peer) -> None:
    found = [
        refusal(lambda: peer.python("1", session="0" * 26)),
        refusal(lambda: stop(peer, "0" * 26)),
        refusal(lambda: peer.start(codeInterpreterIdentifier="mine-0123456789")),
    ]

    assert [f[:2] for f in found] == [(404, "ResourceNotFoundException")] * 3


def test_the_time_of_a_session_is_absolute(peer: Peer, clock: Clock) -> None:
    peer.start(sessionTimeoutSeconds=60)
    clock.now += 59
    before = peer.python("1")["content"]
    clock.now += 1

    assert before == [text_block("1")]
    assert refusal(lambda: peer.python("1"))[:2] == (404, "ResourceNotFoundException")
    assert status_of(peer) == "TERMINATED"


def test_a_call_that_is_under_way_when_time_is_up_conflicts(
    backend: InMemoryBackend, peer: Peer, clock: Clock
) -> None:
    def long(request: Request) -> str:
        clock.now += 901
        request.interrupted.wait(10)
        return ""

    backend.reply("long", long)
    status, code, message = refusal(lambda: peer.python("long"))

    assert (status, code) == (409, "ConflictException")
    assert "900 seconds" in message
    assert refusal(lambda: peer.python("1"))[0] == 404


def test_expire_ends_a_session_as_if_its_time_were_up(
    emulator: AgentCoreEmulator, peer: Peer
) -> None:
    emulator.expire(peer.session)

    assert status_of(peer) == "TERMINATED"


def test_a_start_with_a_known_token_gets_the_same_session(
    backend: InMemoryBackend, peer: Peer
) -> None:
    token = "t" * 33
    first = peer.start(clientToken=token, name="a")
    second = peer.start(clientToken=token, name="a")
    other = refusal(lambda: peer.start(clientToken=token, name="b"))

    assert first == second
    assert backend.started == 2
    assert other[:2] == (400, "ValidationException")


def test_the_quota_of_sessions_is_that_of_open_ones(backend: InMemoryBackend) -> None:
    with AgentCoreEmulator(backend, max_sessions=1) as url, closing((peer := Peer(url)).boto):
        peer.start()
        full = refusal(peer.start)
        stop(peer, peer.session)
        peer.start()

    assert full == (
        402,
        "ServiceQuotaExceededException",
        "maxCodeInterpreterSessions limit exceeded",
    )


def test_too_many_calls_at_once_are_refused_where_that_is_asked_for(
    backend: InMemoryBackend,
) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(_: Request) -> str:
        entered.set()
        go.wait(10)
        return "done"

    backend.reply("slow", slow)
    with (
        AgentCoreEmulator(backend, concurrent_invokes=1) as url,
        closing((peer := Peer(url)).boto),
        ThreadPoolExecutor(1) as pool,
    ):
        peer.start()
        running = pool.submit(peer.python, "slow")
        entered.wait(10)
        refused = refusal(lambda: peer.python("1"))
        go.set()

        assert refused[:2] == (402, "ServiceQuotaExceededException")
        assert running.result()["content"] == [text_block("done")]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.QuotaExceededError("full"), (402, "ServiceQuotaExceededException", "full")),
        (errors.ThrottledError("slow"), (429, "ThrottlingException", "slow")),
        (errors.AccessDeniedError("no"), (403, "AccessDeniedException", "no")),
        (errors.BackendUnavailableError("down"), (500, "InternalServerException", "down")),
    ],
)
def test_a_backend_that_cannot_start_is_answered_in_the_words_of_the_api(
    backend: InMemoryBackend, peer: Peer, error: Exception, expected: tuple[int, str, str]
) -> None:
    backend.fail("start", error)

    assert refusal(peer.start) == expected


def test_a_sandbox_that_is_lost_ends_its_session(backend: InMemoryBackend, peer: Peer) -> None:
    backend.fail("execute_code", errors.SandboxLostError("gone", may_have_run=True))

    assert refusal(lambda: peer.python("1"))[:2] == (500, "InternalServerException")
    assert status_of(peer) == "TERMINATED"


def test_many_sessions_run_at_the_same_time(backend: InMemoryBackend) -> None:
    count = 64
    meeting = threading.Barrier(count)

    def meet(_: Request) -> str:
        meeting.wait(30)
        return "met"

    backend.reply("meet", meet)
    with (
        AgentCoreEmulator(backend) as url,
        closing((peer := Peer(url)).boto),
        ThreadPoolExecutor(count) as pool,
    ):
        sessions = list(pool.map(lambda _: peer.start(), range(count)))
        results = list(pool.map(lambda s: peer.python("meet", s), sessions))

    assert [r["content"] for r in results] == [[text_block("met")]] * count


def test_leaving_ends_every_session_and_every_thread(backend: InMemoryBackend) -> None:
    before = set(threading.enumerate())
    emulator = AgentCoreEmulator(backend)
    with emulator as url, closing((peer := Peer(url)).boto):
        peer.start()
        peer.python("1")
    emulator.close()

    assert backend.sandboxes == ()
    assert set(threading.enumerate()) <= before
    assert emulator.url == ""


def test_a_port_that_is_taken_is_a_configuration_error(emulator: AgentCoreEmulator) -> None:
    taken = urlsplit(emulator.url).port
    assert taken is not None

    with (
        pytest.raises(errors.ConfigurationError, match="Cannot listen"),
        AgentCoreEmulator(InMemoryBackend(), port=taken),
    ):
        pass


def test_latencies_are_added(backend: InMemoryBackend) -> None:
    options = EmulatorOptions(latency=0.2, start_latency=0.2)
    with AgentCoreEmulator(backend, options=options) as url, closing((peer := Peer(url)).boto):
        began = monotonic()
        peer.start()
        started = monotonic()
        peer.python("1")
        ended = monotonic()

    assert started - began >= 0.2
    assert ended - started >= 0.2


def test_every_request_is_remembered(emulator: AgentCoreEmulator, peer: Peer) -> None:
    peer.invoke("writeFiles", content=[{"path": "a", "blob": b"x" * 5}])
    send(emulator.url, "GET", "/nowhere")
    started, wrote, unknown = emulator.requests

    assert (started.operation, started.status) == ("StartCodeInterpreterSession", 200)
    assert (wrote.tool, wrote.session, wrote.status) == ("writeFiles", peer.session, 200)
    assert wrote.arguments == {"content": [{"path": "a", "blob": "<5 bytes>"}]}
    assert (unknown.operation, unknown.status) == ("", 404)


# --- the control plane ----------------------------------------------------------------------------


def test_interpreters_are_created_told_listed_and_deleted(
    emulator: AgentCoreEmulator, peer: Peer
) -> None:
    with closing(Peer(emulator.url, "bedrock-agentcore-control").boto) as control:
        network = {"networkMode": "PUBLIC"}
        made = control.create_code_interpreter(name="mine", networkConfiguration=network)
        identifier = made["codeInterpreterId"]
        again = refusal(
            lambda: control.create_code_interpreter(name="mine", networkConfiguration=network)
        )
        told = control.get_code_interpreter(codeInterpreterId=identifier)
        pages = control.get_paginator("list_code_interpreters").paginate(
            PaginationConfig={"PageSize": 1}
        )
        listed = [i["name"] for page in pages for i in page["codeInterpreterSummaries"]]
        session = peer.start(codeInterpreterIdentifier=identifier)
        stolen = refusal(lambda: peer.python("1", session))
        control.delete_code_interpreter(codeInterpreterId=identifier)
        gone = refusal(lambda: peer.start(codeInterpreterIdentifier=identifier))

    assert re.fullmatch("mine-[a-zA-Z0-9]{10}", identifier)
    assert made["status"] == "CREATING"
    assert made["codeInterpreterArn"] == (
        f"arn:aws:bedrock-agentcore:us-east-1:123456789012:code-interpreter-custom/{identifier}"
    )
    assert again == (
        409,
        "ConflictException",
        "CodeInterpreter with name 'mine' already exists in this account",
    )
    assert (told["status"], told["networkConfiguration"]) == ("READY", network)
    assert listed == ["Code Interpreter", "mine"]
    assert stolen[:2] == (404, "ResourceNotFoundException")
    assert gone[:2] == (404, "ResourceNotFoundException")


# --- how the tests speak --------------------------------------------------------------------------


class Answer:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.body = answer.read()


def send(
    url: str, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> Answer:
    """A request without any SDK."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request(method, path, body.encode(), headers or {})
        return Answer(connection.getresponse())


def stop(peer: Peer, session: str) -> None:
    peer.boto.stop_code_interpreter_session(codeInterpreterIdentifier=SYSTEM, sessionId=session)


def status_of(peer: Peer) -> str:
    found = peer.boto.get_code_interpreter_session(
        codeInterpreterIdentifier=SYSTEM, sessionId=peer.session
    )
    return str(found["status"])
