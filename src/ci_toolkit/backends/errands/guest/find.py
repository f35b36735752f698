"""Finds the processes of a run: the one place that guesses how AgentCore runs code.

Not proven on the real service. Known is that Python runs in an IPython kernel. Taken to be so: it
is a process of this user whose command line names `ipykernel` or a Jupyter connection file, as
every kernel's does that Jupyter starts; and JavaScript and TypeScript run in a `node` or `deno`
process that was started for the run. Where this is wrong nothing is found, and the host stops the
session instead.
"""

# The standard library only, and old ways with paths: this text is sent with every call.
# ruff: noqa: PTH119, PTH123, PTH208, T201

import contextlib
import json
import os
import sys

_SLACK_SECONDS = 1.0


def main(kind: str, mark: str) -> None:
    """Prints the numbers of the processes to signal.

    Args:
        kind: `python`, `script` (JavaScript or TypeScript) or `command`.
        mark: Of a script, the most seconds that it has been running; of a command, the token that
            is an argument of the program which runs it.
    """
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        words = _command_line(pid)
        with contextlib.suppress(OSError, ValueError, IndexError):
            if pid != os.getpid() and words and _is_wanted(pid, words, kind, mark):
                print(pid)


def _is_wanted(pid: int, words: list[str], kind: str, mark: str) -> bool:
    name = os.path.basename(words[0])
    if kind == "python":
        return "python" in name and any(map(_names_a_kernel, words[1:]))
    if kind == "script":
        return name in ("node", "deno") and _age(pid) <= float(mark) + _SLACK_SECONDS
    return "python" in name and words[5:6] == [mark]


def _names_a_kernel(word: str) -> bool:
    if "ipykernel" in word:
        return True
    if not word.endswith(".json"):
        return False
    try:
        with open(word, "rb") as file:
            return "shell_port" in json.loads(file.read(65536))
    except (OSError, ValueError, TypeError):
        return False


def _age(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as file:
        started = int(file.read().rpartition(b")")[2].split()[19])
    with open("/proc/uptime", "rb") as file:
        up = float(file.read().split()[0])
    return up - started / os.sysconf("SC_CLK_TCK")


def _command_line(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


if __name__ == "__main__":
    main(sys.argv[3], sys.argv[4])
