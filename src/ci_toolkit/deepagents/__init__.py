"""The front door for deepagents: a conversation's sandbox as the backend of a deep agent.

The last room of the flow: call → schema → tool → session → sandbox → result → rendering → adapter.
"""

from ci_toolkit.doors import extra

with extra("deepagents", "deepagents", "langchain", "langchain_core", "langgraph"):
    from ci_toolkit.deepagents.backend import CodeInterpreterBackend

__all__ = ["CodeInterpreterBackend"]
