"""Shows the figures that a Python run leaves open, and sets pandas up; runs in the kernel."""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import io
import sys
import weakref
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_saved: weakref.WeakSet[Any] = weakref.WeakSet()


def show_open(publisher: Any) -> None:
    """Publishes each open figure that the program has not saved itself, and closes all."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    numbers = pyplot.get_fignums() if pyplot else ()
    if not pyplot or not numbers:
        return
    try:
        for number in numbers:
            figure = pyplot.figure(number)
            if figure not in _saved:
                _show(figure, publisher)
    finally:
        pyplot.close("all")


def _show(figure: Any, publisher: Any) -> None:
    picture = io.BytesIO()
    try:
        figure.savefig(picture, format="png", bbox_inches="tight")
    except Exception as error:  # noqa: BLE001
        print(f"[a figure could not be drawn: {error}]", file=sys.stderr)  # noqa: T201
    else:
        publisher.publish_image("image/png", picture.getvalue())


def _after_figure(module: ModuleType) -> None:
    """Notes which figures are saved."""
    original = module.Figure.savefig

    @functools.wraps(original)
    def savefig(self: Any, *args: Any, **options: Any) -> Any:
        answer = original(self, *args, **options)
        _saved.add(self)
        return answer

    module.Figure.savefig = savefig


def _after_pandas(module: ModuleType) -> None:
    """Shows tables as wide as a reader of text can use."""
    module.set_option("display.width", 200)
    module.set_option("display.max_columns", 50)


_AFTER: dict[str, Callable[[Any], None]] = {
    "matplotlib.figure": _after_figure,
    "pandas": _after_pandas,
}


class _Loader(importlib.abc.Loader):
    """A module's own loader, and something to do after it."""

    def __init__(self, loader: Any, after: Callable[[Any], None]) -> None:
        self._loader = loader
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._after(module)


class _Watcher(importlib.abc.MetaPathFinder):
    """Finds the few modules that something follows upon, by the finders after itself."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        after = _AFTER.get(name)
        if after is None:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, after)
                return spec
        return None


def watch_imports() -> None:
    """Prepares for the libraries that are imported later, if ever."""
    sys.meta_path.insert(0, _Watcher())
