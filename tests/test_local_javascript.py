"""The JavaScript kernel of the local sandbox, run in this process without a sandbox around it."""
# ruff: noqa: E501 - programs are shown as they come

import importlib
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import ci_toolkit

pytestmark = pytest.mark.local

deno = pytest.importorskip("deno")
GUEST = Path(ci_toolkit.__path__[0]) / "backends" / "local" / "guest"


def guest_module(name: str) -> Any:
    """Imports a guest module by the plain name that it has inside the sandbox."""
    sys.path.insert(0, str(GUEST))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(GUEST))


class Seen(NamedTuple):
    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    ended: str = "completed"
    state_kept: bool = True
    restarted: bool = False


@dataclass
class Kernel:
    kernel: Any
    directory: Path

    def ran(self, code: str, *, language: str, timeout: float) -> tuple[Any, Any]:
        module = guest_module("output")
        spill = module.Spill(str(self.directory), 2**30)
        output = module.Output(keep=100_000, spill=spill, live=None)
        ran = self.kernel.run(code, language=language, timeout=timeout, output=output)
        return ran, output.finish()

    def __call__(self, code: str, *, language: str = "javascript", timeout: float = 30) -> Seen:
        ran, printed = self.ran(code, language=language, timeout=timeout)
        texts = (printed.stdout.decode(), printed.stderr.decode())
        return Seen(*texts, ran.exit_code, ran.ended, ran.state_kept, ran.restarted)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Kernel]]:
    for name in ("cells", "typecheck"):
        guest_module(name)
    started: list[Kernel] = []

    def start() -> Kernel:
        folder = tmp_path_factory.mktemp("javascript")
        directory = folder / "work"
        directory.mkdir()
        kernel = guest_module("javascript").DenoKernel(
            deno.find_deno_bin(),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                "DENO_DIR": str(folder / "deno"),
            },
            state_dir=str(folder / "state"),
            working_directory=str(directory),
        )
        started.append(Kernel(kernel, directory))
        return started[-1]

    yield start
    for each in started:
        each.kernel.close()


@pytest.fixture(scope="module")
def run(start: Callable[[], Kernel]) -> Kernel:
    """One kernel for all tests that leave it as it was."""
    return start()


# ---- the rewriting of a cell


def rewritten(code: str) -> str:
    """What a cell named `c` becomes in a new kernel, without what runs before it."""
    cells = guest_module("cells")
    before, _, rest = cells.rewrite(code, "c", cells.Names()).partition("/*}ci*/")
    assert before == '/*ci{*/__ci_begin("c");'
    return str(rest)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("const x = await y.z()", 'let   x = await __ci_await(y.z(), "c:1:17");'),
        ("const x = await a ?? b", 'let   x = await __ci_await(a, "c:1:17") ?? b'),
        ("const x = await a?.b?.(c)", 'let   x = await __ci_await(a?.b?.(c), "c:1:17")'),
        ("const x = await a ? b : c", 'let   x = await __ci_await(a, "c:1:17") ? b : c'),
        ("let x = (await a).b", 'let x = (await __ci_await(a, "c:1:16")).b'),
        ("let x = !await a", 'let x = !await __ci_await(a, "c:1:16")'),
        ("let x = await new A(1).b", 'let x = await __ci_await(new A(1).b, "c:1:15")'),
        ("let x = await f<T>(y).z", 'let x = await __ci_await(f<T>(y).z, "c:1:15")'),
        ("let x = await y as T", 'let x = await __ci_await(y as T, "c:1:15")'),
        ("let x = await y!", 'let x = await __ci_await(y!, "c:1:15")'),
        (
            "let x = await await y",
            'let x = await __ci_await(await __ci_await(y, "c:1:21"), "c:1:15")',
        ),
        ("let x = `${await y}`", 'let x = `${await __ci_await(y, "c:1:18")}`'),
        ("let x = await // why\n  y", 'let x = await // why\n  __ci_await(y, "c:2:3")'),
        (
            'let é = "ü", x = await y',
            'let é = "ü", x = await __ci_await(y, "c:1:26")',
        ),
        ("if (a) { await b }", 'if (a) { await __ci_await(b, "c:1:16") }'),
        (
            "try { await a } catch { await b }",
            'try { await __ci_await(a, "c:1:13") } catch { await __ci_await(b, "c:1:31") }',
        ),
        ("for (;;) await 0", 'for (;;) await __ci_await(0, "c:1:16")'),
        (
            "for await (const x of y) await x",
            'for await (const x of __ci_iterate(y, "c:1:23")) await __ci_await(x, "c:1:32")',
        ),
        ("using x = await y", 'using x = await __ci_await(y, "c:1:17")'),
        (
            "class A extends (await B) { x = async () => await 1 }",
            'class A extends (await __ci_await(B, "c:1:24")) { x = async () => await 1 }',
        ),
    ],
)
def test_what_is_awaited_at_the_top_level_is_guarded(code: str, expected: str) -> None:
    assert rewritten(code) == expected.rstrip(";")


