"""The conversation's files: manifest, names, two writers, a workspace that fails."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from posixpath import normpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_toolkit import CodeInterpreter, Limits, Outcome, Scope, WorkspaceError
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.errors import TooLargeError
from ci_toolkit.files import ConversationFiles
from ci_toolkit.workspaces import DirectoryWorkspace, InMemoryWorkspace, StoredFile

Call = Callable[..., Outcome]
SCOPE = Scope(user_id="ada", session_id="t")
PATHS = st.lists(
    st.text("ab._-/", min_size=1, max_size=8)
    .map(normpath)
    .filter(lambda path: path.strip("/.") and not path.startswith("../")),
    max_size=12,
)


class Failing(InMemoryWorkspace):
    """A workspace that refuses to store what a test names."""

    def __init__(self, *endings: str) -> None:
        super().__init__()
        self.endings = endings

    def put(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        media_type: str = "application/octet-stream",
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> StoredFile:
        if self.endings and key.endswith(self.endings):
            raise WorkspaceError("disk full at /mnt/secret")
        return super().put(
            key, chunks, media_type=media_type, if_absent=if_absent, if_match=if_match
        )


def interpreter_on(workspace: InMemoryWorkspace | DirectoryWorkspace) -> CodeInterpreter:
    return CodeInterpreter(InMemoryBackend(run_python=True), workspace)


def write(interpreter: CodeInterpreter, **files: str) -> None:
    content = [{"path": name.replace("_", "."), "text": text} for name, text in files.items()]
    arguments = {"operation": "write", "content": content}
    assert not interpreter.call("file_operations", arguments, scope=SCOPE).is_error


@given(PATHS)
def test_distinct_paths_get_distinct_names_and_keep_them(paths: list[str]) -> None:
    files = ConversationFiles(InMemoryWorkspace(), SCOPE)

    names = files.reserve(paths)
    later = files.reserve(reversed(paths))

    assert set(names) == set(paths)
    assert len(set(names.values())) == len(names)
    assert later == names
    assert not any("/" in name or name in {"", ".", ".."} for name in names.values())


def test_writers_that_save_at_once_never_take_the_same_name(tmp_path: Path) -> None:
    workspace = DirectoryWorkspace(tmp_path / "w")
    branches = [Scope(user_id="ada", session_id="t", branch=str(n)) for n in range(8)]

    def save(scope: Scope) -> str:
        files = ConversationFiles(workspace, scope)
        name = files.reserve(["out.txt"])["out.txt"]
        files.record({name: files.store(name, "out.txt", [scope.branch.encode()])})
        return name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(save, branches))

    assert len(set(names)) == len(branches)
    files = ConversationFiles(workspace, branches[0])
    for scope, name in zip(branches, names, strict=True):
        assert b"".join(files.open(f"code-interpreter/{name}")) == scope.branch.encode()
        assert files.manifest()[name].branch == scope.branch


def test_a_file_that_somebody_else_put_there_is_never_replaced(tmp_path: Path) -> None:
    workspace = DirectoryWorkspace(tmp_path)
    workspace.put("ada/t/code-interpreter/a.txt", [b"theirs"])
    interpreter = interpreter_on(workspace)
    write(interpreter, a_txt="ours")

    outcome = interpreter.call("ci_push_to_workspace", {"paths": ["a.txt"]}, scope=SCOPE)

    assert "as code-interpreter/a-2.txt" in outcome.text
    assert interpreter.download("code-interpreter/a.txt", scope=SCOPE) == b"theirs"


def test_a_store_that_fails_is_told_and_the_other_files_are_safe(
    caplog: pytest.LogCaptureFixture,
) -> None:
    workspace = Failing("/b.txt")
    interpreter = interpreter_on(workspace)
    write(interpreter, a_txt="A", b_txt="B", c_txt="C")

    outcome = interpreter.call("ci_push_to_workspace", {}, scope=SCOPE)

    assert outcome.is_error
    assert outcome.text == (
        "Saved a.txt to the workspace as code-interpreter/a.txt (1 bytes).\n"
        "Error with 'b.txt': The workspace could not store it. The file is still in the sandbox; "
        "save it again later.\n"
        "Saved c.txt to the workspace as code-interpreter/c.txt (1 bytes)."
    )
    assert "disk full at /mnt/secret" in caplog.text
    workspace.endings = ()
    again = interpreter.call("ci_push_to_workspace", {}, scope=SCOPE)
    assert not again.is_error
    assert "Saved b.txt to the workspace as code-interpreter/b.txt (1 bytes)." in again.text


def test_a_manifest_that_cannot_be_written_fails_the_push_and_loses_nothing() -> None:
    workspace = Failing("manifest.json")
    interpreter = interpreter_on(workspace)
    write(interpreter, a_txt="A")

    outcome = interpreter.call("ci_push_to_workspace", {}, scope=SCOPE)

    assert outcome.is_error
    assert "The file is still in the sandbox" in outcome.text
    assert interpreter.files(SCOPE) == []


def test_a_damaged_manifest_is_left_as_it_is_and_the_operator_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    workspace = InMemoryWorkspace()
    workspace.put("ada/t/state/manifest.json", [b'{"files": 3}'])
    interpreter = interpreter_on(workspace)

    ran = interpreter.call("execute_code", {"code": "print(1)"}, scope=SCOPE)
    content = [{"path": "a.txt", "text": "a"}]
    interpreter.call("file_operations", {"operation": "write", "content": content}, scope=SCOPE)
    saved = interpreter.call("ci_push_to_workspace", {"paths": ["a.txt"]}, scope=SCOPE)

    # The conversation goes on; only what needs the manifest fails.
    assert not ran.is_error
    assert "Which files were saved cannot be read; none of them is here." in ran.text
    assert saved.is_error
    assert "The workspace cannot be used at present." in saved.text
    assert "is damaged; repair or remove it" in caplog.text
    assert b"".join(workspace.open("ada/t/state/manifest.json")) == b'{"files": 3}'


def test_the_manifest_says_where_each_file_came_from() -> None:
    workspace = InMemoryWorkspace()
    interpreter = interpreter_on(workspace)
    content = [{"path": "out/table.csv", "text": "a\n"}]
    interpreter.call("file_operations", {"operation": "write", "content": content}, scope=SCOPE)
    interpreter.call("ci_push_to_workspace", {"paths": ["./out/table.csv"]}, scope=SCOPE)

    manifest = json.loads(b"".join(workspace.open("ada/t/state/manifest.json")))

    assert manifest["files"]["table.csv"] | {"modified": 0, "etag": ""} == {
        "path": "out/table.csv",
        "branch": "",
        "size": 2,
        "media_type": "text/csv",
        "sha256": "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7",
        "modified": 0,
        "etag": "",
    }


def test_a_large_file_passes_in_pieces() -> None:
    """64 pieces go through; none is larger than one of them, and none is kept."""
    seen: list[int] = []

    class Measuring(InMemoryWorkspace):
        def put(
            self,
            key: str,
            chunks: Iterable[bytes],
            *,
            media_type: str = "",
            if_absent: bool = False,
            if_match: str | None = None,
        ) -> StoredFile:
            def measured() -> Iterator[bytes]:
                for chunk in chunks:
                    seen.append(len(chunk))
                    yield chunk

            return super().put(key, measured(), if_absent=if_absent, if_match=if_match)

    interpreter = interpreter_on(Measuring())
    code = "open('big.bin', 'wb').write(bytes(64 * 1024 * 1024))"
    outcome = interpreter.call(
        "execute_code", {"code": code, "output_filename": "big.bin"}, scope=SCOPE
    )

    assert "(67,108,864 bytes)" in outcome.text
    assert max(seen) == 1024 * 1024
    assert sum(seen) >= 64 * 1024 * 1024


def test_a_file_that_grows_while_it_is_read_is_not_stored_over_its_limit() -> None:
    backend = InMemoryBackend(run_python=True)
    interpreter = CodeInterpreter(backend, limits=Limits(file_bytes=1000))

    def grow() -> Iterator[bytes]:
        yield from (b"x" * 600, b"x" * 600)

    files = ConversationFiles(interpreter.workspace, SCOPE, file_bytes=1000)
    name = files.reserve(["a.txt"])["a.txt"]
    with pytest.raises(TooLargeError):
        files.store(name, "a.txt", grow())

    assert interpreter.files(SCOPE) == []


def test_of_two_that_store_one_name_at_once_the_manifest_tells_of_the_later() -> None:
    workspace = InMemoryWorkspace()
    ours, theirs = ConversationFiles(workspace, SCOPE), ConversationFiles(workspace, SCOPE)
    name = ours.reserve(["a.txt"])["a.txt"]
    theirs.reserve(["a.txt"])

    first = ours.store(name, "a.txt", [b"ours"])
    second = theirs.store(name, "a.txt", [b"theirs"])
    theirs.record({name: second})
    ours.record({name: first})

    assert ours.manifest()[name].sha256 == second.sha256
    assert b"".join(ours.open(f"code-interpreter/{name}")) == b"theirs"
