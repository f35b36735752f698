"""How much of everything one call may use; read by the tools, the sessions and the rendering."""

from dataclasses import dataclass, fields

from ci_toolkit.errors import ConfigurationError

__all__ = ["Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds that the host sets and that the model cannot change.

    Attributes:
        timeout: Seconds that one run of code or one command may take.
        text_chars: Characters of text that one result may have.
        images: Pictures that one result may carry.
        image_edge: Pixels of a picture's longer edge as shown to the model.
        image_pixels: Pixels of a picture that is decoded at all; larger ones are only named.
        code_chars: Characters of one piece of code or one command.
        paths: Paths that one call may name.
        write_chars: Characters that one `file_operations` write may carry in all.
        file_bytes: Bytes of one file that is uploaded, saved or restored.
        list_entries: Entries that one listing shows.
        carry_bytes: Bytes of files that are carried over into a new sandbox, when the time of one
            is nearly up.
        idle_seconds: Seconds without a call after which a session's sandbox is ended.
    """

    timeout: float = 300.0
    text_chars: int = 20_000
    images: int = 4
    image_edge: int = 1568
    image_pixels: int = 100_000_000
    code_chars: int = 1_000_000
    paths: int = 1_000
    write_chars: int = 20_000_000
    file_bytes: int = 5_000_000_000
    list_entries: int = 1_000
    carry_bytes: int = 2_000_000_000
    idle_seconds: float = 3_600.0

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 0 if field.name == "images" else 1000 if field.name == "text_chars" else 1e-3
            if getattr(self, field.name) < least:
                raise ConfigurationError(f"Limits.{field.name} must be at least {least:g}.")
