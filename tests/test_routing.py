"""The routing evaluation: a data set without leaks, a harness that forgets nothing."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ci_toolkit.cli import app
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.routing import (
    DIRECT,
    LABELS,
    SKILLS,
    Move,
    Report,
    Request,
    ToolSpec,
    Verdict,
    asking,
    evaluate,
    load_requests,
)
from ci_toolkit.routing.moves import ELSEWHERE, route_of, system_prompt, tool_specs
from ci_toolkit.skill import ROUTES, skill_prompt
from ci_toolkit.skill.routes import CODE_AGENT, SKILL
from ci_toolkit.testing.script import Turn
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.testing.scripted_strands import ScriptedModel
from ci_toolkit.tools import TOOLS

REQUESTS = load_requests()
MODELS = [ScriptedChatModel, ScriptedModel]


def turn_to(label: str) -> Turn:
    """What a model says that goes to a route."""
    if label == DIRECT:
        return "It is 42."
    if label == SKILL:
        return [("execute_code", {"code": "print(42)"})]
    return [("use_skill", {"skill": label})]


class Oracle:
    """Goes where the data set says, but for what it was told to get wrong; counts its calls."""

    def __init__(self, wrong: dict[str, str] | None = None) -> None:
        self.asked: list[str] = []
        self._routes = {request.text: request.route for request in REQUESTS} | (wrong or {})

    def __call__(self, system: str, request: str, tools: Sequence[ToolSpec]) -> Move:
        self.asked.append(request)
        turn = turn_to(self._routes[request])
        return Move() if isinstance(turn, str) else Move(tool=turn[0][0], arguments=turn[0][1])  # type: ignore[index]


# The data set


def test_the_data_set_is_large_and_covers_every_route_in_many_languages() -> None:
    routes = Counter(request.route for request in REQUESTS)
    hard = Counter(request.route for request in REQUESTS if request.hard)
    languages = {request.language for request in REQUESTS}

    assert len(REQUESTS) >= 150
    assert len({request.text for request in REQUESTS}) == len(REQUESTS)
    assert set(routes) == set(LABELS)
    assert min(routes.values()) >= 20
    assert min(hard.values()) >= 5
    assert len(languages) >= 10
    for label in LABELS:
        assert len({r.language for r in REQUESTS if r.route == label}) >= 8


def test_the_labels_are_the_routes_of_the_guidance() -> None:
    assert set(LABELS) == {DIRECT, CODE_AGENT, *(route.skill for route in ROUTES)}


def test_no_request_names_a_route_a_tool_or_the_guidance_s_own_phrases() -> None:
    names = [*LABELS[1:], *(tool.name for tool in TOOLS), "sandbox", "interpreter", "agent"]
    tasks = [route.task.lower() for route in ROUTES]
    names += [name.replace("-", " ") for name in LABELS[1:]]

    leaks = [
        (name, request.text)
        for request in REQUESTS
        for name in [*names, *tasks]
        if name in request.text.lower()
    ]

    assert leaks == []


def test_no_request_shares_five_words_in_a_row_with_the_guidance() -> None:
    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}

    told = runs(skill_prompt(SKILLS))

    assert [request.text for request in REQUESTS if runs(request.text) & told] == []


CUES = {
    "visual-design": r"chart|plot|diagram|histogram|figure|visuali|picture|curve|draw",
    "word-documents": r"\bword\b|docx|document|letter|report|contract|template",
    "excel-spreadsheets": r"excel|xlsx|spreadsheet|workbook|formula|pivot",
    "powerpoint-presentations": r"powerpoint|pptx|slide|deck|presentation|talk\b|keynote",
    CODE_AGENT: r"repositor|project|refactor|tests?\b|modules?\b|code base|services",
    SKILL: r"csv|python|calculate|compute|code|package|install|algorithm|json|data\b|how many",
}


def test_catchwords_alone_do_not_find_the_way() -> None:
    """What reads only for words such as Excel or chart must not pass for a model that reads."""

    def guess(request: Request) -> str:
        text = request.text.lower()
        return next((label for label, cues in CUES.items() if re.search(cues, text)), DIRECT)

    english = [request for request in REQUESTS if request.language == "en"]
    right = {request: guess(request) == request.route for request in english}
    hard = [right[request] for request in english if request.hard]

    assert sum(right.values()) / len(english) < 0.5
    assert sum(hard) / len(hard) < 0.35


def test_requests_for_skills_that_a_host_lacks_belong_into_the_sandbox() -> None:
    chart = Request(text="A pie chart.", language="en", route="visual-design")
    direct = Request(text="9 times 12?", language="en", route=DIRECT)

    assert chart.expected(SKILLS) == "visual-design"
    assert chart.expected(["word-documents"]) == SKILL
    assert direct.expected([]) == DIRECT


# What a model is given, and what it did


def test_a_model_is_given_the_real_tools_and_one_that_hands_over() -> None:
    specs = tool_specs(SKILLS)

    assert [spec.name for spec in specs] == [*(tool.name for tool in TOOLS), "use_skill"]
    assert specs[-1].parameters["properties"]["skill"]["enum"] == [*SKILLS]
    assert [spec.name for spec in tool_specs([])] == [tool.name for tool in TOOLS]
    assert tool_specs([CODE_AGENT])[-1].parameters["properties"]["skill"]["enum"] == [CODE_AGENT]
    assert skill_prompt(SKILLS) in system_prompt(SKILLS, guidance=True)
    assert "Markdown" not in system_prompt(SKILLS, guidance=False)


@pytest.mark.parametrize(
    ("move", "label"),
    [
        (Move(), DIRECT),
        *((Move(tool=tool.name), SKILL) for tool in TOOLS),
        *((Move(tool="use_skill", arguments={"skill": skill}), skill) for skill in SKILLS),
        (Move(tool="use_skill", arguments={"skill": SKILL}), ELSEWHERE),
        (Move(tool="use_skill", arguments={"skill": ["visual-design"]}), ELSEWHERE),
        (Move(tool="use_skill"), ELSEWHERE),
        (Move(tool="web_search"), ELSEWHERE),
    ],
)
def test_what_a_model_does_first_is_its_route(move: Move, label: str) -> None:
    assert route_of(move) == label


@pytest.mark.parametrize("model", MODELS)
def test_models_of_both_frameworks_are_asked_in_one_way(model: Any) -> None:
    turns = [turn_to(request.route) for request in REQUESTS]
    scripted = model(turns)

    with asking(scripted) as ask:
        report = evaluate(ask, model="scripted", jobs=1)

    assert report.accuracy == 1.0
    assert {score.recall for score in report.scores.values()} == {1.0}
    assert len(scripted.seen) == len(REQUESTS)
    assert REQUESTS[0].text in str(scripted.seen[0])
    system = scripted.seen[0][0].text if model is ScriptedChatModel else scripted.system_prompt
    assert system == system_prompt(SKILLS, guidance=True)
    assert len(scripted.tools) == len(TOOLS) + 1
    assert "output_filename" in str(scripted.tools[0])


@pytest.mark.parametrize("model", MODELS)
def test_of_several_calls_the_first_one_counts(model: Any) -> None:
    both: Turn = [("use_skill", {"skill": CODE_AGENT}), ("execute_code", {"code": "1"})]

    with asking(model([both])) as ask:
        move = ask("system", "request", tool_specs(SKILLS))

    assert move == Move(tool="use_skill", arguments={"skill": CODE_AGENT})


@pytest.mark.parametrize("thing", [object(), "openai:gpt", None])
def test_what_is_no_model_is_refused(thing: object) -> None:
    with pytest.raises(ConfigurationError, match="no LangChain chat model and no Strands model"):
        asking(thing).__enter__()


# The harness


def test_what_was_answered_before_an_interrupt_is_not_asked_again(tmp_path: Path) -> None:
    record = tmp_path / "runs" / "record.jsonl"
    first, second, third = Oracle(), Oracle(), Oracle()

    def stop(done: int, _: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(first, model="m", record=record, jobs=1, on_progress=stop)
    kept = len(record.read_text().splitlines())
    with record.open("a") as file:
        file.write('{"key": "cut sho')  # as a crash leaves it
    seen: list[tuple[int, int]] = []
    report = evaluate(
        second, model="m", record=record, jobs=3, on_progress=lambda *step: seen.append(step)
    )
    again = evaluate(third, model="m", record=record)

    total = len(REQUESTS)
    assert kept == 20
    assert len(first.asked) == 20
    assert len(second.asked) == total - 20
    assert not {*first.asked} & {*second.asked}
    assert seen == [(done, total) for done in range(20, total + 1)]
    assert (report.accuracy, len(report.verdicts), third.asked) == (1.0, total, [])
    assert again == report


def test_another_model_prompt_or_host_is_asked_anew(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    some = REQUESTS[:3]

    for change in ({}, {"model": "n"}, {"guidance": False}, {"skills": ["visual-design"]}):
        oracle = Oracle()
        options: dict[str, Any] = {"model": "m", "requests": some, "record": record, **change}
        evaluate(oracle, **options)
        assert len(oracle.asked) == 3
    assert len(record.read_text().splitlines()) == 12


def test_a_call_that_fails_leaves_its_request_to_the_next_evaluation(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    bad = {REQUESTS[4].text, REQUESTS[7].text}
    oracle = Oracle()

    def flaky(system: str, request: str, tools: Sequence[ToolSpec]) -> Move:
        if request in bad:
            raise TimeoutError("too slow")
        return oracle(system, request, tools)

    report = evaluate(flaky, model="m", requests=REQUESTS[:10], record=record)
    later = evaluate(Oracle(), model="m", requests=REQUESTS[:10], record=record)

    assert (len(report.verdicts), report.unanswered) == (8, 2)
    assert report.failure == "TimeoutError: too slow"
    assert report.text().endswith("2 requests were not answered: TimeoutError: too slow")
    assert (len(later.verdicts), later.unanswered, later.failure) == (10, 0, "")


def test_a_model_that_always_fails_is_soon_left_alone() -> None:
    calls: list[str] = []

    def broken(system: str, request: str, tools: Sequence[ToolSpec]) -> Move:
        calls.append(request)
        raise PermissionError("no key")

    report = evaluate(broken, model="m", jobs=2)

    assert 5 <= len(calls) <= 6
    assert (report.unanswered, report.accuracy) == (len(REQUESTS), None)
    assert report.failure == "PermissionError: no key"


def test_a_record_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        evaluate(Oracle(), model="m", record=tmp_path)


def test_lines_of_a_record_that_are_no_answers_are_passed_over(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    record.write_bytes(b'\xff\n[1]\n"text"\n{"key": 1}\n\nnull\n7')

    report = evaluate(Oracle(), model="m", requests=REQUESTS[:2], record=record)

    assert report.accuracy == 1.0
    assert len(record.read_text(errors="replace").splitlines()) == 9


# The report


def verdict(expected: str, got: str, *, hard: bool = False, language: str = "en") -> Verdict:
    text = f"a request that belongs to {expected}"
    request = Request(text=text, language=language, route=expected, hard=hard)
    return Verdict(request=request, expected=expected, got=got)


def test_the_report_counts_precision_recall_and_confusion_by_route() -> None:
    report = Report(
        model="m",
        verdicts=(
            *[verdict(DIRECT, DIRECT)] * 3,
            verdict(DIRECT, SKILL, hard=True),
            *[verdict(SKILL, SKILL, language="de")] * 2,
            verdict("visual-design", SKILL, hard=True, language="de"),
            verdict("visual-design", ELSEWHERE),
        ),
    )

    assert report.accuracy == 5 / 8
    assert {label: (s.support, s.precision, s.recall) for label, s in report.scores.items()} == {
        DIRECT: (4, 1.0, 0.75),
        SKILL: (2, 0.5, 1.0),
        "visual-design": (2, None, 0.0),
        ELSEWHERE: (0, 0.0, None),
    }
    assert report.confusion == {
        (DIRECT, DIRECT): 3,
        (DIRECT, SKILL): 1,
        (SKILL, SKILL): 2,
        ("visual-design", SKILL): 1,
        ("visual-design", ELSEWHERE): 1,
    }
    assert json.loads(json.dumps(report.figures()))["accuracy"] == 0.625
    assert report.text() == TEXT


TEXT = """\
# Routing by m

