"""Sandboxes of Amazon Bedrock AgentCore Code Interpreter."""

from ci_toolkit.backends.agentcore.backend import AgentCoreBackend

__all__ = ["AgentCoreBackend"]
