"""What the host believes of a guest: nothing. Frames, answers and their bounds."""

import contextlib
import json
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_toolkit.backends.local import answers
from ci_toolkit.backends.local.calls import Calls
from ci_toolkit.backends.local.sandbox import LocalSandbox
from ci_toolkit.backends.local.wire import Frame, FrameError, FrameParser, Wire, encode
from ci_toolkit.errors import SandboxLostError
from ci_toolkit.results import Execution, Listing

HEADERS = st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=5,
)


def frames_of(parser: FrameParser) -> list[Frame]:
    return list(iter(parser.next, None))


@given(st.lists(st.tuples(HEADERS, st.binary())), st.integers(1, 50))
def test_frames_survive_any_cut(frames: list[tuple[dict[str, object], bytes]], size: int) -> None:
    data = b"".join(encode(header, payload) for header, payload in frames)
    parser, found = FrameParser(), []
    for start in range(0, len(data), size):
        parser.feed(data[start : start + size])
        found += frames_of(parser)
    assert found == [Frame(header, payload) for header, payload in frames]


@given(st.binary())
def test_garbage_is_refused_or_waited_for(data: bytes) -> None:
    parser = FrameParser()
    parser.feed(data)
    try:
        frames = frames_of(parser)
    except FrameError:
        return
    assert all(isinstance(frame.header, dict) for frame in frames)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">II", 2**31, 0),
        struct.pack(">II", 2, 2**31),
        struct.pack(">II", 2, 0) + b"[]",
        struct.pack(">II", 3, 0) + b"\xff\xff\xff",
        struct.pack(">II", 60_000, 0) + b"[" * 60_000,
    ],
)
def test_frames_that_are_none_are_refused_at_once(data: bytes) -> None:
    parser = FrameParser()
    parser.feed(data)
    with pytest.raises(FrameError):
        parser.next()


GOOD: dict[str, object] = {
    "exit_code": 0,
    "ended": "completed",
    "state_kept": True,
    "restarted": False,
    "directory": "/home/user",
    "started": 1.0,
    "duration": 0.5,
    "stdout": 2,
    "output_file": "",
    "output_bytes": 0,
}


def test_a_good_answer_is_read() -> None:
    assert answers.execution(Frame(GOOD, b"1\ne"), []) == Execution(
        stdout="1\n", stderr="e", directory="/home/user", started=1.0, duration=0.5
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"exit_code": "0"},
        {"exit_code": True},
        {"exit_code": 2**40},
        {"ended": "fine"},
        {"state_kept": 1},
        {"stdout": -1},
        {"stdout": 4},
        {"started": float("nan")},
        {"started": float("inf")},
        {"started": 10**400},
        {"started": True},
        {"duration": -1.0},
        {"output_file": "../../etc/passwd"},
        {"output_file": ".ci/output-1.txt\n"},
        {"output_bytes": -1},
        {"directory": 5},
    ],
)
def test_a_wrong_answer_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(FrameError):
        answers.execution(Frame({**GOOD, **wrong}, b"1\ne"), [])


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON, max_size=3), st.binary())
def test_any_answer_is_read_or_refused(header: dict[str, object], payload: bytes) -> None:
    try:
        answer = answers.execution(Frame({**GOOD, **header}, payload), [])
    except FrameError:
        return
    assert isinstance(answer, Execution)


@given(JSON)
def test_any_listing_is_read_or_refused(rows: object) -> None:
    frame = Frame({"complete": True}, json.dumps(rows).encode())
    try:
        found = answers.listing("a", frame)
    except FrameError:
        return
    assert found == Listing(path="a", entries=found.entries)


@pytest.mark.parametrize("name", ["../x.png", "a/b.png", "", "x" * 200, ".hidden"])
def test_a_picture_has_a_plain_name_and_a_known_type(name: str) -> None:
    with pytest.raises(FrameError):
        answers.image(Frame({"media_type": "image/png", "name": name}, b"x"), [])
    with pytest.raises(FrameError):
        answers.image(Frame({"media_type": "text/html", "name": "a.png"}, b"x"), [])


class ScriptedGuest:
    """Stands where a guest's processes would be; a thread plays the guest's side of the pipes."""

    def __init__(self, play: Callable[[int, int], None]) -> None:
        theirs_in, write = os.pipe()
        read, theirs_out = os.pipe()
        errors, theirs_errors = os.pipe()
        os.close(theirs_errors)
        self.wire = Wire(write=write, read=read, errors=errors)
        self.killed = False
        self._ends = theirs_in, theirs_out
        self._thread = threading.Thread(target=self._play, args=(play,))
        self._thread.start()

    def _play(self, play: Callable[[int, int], None]) -> None:
        try:
            play(*self._ends)
        finally:
            for end in self._ends:
                os.close(end)

    def kill(self) -> None:
        self.killed = True

    def join(self) -> None:
        self.wire.close()
        self._thread.join()


@pytest.fixture
def guests() -> Iterator[list[ScriptedGuest]]:
    guests: list[ScriptedGuest] = []
    yield guests
    for guest in guests:
        guest.join()


def sandbox_with(guests: list[ScriptedGuest], play: Callable[[int, int], None]) -> LocalSandbox:
    guest = ScriptedGuest(play)
    guests.append(guest)
    return LocalSandbox(
        Calls(guest, "test"),
        id="test",
        working_directory="/home/user",
        languages=("python",),
        end=lambda: None,
    )


