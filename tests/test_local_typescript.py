"""TypeScript in the local sandbox: programs as a model writes them, and what is said of their types."""
# ruff: noqa: E501 - programs are shown as they come

import re
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from ci_toolkit.backends.base import Sandbox
from ci_toolkit.backends.local import LocalBackend

pytestmark = pytest.mark.local
pytest.importorskip("deno")


class Seen(NamedTuple):
    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0


class Session:
    """A sandbox whose language server is ready, so that no check comes too late."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        for _ in range(5):
            if self("const ready: number = 'no'").stderr:
                return
        pytest.fail("the language server does not answer")

    def __call__(self, code: str, *, language: str = "typescript", timeout: float = 30) -> Seen:
        ran = self.sandbox.execute_code(code, language=language, timeout=timeout)
        stderr = re.sub(r"cell-\d+", "cell-N", ran.stderr)
        return Seen(ran.stdout, stderr, ran.exit_code)


@pytest.fixture(scope="module")
def backend() -> Iterator[LocalBackend]:
    backend = LocalBackend()
    yield backend
    backend.close()


@pytest.fixture
def fresh(backend: LocalBackend) -> Iterator[Session]:
    sandbox = backend.start(name="fresh")
    yield Session(sandbox)
    sandbox.close()


@pytest.fixture(scope="module")
def run(backend: LocalBackend) -> Session:
    return Session(backend.start(name="types"))


PROGRAMS = {
    "interfaces and generic functions": (
        """
interface Person { id: number; name: string; email?: string }
const people: Person[] = [{ id: 1, name: 'Ada' }, { id: 2, name: 'Alan', email: 'a@b.c' }];
function byId<T extends { id: number }>(items: T[]): Map<number, T> { return new Map(items.map((i) => [i.id, i])); }
console.log(byId(people).get(2)?.email ?? 'none', byId(people).size);
""",
        Seen("a@b.c 2\n"),
    ),
    "union narrowing": (
        """
type Shape = { kind: 'circle'; r: number } | { kind: 'square'; side: number };
const area = (s: Shape): number => { switch (s.kind) { case 'circle': return Math.round(Math.PI * s.r ** 2); case 'square': return s.side ** 2; } };
console.log([{ kind: 'circle', r: 2 } as Shape, { kind: 'square', side: 3 } as Shape].map(area));
""",
        Seen("[ 13, 9 ]\n"),
    ),
    "enums": (
        """
enum Level { Low = 1, High = 10 }
enum Color { Red = 'RED' }
console.log(Level.High, Level[1], Color.Red, Object.keys(Level).length);
""",
        Seen("10 Low RED 4\n"),
    ),
    "abstract classes": (
        """
abstract class Account { protected constructor(private balance: number) {} abstract fee(): number; withdraw(n: number): number { if (n > this.balance) throw new RangeError(`only ${this.balance}`); this.balance -= n + this.fee(); return this.balance; } }
class Basic extends Account { constructor(b: number) { super(b); } override fee() { return 1; } }
const account = new Basic(10);
console.log(account.withdraw(4));
try { account.withdraw(100); } catch (e) { if (e instanceof RangeError) console.log(e.message); }
""",
        Seen("5\nonly 5\n"),
    ),
    "generic classes": (
        """
class Stack<T> { private items: T[] = []; push(...i: T[]): this { this.items.push(...i); return this; } pop(): T | undefined { return this.items.pop(); } get size() { return this.items.length; } }
const st = new Stack<number>().push(1, 2, 3);
console.log(st.pop(), st.size);
""",
        Seen("3 2\n"),
    ),
    "decorators": (
        """
function log(target: any, context: ClassMethodDecoratorContext) { return function (this: any, ...args: any[]) { console.log('call', String(context.name)); return target.apply(this, args); }; }
class Calc { @log add(a: number, b: number) { return a + b; } }
console.log(new Calc().add(1, 2));
""",
        Seen("call add\n3\n"),
    ),
    "utility types": (
        """
type Config = { readonly host: string; port?: number };
const cfg: Required<Config> = { port: 80, host: 'h' };
const keys = Object.keys(cfg) as (keyof Config)[];
console.log(keys.map((k) => `${k}=${cfg[k]}`).join('&'));
type Picked = Pick<Config, 'host'>; const ro = { a: [1, 2] } as const satisfies { a: readonly number[] };
console.log(ro.a[0]);
""",
        Seen("port=80&host=h\n1\n"),
    ),
    "files and imports": (
        """
