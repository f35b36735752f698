"""Unmodified clients, led here by environment variables only, do against the emulator what they do.

Each runs in a process of its own, as its readers would run it, and prints what it found as JSON.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.emulator import AgentCoreEmulator
from ci_toolkit.testing.emulator import endpoint_variables

pytestmark = [pytest.mark.local, pytest.mark.timeout(420)]

CACHE = Path(__file__).parent.parent / ".cache" / "peers-js"
JS_CLIENT = "@aws-sdk/client-bedrock-agentcore"


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalBackend]:
    backend = LocalBackend()
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def emulator(backend: LocalBackend) -> Iterator[AgentCoreEmulator]:
    emulator = AgentCoreEmulator(backend)
    with emulator:
        yield emulator


@pytest.fixture
def environment(emulator: AgentCoreEmulator, tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BEDROCK_"))}
    quiet = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}
    return {**kept, **quiet, **endpoint_variables(emulator.url)}


def run(command: list[str], environment: dict[str, str], cwd: Path | None = None) -> Any:
    """What a process printed last, as JSON."""
    done = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def python(script: str, environment: dict[str, str]) -> Any:
    return run([sys.executable, "-c", dedent(script)], environment)


def test_boto3(environment: dict[str, str]) -> None:
    found = python(
        """
        import json, boto3
        client = boto3.client("bedrock-agentcore")
        which = {"codeInterpreterIdentifier": "aws.codeinterpreter.v1"}
        session = client.start_code_interpreter_session(**which, sessionTimeoutSeconds=900)
        which["sessionId"] = session["sessionId"]
        def invoke(name, **arguments):
            answer = client.invoke_code_interpreter(**which, name=name, arguments=arguments)
            for event in answer["stream"]:
                return event["result"]
        results = [
            invoke("executeCode", code="print(6 * 7)", language="python")["content"],
            invoke("executeCommand", command="echo a; nosuch; echo b >&2; exit 3"),
            invoke("executeCommand", command="if (")["structuredContent"]["stderr"],
        ]
        del results[1]["structuredContent"]["executionTime"]
        client.stop_code_interpreter_session(**which)
        results.append(client.get_code_interpreter_session(**which)["status"])
        print(json.dumps(results))
        """,
        environment,
    )

    printed = "a\r\n/bin/sh: line 1: nosuch: command not found\r\nb\r\n"
    assert found == [
        [{"type": "text", "text": "42"}],
        {
            "content": [{"type": "text", "text": printed}],
            "structuredContent": {"stdout": "", "stderr": printed, "exitCode": 3},
            "isError": True,
        },
        "/bin/sh: -c: line 2: syntax error: unexpected end of file\r\n",
        "TERMINATED",
    ]


def test_the_bedrock_agentcore_sdk(environment: dict[str, str]) -> None:
    found = python(
        """
        import json
        from bedrock_agentcore.tools.code_interpreter_client import CodeInterpreter, code_session
        def text(answer):
            return [b.get("text") for e in answer["stream"] for b in e["result"]["content"]]
        results = []
        with code_session("us-west-2") as client:
            client.upload_file("sales.csv", "a,b\\n1,2\\n", description="numbers")
            client.upload_files([{"path": "raw.bin", "content": bytes(range(256))}])
            results.append(client.download_file("sales.csv"))
            results.append(client.download_file("raw.bin") == bytes(range(256)))
            results.append(text(client.execute_code("n = len(open('raw.bin', 'rb').read()); n")))
            results.append(text(client.execute_command("cat sales.csv")))
            client.clear_context()
            results.append(text(client.execute_code("'n' in globals()")))
            try:
                client.download_file("none")
            except FileNotFoundError:
                results.append("missing")
            names = [b["name"] for e in client.invoke("listFiles")["stream"]
                     for b in e["result"]["content"]]
            results.append("sales.csv" in names)
        interpreter = CodeInterpreter("us-west-2")
        made = interpreter.create_code_interpreter(name="mine",
                execution_role_arn="arn:aws:iam::123456789012:role/mine",
            network_configuration={"networkMode": "PUBLIC"})
        identifier = made["codeInterpreterId"]
        interpreter.start(identifier=identifier, name="s", session_timeout_seconds=60)
        results.append(interpreter.get_session()["status"])
        interpreter.stop()
        interpreter.delete_code_interpreter(identifier)
        print(json.dumps(results))
        """,
        environment,
    )

    assert found == [
        "a,b\n1,2\n",
        True,
        ["256"],
        ["a,b\r\n1,2\r\n"],
        ["False"],
        "missing",
        True,
        "READY",
    ]


def test_langchain_aws(environment: dict[str, str]) -> None:
    found = python(
        """
        import asyncio, json
        from langchain_aws.tools import create_code_interpreter_toolkit
        async def main():
            toolkit, tools = await create_code_interpreter_toolkit(region="us-west-2")
            tools = {tool.name: tool for tool in tools}
            config = {"configurable": {"thread_id": "session123"}}
            async def call(name, **arguments):
                return await tools[name].ainvoke(arguments, config=config)
            results = [
                await call("execute_code", code="x = 2; print(x + 1)", language="python"),
                await call("execute_command", command="echo hi"),
                await call("write_files", files=[{"path": "a.txt", "text": "hello"}]),
                await call("read_files", paths=["a.txt"]),
                await call("list_files", directory_path=""),
                await call("start_command_execution", command="sleep 30"),
            ]
            await toolkit.cleanup()
            return results
        print(json.dumps(asyncio.run(main())))
        """,
        environment,
    )

    assert found[0].strip() == "3"
    assert found[1].strip() == "hi"
    assert "Successfully wrote all 1 files" in found[2]
    assert "hello" in found[3]
    assert found[4] == ""  # it does not look at resource links
    assert found[5] == "Successfully started a command execution task"


def test_strands_agents_tools(environment: dict[str, str]) -> None:
    found = python(
        """
        import json
        from strands_tools.code_interpreter import AgentCoreCodeInterpreter
        place = AgentCoreCodeInterpreter(region="us-west-2", persist_sessions=False)
        def call(**action):
            return place.code_interpreter(code_interpreter_input={"action": action})
        results = [
            call(type="initSession", description="numbers", session_name="numbers"),
            call(type="executeCode", session_name="numbers", code="print(6 * 7)",
                 language="python"),
            call(type="executeCommand", session_name="numbers", command="echo hi"),
            call(type="writeFiles", session_name="numbers",
                 content=[{"path": "a.txt", "text": "hello"}]),
            call(type="readFiles", session_name="numbers", paths=["a.txt"]),
            call(type="listFiles", session_name="numbers", path=""),
            call(type="removeFiles", session_name="numbers", paths=["a.txt"]),
        ]
        print(json.dumps(results, default=str))
        """,
        environment,
    )

    assert [result["status"] for result in found] == ["success"] * 7
    texts = [json.dumps(result["content"]) for result in found]
    assert "42" in texts[1]
    assert "hi" in texts[2]
    assert "Successfully wrote all 1 files" in texts[3]
    assert "hello" in texts[4]
    assert "a.txt" in texts[5]


def test_the_sandbox_of_deepagents(environment: dict[str, str]) -> None:
    found = python(
        """
        import json
        from bedrock_agentcore.tools.code_interpreter_client import CodeInterpreter
        from langchain_agentcore_codeinterpreter import AgentCoreSandbox
        interpreter = CodeInterpreter(region="us-west-2")
        interpreter.start()
        backend = AgentCoreSandbox(interpreter=interpreter)
        results = [backend.execute("echo hello").output]
        backend.upload_files([("/data/raw.bin", bytes(range(256)))])
        (back,) = backend.download_files(["/data/raw.bin"])
        results.append(back.content == bytes(range(256)))
        results.append(backend.write("/notes.txt", "one\\ntwo\\n").error)
        results.append(backend.read("notes.txt").error)
        results.append(backend.edit("notes.txt", "two", "three").error)
        results.append(backend.execute("cat notes.txt").output)
        interpreter.stop()
        print(json.dumps(results))
        """,
        environment,
    )

    assert found == ["hello\r\n", True, None, None, None, "one\r\nthree\r\n"]


@pytest.fixture(scope="module")
def javascript_client() -> Path:
    """The folder where the JavaScript SDK is installed, once."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm and node are not here")
    if not (CACHE / "node_modules" / JS_CLIENT / "package.json").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "package.json").write_text('{"private": true}')
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", f"{JS_CLIENT}@^3"],
            cwd=CACHE,
            check=True,
            timeout=300,
        )
    return CACHE