8 requests, accuracy 62.5%

| route            | requests | precision | recall |
| ---------------- | -------- | --------- | ------ |
| answer           | 4        | 100.0%    | 75.0%  |
| code-interpreter | 2        | 50.0%     | 100.0% |
| visual-design    | 2        | -         | 0.0%   |
| elsewhere        | 0        | 0.0%      | -      |

Where requests of each row went:

|                  | answer | code-interpreter | visual-design | elsewhere |
| ---------------- | ------ | ---------------- | ------------- | --------- |
| answer           | 3      | 1                |               |           |
| code-interpreter |        | 2                |               |           |
| visual-design    |        | 1                |               | 1         |

Accuracy by difficulty and by language:

plain 83.3%, hard 0.0%

en 60.0%, de 66.7%

Misrouted:

- answer → code-interpreter: a request that belongs to answer
- visual-design → code-interpreter: a request that belongs to visual-design
- visual-design → elsewhere: a request that belongs to visual-design"""


# The command


FACTORY = """
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel

def quiet():
    return ScriptedChatModel(["I would rather not."] * 1000)

def mute():
    return ScriptedChatModel([])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "routing_factory.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    return tmp_path


def run(*options: str) -> Any:
    return CliRunner().invoke(app, ["routing", *options])


def test_the_command_prints_the_report_and_keeps_the_answers(folder: Path) -> None:
    done = run("--factory", "routing_factory:quiet")
    figures = run("--factory", "routing_factory:quiet", "--json", "--jobs", "1")

    assert done.exit_code == 0
    head = f"# Routing by routing_factory:quiet\n\n{len(REQUESTS)} requests, accuracy "
    assert done.stdout.startswith(head)
    assert json.loads(figures.stdout)["scores"][DIRECT]["recall"] == 1.0
    assert len((folder / "routing.jsonl").read_text().splitlines()) == len(REQUESTS)


def test_the_command_says_how_to_go_on_where_answers_are_missing(folder: Path) -> None:
    done = run("--factory", "routing_factory:mute", "--record", "other.jsonl")

    assert done.exit_code == 1
    said = f"{len(REQUESTS)} requests were not answered (RuntimeError: The script has 0 turns"
    assert said in done.stderr
    assert "The answers are in other.jsonl; the same command goes on from there." in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "either --model or --factory"),
        (["--model", "a:b", "--factory", "c:d"], "either --model or --factory"),
        (["--model", "nonesuch:x"], "cannot be made"),
        (["--factory", "nonesuch:x"], "made no model: ModuleNotFoundError"),
        (["--factory", "json"], "made no model: "),
        (["--factory", "builtins:dict"], "dict is no LangChain chat model"),
        (["--factory", "builtins:dict", "--available", "poetry"], "No request is about poetry"),
    ],
)
def test_mistakes_with_the_command_are_told(folder: Path, options: list[str], said: str) -> None:
    done = run(*options)

    assert isinstance(done.exception, ConfigurationError)
    assert said in str(done.exception)