@pytest.mark.parametrize(
    "code",
    [
        "let f = async () => await g()",
        "async function f() { await g(); for await (const x of y) {} }",
        "class A { async m() { await 1 } static { } }",
        "let o = { async m() { await 1 } }",
        "await using x = f()",
        "let s = 'await x'",
        "namespace N { }",
        "let x = = await y",
        "",
    ],
)
def test_awaits_of_functions_and_what_cannot_be_parsed_stay_as_they_are(code: str) -> None:
    assert rewritten(code) == code


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("let x = 1; x", "let x = 1; __ci_show((x))"),
        ("a, b // both", "__ci_show((a, b)) // both"),
        ("await x", '__ci_show((await __ci_await(x, "c:1:7")))'),
        ("{ a: 1 }", "__ci_show((({ a: 1 }\n)))"),
        ("import.meta.url", "__ci_show((__ci_meta.url))"),
        ("{ let a = 1 }", "{ let a = 1 }"),
    ],
)
def test_a_last_expression_is_shown(code: str, expected: str) -> None:
    assert rewritten(code) == expected


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ('import a from "x"', "let { default: a } = "),
        ('import * as a from "x"', "let a = "),
        ('import a, { b, c as d, type E } from "x";', "let { default: a, b: b, c: d } = "),
        ('import "x"', "void "),
    ],
)
def test_imports_become_declarations(code: str, names: str) -> None:
    expected = f'{names}await __ci_await(import("x"), "c:1:1");'
    assert rewritten(code).rstrip() == expected


def test_an_import_keeps_its_lines() -> None:
    expected = 'let { a: a } = await __ci_await(import("x"), "c:1:1");\n\n\nlet b'
    assert rewritten('import {\n  a,\n} from "x"\nlet b') == expected


# ---- variables


def test_variables_are_shared_between_runs_and_between_both_languages(run: Kernel) -> None:
    assert run("const shared: number = 20;", language="typescript") == Seen()
    assert run("shared + 1") == Seen("21\n")


def test_const_let_and_class_can_be_declared_again(run: Kernel) -> None:
    run("const again = 1; let other = 1; class Thing {}; function twice() { return 1 }")
    code = "const again = 2; let other = 3; class Thing { b = 4 }; function twice() { return 5 }"
    assert run(code) == Seen()
    assert run("[again, other, new Thing(), twice()]") == Seen("[ 2, 3, Thing { b: 4 }, 5 ]\n")


def test_a_declaration_whose_await_failed_can_be_repeated(run: Kernel) -> None:
    assert run('const late = await Promise.reject(new Error("no"))').exit_code == 1
    assert run("const late = await Promise.resolve(5); late") == Seen("5\n")


def test_typescript_syntax_runs(run: Kernel) -> None:
    code = """
        enum Color { Red = 1, Blue }
        namespace N { export const q = 1 }
        class P { constructor(private readonly x: number) {} get v(): number { return this.x } }
        const identity = <T,>(x: T): T => x as T
        identity<number>(Color.Blue) + N.q + new P(3).v
    """
    assert run(code, language="typescript") == Seen("6\n")


# ---- Node's names


@pytest.mark.parametrize("language", ["javascript", "typescript"])
def test_the_names_of_commonjs_are_there(run: Kernel, language: str) -> None:
    (run.directory / "lib.js").write_text("exports.five = 5")
    code = """[require("./lib.js").five, typeof require("fs").readFileSync,
        require("node:path").basename(__filename), __dirname === process.cwd(), typeof module,
        typeof exports, Buffer.from("a").length, global === globalThis, typeof setImmediate
    ].join(" ")"""
    expected = "5 function cell.js true object object 1 true function"
    assert run(code, language=language) == Seen(f"'{expected}'\n")


def test_es_imports_work_in_every_form(run: Kernel) -> None:
    code = """
        import fs from "node:fs"
        import bare, { existsSync } from "fs"
        import { readFile as read } from "node:fs/promises"
        import * as path from "node:path"
        [fs === bare, existsSync("/"), typeof read, path.join("a", "b")].join(" ")
    """
    assert run(code.replace("\n        [", "\n        ;[")) == Seen("'true true function a/b'\n")


# ---- output