import { readFile, writeFile } from 'node:fs/promises';
import * as path from 'node:path';
const file: string = path.join(process.cwd(), 'data.json');
await writeFile(file, JSON.stringify({ n: [1, 2, 3] }));
const parsed: { n: number[] } = JSON.parse(await readFile(file, 'utf8'));
console.log(parsed.n.reduce((a, b) => a + b, 0), path.basename(file));
""",
        Seen("6 data.json\n"),
    ),
    "promises": (
        """
const results = await Promise.all([1, 2, 3].map(async (n): Promise<number> => { await new Promise<void>((r) => setTimeout(r, 1)); return n * n; }));
const settledAll = await Promise.allSettled([Promise.resolve(1), Promise.reject(new Error('x'))]);
console.log(results, settledAll.map((s) => (s.status === 'fulfilled' ? s.value : (s.reason as Error).message)));
""",
        Seen("[ 1, 4, 9 ] [ 1, 'x' ]\n"),
    ),
    "type guards": (
        """
function isString(v: unknown): v is string { return typeof v === 'string'; }
const mixed: unknown[] = [1, 'two', null, { three: 3 }];
console.log(mixed.filter(isString).map((s) => s.toUpperCase()));
""",
        Seen("[ 'TWO' ]\n"),
    ),
    "async generators": (
        """
async function* pages(): AsyncGenerator<number[]> { for (let i = 0; i < 2; i++) yield [i, i + 10]; }
for await (const page of pages()) console.log(page);
""",
        Seen("[ 0, 10 ]\n[ 1, 11 ]\n"),
    ),
    "namespaces and destructuring": (
        """
namespace Geometry { export interface Point { x: number; y: number } export const origin: Point = { x: 0, y: 0 }; }
const [px = 5, ...others]: number[] = [];
const { x: ox, ...restPoint } = { ...Geometry.origin, z: 1 };
console.log(px, others, ox, restPoint, Geometry.origin);
""",
        Seen("5 [] 0 { y: 0, z: 1 } { x: 0, y: 0 }\n"),
    ),
    "overloads and tuples": (
        """
function over(a: string): string; function over(a: number): number; function over(a: any) { return a; }
let tuple: [string, number] = ['a', 1]; const [label, count] = tuple;
console.log(over('s'), over(2), label.repeat(count + 1), tuple.length);
""",
        Seen("s 2 aa 2\n"),
    ),
    "imports of names that are global": (
        """
import crypto from 'node:crypto';
import { EventEmitter } from 'node:events';
class Bus extends EventEmitter {} const bus = new Bus();
bus.on('tick', (n: number) => console.log('tick', n)); bus.emit('tick', 1);
console.log(crypto.createHash('md5').update('x').digest('hex').length, Buffer.from('hi').toString('base64'));
""",
        Seen("tick 1\n32 aGk=\n"),
    ),
    "records": (
        """
const counts: Record<string, number> = {};
for (const w of 'a b a'.split(' ')) counts[w] = (counts[w] ?? 0) + 1;
console.log(counts, Object.entries(counts).sort(([, a], [, b]) => b - a)[0][0]);
""",
        Seen("{ a: 2, b: 1 } a\n"),
    ),
    "errors of one's own": (
        """
class HttpError extends Error { constructor(public readonly status: number, message: string) { super(message); } }
async function fetchUser(id: number): Promise<string> { if (id < 0) throw new HttpError(404, 'no user'); return `user${id}`; }
console.log(await fetchUser(1));
await fetchUser(-1);
""",
        Seen(
            "user1\n",
            "Uncaught HttpError: no user\n    at fetchUser (cell-N:2:75)\n    at cell-N:4:7 {\n  status: 404\n}\n",
            1,
        ),
    ),
    "a wrong type that runs all the same": (
        """
const total: number = 'ten';
console.log(total);
""",
        Seen(
            "ten\n",
            "TypeScript: line 1, column 7: Type 'string' is not assignable to type 'number'. (TS2322)\n",
        ),
    ),
    "a browser's name": (
        """
console.log(document.title);
""",
        Seen(
            "",
            "Uncaught ReferenceError: document is not defined\n    at cell-N:1:13\nTypeScript: line 1, column 13: Cannot find name 'document'. Do you need to change your target library? Try changing the 'lib' compiler option to include 'dom'. (TS2584)\n",
            1,
        ),
    ),
    "Node's own names": (
        """
const names: string[] = require('fs').readdirSync(__dirname);
console.log(Array.isArray(names), typeof module, process.argv.length > 0);
""",
        Seen("true object true\n"),
    ),
    "resources": (
        """
{
  using res = { [Symbol.dispose]() { console.log('disposed'); } };
  console.log('used');
}
""",
        Seen("used\ndisposed\n"),
    ),
    "no annotations at all": (
        """
