"""The notebooks run in fresh kernels, and what they show is what they print."""

import base64
import getpass
import io
import re
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEED_NO_SANDBOX = {"5_your_own_backend.ipynb"}


def marks(path: Path) -> tuple[pytest.MarkDecorator, ...]:
    return () if path.name in NEED_NO_SANDBOX else (pytest.mark.local,)


every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def run() -> Any:
    """The program that made the committed outputs."""
    spec = spec_from_file_location("run", ROOT / "notebooks" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def texts(cell: Any) -> Iterator[str]:
    """What a cell shows in words, without what differs from one version of a library to another."""
    for output in cell.outputs:
        data = output.get("data", {})
        text = output.get("text") or data.get("text/markdown") or data.get("text/plain", "")
        yield re.sub(r"\d[\d,]* bytes", "# bytes", text)


def pictures(cell: Any) -> list[tuple[int, int]]:
    """The sizes of a cell's pictures, each of which shows something."""
    sizes = []
    for output in cell.outputs:
        if "image/png" in output.get("data", {}):
            picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
            colours = picture.convert("RGB").getcolors(picture.width * picture.height)
            assert colours is not None
            assert len(colours) > 10
            sizes.append(picture.size)
    return sizes


@pytest.mark.parametrize(
    "notebook", [pytest.param(path, id=path.stem, marks=marks(path)) for path in NOTEBOOKS]
)
def test_a_notebook_prints_what_it_shows(run: Any, notebook: Path, tmp_path: Path) -> None:
    """If what it prints was meant to change, `python notebooks/run.py` keeps the new outputs."""
    ran = [cell for cell in run.executed(notebook, tmp_path).cells if cell.cell_type == "code"]

    for kept, now in zip(code_cells(notebook), ran, strict=True):
        if "varies" not in kept.metadata.get("tags", []):
            assert list(texts(now)) == list(texts(kept)), kept.source
        assert [_near(size) for size in pictures(now)] == [_near(s) for s in pictures(kept)]


@every_notebook
def test_a_notebook_is_kept_as_a_clean_run_left_it(notebook: Path) -> None:
    cells = code_cells(notebook)

    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert notebook.stat().st_size < 400_000


@every_notebook
def test_outputs_show_nothing_of_the_machine_and_no_warnings(notebook: Path) -> None:
    shown = [text for cell in code_cells(notebook) for text in texts(cell)]
    machine = {str(Path.home()), str(ROOT), sys.prefix, "/tmp", "site-packages", "/root/"}
    if getpass.getuser() != "root":
        machine.add(getpass.getuser())

    assert [text for text in shown if any(word in text for word in machine)] == []
    assert [text for text in shown if "Warning" in text] == []
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert [output for output in outputs if output.get("name") == "stderr"] == []


@every_notebook
def test_words_come_before_each_cell_and_no_cell_is_a_wall(notebook: Path) -> None:
    cells = nbformat.read(notebook, 4).cells

    assert cells[0].source.startswith("# ")
    for before, cell in pairwise(cells):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown", cell.source
            assert len(cell.source.splitlines()) <= 36, cell.source


def test_there_are_pictures_and_a_line_for_a_real_model() -> None:
    for notebook in NOTEBOOKS:
        assert sum(len(pictures(cell)) for cell in code_cells(notebook)) >= 1, notebook.name
    agents = [path for path in NOTEBOOKS if path.stem.endswith("_agent")]
    assert len(agents) == 2
    for notebook in agents:
        assert "# model = " in "\n".join(cell.source for cell in code_cells(notebook))


def test_links_of_the_notebooks_lead_somewhere() -> None:
    pages = [*NOTEBOOKS, ROOT / "notebooks" / "README.md"]
    links = [(p, t) for p in pages for t in re.findall(r"\]\(([^)#:]+?)\)", p.read_text())]

    assert links
    assert [(p.name, t) for p, t in links if not (p.parent / t).exists()] == []


def _near(size: tuple[int, int]) -> tuple[int, int]:
    """A picture's size to the nearest fifty pixels: other fonts move its edges a little."""
    return round(size[0] / 50), round(size[1] / 50)