def says(*frames: bytes) -> Callable[[int, int], None]:
    def play(read: int, write: int) -> None:
        os.read(read, 65536)
        for frame in frames:
            os.write(write, frame)

    return play


def answers_with(*frames: bytes) -> Callable[[int, int], None]:
    """One frame for each request, and then silence."""

    def play(read: int, write: int) -> None:
        for frame in frames:
            os.read(read, 65536)
            os.write(write, frame)
        while os.read(read, 65536):
            pass

    return play


STARTED = encode({"id": 1, "event": "started"})


@pytest.mark.parametrize(
    ("frames", "may_have_run"),
    [
        ([], False),
        ([STARTED], True),
        ([STARTED, b"some text that is no frame"], True),
        ([b"y\n" * 100], False),
        ([STARTED, encode({"id": 9, "event": "done"})], True),
        ([STARTED, encode({"id": 1, "event": "done"})], True),
        ([STARTED, encode({"id": 1, "event": "output", "stream": "stdout"}, b"x")], True),
        ([STARTED, encode({"id": 1, "event": "surprise"})], True),
        ([STARTED, encode({"event": "done"})], True),
        ([STARTED, STARTED], True),
        ([encode({"id": 1, "event": "started"}, b"x")], False),
        ([STARTED, encode({"id": 0, "event": "output", "stream": "stdout"}, b"x")], True),
        ([STARTED, encode({"id": True, "event": "done", **GOOD, "stdout": 0})], True),
        (
            [STARTED, encode({"id": 1, "event": "done", **GOOD, "stdout": 0, "duration": 1e400})],
            True,
        ),
        ([STARTED, encode({"id": 1, "event": "done", **GOOD, "started": 10**400})], True),
    ],
)
def test_a_guest_that_misbehaves_is_ended(
    guests: list[ScriptedGuest], frames: list[bytes], may_have_run: bool
) -> None:
    sandbox = sandbox_with(guests, says(*frames))
    with pytest.raises(SandboxLostError) as caught:
        sandbox.execute_code("1", timeout=60)
    assert caught.value.may_have_run is may_have_run
    assert guests[0].killed
    with pytest.raises(SandboxLostError) as caught:
        sandbox.list_files(["."])
    assert caught.value.may_have_run is False


def test_a_guest_that_is_silent_is_not_waited_for_for_ever(guests: list[ScriptedGuest]) -> None:
    def play(read: int, _write: int) -> None:
        while os.read(read, 65536):
            pass

    sandbox = sandbox_with(guests, play)
    began = time.monotonic()
    with pytest.raises(SandboxLostError, match="did not answer in time"):
        sandbox.execute_code("1", timeout=-29.5)
    assert time.monotonic() - began < 30


def test_a_guest_that_never_stops_talking_is_ended_in_time(guests: list[ScriptedGuest]) -> None:
    drop = encode({"id": 1, "event": "output", "stream": "stdout"}, b"x")

    def play(read: int, write: int) -> None:
        os.read(read, 65536)
        os.write(write, STARTED)
        os.set_blocking(write, False)
        for _ in range(2_000):
            with contextlib.suppress(OSError):
                os.write(write, drop)
            time.sleep(0.001)

    sandbox = sandbox_with(guests, play)
    began = time.monotonic()
    with pytest.raises(SandboxLostError, match="did not answer in time"):
        sandbox.execute_code("1", timeout=-29.5, on_output=lambda *_: None)
    assert time.monotonic() - began < 1.5


def test_endless_empty_output_is_refused(guests: list[ScriptedGuest]) -> None:
    empty = encode({"id": 1, "event": "output", "stream": "stdout"})
    sandbox = sandbox_with(guests, says(STARTED, empty))
    with pytest.raises(SandboxLostError, match="broke the protocol"):
        sandbox.execute_code("1", timeout=60, on_output=lambda *_: None)


def opened(size: int, payload: bytes, *, more: bool = True) -> bytes:
    return encode({"id": 1, "event": "done", "size": size, "more": more}, payload)


def piece(number: int, payload: bytes, *, more: bool) -> bytes:
    return encode({"id": number, "event": "done", "more": more}, payload)


@pytest.mark.parametrize(
    "frames",
    [
        [opened(3, b"four", more=False)],
        [opened(3, b"")],
        [opened(3, b"ab"), piece(2, b"cd", more=False)],
        [opened(3, b"ab"), piece(2, b"", more=True)],
        [opened(3, b"ab"), piece(2, b"c", more=True), piece(3, b"d", more=False)],
    ],
)
def test_a_file_of_more_than_was_announced_or_of_nothings_is_refused(
    guests: list[ScriptedGuest], frames: list[bytes]
) -> None:
    sandbox = sandbox_with(guests, answers_with(*frames))
    with pytest.raises(SandboxLostError, match="broke the protocol"):
        [b"".join(content.chunks) for content in sandbox.read_files(["a"])]


def test_a_file_without_a_size_is_read_whole(guests: list[ScriptedGuest]) -> None:
    sandbox = sandbox_with(guests, answers_with(opened(2, b"ab"), piece(2, b"cd", more=False)))
    (content,) = [b"".join(content.chunks) for content in sandbox.read_files(["/proc/a"])]
    assert content == b"abcd"
