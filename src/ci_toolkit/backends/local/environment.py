"""The Python environment that code runs in, and what of the host's settings it gets to see."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci_toolkit.errors import ConfigurationError

__all__ = ["Interpreter", "forwarded_files", "forwarded_settings", "inspect"]

_QUESTIONS = """
import importlib.util, json, os, sys
def has(name):
    return importlib.util.find_spec(name) is not None
deno = ""
try:
    from deno import find_deno_bin
    deno = os.fspath(find_deno_bin())
except Exception:
    pass
print(json.dumps({
    "version": list(sys.version_info[:2]),
    "missing": [name for name in ("ipykernel", "zmq") if not has(name)],
    "folders": [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix],
    "base": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
    "deno": deno,
}))
"""
_TRUST = (
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_REGISTRY",
    "PIP_CERT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_TRUSTED_HOST",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_PIP_SETTINGS = Path("/etc/pip.conf")
_CREDENTIALS = re.compile(r"://[^/\s]*@")


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """An interpreter that code can run in.

    Attributes:
        path: The program.
        folders: What has to be visible for it to work, each at its own place.
        deno: The JavaScript runtime; empty when the environment has none.
    """

    path: str
    folders: tuple[str, ...]
    deno: str


def inspect(python: str) -> Interpreter:
    """Asks an interpreter where it lives and what it has.

    Raises:
        ConfigurationError: It cannot be used; the text says what to install.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the program is the host's own setting
            [python, "-I", "-c", _QUESTIONS], capture_output=True, timeout=60, check=True
        )
        answer = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = getattr(error, "stderr", None) or str(error).encode()
        reason = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise ConfigurationError(f"The interpreter {python} cannot be used: {reason}") from error
    if tuple(answer["version"]) < (3, 10):
        raise ConfigurationError(f"The interpreter {python} is older than Python 3.10.")
    if answer["missing"]:
        raise ConfigurationError(
            f"The environment of {python} lacks {' and '.join(answer['missing'])}. "
            f'Install what the sandbox needs: {python} -m pip install "ci-toolkit[local]"'
        )
    base = str(Path(answer["base"]).parent.parent)
    folders = [*answer["folders"], base, *map(os.path.realpath, answer["folders"])]
    return Interpreter(path=python, folders=tuple(dict.fromkeys(folders)), deno=str(answer["deno"]))


def forwarded_settings(host: Mapping[str, str], *, network: bool) -> dict[str, str]:
    """The certificate and package index settings of the host, where they hold no credentials."""
    names = _TRUST + (_PROXIES if network else ())
    found = {name: host[name] for name in names if host.get(name)}
    return {name: value for name, value in found.items() if not _CREDENTIALS.search(value)}


def forwarded_files(settings: Mapping[str, str]) -> list[str]:
    """Host files and folders that certificate and package index settings name."""
    words = [word for name in _TRUST for word in settings.get(name, "").split()]
    paths = [word.removeprefix("file://") for word in words]
    if _PIP_SETTINGS.is_file() and not _CREDENTIALS.search(_PIP_SETTINGS.read_text()):
        paths.append(str(_PIP_SETTINGS))
    return [path for path in dict.fromkeys(paths) if path.startswith("/") and Path(path).exists()]
