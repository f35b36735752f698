"""The JavaScript kernel of the local sandbox, run in this process without a sandbox around it."""

import importlib
import os
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
    guest_module("cells")
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


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("const x = await y.z()", 'const x = await __ci_await(y.z(), "c:1:17");'),
        ("const x = await a ?? b", 'const x = await __ci_await(a, "c:1:17") ?? b'),
        ("const x = await a?.b?.(c)", 'const x = await __ci_await(a?.b?.(c), "c:1:17")'),
        ("const x = await a ? b : c", 'const x = await __ci_await(a, "c:1:17") ? b : c'),
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
    assert guest_module("cells").rewrite(code, "c") == expected.rstrip(";")


@pytest.mark.parametrize(
    "code",
    [
        "const f = async () => await g()",
        "async function f() { await g(); for await (const x of y) {} }",
        "class A { async m() { await 1 } static { } }",
        "const o = { async m() { await 1 } }",
        "await using x = f()",
        "const s = 'await x'",
        "namespace N { }",
        "let x = = await y",
        "",
    ],
)
def test_awaits_of_functions_and_what_cannot_be_parsed_stay_as_they_are(code: str) -> None:
    assert guest_module("cells").rewrite(code, "c") == code


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
    assert guest_module("cells").rewrite(code, "c") == expected


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ('import a from "x"', "const { default: a } = "),
        ('import * as a from "x"', "const a = "),
        ('import a, { b, c as d, type E } from "x";', "const { default: a, b: b, c: d } = "),
        ('import "x"', "void "),
    ],
)
def test_imports_become_declarations(code: str, names: str) -> None:
    expected = f'{names}await __ci_await(import("x"), "c:1:1");'
    assert guest_module("cells").rewrite(code, "c").rstrip() == expected


def test_an_import_keeps_its_lines() -> None:
    rewritten = guest_module("cells").rewrite('import {\n  a,\n} from "x"\nlet b', "c")
    expected = 'const { a: a } = await __ci_await(import("x"), "c:1:1");\n\n\nlet b'
    assert rewritten == expected


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
    run("setTimeout(() => { throw new Error('late') }, 5); 1")
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


def test_closing_ends_the_process(start: Callable[[], Kernel]) -> None:
    run = start()
    run("1")
    pid = run.kernel.pid
    run.kernel.close()
    assert (run.kernel.pid, Path(f"/proc/{pid}").exists()) == (0, False)