def test_the_console_prints_as_in_node(run: Kernel) -> None:
    code = """
        console.log({ a: 1, b: ["x"] }, "s", 5n); console.info("%d%%", 5); console.debug("d")
        console.group("g"); console.log("in"); console.groupEnd()
        console.dir({ a: { b: { c: 1 } } }, { depth: 0 }); console.count()
        process.stdout.write("raw\\n")
        Deno.stdout.writeSync(new TextEncoder().encode("deno\\n"))
        console.error("e"); console.warn("w"); console.assert(false, "told")
        process.stderr.write("err\\n")
    """
    stdout = "{ a: 1, b: [ 'x' ] } s 5n\n5%\nd\ng\n  in\n{ a: [Object] }\ndefault: 1\nraw\ndeno\n"
    assert run(code + ";undefined") == Seen(stdout, "e\nw\nAssertion failed: told\nerr\n")


def test_console_table_and_time_print(run: Kernel) -> None:
    seen = run('console.table([{ a: 1 }]); console.time("t"); console.timeEnd("t")')
    assert "│ (index) │ a │" in seen.stdout
    assert "t: " in seen.stdout


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2\n"),
        ("'text'", "'text'\n"),
        ("null", "null\n"),
        ("undefined", ""),
        ("const unseen = 5", ""),
        ("({ a: 1 })", "{ a: 1 }\n"),
        ("{ a: 1, b: 2 }", "{ a: 1, b: 2 }\n"),
        ("await Promise.resolve(7)", "7\n"),
        ("console.log('first'); 'last'", "first\n'last'\n"),
    ],
)
def test_the_last_value_is_shown(run: Kernel, code: str, shown: str) -> None:
    assert run(code) == Seen(shown)


def test_a_flood_is_answered_whole_and_quickly(run: Kernel) -> None:
    code = "for (let i = 0; i < 2000; i++) console.log('y'.repeat(100_000))"
    _, printed = run.ran(code, language="javascript", timeout=30)
    assert printed.total == 2000 * 100_001


def test_no_line_of_many_is_lost(run: Kernel) -> None:
    _, printed = run.ran(
        "for (let i = 0; i < 100_000; i++) console.log(i)", language="javascript", timeout=30
    )
    assert printed.total == sum(len(str(i)) + 1 for i in range(100_000))
    assert printed.stdout.endswith(b"\n99999\n")


def test_what_a_child_process_prints_can_be_read(run: Kernel) -> None:
    assert run('require("child_process").execSync("echo child").toString()') == Seen("'child\\n'\n")


def test_images_come_back(run: Kernel) -> None:
    code = """await Deno.jupyter.display({ "image/png": btoa("picture") }, { raw: true })"""
    ran, _ = run.ran(code, language="javascript", timeout=30)
    assert ran.images == [("image/png", "image-1.png", b"picture")]


# ---- errors


def test_an_error_names_the_users_own_lines(start: Callable[[], Kernel]) -> None:
    run = start()
    run("interface A {\n  a: number\n}\n\nfunction f(a: number) {\n\n  throw new TypeError('x')\n}")
    assert run("// one\n\nf(2)") == Seen(
        "", "Uncaught TypeError: x\n    at f (cell-1:7:9)\n    at cell-2:3:1\n", 1
    )


def test_lines_stay_right_however_the_code_is_laid_out(start: Callable[[], Kernel]) -> None:
    code = """import {
  readFile,
  writeFile as write } from "node:fs/promises"
import type { Stats } from "node:fs"

/* block
   comment */
const places: number[] = []
const probe = () => { places.push(Number(/cell-1:(\\d+):\\d+/.exec(
  new Error().stack!.split("\\n")[2])![1])) }
interface A {
  a: number

}
enum E { A = 1,

  B }
class P<T> {
  static s = (probe(), 5)
  constructor(private readonly y: number,
    public z = 2) {

    probe()
  }
}
new P<number>(await Promise.resolve(1))
const o = {
  a: 1, b: [1,
    2],

  f() {

    probe() } }
o.f()
const t = `multi
line ${(probe(), 1)}
`
if (true)

  probe()
[1].map((x) => {

  probe()
})
probe(); console.log(places.join(" "))
"""
    code = code.replace("\n[1].map", "\n;[1].map")
    expected = [n for n, line in enumerate(code.splitlines(), 1) if "probe()" in line]
    assert start()(code, language="typescript") == Seen(" ".join(map(str, expected)) + "\n")


def test_an_error_from_the_runtime_names_the_line_that_awaited_it(
    start: Callable[[], Kernel],
) -> None:
    code = 'import { readFile } from "node:fs/promises"\n\nawait readFile("/nowhere")'
    seen = start()(code)
    assert seen.stderr.startswith(
        "Uncaught Error: ENOENT: no such file or directory, open '/nowhere'\n"
        "    at async cell-1:3:7"
    )


