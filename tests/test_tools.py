"""What the four tools do, through the interpreter, on the fake."""

import io
import json
import tracemalloc
from collections.abc import Callable

import pytest
from PIL import Image as Pillow

from ci_toolkit import CodeInterpreter, Limits, Outcome, Scope
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.doors import offers, unknown_tool
from ci_toolkit.errors import BackendUnavailableError, ThrottledError
from ci_toolkit.results import Execution

Call = Callable[..., Outcome]


def test_a_variable_of_one_call_is_there_in_a_later_one(call: Call) -> None:
    call("execute_code", code="x = 40")
    call("execute_code", code="y = 2")

    assert call("execute_code", code="print(x + y)").text == "42"


def test_what_was_printed_before_an_exception_is_kept(call: Call) -> None:
    outcome = call("execute_code", code="print('before')\n1 / 0")

    assert outcome.is_error
    assert outcome.text.startswith("before\nstderr:\nTraceback")
    assert outcome.text.endswith("ZeroDivisionError: division by zero\nFailed with exit code 1.")


def test_a_run_that_prints_nothing_says_so(call: Call) -> None:
    assert call("execute_code", code="x = 1").text == (
        "It ran, and printed nothing. Print what you want to see."
    )


def test_an_output_file_is_saved_and_an_unchanged_one_is_not_sent_again(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    write = "open('a.csv', 'w').write('x,y\\n')"
    first = call("execute_code", code=write, output_filename="a.csv")
    again = call("execute_code", code=write, output_filename="a.csv")

    saved = "Saved a.csv to the workspace as code-interpreter/a.csv (4 bytes"
    assert first.text == f"4\n{saved})."
    assert again.text == f"4\n{saved}; unchanged since it was saved)."
    assert interpreter.download("code-interpreter/a.csv", scope=scope) == b"x,y\n"


def test_a_mistyped_output_file_is_answered_with_the_files_that_the_run_created(
    call: Call,
) -> None:
    call("execute_code", code="open('old.csv', 'w').close()")
    outcome = call(
        "execute_code",
        code="open('chart1.png', 'wb').write(b'1')\nopen('data.csv', 'w').close()",
        output_filename="chart.png",
    )

    assert outcome.is_error
    assert "The run did not create 'chart.png'. It created: " in outcome.text
    assert "ci_push_to_workspace(paths=['chart1.png'])" in outcome.text


def test_an_output_file_in_other_letters_is_the_nearest(call: Call) -> None:
    outcome = call(
        "execute_code",
        code="open('chart.png', 'w').close()\nopen('Chart2.png', 'w').close()",
        output_filename="chart2.png",
    )

    assert "ci_push_to_workspace(paths=['Chart2.png'])" in outcome.text


def test_an_output_file_in_a_subfolder_is_found_and_named(call: Call) -> None:
    outcome = call(
        "execute_code",
        code="import os\nos.makedirs('out', exist_ok=True)\nopen('out/a.csv', 'w').close()",
        output_filename="a.csv",
    )

    assert outcome.is_error
    assert "It created: 'out/a.csv'" in outcome.text
    assert "ci_push_to_workspace(paths=['out/a.csv'])" in outcome.text


def test_an_output_file_that_leaves_the_working_directory_is_refused_before_the_run(
    call: Call, backend: InMemoryBackend
) -> None:
    outcome = call("execute_code", code="print(1)", output_filename="../../etc/passwd")

    assert outcome.is_error
    assert "leaves the working directory" in outcome.text
    assert "execute_code" not in {each.verb for each in backend.calls}


def test_an_output_file_is_saved_although_the_run_failed_after_writing_it(call: Call) -> None:
    outcome = call(
        "execute_code", code="open('a.txt', 'w').write('x')\n1 / 0", output_filename="a.txt"
    )

    assert outcome.is_error
    assert "Saved a.txt to the workspace" in outcome.text


def test_files_are_written_listed_read_and_removed(call: Call) -> None:
    content = [{"path": "config.json", "text": '{"key": "value"}'}, {"path": "d/a.txt", "text": ""}]

    wrote = call("file_operations", operation="write", content=content)
    listed = call("file_operations", operation="list", paths=["."])
    read = call("file_operations", operation="read", paths=["config.json"])
    both = call("file_operations", operation="read", paths=["config.json", "d/a.txt"])
    removed = call("file_operations", operation="remove", paths=["config.json"])

    assert wrote.text == "Wrote config.json (16 bytes).\nWrote d/a.txt (0 bytes)."
    assert listed.text == "config.json  16 bytes\nd/"
    assert read.text == '{"key": "value"}'
    assert both.text == (
        '==> config.json (16 bytes) <==\n{"key": "value"}\n==> d/a.txt (0 bytes) <=='
    )
    assert removed.text == "Removed config.json."
    assert not any(o.is_error for o in (wrote, listed, read, both, removed))


def test_one_path_that_fails_does_not_keep_the_others_from_their_result(call: Call) -> None:
    call("file_operations", operation="write", content=[{"path": "a.txt", "text": "hello"}])

    outcome = call("file_operations", operation="read", paths=["a.txt", "b.txt", "../c", "/etc/x"])

    assert outcome.is_error
    assert "hello" in outcome.text
    for path in ("b.txt", "../c", "/etc/x"):
        assert f"Error with {path!r}: " in outcome.text


def test_text_that_is_not_utf_8_is_shown_with_a_remark(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    interpreter.upload("latin.txt", b"caf\xe9 and more text here", scope=scope)

    outcome = call("file_operations", operation="read", paths=["latin.txt"])

    assert not outcome.is_error
    assert outcome.text == (
        "==> latin.txt (23 bytes) <==\n"
        "[not valid UTF-8; undecodable bytes are shown as \ufffd]\n"
        "caf\ufffd and more text here"
    )


def test_a_binary_file_is_named_and_never_poured_out(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    interpreter.upload("data.bin", bytes(range(256)) * 100, scope=scope)

    assert call("file_operations", operation="read", paths=["data.bin"]).text == (
        "data.bin is a binary file (application/octet-stream, 25,600 bytes)."
    )


def test_a_push_of_everything_leaves_out_folders_dotfiles_and_unchanged_uploads(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    interpreter.upload("input.csv", b"a\n", scope=scope)
    interpreter.upload("edited.csv", b"a\n", scope=scope)
    call(
        "file_operations",
        operation="write",
        content=[
            {"path": name, "text": "x"}
            for name in ("result.json", ".hidden", "sub/deep.txt", "edited.csv")
        ],
    )

    outcome = call("ci_push_to_workspace")

    assert outcome.text == (
        "Saved edited.csv to the workspace as code-interpreter/edited.csv (1 bytes).\n"
        "Saved result.json to the workspace as code-interpreter/result.json (1 bytes).\n"
        "Skipped input.csv (2 bytes): an upload that is unchanged, not saved."
    )
    assert not outcome.is_error


def test_a_push_of_nothing_says_so(call: Call) -> None:
    assert call("ci_push_to_workspace").text == "There were no files to save."


def test_files_of_one_name_are_both_kept_and_each_replaces_only_itself(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    def write(path: str, text: str) -> None:
        call("file_operations", operation="write", content=[{"path": path, "text": text}])

    write("a/data.csv", "A")
    write("b/data.csv", "B")
    call("ci_push_to_workspace", paths=["a/data.csv"])
    second = call("ci_push_to_workspace", paths=["b/data.csv"])
    write("a/data.csv", "A2")
    call("ci_push_to_workspace", paths=["a/data.csv"])

    assert second.text == (
        "Saved b/data.csv to the workspace as code-interpreter/b_data.csv (1 bytes; "
        "under another name, since 'data.csv' was saved from another place)."
    )
    saved = interpreter.files(scope, "code-interpreter/")
    contents = {file.key: interpreter.download(file.key, scope=scope) for file in saved}
    assert contents == {
        "code-interpreter/data.csv": b"A2",
        "code-interpreter/b_data.csv": b"B",
    }


def test_a_push_says_which_files_are_safe_when_one_is_not(call: Call) -> None:
    call("file_operations", operation="write", content=[{"path": "a.txt", "text": "x"}])

    outcome = call("ci_push_to_workspace", paths=["a.txt", "missing.txt", "."])

    assert outcome.is_error
    assert "Saved a.txt to the workspace as code-interpreter/a.txt (1 bytes)." in outcome.text
    assert "Error with 'missing.txt': " in outcome.text
    assert "Error with '.': '.' is a directory." in outcome.text


def test_long_output_keeps_its_ends_and_lies_whole_in_a_file_that_is_named(
    backend: InMemoryBackend, scope: Scope
) -> None:
    interpreter = CodeInterpreter(backend, limits=Limits(text_chars=2000))
    code = "for n in range(5000): print(f'line {n}')"

    outcome = interpreter.call("execute_code", {"code": code}, scope=scope)

    assert len(outcome.text) <= 2000
    assert outcome.text.startswith("line 0\nline 1\n")
    assert outcome.text.endswith("line 4999")
    assert "execute_command('tail -c +10001 .ci/output-" in outcome.text
    path = str(outcome.artifact["execution"]["output_file"])  # type: ignore[index]
    (content,) = backend.sandboxes[0].read_files([path])
    assert b"".join(content.chunks).decode() == "".join(f"line {n}\n" for n in range(5000))


def test_code_that_is_too_long_is_refused_unrun(backend: InMemoryBackend, scope: Scope) -> None:
    interpreter = CodeInterpreter(backend, limits=Limits(code_chars=100))

    outcome = interpreter.call("execute_code", {"code": "#" * 101}, scope=scope)

    assert outcome.is_error
    assert "The code has 101 characters; at most 100 can be run at once." in outcome.text


def test_a_time_out_says_what_is_kept(call: Call, backend: InMemoryBackend) -> None:
    backend.reply("slow()", Execution(ended="timed_out", duration=2.04))
    backend.reply("stuck()", Execution(ended="timed_out", duration=5.0, state_kept=False))

    assert call("execute_code", code="slow()").text == (
        "Timed out: stopped after 2.0 s. Variables and files of before are kept."
    )
    assert call("execute_code", code="stuck()").text == (
        "Timed out: stopped after 5.0 s. It did not react to an interrupt, so its process was "
        "killed, and its variables with it. Files are kept, and the next call starts a new process."
    )


def test_a_killed_process_is_told_and_the_next_call_says_what_was_lost(
    call: Call, backend: InMemoryBackend
) -> None:
    backend.reply("die()", Execution(ended="died", exit_code=-9, state_kept=False))
    backend.reply("next()", Execution(stdout="1", restarted=True))

    died, after = call("execute_code", code="die()"), call("execute_code", code="next()")

    assert died.is_error
    assert "died (killed by SIGKILL)" in died.text
    assert not after.is_error
    assert after.text == (
        "Note: The python process of the earlier calls had ended, so their python variables, "
        "imports and functions were lost. Files are still there.\n1"
    )


def test_the_workspace_is_listed_and_read_and_holds_no_other_s_files(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    interpreter.upload("in.csv", b"a,b\n", scope=scope)
    interpreter.upload("theirs.csv", b"secret\n", scope=Scope(user_id="bob", session_id="thread-1"))
    call("execute_code", code="open('r.txt', 'w').write('done')", output_filename="r.txt")

    assert call("workspace_list").text == "code-interpreter/r.txt  4 bytes\nuploads/in.csv  4 bytes"
    assert (
        call("workspace_list", path="code-interpreter/").text == "code-interpreter/r.txt  4 bytes"
    )
    assert call("workspace_read", path="code-interpreter/r.txt").text == "done"
    for path in ("r.txt", "../../bob/thread-1/uploads/theirs.csv", "state/manifest.json"):
        outcome = call("workspace_read", path=path)
        assert outcome.is_error
        assert "secret" not in outcome.text


def test_an_unknown_tool_is_answered_with_the_known_ones(call: Call) -> None:
    outcome = call("execute-code", code="1")

    assert outcome.is_error
    assert outcome.text == (
        "Error: There is no tool 'execute-code'. Did you mean 'execute_code'? The tools are "
        "execute_code, execute_command, file_operations, ci_push_to_workspace."
    )


@pytest.mark.parametrize("code", ["print(1)", "1 / 0", "x ="])
def test_every_record_is_json(call: Call, code: str) -> None:
    record = call("execute_code", code=code).artifact

    assert json.loads(json.dumps(record)) == record


def test_texts_name_the_tools_as_this_model_sees_them(
    backend: InMemoryBackend, scope: Scope
) -> None:
    interpreter = CodeInterpreter(backend, limits=Limits(text_chars=1000))

    def say(name: str, **arguments: object) -> str:
        return interpreter.call(name, arguments, scope=scope, prefix="ci_").text

    create = "open('a.csv', 'w').close()"
    assert "ci_execute_command('tail " in say("execute_code", code="print('x' * 5000)")
    assert "ci_ci_push_to_workspace(paths=['a.csv'])" in say(
        "execute_code", code=create, output_filename="b.csv"
    )
    assert "Did you mean 'ci_execute_code'?" in say("execute_cod", code="1")


def test_two_spellings_of_one_path_are_one_file(call: Call) -> None:
    content = [{"path": "a.txt", "text": "first"}, {"path": "./a.txt", "text": "second"}]

    wrote = call("file_operations", operation="write", content=content)
    read = call("file_operations", operation="read", paths=["a.txt", "./a.txt", "b/../a.txt"])

    assert wrote.text == "Wrote a.txt (6 bytes)."
    assert read.text == "second"


def test_no_more_pictures_are_kept_than_can_be_shown(
    call: Call, interpreter: CodeInterpreter, scope: Scope
) -> None:
    target = io.BytesIO()
    Pillow.new("RGB", (4, 4)).save(target, format="PNG")
    for number in range(6):
        interpreter.upload(f"{number}.png", target.getvalue(), scope=scope)

    outcome = call("file_operations", operation="read", paths=[f"{n}.png" for n in range(6)])

    assert [image.name for image in outcome.images] == ["0.png", "1.png", "2.png", "3.png"]
    assert "4.png is a binary file (image/png, " in outcome.text


def test_listings_together_stay_within_the_limit(backend: InMemoryBackend, scope: Scope) -> None:
    interpreter = CodeInterpreter(backend, limits=Limits(list_entries=10))
    content = [{"path": f"{d}/{n}.txt", "text": ""} for d in "ab" for n in range(8)]
    interpreter.call("file_operations", {"operation": "write", "content": content}, scope=scope)

    arguments = {"operation": "list", "paths": ["a", "b"]}
    text = interpreter.call("file_operations", arguments, scope=scope).text

    assert text.count(".txt") == 10
    assert text.endswith("... and more; list a directory below it, or use a shell command.")


def test_a_nest_of_brackets_is_a_wrong_argument_and_not_a_defect(call: Call) -> None:
    outcome = call("ci_push_to_workspace", paths="[" * 100_000)

    assert outcome.is_error
    assert "defect" not in outcome.text
    assert "failed inside" not in outcome.text


@pytest.mark.parametrize("error", [ThrottledError("429"), BackendUnavailableError("10.0.0.7")])
def test_what_fails_after_a_run_is_never_told_as_if_nothing_had_run(
    call: Call, backend: InMemoryBackend, error: Exception
) -> None:
    backend.fail("list_files", error)

    outcome = call("execute_code", code="open('a', 'w').close(); print('ran')", output_filename="a")

    assert outcome.is_error
    assert outcome.text == (
        "Error: The run ended, but its files could not be looked at or saved just now. They are "
        "still in the sandbox: save them later with ci_push_to_workspace, and do not run it again "
        "for that.\nran"
    )
    assert "Saved a" in call("ci_push_to_workspace", paths=["a"]).text


LONG = "x" * 5_000_000


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (LONG, {}),
        ("execute_code", {LONG: 1}),
        ("workspace_read", {"path": LONG}),
    ],
)
def test_a_name_of_any_length_is_compared_and_answered_in_short(
    interpreter: CodeInterpreter, scope: Scope, tool: str, arguments: dict[str, object]
) -> None:
    tracemalloc.start()
    try:
        outcome = interpreter.call(tool, arguments, scope=scope)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert outcome.is_error
    assert len(outcome.text) < 600
    assert peak < 60_000_000  # a comparison takes 40 bytes a character


def test_so_is_one_that_a_door_does_not_offer() -> None:
    assert len(str(unknown_tool(LONG, offers()))) < 400