def test_the_javascript_sdk(environment: dict[str, str], javascript_client: Path) -> None:
    script = """
        import {
          BedrockAgentCoreClient, InvokeCodeInterpreterCommand,
          StartCodeInterpreterSessionCommand, StopCodeInterpreterSessionCommand,
        } from "@aws-sdk/client-bedrock-agentcore";
        const client = new BedrockAgentCoreClient({});
        const which = { codeInterpreterIdentifier: "aws.codeinterpreter.v1" };
        const started = await client.send(new StartCodeInterpreterSessionCommand(which));
        which.sessionId = started.sessionId;
        async function invoke(name, args) {
          const call = new InvokeCodeInterpreterCommand({ ...which, name, arguments: args });
          const events = [];
          for await (const event of (await client.send(call)).stream) events.push(event);
          return events;
        }
        const content = [{ path: "a.bin", blob: new Uint8Array([0, 255]) }];
        const code = "const n: number = 6; console.log(n * 7)";
        const results = [
          await invoke("executeCode", { language: "python", code: "print('hi'); 1/0" }),
          await invoke("executeCode", { language: "typescript", code }),
          await invoke("executeCode", { language: "javascript", code: "console.log(typeof n)" }),
          await invoke("writeFiles", { content }),
          Array.from((await invoke("readFiles", { paths: ["a.bin"] }))[0]
            .result.content[0].resource.blob),
        ];
        try {
          await invoke("executeCode", { language: "ruby", code: "" });
        } catch (error) {
          results.push(error.name);
        }
        await client.send(new StopCodeInterpreterSessionCommand(which));
        console.log(JSON.stringify(results));
    """
    command = ["node", "--input-type=module", "--eval", dedent(script)]
    raised, typescript, javascript, wrote, read, refused = run(
        command, environment, javascript_client
    )

    assert raised[0]["result"]["isError"]
    assert raised[0]["result"]["content"][0]["text"] == "hi"
    assert raised[0]["result"]["structuredContent"]["exitCode"] == 1
    assert typescript[0]["result"]["content"] == [{"type": "text", "text": "42"}]
    assert javascript[0]["result"]["content"] == [{"type": "text", "text": "undefined"}]
    assert wrote[0]["result"]["content"][0]["text"] == "Successfully wrote all 1 files"
    assert (read, refused) == ([0, 255], "ValidationException")