def test_a_syntax_error_names_its_line(start: Callable[[], Kernel]) -> None:
    expected = (
        "SyntaxError: Expression expected\n  |\n2 | let z = = 2\n  |         ~\n    at cell-1:2:9\n"
    )
    assert start()("let y = 1\nlet z = = 2") == Seen("", expected, 1)


def test_an_errors_cause_and_fields_are_told(run: Kernel) -> None:
    code = "throw Object.assign(new Error('outer', { cause: new Error('inner') }), { code: 5 })"
    seen = run(code)
    assert "Uncaught Error: outer" in seen.stderr
    assert "code: 5" in seen.stderr
    assert "[cause]: Error: inner" in seen.stderr


def test_a_cell_that_begins_with_a_brace_and_fails_runs_once(run: Kernel) -> None:
    assert run("{ a: (console.log('once'), nope) }").stdout == "once\n"


def test_an_error_in_a_timer_is_told_and_leaves_the_kernel_usable(run: Kernel) -> None:
    run("const timer = setTimeout(() => { throw new Error('late') }, 5)")
    seen = run("await new Promise((done) => setTimeout(done, 50)); 2")
    assert (seen.stdout, seen.exit_code) == ("2\n", 0)
    assert seen.stderr.startswith("Uncaught Error: late\n")


# ---- leaving


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("process.exit(3)", 3),
        ("Deno.exit(4)", 4),
        ("process.exit()", 0),
        ("setTimeout(() => process.exit(5), 5); await new Promise(() => {})", 5),
    ],
)
def test_exit_ends_the_run_and_keeps_the_variables(run: Kernel, code: str, exit_code: int) -> None:
    run("let before = 1")
    assert run(code) == Seen("", "", exit_code)
    assert run("before") == Seen("1\n")


ENDLESS = {
    "a loop": "while (true) {}",
    "a loop after an await": "await 1; while (true) {}",
    "a promise that never settles": "await new Promise(() => {})",
    "a loop of awaits": "for (;;) await 0",
    "a slow loop of awaits": "for (;;) await new Promise((done) => setTimeout(done, 10))",
    "an async iteration": "for await (const x of (async function* () { for (;;) yield 1 })()) {}",
    "a hanging function": "await (async () => { for (;;) await new Promise(setImmediate) })()",
    "a child process": 'await new Deno.Command("sleep", { args: ["100"] }).output()',
    "a blocking child process": 'require("child_process").execSync("sleep 100")',
    "a regular expression": '/(a+)+$/.test("a".repeat(40) + "b")',
}


