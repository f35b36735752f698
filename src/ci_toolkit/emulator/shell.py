"""Commands as the service runs them: each a `/bin/sh` beside all else that the session does.

A `Sandbox` does one thing at a time, where the service's session is a whole machine. So a command
is started in the background, in a process group of its own, and looked at until it has ended. What
it leaves in its group is then killed, as on the service.
"""

from shlex import quote
from uuid import uuid4

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.results import Execution, FileContent

__all__ = ["Job"]

_SECONDS = 60.0  # Of the small commands here, which only start, look and stop.
_AT_ONCE = 50_000
_TOO_MUCH = 32 * 1024 * 1024
_KILLED = 137

# `/bin/sh` is bash on the service, and its messages begin with that name. `exec -a` is bash's own,
# and the backend's shell is bash wherever there is one.
_SH = 'if [ -n "$BASH" ]; then exec -a /bin/sh "$BASH" -c "$2"; fi; exec /bin/sh -c "$2"'
_RUN = (
    's=$(date +%s.%N); ( {sh} ) </dev/null >"$1/out" 2>{err}; '
    'echo "$? $s $(date +%s.%N)" >"$1/.exit"; mv "$1/.exit" "$1/exit"'
)
# What bash itself says of jobs is nobody's output.
_PLACE = 'exec 3>&2 2>/dev/null; d="${{TMPDIR:-/tmp}}/.agentcore-{id}"; '
# With `set -m` a job in the background has a process group of its own. A signal that a backend's
# shell ignores, its children could not stop ignoring without `env`.
_START = (
    'mkdir "$d" 2>&3 || exit; echo "$d"; e="env --default-signal=INT,QUIT"; $e true || e=; '
    'set -m; $e "${{BASH:-/bin/sh}}" -c {run} run "$d" {command} '
    '</dev/null >/dev/null 3>&- & p=$!; echo "$p" >"$d/pid"; set +m; '
)
_FIND = 'echo "$d"; p=$(cat "$d/pid"); '
_LOOK = (
    'for s in {naps}; do [ -e "$d/exit" ] && break; kill -0 "$p" || break; '
    "sleep $s; done; "
    'if ! [ -e "$d/exit" ]; then kill -0 "$p" && exit; sleep 0.05; fi; '
    'kill -KILL -- "-$p"; touch "$d/out" "$d/err"; '
    'r=$(cat "$d/exit" || echo "{killed} 0 0"); n=$(cat "$d/out" "$d/err" | wc -c); '
    'echo $r $n; if [ "$n" -le {most} ]; then cat "$d/out"; cat "$d/err" >&3; rm -rf "$d"; fi'
)
_STOP = 'kill -KILL -- "-$(cat "$d/pid")"; rm -rf "$d"'
_NAPS = "0.003 0.005 0.01 0.02 0.04 0.08"


class Job:
    """One command in the background.

    Attributes:
        ended: How it ended; None while it runs.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.ended: Execution | None = None
        self._sandbox = sandbox
        self._id = uuid4().hex
        self._folder = ""

    def start(self, command: str, *, apart: bool = False, wait: bool = True) -> None:
        """Starts it.

        Args:
            command: Shell text.
            apart: Whether its channels stay apart; else both are in `stdout`, in order, with the
                shell's own messages.
            wait: Whether to give it the moment that most commands need.
        """
        run = _RUN.format(sh=_SH, err='"$1/err"' if apart else "&1")
        start = _START.format(run=quote(run), command=quote(command))
        self._look(start, naps=_NAPS if wait else "")

    def look(self) -> None:
        """Finds out whether it has ended."""
        if self.ended is None:
            self._look(_FIND, naps="")

    def stop(self) -> None:
        """Kills it and all that it started."""
        self._sandbox.execute_command(_PLACE.format(id=self._id) + _STOP, timeout=_SECONDS)

    def _look(self, before: str, *, naps: str) -> None:
        look = _LOOK.format(naps=naps, most=_AT_ONCE, killed=_KILLED)
        text = _PLACE.format(id=self._id) + before + look
        seen = self._sandbox.execute_command(text, timeout=_SECONDS)
        if seen.failed:
            self.ended = seen
            return
        self._folder, _, rest = seen.stdout.partition("\n")
        header, _, stdout = rest.partition("\n")
        if not header:
            return
        status, seconds, size = _read_header(header)
        stderr = seen.stderr
        if size > _AT_ONCE:
            stdout, stderr = self._fetch()
        self.ended = Execution(stdout=stdout, stderr=stderr, exit_code=status, duration=seconds)

    def _fetch(self) -> tuple[str, str]:
        """What is too much for the output of a command."""
        paths = [f"{self._folder}/out", f"{self._folder}/err"]
        out, err = (_text(file) for file in self._sandbox.read_files(paths))
        self._sandbox.remove_files([self._folder])
        return out, err


def _read_header(header: str) -> tuple[int, float, int]:
    """Status, seconds and size of the output; commands could have written what they like."""
    try:
        status, start, end, size = header.split()
        return int(status), max(float(end) - float(start), 0.0), int(size)
    except ValueError:
        return _KILLED, 0.0, 0


def _text(file: FileContent) -> str:
    """A file's text, as much of it as is needed to know that it is too much."""
    data = bytearray()
    for chunk in file.chunks:
        data += chunk
        if len(data) > _TOO_MUCH:
            break
    return data.decode(errors="replace")
