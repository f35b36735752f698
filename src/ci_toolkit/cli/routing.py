"""The command `ci-toolkit routing`: how well a model finds its way with the guidance."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ci_toolkit.cli.streams import say
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.routing import SKILLS, Report, asking, evaluate

__all__ = ["routing"]


def routing(
    *,
    model: Annotated[
        str,
        typer.Option(metavar="PROVIDER:MODEL", help="A model, as LangChain's init_chat_model."),
    ] = "",
    factory: Annotated[
        str,
        typer.Option(
            metavar="MODULE:NAME",
            help="Instead: a function that makes a LangChain chat model or a Strands model.",
        ),
    ] = "",
    available: Annotated[
        list[str] | None,
        typer.Option(metavar="SKILL", help="A skill that the host has; repeatable. Default: all."),
    ] = None,
    without_guidance: Annotated[
        bool, typer.Option("--without-guidance", help="Leave out the guidance, to see its worth.")
    ] = False,
    record: Annotated[
        Path, typer.Option(help="Keeps the answers; what is in it is not asked again.")
    ] = Path("routing.jsonl"),
    jobs: Annotated[int, typer.Option(min=1, help="Requests that are under way together.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Ask a model some 250 labelled requests; print precision, recall and confusion by route."""
    if bool(model) == bool(factory):
        raise ConfigurationError("Name a model: either --model or --factory.")
    unknown = [skill for skill in available or () if skill not in SKILLS]
    if unknown:
        raise ConfigurationError(
            f"No request is about {', '.join(unknown)}; there are {', '.join(SKILLS)}."
        )
    made = _by_factory(factory) if factory else _by_name(model)
    columns = (
        TextColumn("asking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with asking(made) as ask, Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=None)
        report = evaluate(
            ask,
            model=model or factory,
            skills=SKILLS if available is None else available,
            guidance=not without_guidance,
            record=record,
            jobs=jobs,
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    _show(report, record, as_json=as_json)
    if report.unanswered:
        raise typer.Exit(code=1)


def _show(report: Report, record: Path, *, as_json: bool) -> None:
    shown = json.dumps(report.figures(), indent=2) if as_json else report.text()
    sys.stdout.write(f"{shown}\n")
    if report.unanswered:
        say(
            f"{report.unanswered} requests were not answered ({report.failure}). The answers are "
            f"in {record}; the same command goes on from there."
        )


def _by_name(name: str) -> object:
    try:
        from langchain.chat_models import init_chat_model  # noqa: PLC0415 - an extra

        return init_chat_model(name)
    except ImportError as error:
        sys.exit(
            f"ci-toolkit: {error}. --model needs: pip install 'ci-toolkit[langchain]', and the "
            "provider's own package"
        )
    except Exception as error:  # providers raise what they like
        raise ConfigurationError(f"The model {name!r} cannot be made: {error}") from error


def _by_factory(name: str) -> object:
    """What `module:name` makes, the module being found from the current folder as well."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        made: object = getattr(import_module(module), attribute)()
    except Exception as error:  # it is the user's own code
        raise ConfigurationError(
            f"--factory {name!r} made no model: {type(error).__name__}: {error}"
        ) from error
    return made
