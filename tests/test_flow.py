"""One call through all rooms of the house: the best introduction to it.

call -> schema -> tool -> session -> sandbox -> result -> rendering -> adapter
"""

import io

from PIL import Image as Pillow

from ci_toolkit import CodeInterpreter, Limits, Scope
from ci_toolkit.backends.memory import Call, InMemoryBackend
from ci_toolkit.results import Execution
from ci_toolkit.results import Image as Picture
from ci_toolkit.workspaces import InMemoryWorkspace


def png(width: int = 4, height: int = 4) -> bytes:
    """A small valid picture."""
    target = io.BytesIO()
    Pillow.new("RGB", (width, height), "teal").save(target, format="PNG")
    return target.getvalue()


def test_one_call_from_the_model_s_words_to_words_and_a_picture() -> None:
    # The host builds the house and takes in what its user uploaded.
    backend = InMemoryBackend()
    workspace = InMemoryWorkspace()
    interpreter = CodeInterpreter(backend, workspace, limits=Limits(timeout=60))
    scope = Scope(user_id="ada", session_id="thread-1")
    interpreter.upload("sales.csv", b"month,revenue\n1,10\n", scope=scope)

    # The sandbox will answer this code: it prints, and it writes the chart that was asked for.
    def chart(request: object) -> Execution:
        files = request.files  # type: ignore[attr-defined]
        assert files.read("sales.csv") == b"month,revenue\n1,10\n"
        files.write("chart.png", png())
        return Execution(stdout="total 10\n", stderr="a warning\n")

    backend.reply("draw()", chart)

    # The model speaks: one tool, its arguments as JSON.
    outcome = interpreter.call(
        "execute_code", {"code": "draw()", "output_filename": "chart.png"}, scope=scope
    )

    # What it reads.
    size = len(png())
    assert outcome.text == (
        "total 10\n"
        "stderr:\n"
        "a warning\n"
        f"Saved chart.png to the workspace as code-interpreter/chart.png ({size} bytes).\n"
        f"Picture: chart.png (image/png, {size} bytes)."
    )
    assert outcome.is_error is False
    assert outcome.images == (Picture(media_type="image/png", data=png(), name="chart.png"),)

    # What the host gets: a record, and the file where the workspace skill reads it.
    assert outcome.artifact["tool"] == "execute_code"
    assert outcome.artifact["files"] == [
        {
            "path": "chart.png",
            "size": size,
            "media_type": "image/png",
            "stored": "code-interpreter/chart.png",
        }
    ]
    assert interpreter.download("code-interpreter/chart.png", scope=scope) == png()
    assert [file.key for file in workspace.list("")] == [
        "ada/thread-1/code-interpreter/chart.png",
        "ada/thread-1/sandboxes/main/record.json",
        "ada/thread-1/state/manifest.json",
        "ada/thread-1/uploads/sales.csv",
    ]

    # What reached the sandbox: one run, within the host's time limit, and nothing left open.
    (run,) = [each for each in backend.calls if each.verb == "execute_code"]
    assert run == Call(
        run.sandbox, "execute_code", {"code": "draw()", "language": "python", "timeout": 60}
    )
    interpreter.close()
    assert not backend.sandboxes
