"""The loop of a chat: what the user types, questions and commands, until they leave."""

import asyncio
import logging
import re
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from ci_toolkit.chat.agents import ChatAgent
from ci_toolkit.chat.view import ChatView
from ci_toolkit.chat.watching import WatchedInterpreter
from ci_toolkit.errors import CodeInterpreterError
from ci_toolkit.scope import Scope

__all__ = ["Conversation"]

logger = logging.getLogger(__name__)

_COMMAND = re.compile(r"/[a-z]+")
_LONGEST_ERROR = 600

_HELP = """\
Ask anything; code runs in the sandbox, whose variables and files stay for the whole chat.
  /upload PATH...      give files to the sandbox
  /files               uploads and saved files, and where they lie
  /save NAME [PATH]    copy a saved file to a path of yours
  /help                this text
  /quit                leave; Ctrl-D does, too
Ctrl-C interrupts an answer and the code it runs; variables and files stay.
A line that ends with a backslash goes on in the next one."""


class Conversation:
    """One chat between a person and an agent.

    Args:
        agent: Answers.
        interpreter: Runs its code.
        scope: Whose conversation it is.
        view: Shows it.
    """

    def __init__(
        self, agent: ChatAgent, interpreter: WatchedInterpreter, scope: Scope, view: ChatView
    ) -> None:
        self._agent = agent
        self._interpreter = interpreter
        self._scope = scope
        self._view = view
        # One loop for the whole chat: the clients of providers belong to the one they began in.
        self._runner = asyncio.Runner()
        self._notes: list[str] = []
        self._commands: dict[str, Callable[[list[str]], None]] = {
            "/upload": self._upload,
            "/files": self._files,
            "/save": self._save,
            "/help": self._help,
        }

    def begin(self) -> None:
        """Starts the sandbox, so that the user is told what is wrong with it, and not the agent.

        Raises:
            CodeInterpreterError: It cannot be started.
        """
        _, notes = self._interpreter.with_sandbox(lambda _: None, scope=self._scope)
        self._notes = [f"Note: {note}" for note in notes]

    @property
    def commands(self) -> tuple[str, ...]:
        """What begins with a slash."""
        return (*self._commands, "/quit")

    def talk(self, lines: Iterator[str]) -> None:
        """Answers line after line, until there are no more or the user leaves."""
        for line in _joined(lines):
            text = line.strip()
            first = text.partition(" ")[0]
            if first in ("/quit", "/exit"):
                return
            if _COMMAND.fullmatch(first):
                self._do(first, text.removeprefix(first))
            elif text:
                self.ask(text)

    def ask(self, text: str) -> bool:
        """Has one question answered.

        Returns:
            Whether the answer came to its end.
        """
        try:
            with self._view.working():
                question = "\n".join([*self._notes, text])
                self._notes = []
                self._runner.run(self._answer(question))
        except (asyncio.CancelledError, KeyboardInterrupt):
            self._view.end_of_words()
            self._view.note("Interrupted. Variables and files are still there.")
        except Exception as error:
            logger.debug("The model failed", exc_info=error)
            self._view.end_of_words()
            said = " ".join(f"{type(error).__name__}: {error}".split())
            self._view.note(f"The model failed. {said[:_LONGEST_ERROR]}", is_error=True)
        else:
            return True
        return False

    def upload(self, path: Path) -> None:
        """Gives a file of the user's to the sandbox.

        Raises:
            CodeInterpreterError: It cannot be kept.
            OSError: It cannot be read.
        """
        with path.open("rb") as file:
            stored = self._interpreter.upload(path.name, file, scope=self._scope)
        self._view.note(f"Uploaded {path.name} ({stored.size:,} bytes).")

    def close(self) -> None:
        """Ends the loop; the interpreter is its owner's."""
        with suppress(RuntimeError):
            self._runner.close()

    async def _answer(self, text: str) -> None:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        stopped: list[bool] = []

        def interrupt() -> None:
            # Once the agent has been asked to stop, the second Ctrl-C does not ask.
            if not stopped and self._agent.stop():
                stopped.append(True)
            elif task is not None:
                task.cancel()

        with suppress(ValueError, RuntimeError):  # In a thread that is not the main one.
            loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            answer: Any = self._agent.ask(text)
            async with aclosing(answer) as pieces:
                async for piece in pieces:
                    self._view.words(piece)
        finally:
            with suppress(ValueError, RuntimeError):
                loop.remove_signal_handler(signal.SIGINT)
        self._view.end_of_words()
        if stopped:
            raise asyncio.CancelledError

    def _do(self, command: str, rest: str) -> None:
        try:
            if command not in self._commands:
                known = ", ".join(self.commands)
                self._view.note(f"There is no command {command}. There are {known}.", is_error=True)
            else:
                self._commands[command](shlex.split(rest))
        except (CodeInterpreterError, ValueError) as error:
            self._view.note(f"{command}: {error}", is_error=True)
        except OSError as error:
            self._view.note(f"{command}: {error.filename}: {error.strerror}", is_error=True)

    def _upload(self, paths: list[str]) -> None:
        if not paths:
            raise ValueError("which file? /upload PATH...")
        for path in paths:
            self.upload(Path(path).expanduser())

    def _files(self, _: list[str]) -> None:
        found = self._interpreter.files(self._scope)
        for stored in found:
            where = self._interpreter.where(stored.key, self._scope)
            self._view.file(f"{where}  {stored.size:,} bytes")
        if not found:
            self._view.note("There are no files yet: /upload PATH, or ask for one.")

    def _save(self, words: list[str]) -> None:
        if not words or len(words) > 2:
            raise ValueError("which file, and where to? /save NAME [PATH]")
        keys = [stored.key for stored in self._interpreter.files(self._scope)]
        names = {key.rpartition("/")[2]: key for key in reversed(keys)} | {key: key for key in keys}
        if words[0] not in names:
            raise ValueError(f"there is no file {words[0]!r}; /files lists them")
        key = names[words[0]]
        target = Path(words[1] if len(words) == 2 else ".").expanduser()
        if target.is_dir():
            target /= key.rpartition("/")[2]
        with target.open("xb") as file:
            file.writelines(self._interpreter.open(key, scope=self._scope))
        self._view.file(str(target))

    def _help(self, _: list[str]) -> None:
        self._view.note(_HELP)


def _joined(lines: Iterator[str]) -> Iterator[str]:
    """Lines, where one that ends with a backslash goes on in the next."""
    pending = ""
    for line in lines:
        if line.endswith("\\"):
            pending += f"{line[:-1]}\n"
            continue
        yield pending + line
        pending = ""
    if pending:
        yield pending
