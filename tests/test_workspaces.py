"""The workspaces in memory and in a folder keep the contract, and a folder keeps its own rules."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_toolkit.errors import (
    ConfigurationError,
    WorkspaceConflictError,
    WorkspaceError,
    WorkspaceFileMissingError,
)
from ci_toolkit.testing import WorkspaceContract
from ci_toolkit.workspaces import DirectoryWorkspace, InMemoryWorkspace, StoredFile, Workspace


class TestInMemoryWorkspace(WorkspaceContract):
    @pytest.fixture
    def workspace(self) -> InMemoryWorkspace:
        return InMemoryWorkspace()

    def test_the_media_type_is_kept(self, workspace: InMemoryWorkspace) -> None:
        workspace.put("a", [b""], media_type="image/png")
        assert workspace.media_type("a") == "image/png"
        assert repr(workspace) == "InMemoryWorkspace(1 files)"


class TestDirectoryWorkspace(WorkspaceContract):
    @pytest.fixture
    def workspace(self, tmp_path: Path) -> Iterator[DirectoryWorkspace]:
        open_before = _open_files()
        yield DirectoryWorkspace(tmp_path / "not yet" / "there")
        root = tmp_path / "not yet" / "there"
        assert [p for p in root.glob(".ci-toolkit/*") if p.name != "lock"] == []
        assert _open_files() == open_before


class _BackwardsWorkspace(InMemoryWorkspace):
    def list(self, prefix: str) -> Iterator[StoredFile]:
        return reversed([*super().list(prefix)])


class TestKnownDifferences(WorkspaceContract):
    known_differences: ClassVar[dict[str, str]] = {
        "test_a_listing_is_complete_and_sorted_by_key": "it lists backwards",
        "test_a_prefix_ends_at_a_slash": "it lists backwards",
    }

    @pytest.fixture
    def workspace(self) -> InMemoryWorkspace:
        return _BackwardsWorkspace()


@pytest.fixture
def folder(tmp_path: Path) -> DirectoryWorkspace:
    return DirectoryWorkspace(tmp_path / "w")


def _open_files() -> set[str]:
    links = list(Path("/proc/self/fd").iterdir())
    return {target for link in links if "/there" in (target := os.path.realpath(link))}


def _content(workspace: Workspace, key: str) -> bytes:
    return b"".join(workspace.open(key))


def _keys(workspace: Workspace, prefix: str = "") -> list[str]:
    return [stored.key for stored in workspace.list(prefix)]


def test_a_folder_is_made_at_the_first_put_only(tmp_path: Path) -> None:
    workspace = DirectoryWorkspace(tmp_path / "w")
    workspace.delete("a")
    assert _keys(workspace) == []
    assert not (tmp_path / "w").exists()
    workspace.put("a/b.txt", [b"b"])
    assert (tmp_path / "w" / "a" / "b.txt").read_bytes() == b"b"


def test_a_workspace_on_a_file_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="is no directory"):
        DirectoryWorkspace(tmp_path / "file")


def test_files_have_the_permissions_that_the_process_gives(folder: DirectoryWorkspace) -> None:
    umask = os.umask(0o027)
    try:
        folder.put("a", [b""])
    finally:
        os.umask(umask)
    assert (folder.path / "a").stat().st_mode & 0o777 == 0o640


def test_the_own_folder_is_neither_listed_nor_a_key(folder: DirectoryWorkspace) -> None:
    folder.put("a", [b""])
    assert _keys(folder) == ["a"]
    assert _keys(folder, ".ci-toolkit/") == []
    for key in (".ci-toolkit", ".ci-toolkit/lock"):
        for use in (folder.open, folder.delete, lambda key: folder.put(key, [b""])):
            with pytest.raises(WorkspaceError, match="own folder"):
                use(key)
    folder.put("sub/.ci-toolkit/a", [b""])
    assert _keys(folder) == ["a", "sub/.ci-toolkit/a"]


def test_a_part_that_is_too_long_for_a_file_is_refused(folder: DirectoryWorkspace) -> None:
    folder.put("ü" * 127 + "x", [b""])
    with pytest.raises(WorkspaceError, match="more than 255 bytes"):
        folder.put("ü" * 128, [b""])


def test_no_key_is_the_directory_of_another(folder: DirectoryWorkspace) -> None:
    folder.put("a", [b"a"])
    folder.put("b/c", [b"c"])
    for key in ("a/b", "a/b/c", "b"):
        with pytest.raises(WorkspaceError, match="Storing"):
            folder.put(key, [b"new"])
    assert {key: _content(folder, key) for key in _keys(folder)} == {"a": b"a", "b/c": b"c"}


def test_a_deletion_frees_the_names_of_its_directories(folder: DirectoryWorkspace) -> None:
    folder.put("a/b/c", [b""])
    folder.put("a/d", [b""])
    folder.delete("a/b/c")
    folder.put("a/b", [b"file"])
    folder.delete("a/b")
    folder.delete("a/d")
    folder.put("a", [b"file"])
    assert _keys(folder) == ["a"]


def test_deletions_beside_puts_lose_nothing(folder: DirectoryWorkspace) -> None:
    def use(number: int) -> None:
        for _ in range(50):
            folder.put(f"a/b/{number}", [b"x"])
            folder.delete(f"a/b/{number}")
        folder.put(f"a/b/{number}", [b"last"])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(4)))
    assert _keys(folder) == [f"a/b/{number}" for number in range(4)]


def test_links_are_not_followed(folder: DirectoryWorkspace, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret").write_text("secret")
    folder.put("a", [b""])
    (folder.path / "directory").symlink_to(tmp_path / "out")
    (folder.path / "file").symlink_to(tmp_path / "out" / "secret")
    assert _keys(folder) == ["a"]
    assert _keys(folder, "directory/") == []
    for key in ("directory/secret", "file"):
        with pytest.raises(WorkspaceFileMissingError):
            folder.open(key)
        folder.delete(key)
    with pytest.raises(WorkspaceError, match="symbolic link"):
        folder.put("directory/new", [b""])
    folder.put("file", [b"own"])
    assert (tmp_path / "out" / "secret").read_text() == "secret"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["secret"]
    assert _content(folder, "file") == b"own"


def test_a_workspace_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    workspace = DirectoryWorkspace(tmp_path / "link")
    workspace.put("a/b", [b"b"])
    assert (_keys(workspace), _content(workspace, "a/b")) == (["a/b"], b"b")


def test_special_files_are_no_files(folder: DirectoryWorkspace) -> None:
    folder.put("a", [b""])
    os.mkfifo(folder.path / "pipe")
    assert _keys(folder) == ["a"]
    with pytest.raises(WorkspaceFileMissingError):
        folder.open("pipe")


def test_names_that_are_no_text_are_not_listed(folder: DirectoryWorkspace) -> None:
    folder.put("a", [b""])
    (Path(os.fsdecode(os.fsencode(folder.path) + b"/\xff"))).write_bytes(b"")
    assert _keys(folder) == ["a"]


def test_what_the_operating_system_refuses_is_a_workspace_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    workspace = DirectoryWorkspace(tmp_path / "file" / "below")
    with pytest.raises(WorkspaceError, match=r"Storing 'a' failed: Not a directory\."):
        workspace.put("a", [b""])


def test_a_full_disk_stores_nothing(folder: DirectoryWorkspace) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    folder.put("a", [b"old"])
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(WorkspaceError, match="Storing 'a' failed: File too large"):
            folder.put("a", [bytes(5000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert _content(folder, "a") == b"old"
    assert [path.name for path in (folder.path / ".ci-toolkit").iterdir()] == ["lock"]


def test_etags_differ_within_one_tick_of_the_clock(folder: DirectoryWorkspace) -> None:
    etags = [folder.put("a", [b"%04d" % number]).etag for number in range(2000)]
    assert len(set(etags)) == len(etags)


def test_an_etag_sees_what_other_programs_write(folder: DirectoryWorkspace) -> None:
    stored = folder.put("a", [b"old"])
    (folder.path / "a").write_bytes(b"other")
    with pytest.raises(WorkspaceConflictError):
        folder.put("a", [b"new"], if_match=stored.etag)


_COUNT_UP = """
import sys
from ci_toolkit.errors import WorkspaceConflictError
from ci_toolkit.workspaces import DirectoryWorkspace

