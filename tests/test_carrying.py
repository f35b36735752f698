"""What a conversation takes along into a new sandbox, whatever its variables and files are."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend, InMemorySandbox
from ci_toolkit.carrying import CarriedFiles, CarriedVariables, carry_files, carry_variables
from ci_toolkit.errors import UnsupportedError
from ci_toolkit.losses import of_a_replacement
from ci_toolkit.results import FileContent, Listing


@pytest.fixture
def old(backend: InMemoryBackend) -> InMemorySandbox:
    return backend.start(name="old")


@pytest.fixture
def new(backend: InMemoryBackend) -> InMemorySandbox:
    return backend.start(name="new")


def run(sandbox: InMemorySandbox, code: str) -> str:
    execution = sandbox.execute_code(code, timeout=20)
    return execution.stdout + execution.stderr


FUNCTIONS = """
x, n = 1, 0
def see(): return x
def count():
    global n
    n += 1
class Point:
    def see(self): return x
point = Point()
"""


def test_functions_see_later_changes_of_variables_and_change_them(
    old: InMemorySandbox, new: InMemorySandbox
) -> None:
    run(old, FUNCTIONS)
    carry_variables(old, new)

    assert run(new, "x = 2; count(); print(see(), point.see(), Point().see(), n)") == "2 2 2 1\n"


BROKEN = """
class Failed(Exception):
    def __init__(self, what, why): super().__init__(what)
last = Failed("a", "b")
shared = [1]
one, two = [shared], [shared]
"""


def test_a_variable_that_cannot_be_read_again_costs_itself_alone(
    old: InMemorySandbox, new: InMemorySandbox
) -> None:
    run(old, BROKEN)

    carried = carry_variables(old, new)

    assert carried.there == ("Failed", "one", "shared", "two")
    assert list(carried.left) == ["last"]
    assert run(new, "one[0].append(2); print(shared, two)") == "[1, 2] [[1, 2]]\n"


HOSTILE = """
class Mute(Exception):
    def __str__(self): raise ValueError
class Ends:
    def __reduce__(self): raise SystemExit(3)
class Fails:
    def __reduce__(self): raise Mute
class Alone:
    written = 0
    def __reduce__(self):
        Alone.written += 1
        if Alone.written > 1: raise ValueError("twice")
        return (int, ())
class Proxy:
    def __getattribute__(self, name): raise RuntimeError("no context")
ends, fails, proxy, alone = Ends(), Fails(), Proxy(), Alone()
deep = None
for _ in range(100_000): deep = [deep]
round = []
round.append(round)
globals()[7] = globals()["\\ud800"] = 1
_kept = 5
"""


def test_hostile_variables_cost_themselves_alone(
    old: InMemorySandbox, new: InMemorySandbox
) -> None:
    assert run(old, HOSTILE) == ""

    carried = carry_variables(old, new)

    assert {"deep", "ends", "fails", "proxy"} <= set(carried.left)
    assert {"round", "_kept"} <= set(carried.there)
    assert run(new, "print(round, _kept)") == "[[...]] 5\n"
    run(old, "del deep")  # Python takes it apart call by call.


def test_names_of_python_s_own_words_are_variables_as_others_are(
    old: InMemorySandbox, new: InMemorySandbox
) -> None:
    run(old, "exec = globals = open = dict = list = str = type = exit = 4")

    assert len(carry_variables(old, new).there) == 8
    assert run(new, "print(exec, globals, open, exit)") == "4 4 4 4\n"


def test_modules_below_an_imported_one_are_imported_too(
    old: InMemorySandbox, new: InMemorySandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(old, "import xml.dom.minidom")
    asked: list[str] = []
    monkeypatch.setattr("importlib.import_module", asked.append)

    carry_variables(old, new)

    assert "xml.dom.minidom" in asked


def test_variables_beyond_their_number_are_named(
    old: InMemorySandbox, new: InMemorySandbox
) -> None:
    run(old, "for number in range(2100): globals()[f'v{number}'] = number")

    carried = carry_variables(old, new)

    assert len(carried.there) == 2000
    assert len(carried.left) == 101


def test_what_is_lost_beyond_twenty_names_is_counted() -> None:
    said = of_a_replacement(
        CarriedFiles(left=tuple(f"f{number}" for number in range(25)), complete=False),
        CarriedVariables(left={f"v{number}": "no" for number in range(23)}),
    )

    assert "; 5 more files; files beyond those that one listing has; " in said
    assert "; 3 more Python variables; " in said


class Lying(InMemorySandbox):
    """Gives more than it has said, without end."""

    def read_files(self, paths: Sequence[str]) -> Iterator[FileContent]:
        def without_end() -> Iterator[bytes]:
            while True:
                yield bytes(2**20)

        for path in paths:
            yield FileContent(path=path, size=1, chunks=without_end())


def test_a_sandbox_that_gives_more_than_it_says_is_not_waited_for(
    old: InMemorySandbox, new: InMemorySandbox
) -> None:
    run(old, "open('small', 'w').write('x')")
    old.__class__ = Lying

    assert carry_files(old, new, most=2**30).left == ("small",)
    assert carry_variables(old, new).failed == "they could not be written down"


def test_files_that_cannot_be_listed_are_not_silently_left(
    old: InMemorySandbox, new: InMemorySandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Listing(path=".", error=UnsupportedError("No permission."))
    monkeypatch.setattr(old, "list_files", lambda *_, **__: (refused,))

    with pytest.raises(UnsupportedError):
        carry_files(old, new, most=100)


@pytest.mark.local
def test_of_a_real_shell_only_the_user_s_own_names_are_carried() -> None:
    backend = LocalBackend()
    with closing(backend):
        old, new = backend.start(name="old"), backend.start(name="new")
        old.execute_code("import urllib.request; mine = 1; _own = 2; In[0]", timeout=60)
        old.execute_code("def f(): return mine", timeout=60)
        first = carry_variables(old, new)
        new.execute_code("mine = 3; open = exit = 4", timeout=60)
        execution = new.execute_code("print(f(), open, exit, _own)", timeout=60)
        second = carry_variables(new, old)

    assert first == CarriedVariables(there=("_own", "f", "mine", "urllib"))
    assert execution.stdout == "3 4 4 2\n"
    assert second == CarriedVariables(there=("_own", "exit", "f", "mine", "open", "urllib"))
