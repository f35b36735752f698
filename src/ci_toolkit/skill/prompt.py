"""The fragment for a system prompt: when to run code, where else to go, how to do it well."""

import re
from collections.abc import Collection, Iterable
from typing import Final

from ci_toolkit.backends.base import Backend
from ci_toolkit.doors import Offer, offers
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.libraries import LIBRARIES
from ci_toolkit.schemas import Arguments
from ci_toolkit.skill.guidance import (
    LANGUAGES,
    MISTAKES,
    NO_OUTSIDERS,
    NO_STATE_RULE,
    PURPOSE,
    RULES,
    STATE_RULE,
    USES,
)
from ci_toolkit.skill.routes import (
    CODE_AGENT,
    COMPARISON,
    NOTHING_TO_RUN,
    ROUTES,
    SKILL,
    SPECIALISED,
    WORKSPACE_SKILL,
)

__all__ = ["signature", "skill_prompt"]


def skill_prompt(
    available_skills: Collection[str] | None = None,
    *,
    backend: Backend | None = None,
    prefix: str = "",
    workspace_tools: bool = False,
) -> str:
    """The guidance for a system prompt: at most 600 words of Markdown.

    It routes to no skill that the host does not have, names no tool that the door does not offer,
    and promises nothing that the backend cannot do.

    Args:
        available_skills: The names of the host's other skills; those that no route knows are
            ignored. None where no specialised skill is known to exist.
        backend: Where code will run. Without it nothing is said of its network.
        prefix: The door's `prefix` option.
        workspace_tools: The door's `workspace_tools` option.

    Raises:
        ConfigurationError: `available_skills` is a single text, or the prefix makes names that
            model providers refuse.
    """
    if isinstance(available_skills, str):
        raise ConfigurationError(
            f"available_skills is a collection of names, such as [{available_skills!r}]."
        )
    skills = frozenset(available_skills or ())
    offered = offers(workspace_tools=workspace_tools, prefix=prefix)
    sections = [
        "# Code interpreter",
        PURPOSE,
        "## Whether to run code",
        _whether(skills),
        "## Code interpreter or code agent",
        _bullets(f"{c.respect}: {c.interpreter} vs. {c.agent}" for c in COMPARISON),
        _code_agent(skills),
        "## Tools",
        _bullets(f"`{signature(offer)}`: {USES[offer.tool.name]}" for offer in offered),
        "## This sandbox",
        _bullets([*_place(backend), *_files(skills, workspace_tools=workspace_tools)]),
        "## Rules",
        _bullets(_rules(backend)),
        "Common mistakes:",
        _bullets(f"{mistake.wrong} → {mistake.right}" for mistake in MISTAKES),
        NO_OUTSIDERS,
    ]
    return _renamed("\n\n".join(sections), offered)


def signature(offer: Offer) -> str:
    """A tool as it is called, with the defaults of its schema: `push(paths=[])`."""
    arguments = offer.tool.arguments
    parameters = ", ".join(_parameter(arguments, name) for name in arguments.model_fields)
    return f"{offer.tool.name}({parameters})"


def _bullets(lines: Iterable[str]) -> str:
    """Lines as a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def _parameter(arguments: type[Arguments], name: str) -> str:
    field = arguments.model_fields[name]
    if field.is_required():
        return name
    default = field.get_default(call_default_factory=True)
    return f'{name}="{default}"' if isinstance(default, str) else f"{name}={default!r}"


_LEAVE: Final = "Leave production work to the specialised skill, even where you could do it here:"
_READ_HERE: Final = "Reading or counting what such files hold stays here."


def _whether(skills: frozenset[str]) -> str:
    answers = [f"{item.request}: {item.answer}" for item in NOTHING_TO_RUN]
    here = [f"{route.task} ({route.reason})" for route in ROUTES if route.skill == SKILL]
    elsewhere = [
        f"{route.task}: `{route.skill}` ({route.reason})"
        for route in SPECIALISED
        if route.skill in skills
    ]
    missing = [
        f"{route.task} ({route.instead})" for route in SPECIALISED if route.skill not in skills
    ]
    parts = ["Run nothing for:", _bullets(answers), "Run code here to:", _bullets(here)]
    if elsewhere:
        parts += [_LEAVE, _bullets(elsewhere), _READ_HERE]
    if missing:
        parts.append(f"Make these here: {', '.join(missing)}.")
    return "\n\n".join(parts)


def _code_agent(skills: frozenset[str]) -> str:
    if CODE_AGENT in skills:
        return f"Hand the latter kind of work to `{CODE_AGENT}`."
    return "No code agent is here: do such work in steps, and say what is left undone."


def _rules(backend: Backend | None) -> list[str]:
    keeps = backend is None or "python" in backend.abilities.stateful
    return [NO_STATE_RULE if rule == STATE_RULE and not keeps else rule for rule in RULES]


def _place(backend: Backend | None) -> list[str]:
    """What the sandbox can do."""
    languages = [name for name in LANGUAGES if backend is None or name in backend.languages]
    uses = [f"{LANGUAGES[name].label} ({LANGUAGES[name].good_for})" for name in languages]
    facts = [f"Languages: {', '.join(uses)}."]
    if backend is None:
        return facts
    able = backend.abilities
    forgetful = [LANGUAGES[name].label for name in languages if name not in able.stateful]
    if forgetful:
        facts.append(f"Variables of {', '.join(forgetful)} are lost after a call: use files.")
    return [*facts, _NETWORK[able.network]]


_NETWORK: Final = {
    "none": "No internet: downloads and web requests fail. Do not try again; tell the user.",
    "internet": "Code can reach the internet. Send out only what the user asked to send.",
    "host": (
        "Code can reach the internet and the host's network. Send out only what the user asked "
        "to send."
    ),
}
"""What is said of each kind of network that a backend can have."""


def _files(skills: frozenset[str], *, workspace_tools: bool) -> list[str]:
    facts = [
        "Uploads are already in the working directory.",
        (
            "Only files saved by `output_filename` or `ci_push_to_workspace` outlive the sandbox; "
            f"they lie in `{SKILL}/` of the workspace."
        ),
    ]
    reading = f'`workspace_read("{SKILL}/chart.png")`, `workspace_list("{SKILL}/")`'
    if workspace_tools:
        facts.append(f"Read them back: {reading}.")
    elif WORKSPACE_SKILL in skills:
        facts.append(f"Read them back with the skill `{WORKSPACE_SKILL}`: {reading}.")
    usual = ", ".join(library.name for library in LIBRARIES if library.everyday)
    facts.append(f'Usually installed: {usual}; all: `execute_command("pip list")`.')
    return facts


def _renamed(text: str, offered: tuple[Offer, ...]) -> str:
    """The text with each tool under the name by which it is offered."""
    names = {offer.tool.name: offer.name for offer in offered}
    return re.sub("|".join(rf"\b{name}\b" for name in names), lambda match: names[match[0]], text)
