"""An agent in the terminal: a person asks, a model answers with the code interpreter's tools."""

from ci_toolkit.chat.conversation import Conversation
from ci_toolkit.chat.models import FRAMEWORKS, Framework, open_agent
from ci_toolkit.chat.watching import WatchedInterpreter

__all__ = ["FRAMEWORKS", "Conversation", "Framework", "WatchedInterpreter", "open_agent"]
