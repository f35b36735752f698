"""What the model reads: order, limits, pictures."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from ci_toolkit import Limits
from ci_toolkit.errors import (
    BackendError,
    CodeInterpreterError,
    FileMissingError,
    ToolError,
    WorkspaceError,
)
from ci_toolkit.rendering import clip, render, sentence
from ci_toolkit.results import Answer, Execution, FileInfo, FileReport, Image


def picture(width: int, height: int, kind: str = "PNG", name: str = "p.png") -> Image:
    target = io.BytesIO()
    Pillow.effect_noise((width, height), 50).save(target, format=kind)
    return Image(media_type="image/png", data=target.getvalue(), name=name)


def test_the_order_is_notes_output_errors_ending_files() -> None:
    answer = Answer(
        notes=("first",),
        execution=Execution(stdout="\n  out\n\n", stderr="\nerr\n", exit_code=3),
        files=(FileReport(path="a", size=1, stored="code-interpreter/a"),),
    )

    outcome = render("execute_code", answer, Limits())

    assert outcome.text == (
        "Note: first\n  out\nstderr:\nerr\nFailed with exit code 3.\n"
        "Saved a to the workspace as code-interpreter/a (1 bytes)."
    )
    assert outcome.is_error


@given(
    st.text(max_size=3000),
    st.text(max_size=3000),
    st.lists(st.text(max_size=3000), max_size=5),
    st.booleans(),
)
def test_a_text_is_never_over_its_limit(
    stdout: str, stderr: str, contents: list[str], failed: bool
) -> None:
    limits = Limits(text_chars=1000)
    files = tuple(FileReport(path=f"{n}.txt", text=text) for n, text in enumerate(contents))
    execution = Execution(stdout=stdout, stderr=stderr, exit_code=int(failed))

    ran = render("execute_code", Answer(execution=execution, notes=(stdout[:100],)), limits)
    read = render("file_operations", Answer(verb="read", files=files), limits)

    assert 0 < len(ran.text) <= 1000
    assert 0 < len(read.text) <= 1000


@given(st.text(min_size=1), st.integers(min_value=1, max_value=300), st.text(max_size=50))
def test_a_clipped_text_keeps_both_ends(text: str, most: int, where: str) -> None:
    clipped = clip(text, most, where)

    assert len(clipped) <= most
    assert clipped == text or text[0] == clipped[0] or "in all" in clipped or most < 120


def test_the_exit_code_and_saved_files_survive_the_longest_output() -> None:
    answer = Answer(
        execution=Execution(stdout="o" * 100_000, stderr="e" * 100_000, exit_code=1),
        files=(FileReport(path="a", size=1, stored="code-interpreter/a"),),
    )

    text = render("execute_code", answer, Limits(text_chars=2000)).text

    assert len(text) <= 2000
    assert text.startswith("ooo")
    assert "eee\nFailed with exit code 1.\nSaved a to the workspace" in text


def test_pictures_are_made_small_enough_and_the_rest_is_named() -> None:
    images = (picture(3000, 1500), *(picture(10, 10, name=f"{n}.png") for n in range(3)))
    answer = Answer(execution=Execution(stdout="x", images=images))

    outcome = render("execute_code", answer, Limits(images=2))

    sizes = [Pillow.open(io.BytesIO(image.data)).size for image in outcome.images]
    assert sizes == [(1568, 784), (10, 10)]
    assert outcome.images[1] == images[1]
    assert "Picture 1.png" in outcome.text
    assert "Picture 2.png" in outcome.text


def test_the_media_type_of_a_picture_is_what_it_is_and_not_what_was_said() -> None:
    answer = Answer(execution=Execution(images=(picture(8, 8, kind="JPEG"),)))

    assert render("execute_code", answer, Limits()).images[0].media_type == "image/jpeg"


@pytest.mark.parametrize(
    "data", [b"", b"no picture", picture(20, 20).data[:100], b"\x89PNG\r\n\x1a\n" + b"\0" * 50]
)
def test_what_is_no_picture_is_named_and_harms_nothing(data: bytes) -> None:
    image = Image(media_type="image/png", data=data, name="broken.png")

    outcome = render("execute_code", Answer(execution=Execution(images=(image,))), Limits())

    assert outcome.images == ()
    assert f"Picture broken.png ({len(data)} bytes) is not shown." in outcome.text


def test_a_picture_of_far_too_many_pixels_is_not_decoded() -> None:
    target = io.BytesIO()
    Pillow.new("1", (20_000, 20_000)).save(target, format="PNG")
    image = Image(media_type="image/png", data=target.getvalue(), name="bomb.png")

    outcome = render("execute_code", Answer(execution=Execution(images=(image,))), Limits())

    assert outcome.images == ()


def test_an_error_carries_no_picture_and_says_so() -> None:
    answer = Answer(execution=Execution(exit_code=1, images=(picture(8, 8),)))

    outcome = render("execute_code", answer, Limits())

    assert outcome.images == ()
    assert outcome.text == (
        "Failed with exit code 1.\n1 picture(s) not shown because the call failed."
    )


def _classes(root: type[CodeInterpreterError]) -> list[type[CodeInterpreterError]]:
    return [root, *(each for child in root.__subclasses__() for each in _classes(child))]


def test_every_operator_s_error_has_a_sentence_that_tells_nothing_of_it() -> None:
    for kind in {*_classes(BackendError), *_classes(WorkspaceError)}:
        error = kind.__new__(kind)
        error.args = ("secret",)
        assert "secret" not in sentence(error)
        assert sentence(error)


def test_a_tool_error_is_told_in_its_own_words() -> None:
    error: ToolError = FileMissingError("There is no file 'a'.")

    assert sentence(error) == "There is no file 'a'."


def test_pictures_of_unusual_kinds_are_shown_in_a_usual_one() -> None:
    target = io.BytesIO()
    frame = Pillow.new("RGB", (9, 9))
    frame.save(target, format="MPO", save_all=True, append_images=[frame.copy()])
    several = Image(media_type="image/jpeg", data=target.getvalue(), name="phone.jpg")
    target = io.BytesIO()
    Pillow.new("CMYK", (2000, 10)).save(target, format="JPEG")
    printing = Image(media_type="image/jpeg", data=target.getvalue(), name="print.jpg")

    outcome = render(
        "execute_code", Answer(execution=Execution(images=(several, printing))), Limits()
    )

    assert [image.name for image in outcome.images] == ["phone.jpg", "print.jpg"]
    for image in outcome.images:
        kind = Pillow.open(io.BytesIO(image.data)).format
        assert image.media_type == f"image/{str(kind).lower()}"


def test_control_sequences_do_not_reach_the_model() -> None:
    execution = Execution(stdout="a\x00b \x1b[31mred\x1b[0m \x1b]0;title\x07c\td")
    listing = FileReport(path=".", entries=(FileInfo(path="new\nline\x1b[2J", size=1),))

    ran = render("execute_code", Answer(execution=execution), Limits())
    listed = render("file_operations", Answer(verb="listed", files=(listing,)), Limits())

    assert ran.text == "a\ufffdb red c\td"
    assert listed.text == "'new\\nline\\x1b[2J'  1 bytes"