@pytest.mark.parametrize("code", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_timeout_ends_the_run_and_keeps_the_variables(run: Kernel, code: str) -> None:
    run("let kept = 1")
    assert run(code, timeout=0.5) == Seen("", "", 1, "timed_out")
    assert run("kept") == Seen("1\n")


@pytest.mark.parametrize("code", ["while (true) {}", "await new Promise(() => {})"])
def test_an_interrupt_from_another_thread_ends_the_run(run: Kernel, code: str) -> None:
    run("let kept = 1")
    timer = threading.Timer(0.5, run.kernel.interrupt)
    timer.start()
    assert run(code) == Seen("", "", 1, "interrupted")
    timer.join()
    assert run("kept") == Seen("1\n")


def test_code_that_refuses_to_stop_costs_its_variables(start: Callable[[], Kernel]) -> None:
    run = start()
    run("let kept = 1")
    code = "for (;;) { try { await new Promise(() => {}) } catch {} }"
    assert run(code, timeout=0.5) == Seen("", "", -9, "timed_out", state_kept=False)
    assert run("typeof kept") == Seen("'undefined'\n", restarted=True)
    assert run("1") == Seen("1\n")


def test_the_death_of_the_process_is_told_and_the_next_run_starts_anew(
    start: Callable[[], Kernel],
) -> None:
    run = start()
    code = 'console.log("before"); Deno.kill(Deno.pid, "SIGKILL"); for (;;) {}'
    assert run(code) == Seen("before\n", "", -9, "died", state_kept=False)
    assert run("1") == Seen("1\n", restarted=True)


def test_a_port_that_somebody_else_took_first_costs_another_try_and_nothing_more(
    start: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    module, taken = guest_module("deno_process"), socket.create_server(("127.0.0.1", 0))
    free, port = module._connection, taken.getsockname()[1]
    first = iter([{**free(), "shell_port": port}])
    monkeypatch.setattr(module, "_connection", lambda: next(first, None) or free())
    assert run("let kept = 1") == Seen()
    assert run("kept") == Seen("1\n")
    taken.close()


def test_closing_ends_the_process(start: Callable[[], Kernel]) -> None:
    run = start()
    run("1")
    pid = run.kernel.pid
    run.kernel.close()
    assert (run.kernel.pid, Path(f"/proc/{pid}").exists()) == (0, False)


# ---- names declared again


KINDS = {
    "const": "const again = () => {kind}",
    "let": "let again = () => {kind}",
    "var": "var again = () => {kind}",
    "function": "function again() {{ return {kind} }}",
    "class": "class again {{ static call() {{ return {kind} }} }}",
    "import": 'import again from "node:path"',
    "enum": "enum again {{ A = {kind} }}",
}


@pytest.mark.parametrize("later", KINDS)
@pytest.mark.parametrize("earlier", KINDS)
def test_a_name_can_be_declared_again_as_anything(run: Kernel, earlier: str, later: str) -> None:
    name = f"{earlier}_{later}"
    first, second = (
        KINDS[kind].format(kind=n).replace("again", name) for n, kind in enumerate((earlier, later))
    )
    show = {"class": f"{name}.call()", "import": f"typeof {name}.join", "enum": f"{name}.A"}
    expected = "'function'\n" if later == "import" else "1\n"
    run(first)
    assert run(second) == Seen()
    assert run(show.get(later, f"{name}()")) == Seen(expected)


def test_several_names_of_different_kinds_are_declared_again_at_once(run: Kernel) -> None:
    run("function one() {} let two = 2; const three = 3")
    code = (
        "const { one, two = 5, ...three } = { one: 1, four: 4 }, four = 4\n[one, two, three, four]"
    )
    assert run(code.replace("\n[", "\n;[")) == Seen("[ 1, 5, { four: 4 }, 4 ]\n")
    run("let five = 5")
    assert run(
        "for (var five of [6]) {}\nvar five: number, six = five + 1\n[five, six].join()".replace(
            "\n[", "\n;["
        )
    ) == Seen("'6,7'\n")


@pytest.mark.parametrize(
    ("code", "column"),
    [("fixed = 2", 1), ("fixed += 2", 1), ("fixed++", 1), ("if (fixed) { fixed = await 3 }", 14)],
)
def test_a_constant_cannot_be_assigned_to(
    start: Callable[[], Kernel], code: str, column: int
) -> None:
    run = start()
    run("const fixed = 1")
    expected = f"Uncaught TypeError: Assignment to constant variable.\n    at cell-2:1:{column}\n"
    assert run(code) == Seen("", expected, 1)
    assert run("((fixed) => { fixed = 5; return fixed })(1) + fixed") == Seen("6\n")
    assert run("let fixed = 2; fixed = 3; fixed") == Seen("3\n")


def test_a_cell_that_could_not_begin_has_declared_nothing(run: Kernel) -> None:
    assert run("var unborn = 1; let twin; let twin").exit_code == 1
    assert run("let unborn = 2; unborn") == Seen("2\n")


# ---- what is thrown, and where


@pytest.mark.parametrize(
    ("code", "stderr"),
    [
        ("throw { a: 1 }", "Uncaught { a: 1 }\n    at cell-N:1:1\n"),
        ("\n  throw 'text'", "Uncaught 'text'\n    at cell-N:2:3\n"),
        ("throw null", "Uncaught null\n    at cell-N:1:1\n"),
        ("await Promise.reject({ b: 2 })", "Uncaught { b: 2 }\n    at cell-N:1:7\n"),
        ("(() => { throw [1] })()", "Uncaught [ 1 ]\n    at cell-N:1:10\n"),
        (
            "let dup = 1\n  let dup = 2",
            "SyntaxError: Identifier 'dup' has already been declared\n    at cell-N:2:7\n",
        ),
        (
            "function f() {\n  let a; let a\n}",
            "SyntaxError: Identifier 'a' has already been declared\n    at cell-N:2:14\n",
        ),
        ("if (1) {\n  break }", "SyntaxError: Illegal break statement\n    at cell-N:2:3\n"),
    ],
)
def test_anything_thrown_is_told_with_its_place(run: Kernel, code: str, stderr: str) -> None:
    seen = run(code)
    assert (re.sub(r"cell-\d+", "cell-N", seen.stderr), seen.exit_code) == (stderr, 1)


def test_a_return_at_the_top_level_ends_the_run(run: Kernel) -> None:
    assert run("let early = 1\nif (early) return early + 1\nconsole.log('no')") == Seen("2\n")
    assert run("return") == Seen()
    assert run("early") == Seen("1\n")


# ---- programs


PROGRAMS = {
    "a csv file is read and parsed": (
        """
const fs = require('fs');
fs.writeFileSync('people.csv', 'name,age\\nAda,36\\nAlan,41\\n');
const [head, ...rows] = fs.readFileSync('people.csv', 'utf8').trim().split('\\n').map(l => l.split(','));
const people = rows.map(r => Object.fromEntries(r.map((v, i) => [head[i], v])));
console.log(people);
""",
        Seen("[ { name: 'Ada', age: '36' }, { name: 'Alan', age: '41' } ]\n"),
    ),
    "json is taken apart and written": (
        """
const data = JSON.parse('{"items":[{"id":1,"tags":["a","b"]},{"id":2}]}');
console.log(data.items.map(({ id, tags = [] }) => `${id}:${tags.length}`).join(' '));
console.log(JSON.stringify(data, null, 2).split('\\n').length);
""",
        Seen("1:2 2:0\n14\n"),
    ),
    "promises all, race, any and allSettled": (
        """
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
async function work(n) { await sleep(n); if (n === 2) throw new Error(`bad ${n}`); return n * 2; }
const settled = await Promise.allSettled([work(1), work(2), work(3)]);
console.log(settled.map(s => s.status === 'fulfilled' ? s.value : s.reason.message));
console.log(await Promise.race([work(1), sleep(50)]), await Promise.any([work(2), work(3)]));
""",
        Seen("[ 2, 'bad 2', 6 ]\n2 6\n"),
    ),
    "classes with private fields": (
        """
class Animal { #name; static count = 0; constructor(name) { this.#name = name; Animal.count++; } get name() { return this.#name; } speak() { return `${this.#name} makes a sound`; } }
class Dog extends Animal { speak() { return `${super.speak()}: Woof`; } toString() { return `Dog(${this.name})`; } }
const d = new Dog('Rex');
console.log(d.speak(), `${d}`, d instanceof Animal, Animal.count);
""",
        Seen("Rex makes a sound: Woof Dog(Rex) true 1\n"),
    ),
    "event emitters": (
        """
const EventEmitter = require('events');
const bus = new EventEmitter();
bus.on('msg', (m) => console.log('got', m)); bus.once('msg', () => console.log('once'));
bus.emit('msg', 1); bus.emit('msg', 2);
console.log(bus.listenerCount('msg'));
""",
        Seen("got 1\nonce\ngot 2\n1\n"),
    ),
    "streams": (
        """
const { Readable, Transform, pipeline } = require('stream');
const { promisify } = require('util');
const upper = new Transform({ transform(chunk, enc, cb) { cb(null, chunk.toString().toUpperCase()); } });
let text = '';
upper.on('data', (c) => { text += c; });
await promisify(pipeline)(Readable.from(['a', 'b', 'c']), upper);
console.log(text);
""",
        Seen("ABC\n"),
    ),
    "hashes": (
        """
const crypto = require('crypto');
console.log(crypto.createHash('sha256').update('abc').digest('hex').slice(0, 16));
console.log(crypto.createHmac('md5', 'k').update('v').digest('base64').length, crypto.randomUUID().length);
""",
        Seen("ba7816bf8f01cfea\n24 36\n"),
    ),
    "compression": (
        """
const zlib = require('zlib');
const zipped = zlib.gzipSync('hello '.repeat(100));
console.log(zipped.length < 100, zlib.gunzipSync(zipped).toString().length);
""",
        Seen("true 600\n"),
    ),
    "paths and urls": (
        """
const path = require('path'); const url = require('url');
console.log(path.join('/a', '..', 'b.txt'), path.extname('x.tar.gz'), path.basename('/q/w.js', '.js'));
const u = new URL('https://user@example.com:8080/p/a?x=1&y=2#h');
console.log(u.hostname, u.port, u.searchParams.get('y'), [...u.searchParams.keys()]);
""",
        Seen("/b.txt .gz w\nexample.com 8080 2 [ 'x', 'y' ]\n"),
    ),
    "buffers": (
        """
const buf = Buffer.from('héllo', 'utf8');
console.log(buf, buf.length, buf.toString('hex'), Buffer.concat([buf, Buffer.alloc(2)]).length);
""",
        Seen("<Buffer 68 c3 a9 6c 6c 6f> 6 68c3a96c6c6f 8\n"),
    ),
    "lines of a file": (
        """
const fs = require('fs');
const readline = require('readline');
fs.writeFileSync('lines.txt', 'one\\ntwo\\nthree\\n');
const rl = readline.createInterface({ input: fs.createReadStream('lines.txt') });
for await (const line of rl) console.log(line.toUpperCase());
""",
        Seen("ONE\nTWO\nTHREE\n"),
    ),
    "child processes": (
        """
const { promisify } = require('util');
const { execSync, spawnSync, exec } = require('child_process');
console.log(execSync('echo out').toString().trim());
const r = spawnSync('sh', ['-c', 'echo err >&2; exit 3']);
console.log(r.status, r.stderr.toString().trim());
try { execSync('exit 2', { stdio: 'pipe' }); } catch (e) { console.log(e.status, e.message); }
console.log((await promisify(exec)('echo async')).stdout);
""",
        Seen("out\n3 err\n2 Command failed: exit 2\nasync\n\n"),
    ),
    "child processes that print for themselves": (
        """
const { execSync } = require('child_process');
execSync('echo shown', { stdio: 'inherit' });
const child = require('child_process').spawn('sh', ['-c', 'echo spawned; echo err >&2'], { stdio: 'inherit' });
child.on('close', (code) => console.log('closed', code));
await new Promise((resolve) => child.on('close', resolve));
""",
        Seen("shown\nspawned\nclosed 0\n0\n", "err\n"),
    ),
    "maps and sets": (
        """
const m = new Map([['a', 1], ['b', 2]]); m.set('c', 3);
const s = new Set([1, 2, 2, 3]);
console.log(m, s, [...m.entries()].filter(([, v]) => v > 1), new WeakMap());
""",
        Seen(
            "Map(3) { 'a' => 1, 'b' => 2, 'c' => 3 } Set(3) { 1, 2, 3 } [ [ 'b', 2 ], [ 'c', 3 ] ] WeakMap { <items unknown> }\n"
        ),
    ),
    "dates and Intl": (
        """
const when = new Date('2024-02-29T12:00:00Z');
console.log(when.toISOString(), when.getUTCDay(), new Date(when - 86400000).toISOString().slice(0, 10), when);
console.log(new Intl.NumberFormat('de-DE', { style: 'currency', currency: 'EUR' }).format(1234.5));
console.log(new Intl.DateTimeFormat('en-US', { dateStyle: 'long', timeZone: 'UTC' }).format(when));
""",
        Seen(
            "2024-02-29T12:00:00.000Z 4 2024-02-28 2024-02-29T12:00:00.000Z\n1.234,50\xa0€\nFebruary 29, 2024\n"
        ),
    ),
    "regular expressions": (
        """
const log = '2024-01-02 ERROR disk full\\n2024-01-03 INFO ok';
const re = /^(?<date>\\d{4}-\\d\\d-\\d\\d) (?<level>\\w+) (.*)$/gm;
for (const m of log.matchAll(re)) console.log(m.groups.level, m.groups.date, m[3]);
console.log('a-b_c'.replace(/[-_](\\w)/g, (_, c) => c.toUpperCase()));
""",
        Seen("ERROR 2024-01-02 disk full\nINFO 2024-01-03 ok\naBC\n"),
    ),
    "generators and iterators": (
        """
function* fib() { let [a, b] = [0, 1]; while (true) { yield a; [a, b] = [b, a + b]; } }
const first = []; for (const n of fib()) { if (n > 20) break; first.push(n); }
console.log(first.join());
const iterable = { *[Symbol.iterator]() { yield* [1, 2]; } };
console.log([...iterable], Object.groupBy([1, 2, 3], n => n % 2 ? 'odd' : 'even'));
""",
        Seen(
            "0,1,1,2,3,5,8,13\n[ 1, 2 ] [Object: null prototype] { odd: [ 1, 3 ], even: [ 2 ] }\n"
        ),
    ),
    "optional chaining": (
        """
const cfg = { a: { b: null } };
console.log(cfg?.a?.b?.c ?? 'default', cfg.x?.y, typeof cfg.x?.(), cfg.a.b ||= 5, cfg);
""",
        Seen("default undefined undefined 5 { a: { b: 5 } }\n"),
    ),
    "the order of timers": (
        """
setTimeout(() => console.log('timeout'), 5); setImmediate(() => console.log('immediate')); process.nextTick(() => console.log('tick')); Promise.resolve().then(() => console.log('micro'));
console.log('sync');
await new Promise((r) => setTimeout(r, 30));
""",
        Seen("sync\nmicro\ntick\nimmediate\ntimeout\n"),
    ),
    "a main function that nobody awaits": (
        """
async function main() {
  const response = await new Promise((r) => setTimeout(() => r({ ok: true }), 20));
  if (!response.ok) return;
  console.log('main done');
}
main();
console.log('started');
""",
        Seen("started\nmain done\n"),
    ),
    "an error that an async main function handles": (
        """
const fs = require('fs');
async function load() { return fs.promises.readFile('missing.json'); }
load().catch((err) => {
  console.error(err.code, err.message);
  process.exitCode = 2;
});
""",
        Seen("", "ENOENT ENOENT: no such file or directory, open 'missing.json'\n", 2),
    ),
    "modules and require": (
        """
const fs = require('fs');
module.exports = { add: (a, b) => a + b };
fs.writeFileSync('helper.js', 'module.exports = { twice: (n) => n * 2 };');
const { twice } = require('./helper');
if (require.main === module) console.log('main', twice(4));
""",
        Seen("main 8\n"),
    ),
    "errors of one's own": (
        """
class ValidationError extends Error { constructor(field, message) { super(message); this.name = 'ValidationError'; this.field = field; } }
function validate(o) {
  if (!o.email) throw new ValidationError('email', 'email is required');
}
validate({});
""",
        Seen(
            "",
            "Uncaught ValidationError: email is required\n    at validate (cell-N:3:23)\n    at cell-N:5:1 {\n  field: 'email'\n}\n",
            1,
        ),
    ),
    "assertions": (
        """
const assert = require('assert');
assert.strictEqual(1 + 1, 2); assert.deepStrictEqual({ a: [1] }, { a: [1] });
assert.strictEqual(1, 2, 'not equal');
""",
        Seen(
            "",
            "Uncaught AssertionError [ERR_ASSERTION]: not equal\n\n1 !== 2\n\n    at cell-N:3:8 {\n  generatedMessage: false,\n  code: 'ERR_ASSERTION',\n  actual: 1,\n  expected: 2,\n  operator: 'strictEqual',\n  diff: 'simple'\n}\n",
            1,
        ),
    ),
    "imports": (
        """
import os from 'os';
import { performance } from 'perf_hooks';
import { readFileSync as read } from 'node:fs';
console.log(typeof os.cpus().length, performance.now() > 0, typeof read);
""",
        Seen("number true function\n"),
    ),
    "a server and fetch": (
        """
const http = require('http');
const server = http.createServer((req, res) => { res.end(JSON.stringify({ path: req.url })); });
await new Promise((r) => server.listen(0, '127.0.0.1', r));
const answer = await fetch(`http://127.0.0.1:${server.address().port}/hi`);
console.log(await answer.json());
server.close();
""",
        Seen("{ path: '/hi' }\n"),
    ),
    "a worker thread": (
        """
const { Worker, isMainThread } = require('worker_threads');
const wk = new Worker('const { parentPort } = require("worker_threads"); console.log("in worker"); parentPort.postMessage(6 * 7)', { eval: true });
wk.on('message', (v) => console.log('worker', v));
await new Promise((r) => wk.on('exit', r));
""",
        Seen("in worker\nworker 42\n0\n"),
    ),
    "tables, sorting and numbers": (
        """
const sorted = [5, 1, 10].sort((a, b) => a - b), total = sorted.reduce((a, b) => a + b, 0);
console.table(sorted.map((n, i) => ({ i, n }))); console.log(total, Math.max(...sorted), structuredClone({ a: [1] }), 0.1 + 0.2, 2n ** 64n, -0, [,1], NaN);
""",
        Seen(
            "┌─────────┬───┬────┐\n│ (index) │ i │ n  │\n├─────────┼───┼────┤\n│ 0       │ 0 │ 1  │\n│ 1       │ 1 │ 5  │\n│ 2       │ 2 │ 10 │\n└─────────┴───┴────┘\n16 10 { a: [ 1 ] } 0.30000000000000004 18446744073709551616n -0 [ <1 empty item>, 1 ] NaN\n"
        ),
    ),
    "proxies, labels and symbols": (
        """
const proxy = new Proxy({}, { get: (t, k) => `prop:${String(k)}` });
label: for (let i = 0; i < 3; i++) { for (;;) { if (i === 1) break label; continue label; } }
console.log(proxy.foo, Symbol('s'), Reflect.ownKeys({ a: 1 }), [..."héé"].length, `${[1, [2]]}`);
""",
        Seen("prop:foo Symbol(s) [ 'a' ] 3 1,2\n"),
    ),
    "an unknown name": (
        """
undefinedFunction();
""",
        Seen(
            "", "Uncaught ReferenceError: undefinedFunction is not defined\n    at cell-N:1:1\n", 1
        ),
    ),
    "a syntax error": (
        """
const broken = {
  a: 1
  b: 2
};
""",
        Seen(
            "",
            "SyntaxError: Expected ',', got 'b'\n  |\n3 |   b: 2\n  |   ~\n    at cell-N:3:3\n",
            1,
        ),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_for_node_runs_as_it_would_there(run: Kernel, name: str) -> None:
    code, expected = PROGRAMS[name]
    seen = run(code.strip())
    assert seen._replace(stderr=re.sub(r"cell-\d+", "cell-N", seen.stderr)) == expected
