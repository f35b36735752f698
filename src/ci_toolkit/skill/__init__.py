"""What a model is told beside the tools: when to use them, when to use something else, and how.

`skill_prompt` is a fragment for a system prompt, `SKILL_DIR` an Agent Skill
(https://agentskills.io) for hosts that load skills by themselves. Both are made from the same data.
"""

from pathlib import Path
from typing import Final

from ci_toolkit.skill.prompt import skill_prompt
from ci_toolkit.skill.routes import ROUTES, SKILL, Route

__all__ = ["ROUTES", "SKILL_DIR", "Route", "skill_prompt"]

SKILL_DIR: Final = Path(__file__).parent / SKILL
"""The directory of the packaged skill; loaders that want the parent of skills take its parent."""
