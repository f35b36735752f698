"""What a model can do about a request, and where what it did leads."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ci_toolkit.doors import offers
from ci_toolkit.routing.requests import DIRECT, LABELS
from ci_toolkit.schemas import json_schema
from ci_toolkit.skill.prompt import skill_prompt
from ci_toolkit.skill.routes import CODE_AGENT, SKILL, SPECIALISED

__all__ = ["ELSEWHERE", "Ask", "Move", "ToolSpec", "route_of", "system_prompt", "tool_specs"]

ELSEWHERE: Final = "elsewhere"
"""Where a call of a tool or skill that does not exist leads."""

_HAND_OVER: Final = "use_skill"
_ASSISTANT: Final = (
    "You are the assistant of a company. Answer the user, or use a tool. Files that the user "
    "speaks of have been uploaded. Do not ask back; make reasonable assumptions."
)


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """A tool as a model is told of it; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Move:
    """What a model did first: the tool that it called, or none where it answered."""

    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Ask(Protocol):
    """Asks a model once. May be called from several threads; what it raises is no answer."""

    def __call__(self, system: str, request: str, tools: Sequence[ToolSpec]) -> Move:
        """What the model does first."""
        ...


def system_prompt(skills: Collection[str], *, guidance: bool) -> str:
    """What the assistant is told; without the guidance, to see what that adds."""
    return f"{_ASSISTANT}\n\n{skill_prompt(skills)}" if guidance else _ASSISTANT


def tool_specs(skills: Collection[str]) -> tuple[ToolSpec, ...]:
    """The code interpreter's tools, and one that hands a request to a skill."""
    tools = tuple(
        ToolSpec(
            name=offer.name,
            description=offer.description,
            parameters=json_schema(offer.tool.arguments),
        )
        for offer in offers()
    )
    work = {route.skill: route.task for route in SPECIALISED} | {CODE_AGENT: "software projects"}
    known = [skill for skill in work if skill in skills]
    if not known:
        return tools
    about = "; ".join(f"{skill}: {work[skill]}" for skill in known)
    name = {"type": "string", "enum": known}
    hand_over = ToolSpec(
        name=_HAND_OVER,
        description=f"Hand the request to a skill of this assistant, which then does it. {about}.",
        parameters={"type": "object", "properties": {"skill": name}, "required": ["skill"]},
    )
    return (*tools, hand_over)


def route_of(move: Move) -> str:
    """The label of what a model did: one of `LABELS`, or `ELSEWHERE`."""
    if not move.tool:
        return DIRECT
    if move.tool == _HAND_OVER:
        skill = move.arguments.get("skill")
        return skill if skill in LABELS and skill not in {DIRECT, SKILL} else ELSEWHERE
    return SKILL if move.tool in {offer.name for offer in offers()} else ELSEWHERE