let untyped = (a, b) => a + b; var xs = []; xs.push(1); console.log(untyped(1, 2), xs);
""",
        Seen("3 [ 1 ]\n"),
    ),
    "a return at the top level": (
        """
if (Math.random() > 2) { return; }
console.log(await Promise.resolve('tla'), import.meta.main);
""",
        Seen("tla true\n"),
    ),
    "a syntax error": (
        """
function f(: number) {}
""",
        Seen(
            "",
            "SyntaxError: Unexpected token `:`. Expected yield, an identifier, [ or {\n  |\n1 | function f(: number) {}\n  |            ~\n    at cell-N:1:12\n",
            1,
        ),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_and_its_types_are_checked(run: Session, name: str) -> None:
    code, expected = PROGRAMS[name]
    assert run(code.strip()) == expected


# ---- what earlier calls have declared


def test_a_check_knows_what_earlier_calls_declared(run: Session) -> None:
    run("interface Pet { name: string; age: number }\nconst pet: Pet = { name: 'Rex', age: 3 };")
    assert run("pet.nam;\npet.age.length") == Seen(
        "",
        "TypeScript: line 1, column 5: Property 'nam' does not exist on type 'Pet'. Did you mean 'name'? (TS2551)\n"
        "TypeScript: line 2, column 9: Property 'length' does not exist on type 'number'. (TS2339)\n",
    )


def test_a_check_knows_what_javascript_declared(run: Session) -> None:
    run(
        "function scale(a, b) { return a * b }\nconst bag = {}; bag.size = 3", language="javascript"
    )
    assert run("scale(2, bag.size)") == Seen("6\n")
    assert run("const word: string = bag.size").stderr == (
        "TypeScript: line 1, column 7: Type 'number' is not assignable to type 'string'. (TS2322)\n"
    )


def test_javascript_is_not_checked(run: Session) -> None:
    assert run("let n = 1; n = 'one'; n.nothing", language="javascript") == Seen()


def test_a_cell_that_threw_has_declared_and_one_that_could_not_begin_has_not(run: Session) -> None:
    run("const before = { a: 1 };\nthrow new Error('x')")
    assert run("before.a") == Seen("1\n")
    run("const unborn: number = 1; let twice; let twice")
    assert run("before.b").stderr == (
        "TypeScript: line 1, column 8: Property 'b' does not exist on type '{ a: number; }'. (TS2339)\n"
    )
    assert "Cannot find name 'unborn'" in run("unborn").stderr


def test_names_given_to_the_global_object_are_known(run: Session) -> None:
    run("globalThis.cache = new Map(); global.loose = 5", language="javascript")
    assert run("cache.set('a', 1).size + loose") == Seen("6\n")


def test_only_the_first_ten_errors_are_told(run: Session) -> None:
    lines = run("\n".join(f"const n{n}: number = 'x';" for n in range(12))).stderr.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "TypeScript: 2 more type errors"


SESSION: list[tuple[str, str]] = [
    (
        "interface Order { id: number; total: number }\nconst orders: Order[] = [{ id: 1, total: 5 }];",
        "",
    ),
    ("function sum(list: Order[]) { return list.map((o) => o.total) }\nsum(orders)", "[ 5 ]\n"),
    (
        "function sum(list: Order[]): number { return list.reduce((a, o) => a + o.total, 0) }\nsum(orders)",
        "5\n",
    ),
    ("const result = sum(orders);\nresult.toFixed(2)", "'5.00'\n"),
    ("const result = `total: ${sum(orders)}`;\nresult.toUpperCase()", "'TOTAL: 5'\n"),
    (
        "let result: string[] = result_list();\nfunction result_list() { return ['a'] }\nresult.length",
        "1\n",
    ),
    (
        "interface Order { id: string; lines: number[] }\nconst order: Order = { id: 'x', lines: [1] };",
        "",
    ),
    ("orders[0].total + order.lines[0]", "6\n"),
    ("let user: { name: string } | null = null;", ""),
    ("user = { name: 'Ada' };", "{ name: 'Ada' }\n"),
    ("user.name", "'Ada'\n"),
    ("const found = ['a', 'b'].find((x) => x === 'b');\nif (!found) throw new Error('none');", ""),
    ("found.toUpperCase()", "'B'\n"),
    (
        "class Store { items = new Map<string, number>(); add(k: string) { this.items.set(k, 1) } }",
        "",
    ),
    ("const store = new Store(); store.add('a'); store.items.size", "1\n"),
    ("class Store { constructor(public name: string) {} }\nnew Store('x').name", "'x'\n"),
    ("store.items.has('a')", "true\n"),
    ("var count = 1; function next() { return ++count }", ""),
    ("const count = 'one'; count.length", "3\n"),
    ("let next = [1, 2]; next.at(-1)", "2\n"),
    ("import fs from 'node:fs';\nfs.existsSync('/')", "true\n"),
    ("const fs = require('fs'); fs.existsSync('/nowhere')", "false\n"),
    (
        "import * as fs from 'node:fs';\nimport crypto from 'node:crypto';\ncrypto.createHash('md5').update('').digest('hex').length",
        "32\n",
    ),
    ("const { createHash } = crypto; typeof createHash", "'function'\n"),
    ("enum Mode { On, Off }\nMode.Off", "1\n"),
    ("enum Mode { Fast = 'fast' }\nconst mode: Mode = Mode.Fast; mode", "'fast'\n"),
    ("type Id = string | number;\nlet id: Id = 5;", ""),
    ("id.toFixed(1)", "'5.0'\n"),
    ("type Id = { raw: string };\nconst wrapped: Id = { raw: 'r' }; wrapped.raw", "'r'\n"),
    (
        "async function load(): Promise<Id[]> { return [wrapped] }\nconst loaded = await load(); loaded.length",
        "1\n",
    ),
    ("async function load(n: number): Promise<number> { return n }\nawait load(2)", "2\n"),
    ("const { a, b: [c] } = { a: 1, b: [2] };\na + c", "3\n"),
    ("const [a, c] = ['x', 'y'];\na.concat(c)", "'xy'\n"),
    ("function untyped(x) { return x }\nuntyped(1).anything", ""),
    ("const parsed = JSON.parse('{\"k\": [1]}');\nparsed.k[0]", "1\n"),
    (
        "for (const order of [1, 2]) { const result = order; if (result > 1) console.log(result) }",
        "2\n",
    ),
    ("const byId = new Map(orders.map((o) => [o.id, o]));\nbyId.get(1)?.total", "5\n"),
    (
        "const groups = Object.groupBy(orders, (o) => (o.total > 3 ? 'big' : 'small'));\ngroups.big?.length",
        "1\n",
    ),
    (
        "if (user) { console.log(user.name) }\nprocess.env.HOME?.length === undefined",
        "Ada\nfalse\n",
    ),
    ("const result = { done: true };\nresult.done", "true\n"),
]


def test_a_session_that_declares_again_never_sees_a_false_error(fresh: Session) -> None:
    assert [fresh(code) for code, _ in SESSION] == [Seen(shown) for _, shown in SESSION]
    assert "(TS2551)" in fresh("result.undone").stderr


# ---- the language server is nobody's business


def server_pids(run: Session) -> list[str]:
    code = """
        const fs = require("fs")
        const words = (pid) => fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\\0")
        const pids = fs.readdirSync("/proc").filter((pid) => /^\\d+$/.test(pid))
        console.log(pids.filter((pid) => words(pid)[1] === "lsp").join(" "))
    """
    return run(code, language="javascript").stdout.split()


def test_a_run_does_not_depend_on_the_language_server(fresh: Session) -> None:
    for signal in ("SIGKILL", "SIGSTOP"):
        pids = server_pids(fresh)
        assert len(pids) == 1
        for pid in pids:
            fresh(f"process.kill({pid}, '{signal}')", language="javascript")
        started = time.monotonic()
        assert fresh("const n: number = 1; n") == Seen("1\n")
        assert time.monotonic() - started < 8


def test_a_lost_kernel_takes_its_types_along(fresh: Session) -> None:
    fresh("const gone = 1")
    assert fresh("process.kill(process.pid, 'SIGKILL'); while (true) {}").exit_code == -9
    assert "Cannot find name 'gone'" in fresh("gone").stderr
    assert fresh("const gone = 'again'; gone.length") == Seen("5\n")


# ---- time limits


@pytest.mark.parametrize("language", ["javascript", "typescript"])
@pytest.mark.parametrize("code", ["while (true) {}", "await new Promise(() => {})"])
def test_what_never_ends_is_ended_in_time(run: Session, code: str, language: str) -> None:
    run("let kept = 1")
    started = time.monotonic()
    ran = run.sandbox.execute_code(code, language=language, timeout=1)
    assert time.monotonic() - started < 3
    assert (ran.ended, ran.state_kept) == ("timed_out", True)
    assert run("kept", language=language) == Seen("1\n")
