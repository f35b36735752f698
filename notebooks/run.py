"""Executes the notebooks in fresh kernels and keeps what they print: `python notebooks/run.py`.

Each runs in a temporary folder, as it does in the tests; names on the command line choose some.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

FOLDER = Path(__file__).parent
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def executed(notebook: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs that it has now.

    Args:
        notebook: A file; it is not changed.
        folder: Where the notebook's code starts and leaves its files.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    book: nbformat.NotebookNode = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        book,
        timeout=120,
        coalesce_streams=True,
        record_timing=False,
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    # The kernel reports its exact version, which would change with every machine.
    book.metadata["language_info"] = {"name": "python"}
    return book


def main() -> None:
    """Executes and saves the notebooks that were named, or all."""
    named = [FOLDER / Path(name).name for name in sys.argv[1:]]
    for notebook in named or NOTEBOOKS:
        with TemporaryDirectory() as folder:
            nbformat.write(executed(notebook, Path(folder)), notebook)
        print(f"{notebook.name}  {notebook.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
