"""Packages for JavaScript in the local sandbox: npm's files, and a registry of our own."""

import base64
import hashlib
import io
import json
import re
import shutil
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.base import Sandbox
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.results import FileWrite

pytestmark = pytest.mark.local
pytest.importorskip("deno")

has_npm = pytest.mark.skipif(
    not shutil.which("npm", path="/usr/local/bin:/usr/bin"), reason="the system has no npm to show"
)


class Seen(NamedTuple):
    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0


class Session(NamedTuple):
    sandbox: Sandbox

    def __call__(self, code: str, language: str = "javascript") -> Seen:
        ran = self.sandbox.execute_code(code, language=language, timeout=60)
        return Seen(ran.stdout, re.sub(r"cell-\d+", "cell-N", ran.stderr), ran.exit_code)

    def command(self, command: str) -> Seen:
        ran = self.sandbox.execute_command(command, timeout=60)
        return Seen(ran.stdout, ran.stderr, ran.exit_code)

    def write(self, files: dict[str, str]) -> None:
        writes = [FileWrite(path=path, chunks=[text.encode()]) for path, text in files.items()]
        assert [each for each in self.sandbox.write_files(writes) if each.error] == []


# ---- what `npm install` leaves behind, written after the kernel has started

MODULES = {
    "old/package.json": {"name": "old", "main": "lib/index"},
    "old/lib/index.js": "const deep = require('deep'); exports.one = 1; exports.deep = deep.two;",
    "old/node_modules/deep/package.json": {"name": "deep"},
    "old/node_modules/deep/index.js": "exports.two = 2; exports.data = require('./data.json');",
    "old/node_modules/deep/data.json": {"n": 5},
    "new/package.json": {
        "name": "new",
        "type": "module",
        "imports": {"#inner": {"node": "./inner.js", "default": "./no.js"}},
        "exports": {
            ".": {"types": "./x.d.ts", "import": "./main.js", "require": "./main.cjs"},
            "./sub/*": "./subs/*.js",
            "./data": {"default": "./data.js"},
        },
    },
    "new/main.js": "import inner from '#inner'; import { one } from 'old';"
    " export default () => inner + one; export const kind = 'esm';",
    "new/main.cjs": "exports.kind = 'cjs';",
    "new/inner.js": "export default 10;",
    "new/subs/a.js": "export const a = 'sub a';",
    "new/data.js": "export default import.meta.url.split('/').pop();",
    "@scope/pack/package.json": {"name": "@scope/pack", "exports": "./it.mjs"},
    "@scope/pack/it.mjs": "export const it = 'scoped';",
}


@pytest.fixture(scope="module")
def run() -> Iterator[Session]:
    backend = LocalBackend()
    session = Session(backend.start(name="packages"))
    session("'the kernel starts before there is a package'")
    for _ in range(5):  # and the check of types, which may come too late at first
        if session("const ready: number = 'no'", "typescript").stderr:
            break
    session.write(
        {
            f"node_modules/{path}": content if isinstance(content, str) else json.dumps(content)
            for path, content in MODULES.items()
        }
    )
    yield session
    backend.close()


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("import old from 'old'; old", "{ one: 1, deep: 2 }\n"),
        ("import { one, deep } from 'old'; one + deep", "3\n"),
        ("import * as old from 'old'; old.default.one", "1\n"),
        ("import main, { kind } from 'new'; `${kind} ${main()}`", "'esm 11'\n"),
        ("(await import('new')).kind", "'esm'\n"),
        ("import { a } from 'new/sub/a'; a", "'sub a'\n"),
        ("import data from 'new/data'; data", "'data.js'\n"),
        ("import { it } from '@scope/pack'; it", "'scoped'\n"),
        ("require('new').kind + require('old').one", "'cjs1'\n"),
        ("require('old/node_modules/deep').data", "{ n: 5 }\n"),
        ("import index from 'old/lib/index.js'; index.one", "1\n"),
    ],
)
def test_a_package_is_imported_as_in_node(run: Session, code: str, shown: str) -> None:
    for language in ("javascript", "typescript"):
        assert run(code, language) == Seen(shown)


