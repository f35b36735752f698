"""Finds the model that a user names, and puts an agent of either framework around it."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, get_args

from ci_toolkit.chat.agents import ChatAgent, LangChainAgent, StrandsAgent
from ci_toolkit.errors import ConfigurationError
from ci_toolkit.interpreter import CodeInterpreter
from ci_toolkit.scope import Scope
from ci_toolkit.skill import skill_prompt

__all__ = ["FRAMEWORKS", "Framework", "open_agent"]

Framework = Literal["langchain", "strands"]
FRAMEWORKS: Final = get_args(Framework)

_OWN = "python"
_ANSWER_TOKENS = 16_000
_SHAPE = (
    "--model is PROVIDER:MODEL, such as anthropic:claude-sonnet-4-5 or openai:gpt-5, or "
    "python:MODULE.NAME for a model object of your own."
)
# What each class of Strands is called, and what it needs beside `model_id`.
_STRANDS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "anthropic": ("AnthropicModel", {"max_tokens": _ANSWER_TOKENS}),
    "bedrock": ("BedrockModel", {}),
    "gemini": ("GeminiModel", {}),
    "litellm": ("LiteLLMModel", {}),
    "mistral": ("MistralModel", {}),
    "ollama": ("OllamaModel", {"host": None}),
    "openai": ("OpenAIModel", {}),
}


def open_agent(
    framework: Framework,
    model: str,
    interpreter: CodeInterpreter,
    scope: Scope,
    *,
    images: bool = True,
) -> ChatAgent:
    """An agent with the tools of the code interpreter and the guidance for them.

    Args:
        framework: Whose agent it is.
        model: `PROVIDER:MODEL`, as the framework names its providers, or `python:MODULE.NAME` for
            an object, or a function that returns one, in a module that can be imported from here.
        interpreter: Answers its calls.
        scope: Whose conversation it is.
        images: Whether it is shown pictures.

    Raises:
        ConfigurationError: There is no such model, or something is not installed or set.
    """
    provider, _, name = model.partition(":")
    if not provider or not name:
        raise ConfigurationError(f"{_SHAPE} {model!r} is not.")
    kind = LangChainAgent if framework == "langchain" else StrandsAgent
    find: Callable[[str, str], Any] = _langchain if framework == "langchain" else _strands
    prompt = skill_prompt(backend=interpreter.backend)
    try:
        found = _own(name) if provider == _OWN else find(provider, name)
        _check(framework, model, found)
        return kind(found, interpreter, scope, system_prompt=prompt, images=images)
    except ConfigurationError:
        raise
    except ImportError as error:
        # A provider's package is named by the framework; the framework itself is an extra of ours.
        missing = str(error.name or "").partition(".")[0] == framework
        way_out = f". Install it with: pip install 'ci-toolkit[{framework},local]'"
        said = f"{error}{way_out if missing else ''} (--model {model})"
        raise ConfigurationError(said) from error
    except Exception as error:
        # Keys that are not set, names that are unknown: each provider has its own exceptions.
        first = " ".join(str(error).split())[:500]
        raise ConfigurationError(f"The model {model} cannot be used: {first}") from error


def _check(framework: Framework, model: str, found: Any) -> None:
    if framework == "langchain":
        from langchain_core.language_models import BaseChatModel  # noqa: PLC0415 - as chosen

        fits = isinstance(found, BaseChatModel)
    else:
        from strands.models import Model  # noqa: PLC0415 - as chosen

        fits = isinstance(found, Model)
    if not fits:
        kind = type(found).__name__
        other = "strands" if framework == "langchain" else "langchain"
        raise ConfigurationError(
            f"{model} is a {kind}, and no model of {framework}. "
            f"If it is one of {other}, add --framework {other}."
        )


def _langchain(provider: str, name: str) -> Any:
    from langchain.chat_models import init_chat_model  # noqa: PLC0415 - only where it is chosen

    return init_chat_model(name, model_provider=provider)


def _strands(provider: str, name: str) -> Any:
    if provider not in _STRANDS:
        known = ", ".join(_STRANDS)
        raise ConfigurationError(f"Strands has no provider {provider!r}; it has {known}.")
    kind, settings = _STRANDS[provider]
    try:
        module = importlib.import_module(f"strands.models.{provider}")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error}. It needs: pip install 'strands-agents[{provider}]'"
        ) from error
    return getattr(module, kind)(model_id=name, **settings)


def _own(path: str) -> Any:
    """A model of the user's own, made by a function or as it stands."""
    module, _, name = path.rpartition(".")
    if not module:
        raise ConfigurationError(_SHAPE)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found = getattr(importlib.import_module(module), name)
    return found() if isinstance(found, type) or not hasattr(found, "stream") else found
