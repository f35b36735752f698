"""Live output as custom events of a LangGraph stream."""

from contextvars import copy_context

from langgraph.config import get_stream_writer

from ci_toolkit.results import OnOutput, Stream

__all__ = ["output_event", "stream_output"]


def output_event(
    tool: str, tool_call_id: str | None, stream: Stream, text: str
) -> dict[str, object]:
    """One piece of a run's output, as it goes to `stream_mode="custom"`."""
    return {
        "type": "ci_toolkit.output",
        "tool": tool,
        "tool_call_id": tool_call_id,
        "stream": stream,
        "text": text,
    }


def stream_output(tool: str, tool_call_id: str) -> OnOutput | None:
    """What sends output to whoever streams the graph that this is called in; None outside one."""
    try:
        write = get_stream_writer()
    except RuntimeError:
        return None
    context = copy_context()

    def report(stream: Stream, text: str) -> None:
        context.run(write, output_event(tool, tool_call_id, stream, text))

    return report
