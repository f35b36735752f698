"""The front door for Strands agents: outcomes as tool results.

The last room of the flow: call → schema → tool → session → sandbox → result → rendering → adapter.
"""

from ci_toolkit.doors import extra

with extra("strands", "strands"):
    from ci_toolkit.strands.plugin import CodeInterpreterPlugin
    from ci_toolkit.strands.sandbox import CodeInterpreterSandbox
    from ci_toolkit.strands.tools import code_interpreter_tools

__all__ = ["CodeInterpreterPlugin", "CodeInterpreterSandbox", "code_interpreter_tools"]
