"""Asks a model request by request, keeps each answer at once, and goes on where it was stopped."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Final

from ci_toolkit.routing.moves import Ask, Move, ToolSpec, route_of, system_prompt, tool_specs
from ci_toolkit.routing.record import Record
from ci_toolkit.routing.report import Report, Verdict
from ci_toolkit.routing.requests import SKILLS, Request, load_requests

__all__ = ["evaluate"]

_PATIENCE: Final = 5
"""Calls in a row that may fail before no more are made."""


def evaluate(
    ask: Ask,
    *,
    model: str,
    requests: Sequence[Request] | None = None,
    skills: Collection[str] = SKILLS,
    guidance: bool = True,
    record: Path | None = None,
    jobs: int = 4,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Asks a model what it does about each request.

    A call that fails leaves its request unanswered; after many failures in a row no more are made.
    What was answered is kept, also where an exception such as `KeyboardInterrupt` ends the
    evaluation, and with a record the next evaluation goes on from there.

    Args:
        ask: Asks the model once; see `asking`.
        model: Its name in the report and in the record.
        requests: What is asked; by default the data set of this package.
        skills: The skills that the host has. Requests for others belong into the sandbox.
        guidance: Whether the model is told what `skill_prompt` says.
        record: A file of answers. What it holds for this model, prompt and tools is not asked.
        jobs: How many calls are made at the same time.
        on_progress: Called with the number of answers that are there, and of all requests.

    Raises:
        ConfigurationError: The record cannot be used.
    """
    system, tools = system_prompt(skills, guidance=guidance), tool_specs(skills)
    keys = {
        request: _key(model, system, tools, request)
        for request in (load_requests() if requests is None else requests)
    }
    answers = Record(record)
    todo = [request for request, key in keys.items() if answers.get(key) is None]
    done, failure = len(keys) - len(todo), ""
    _tell(on_progress, done, len(keys))
    for request, future in _asked(ask, system, tools, todo, jobs):
        if error := future.exception():
            failure = failure or f"{type(error).__name__}: {error}"[:500]
            continue
        went = route_of(future.result())
        answers.keep(keys[request], got=went, model=model, request=request.text)
        done += 1
        _tell(on_progress, done, len(keys))
    verdicts = tuple(
        Verdict(request=request, expected=request.expected(skills), got=got)
        for request, key in keys.items()
        if (got := answers.get(key)) is not None
    )
    return Report(model=model, verdicts=verdicts, unanswered=len(keys) - done, failure=failure)


def _tell(listener: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if listener is not None:
        listener(done, total)


def _asked(
    ask: Ask, system: str, tools: Sequence[ToolSpec], requests: Sequence[Request], jobs: int
) -> Iterator[tuple[Request, Future[Move]]]:
    """The answers as they come, until too many in a row have failed.

    The next request waits until an answer was taken, so that few are lost when it all ends.
    """
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="ci-toolkit-routing")
    waiting = iter(requests)
    running: dict[Future[Move], Request] = {}
    failed = 0

    def start(count: int) -> None:
        for request in islice(waiting, count):
            running[pool.submit(ask, system, request.text, tools)] = request

    try:
        start(jobs)
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future
                failed = failed + 1 if future.exception() else 0
                start(1 if failed < _PATIENCE else 0)
    finally:
        pool.shutdown()


def _key(model: str, system: str, tools: Sequence[ToolSpec], request: Request) -> str:
    """What an answer depends on, in short."""
    told = [[tool.name, tool.description, tool.parameters] for tool in tools]
    text = json.dumps([model, system, told, request.text], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:32]