workspace, times = DirectoryWorkspace(sys.argv[1]), 25
while times:
    (stored,) = workspace.list("")
    number = int(b"".join(workspace.open("count")))
    try:
        workspace.put("count", [b"%d" % (number + 1)], if_match=stored.etag)
    except WorkspaceConflictError:
        continue
    times -= 1
"""


def test_no_update_of_another_process_is_lost(folder: DirectoryWorkspace) -> None:
    folder.put("count", [b"0"])
    command = [sys.executable, "-c", _COUNT_UP, str(folder.path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert _content(folder, "count") == b"75"


def test_representations_name_the_place(tmp_path: Path) -> None:
    assert repr(DirectoryWorkspace(tmp_path / "w")) == f"DirectoryWorkspace('{tmp_path}/w')"


# No part is also the last part of a key, so that no key is the directory of another.
_KEYS = st.builds(
    lambda parts, name: "/".join([*parts, f"{name}.f"]),
    st.lists(st.sampled_from(["a", "a-b", "a b", "Ü"]), max_size=3),
    st.sampled_from(["x", "-x", "y", "é"]),
)
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "absent", "match", "delete"]),
        _KEYS,
        st.lists(st.binary(max_size=5), max_size=3),
    ),
    max_size=30,
)


def _step(workspace: Workspace, verb: str, key: str, chunks: list[bytes]) -> str:
    etags = {stored.key: stored.etag for stored in workspace.list("")}
    try:
        if verb == "delete":
            workspace.delete(key)
        elif verb == "match":
            workspace.put(key, chunks, if_match=etags.get(key, "none"))
        else:
            workspace.put(key, chunks, if_absent=verb == "absent")
    except WorkspaceConflictError:
        return "conflict"
    return "done"


def _state(workspace: Workspace, prefix: str) -> list[tuple[str, int, bytes]]:
    return [(s.key, s.size, _content(workspace, s.key)) for s in workspace.list(prefix)]


@settings(deadline=None, max_examples=60)
@given(_STEPS, st.sampled_from(["", "a/", "a-b/", "a/a/"]))
def test_a_folder_and_the_memory_agree(
    steps: list[tuple[str, str, list[bytes]]], prefix: str
) -> None:
    with TemporaryDirectory() as path:
        folder, memory = DirectoryWorkspace(path), InMemoryWorkspace()
        for verb, key, chunks in steps:
            assert _step(folder, verb, key, chunks) == _step(memory, verb, key, chunks)
        assert _state(folder, prefix) == _state(memory, prefix)
        assert _keys(memory, prefix) == sorted(k for k in _keys(memory) if k.startswith(prefix))
