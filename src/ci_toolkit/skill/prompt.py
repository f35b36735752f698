"""The fragment for a system prompt: when to run code, where else to go, how to do it well."""

import re
from collections.abc import Collection, Iterable

from ci_toolkit.backends.base import Backend
from ci_toolkit.doors import Offer, offers
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.schemas import Arguments, json_schema
from ci_toolkit.skill.guidance import LANGUAGES, MISTAKES, NO_OUTSIDERS, PURPOSE, RULES, USES
from ci_toolkit.skill.routes import (
    CODE_AGENT,
    COMPARISON,
    NOTHING_TO_RUN,
    ROUTES,
    SKILL,
    WORKSPACE_SKILL,
)

__all__ = ["bullets", "signature", "skill_prompt"]


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
        bullets(f"{c.respect}: {c.interpreter} vs. {c.agent}" for c in COMPARISON),
        _code_agent(skills),
        "## Tools",
        bullets(f"`{signature(offer)}`: {USES[offer.tool.name]}" for offer in offered),
        "## This sandbox",
        bullets([*_place(backend), *_files(skills, workspace_tools=workspace_tools)]),
        "## Rules",
        bullets(RULES),
        "Common mistakes:",
        bullets(f"{mistake.wrong} → {mistake.right}" for mistake in MISTAKES),
        NO_OUTSIDERS,
    ]
    return _renamed("\n\n".join(sections), offered)


def signature(offer: Offer) -> str:
    """A tool as it is called, with the defaults of its schema: `push(paths=[])`."""
    parameters = ", ".join(_parameter(offer.tool.arguments, name) for name in _names(offer))
    return f"{offer.tool.name}({parameters})"


def bullets(lines: Iterable[str]) -> str:
    """Lines as a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def _names(offer: Offer) -> list[str]:
    return list(json_schema(offer.tool.arguments)["properties"])


def _parameter(arguments: type[Arguments], name: str) -> str:
    field = arguments.model_fields[name]
    if field.is_required():
        return name
    default = field.get_default(call_default_factory=True)
    return f'{name}="{default}"' if isinstance(default, str) else f"{name}={default!r}"


def _whether(skills: frozenset[str]) -> str:
    here = [f"{route.task} ({route.reason})" for route in ROUTES if route.skill == SKILL]
    elsewhere = [
        f"{route.task}: `{route.skill}` ({route.reason})"
        for route in ROUTES
        if route.skill in skills and route.skill != SKILL
    ]
    missing = [
        f"{route.task} (with {route.instead})"
        for route in ROUTES
        if route.instead and route.skill not in skills
    ]
    parts = [
        "Run nothing for:",
        bullets(f"{item.request}: {item.answer}" for item in NOTHING_TO_RUN),
        "Run it here to:",
        bullets(here),
    ]
    if elsewhere:
        parts += ["Prefer the specialised skill for finished work:", bullets(elsewhere)]
    if missing:
        parts.append(f"No skill is specialised in these, so make them here: {', '.join(missing)}.")
    return "\n\n".join(parts)


def _code_agent(skills: frozenset[str]) -> str:
    if CODE_AGENT in skills:
        return f"Hand work of the second kind to `{CODE_AGENT}`."
    return (
        "There is no code agent here: do work of the second kind step by step, "
        "and say what is left."
    )


def _place(backend: Backend | None) -> list[str]:
    """What the sandbox can do."""
    languages = tuple(LANGUAGES) if backend is None else backend.languages
    facts = ["Languages: " + ", ".join(_language(name) for name in languages) + "."]
    if backend is None:
        return facts
    able = backend.abilities
    forgetful = [_language(name) for name in languages if name not in able.stateful]
    if forgetful:
        facts.append(
            f"{' and '.join(forgetful)}: variables are lost after each call; pass data on in files."
        )
    return [*facts, _NETWORK[able.network]]


def _language(name: str) -> str:
    return LANGUAGES.get(name, name)


_NETWORK = {
    "none": "No internet: downloads and web requests fail. Use what is installed, and tell the "
    "user instead of trying again.",
    "internet": "Code can reach the internet. Send out no data that the user did not ask to send.",
    "host": "Code can reach the internet and the host's own network. Send out no data that the "
    "user did not ask to send.",
}


def _files(skills: frozenset[str], *, workspace_tools: bool) -> list[str]:
    reading = f'`workspace_read("{SKILL}/chart.png")`, `workspace_list("{SKILL}/")`'
    facts = [
        "Uploaded files are already in the working directory.",
        (
            "Files outlive the sandbox only when saved, by `output_filename` or "
            f"`ci_push_to_workspace`; they are then in `{SKILL}/` of the workspace."
        ),
    ]
    if workspace_tools:
        facts.append(f"Read them back with {reading}.")
    elif WORKSPACE_SKILL in skills:
        facts.append(f"Read them back with the `{WORKSPACE_SKILL}` skill: {reading}.")
    facts.append('Common libraries are installed; `execute_command("pip list")` names them all.')
    return facts


def _renamed(text: str, offered: tuple[Offer, ...]) -> str:
    names = {offer.tool.name: offer.name for offer in offered}
    return re.sub(
        "|".join(rf"\b{re.escape(name)}\b" for name in names), lambda m: names[m[0]], text
    )