def test_files_of_the_user_import_packages_and_each_other(run: Session) -> None:
    run.write(
        {
            "tool.mjs": "import { kind } from 'new'; export const tool = kind;",
            "plain.js": "const fs = require('fs'); exports.plain = typeof fs.readFileSync;",
            "modern.js": "export const modern = true;",
            "typed.ts": "import { plain } from './plain.js'; export const typed: string = plain;",
        }
    )
    code = """
        import { tool } from './tool.mjs'
        import { plain } from './plain.js'
        import { modern } from './modern.js'
        import { typed } from './typed.ts'
        ;[tool, plain, modern, typed, require('./plain.js').plain].join(' ')
    """
    assert run(code, "typescript") == Seen("'esm function true function function'\n")


def test_a_file_that_was_changed_is_read_again(run: Session) -> None:
    assert "Module not found" in run("import { a } from './late.mjs'").stderr
    run.write(
        {"late.mjs": "export const a = 1", "c.js": "exports.c = 1", "t.ts": "export let t = 1"}
    )
    types = "import { t } from './t.ts'; t.toFixed(1)"
    assert run("import { a } from './late.mjs'; a") == Seen("1\n")
    assert run("import { c } from './c.js'; c + require('./c.js').c") == Seen("2\n")
    assert run(types, "typescript") == Seen("'1.0'\n")
    time.sleep(0.05)  # the clock of files ticks slower than this
    run.write({"late.mjs": "export const a = 2", "c.js": "exports.c = 2; exports.d = 3"})
    run.write({"t.ts": "export let t = 'x', u = 5"})
    assert run("import { a } from './late.mjs'; a") == Seen("2\n")
    assert run("require('./c.js').d") == Seen("3\n")
    assert run("import { c, d } from './c.js'; c + d") == Seen("5\n")
    types = "import { t, u } from './t.ts'; const s: string = u; [t.toUpperCase(), u]"
    assert run(types, "typescript") == Seen(
        "[ 'X', 5 ]\n",
        "TypeScript: line 1, column 38: Type 'number' is not assignable to type 'string'. "
        "(TS2322)\n",
    )


def test_a_package_that_is_not_there_is_told_with_the_ways_to_get_it(run: Session) -> None:
    assert run("import _ from 'lodash-of-nowhere'") == Seen(
        "",
        "Uncaught TypeError: Cannot find package 'lodash-of-nowhere'. To get it: npm install "
        'lodash-of-nowhere in a command, or import "npm:lodash-of-nowhere"\n'
        "    at async cell-N:1:1 {\n  code: 'ERR_MODULE_NOT_FOUND'\n}\n",
        1,
    )
    assert "does not export './secret'" in run("await import('new/secret')").stderr
    assert run("require('nowhere')").stderr.startswith(
        "Uncaught Error: Cannot find module 'nowhere'\n"
        "Require stack:\n- /home/user/cell.js\n    at cell-N:1:1 {\n"
    )


def test_another_session_has_none_of_them(run: Session) -> None:
    backend = LocalBackend()
    other = Session(backend.start(name="other"))
    assert "Cannot find package 'old'" in other("import 'old'").stderr
    backend.close()


def test_without_a_network_the_model_is_told_so() -> None:
    scope = Scope(user_id="ada", session_id="npm")
    call = {"language": "javascript", "code": "import ms from 'npm:ms@2'"}
    with CodeInterpreter(LocalBackend()) as interpreter:
        outcome = interpreter.call("execute_code", call, scope=scope)

    assert "Cannot install 'npm:ms@2'" in outcome.text
    assert "This sandbox has no internet" in outcome.text


# ---- a registry


