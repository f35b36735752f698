"""Whether a model goes where the guidance sends it: labelled requests, a harness and its report.

A model is given the guidance, the tools and the skills as an agent would have them, and one
request. What it does first is compared with where the request belongs; nothing is run.
"""

from ci_toolkit.routing.evaluation import evaluate
from ci_toolkit.routing.models import asking
from ci_toolkit.routing.moves import Ask, Move, ToolSpec
from ci_toolkit.routing.report import Report, Score, Verdict
from ci_toolkit.routing.requests import DIRECT, LABELS, SKILLS, Request, load_requests

__all__ = [
    "DIRECT",
    "LABELS",
    "SKILLS",
    "Ask",
    "Move",
    "Report",
    "Request",
    "Score",
    "ToolSpec",
    "Verdict",
    "asking",
    "evaluate",
    "load_requests",
]
