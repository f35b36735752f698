"""The front door for LangChain and LangGraph: outcomes as tool messages.

The last room of the flow: call → schema → tool → session → sandbox → result → rendering → adapter.
"""

from ci_toolkit.doors import extra

with extra("langchain", "langchain", "langchain_core", "langgraph"):
    from ci_toolkit.langchain.middleware import CodeInterpreterMiddleware
    from ci_toolkit.langchain.toolkit import CodeInterpreterToolkit

__all__ = ["CodeInterpreterMiddleware", "CodeInterpreterToolkit"]