def packed(files: dict[str, str]) -> bytes:
    """A package as a registry sends it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"package/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


PACKAGES = {
    "adder": {
        "1.0.0": ("{}", "exports.add = (a, b) => a + b; exports.version = 1;"),
        "2.0.0": ('{"mill": "1"}', "exports.add = require('mill').add; exports.version = 2;"),
    },
    "mill": {"1.0.0": ("{}", "exports.add = (a, b) => a + b + 0.5;")},
    "broken": {"1.0.0": ("{}", "")},
}


@cache
def tarball(name: str, version: str) -> bytes:
    dependencies, code = PACKAGES[name][version]
    manifest = {"name": name, "version": version, "dependencies": json.loads(dependencies)}
    manifest["bin"] = {f"{name}-program": "program.js"}
    program = "#!/usr/bin/env node\nconsole.log('a program')\n"
    return packed({"package.json": json.dumps(manifest), "index.js": code, "program.js": program})


class Registry(BaseHTTPRequestHandler):
    """As much of npm's registry as its clients ask for."""

    def do_GET(self) -> None:
        name, _, rest = self.path.strip("/").partition("/-/")
        versions = PACKAGES.get(name)
        if versions is None:
            self._send(404, b"{}")
        elif rest:
            self._send(200, tarball(name, rest.removesuffix(".tgz").rpartition("-")[2]))
        else:
            self._send(200, json.dumps(self._document(name, list(versions))).encode())

    def do_POST(self) -> None:
        self._send(404, b"{}")  # the audit

    def log_message(self, *words: object) -> None:
        pass

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _document(self, name: str, versions: list[str]) -> dict[str, object]:
        return {
            "name": name,
            "dist-tags": {"latest": versions[-1]},
            "versions": {version: self._version(name, version) for version in versions},
        }

    def _version(self, name: str, version: str) -> dict[str, object]:
        sent = b"something else" if name == "broken" else tarball(name, version)
        digest = hashlib.sha512(sent).digest()
        return {
            "name": name,
            "version": version,
            "dependencies": json.loads(PACKAGES[name][version][0]),
            "bin": {f"{name}-program": "program.js"},
            "dist": {
                "tarball": f"http://{self.headers['Host']}/{name}/-/{name}-{version}.tgz",
                "integrity": f"sha512-{base64.b64encode(digest).decode()}",
            },
        }


@pytest.fixture(scope="module")
def online() -> Iterator[Session]:
    """A session whose npm registry is ours."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registry = f"http://127.0.0.1:{server.server_port}/"
    backend = LocalBackend(network="host", env={"NPM_CONFIG_REGISTRY": registry})
    yield Session(backend.start(name="online"))
    backend.close()
    server.shutdown()
    server.server_close()


def test_an_import_of_npm_installs_the_package_with_what_it_needs(online: Session) -> None:
    assert online("import { add, version } from 'npm:adder'; [add(1, 2), version]") == Seen(
        "[ 3.5, 2 ]\n"
    )
    assert online("import old from 'npm:adder@1'; old.version", "typescript") == Seen("1\n")
    assert online("import anew from 'npm:adder@2/index.js'; anew.version") == Seen("2\n")
    assert online.command("ls -A") == Seen()


def test_a_package_that_cannot_be_installed_is_told_and_in_no_ones_way(online: Session) -> None:
    assert online("import { add } from 'npm:mill'; add(1, 1)") == Seen("2.5\n")
    assert "Tarball checksum did not match" in online("import 'npm:broken'").stderr
    assert online("import { add as again } from 'npm:mill@1'; again(2, 1)") == Seen("3.5\n")
    refusal = online("import 'npm:nowhere'").stderr
    assert "Cannot install 'npm:nowhere': error: npm package 'nowhere' does not exist." in refusal


@has_npm
def test_npm_install_serves_import_and_require_at_once(online: Session) -> None:
    installed = online.command("npm install adder@1")
    assert (installed.stderr, installed.exit_code) == ("", 0)
    assert "added 1 package" in installed.stdout
    assert online("import { version } from 'adder'; version") == Seen("1\n")
    assert online("require('adder').add(1, 2)", "typescript") == Seen("3\n")
    assert online.command("ls -A").stdout.split() == [
        "node_modules",
        "package-lock.json",
        "package.json",
    ]


@has_npm
def test_programs_of_packages_are_found(online: Session) -> None:
    assert online.command("npm install -g adder").exit_code == 0
    assert online.command("adder-program") == Seen("a program\n")
    assert online.command("npx --yes --package=mill mill-program") == Seen("a program\n")
