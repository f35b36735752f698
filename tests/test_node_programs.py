"""Ordinary Node.js and TypeScript as a model writes it, through both frameworks, in one session."""
# ruff: noqa: E501 - programs are shown as they come

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from strands import Agent
from strands.agent.conversation_manager import NullConversationManager

from ci_toolkit import CodeInterpreter, Limits, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.langchain import CodeInterpreterToolkit
from ci_toolkit.strands import code_interpreter_tools
from ci_toolkit.testing.script import Turn
from ci_toolkit.testing.scripted_langchain import ScriptedChatModel
from ci_toolkit.testing.scripted_strands import ScriptedModel

pytestmark = pytest.mark.local
pytest.importorskip("deno")


class Program(NamedTuple):
    """A call, and what the model is told."""

    language: str
    code: str
    shown: str
    is_error: bool = False


class Told(NamedTuple):
    text: str
    is_error: bool


def js(code: str, shown: str) -> Program:
    return Program("javascript", code, shown)


def ts(code: str, shown: str) -> Program:
    return Program("typescript", code, shown)


PROGRAMS = {
    # ---- JavaScript
    "orders are summed up": js(
        """
const orders = JSON.parse('[{"id":1,"customer":{"name":"Ada"},"lines":[{"sku":"A","qty":2,"price":9.5},{"sku":"B","qty":1,"price":20}]},{"id":2,"customer":{"name":"Alan"},"lines":[{"sku":"A","qty":1,"price":9.5}]}]');
const totals = orders.map(o => ({ name: o.customer.name, total: o.lines.reduce((s, l) => s + l.qty * l.price, 0) }));
console.table(totals);
console.log(JSON.stringify(Object.fromEntries(totals.map(t => [t.name, t.total]))));
""",
        """
┌─────────┬────────┬───────┐
│ (index) │ name   │ total │
├─────────┼────────┼───────┤
│ 0       │ 'Ada'  │ 39    │
│ 1       │ 'Alan' │ 9.5   │
└─────────┴────────┴───────┘
{"Ada":39,"Alan":9.5}
""",
    ),
    "a csv file with quotes": js(
        r"""
const fs = require('fs');
const path = require('path');
const file = path.join(process.cwd(), 'cities.csv');
fs.writeFileSync(file, 'city,country,population\n"Paris, TX",US,24476\nParis,FR,2102650\n"The ""Big"" One",US,1\n');
function parseCsv(text) {
  const rows = []; let row = [], field = '', quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) { if (c === '"' && text[i + 1] === '"') { field += '"'; i++; } else if (c === '"') quoted = false; else field += c; }
    else if (c === '"') quoted = true;
    else if (c === ',') { row.push(field); field = ''; }
    else if (c === '\n') { row.push(field); rows.push(row); row = []; field = ''; }
    else field += c;
  }
  return rows;
}
const [header, ...rows] = parseCsv(fs.readFileSync(file, 'utf8'));
const people = rows.map(r => Object.fromEntries(header.map((h, i) => [h, r[i]])));
console.log(people.map(p => p.city), people.reduce((s, p) => s + Number(p.population), 0));
""",
        "[ 'Paris, TX', 'Paris', 'The \"Big\" One' ] 2127127",
    ),
    "a file through streams, line by line": js(
        """
const { createReadStream, createWriteStream } = require('node:fs');
const { pipeline } = require('node:stream/promises');
const { Transform } = require('node:stream');
const readline = require('node:readline');
const rl = readline.createInterface({ input: createReadStream('cities.csv'), crlfDelay: Infinity });
let lines = 0;
for await (const line of rl) lines++;
const upper = new Transform({ transform(chunk, _, done) { done(null, chunk.toString().toUpperCase()); } });
await pipeline(createReadStream('cities.csv'), upper, createWriteStream('upper.csv'));
console.log(lines, (await require('fs/promises').readFile('upper.csv', 'utf8')).slice(0, 12));
""",
        "4 CITY,COUNTRY",
    ),
    "folders are walked": js(
        """
const fs = require('fs/promises'); const path = require('path');
await fs.mkdir('site/pages', { recursive: true });
await Promise.all(['site/index.html', 'site/pages/a.html', 'site/pages/b.txt'].map(f => fs.writeFile(f, f)));
async function* walk(dir) {
  for (const entry of (await fs.readdir(dir, { withFileTypes: true })).sort((a, b) => a.name.localeCompare(b.name))) {
    const full = path.join(dir, entry.name);
    if (entry.isDirectory()) yield* walk(full); else yield full;
  }
}
const found = [];
for await (const f of walk('site')) if (path.extname(f) === '.html') found.push(f);
console.log(found, (await fs.stat('site/index.html')).size);
await fs.rm('site', { recursive: true });
""",
        "[ 'site/index.html', 'site/pages/a.html' ] 15",
    ),
    "a retry with growing pauses": js(
        """
const delay = ms => new Promise(r => setTimeout(r, ms));
let tries = 0;
async function flaky() { tries++; if (tries < 3) throw new Error(`try ${tries} failed`); return 'done'; }
async function retry(fn, { retries = 5, base = 1 } = {}) {
  for (let i = 0; ; i++) {
    try { return await fn(); }
    catch (e) { if (i >= retries) throw e; console.warn(e.message); await delay(base * 2 ** i); }
  }
}
console.log(await retry(flaky), tries);
""",
        """
done 3
stderr:
try 1 failed
try 2 failed
""",
    ),
    "work with a limit on how much at once": js(
        """
async function mapLimit(items, limit, fn) {
  const results = new Array(items.length); let next = 0, active = 0, peak = 0;
  await Promise.all(Array.from({ length: limit }, async () => {
    while (next < items.length) { const i = next++; active++; peak = Math.max(peak, active); results[i] = await fn(items[i]); active--; }
  }));
  return { results, peak };
}
console.log(await mapLimit([1, 2, 3, 4, 5], 2, async n => { await new Promise(setImmediate); return n ** 2; }));
""",
        "{ results: [ 1, 4, 9, 16, 25 ], peak: 2 }",
    ),
    "child processes": js(
        """
const { execFile, spawn, execSync } = require('node:child_process');
const { promisify } = require('node:util');
const { stdout } = await promisify(execFile)('printf', ['%s-%s', 'a', 'b']);
const sorted = await new Promise((resolve, reject) => {
  const child = spawn('sort', ['-n']); let out = '';
  child.stdout.on('data', d => out += d); child.on('error', reject); child.on('close', code => resolve({ code, out }));
  child.stdin.end('10\\n9\\n2\\n');
});
let status; try { execSync('exit 7', { stdio: 'ignore' }); } catch (e) { status = e.status; }
console.log(stdout, sorted, status);
""",
        "a-b { code: 0, out: '2\\n9\\n10\\n' } 7",
    ),
    "numbers, dates and lists of the world": js(
        """
const n = 1234567.891;
console.log(new Intl.NumberFormat('en-IN').format(n), new Intl.NumberFormat('ja-JP', { style: 'currency', currency: 'JPY' }).format(n));
console.log(new Intl.DateTimeFormat('fr-FR', { dateStyle: 'full', timeZone: 'Europe/Paris' }).format(new Date(Date.UTC(2026, 6, 14))));
console.log(new Intl.RelativeTimeFormat('es', { numeric: 'auto' }).format(-1, 'day'), new Intl.ListFormat('en', { type: 'conjunction' }).format(['a', 'b', 'c']));
console.log(new Intl.PluralRules('en', { type: 'ordinal' }).select(22), ['ä', 'a', 'z'].sort(new Intl.Collator('de').compare), [...new Intl.Segmenter('en', { granularity: 'word' }).segment('Hi there')].length);
""",
        """
12,34,567.891 ￥1,234,568
mardi 14 juillet 2026
ayer a, b, and c
two [ 'a', 'ä', 'z' ] 3
""",
    ),
    "an http server and its client": js(
        """
const http = require('http');
const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://x');
  if (url.pathname !== '/sum') { res.writeHead(404).end(); return; }
  let body = ''; req.on('data', c => body += c); req.on('end', () => {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ method: req.method, sum: JSON.parse(body).reduce((a, b) => a + b) }));
  });
});
await new Promise(r => server.listen(0, '127.0.0.1', r));
const base = `http://127.0.0.1:${server.address().port}`;
const good = await fetch(`${base}/sum`, { method: 'POST', body: JSON.stringify([1, 2, 3]) });
console.log(good.status, await good.json(), (await fetch(`${base}/none`)).status);
server.close();
""",
        "200 { method: 'POST', sum: 6 } 404",
    ),
    "a class with everything": js(
        """
class Account {
  #balance = 0; static #count = 0; static { this.kind = 'current'; }
  constructor(owner) { this.owner = owner; Account.#count++; }
  get balance() { return this.#balance; }
  set balance(v) { if (v < 0) throw new RangeError(`Balance of ${this.owner} would be ${v}`); this.#balance = v; }
  #log(what) { return `${this.owner}: ${what}`; }
  deposit(n) { this.balance += n; return this.#log(`+${n}`); }
  static get count() { return Account.#count; }
  toJSON() { return { owner: this.owner, balance: this.#balance }; }
  [Symbol.toPrimitive](hint) { return hint === 'number' ? this.#balance : this.owner; }
}
class Savings extends Account { deposit(n) { return super.deposit(n * 2) + '!'; } }
const a = new Savings('Ada');
console.log(a.deposit(5), JSON.stringify(a), +a, `${a}`, Account.count, Savings.kind);
try { a.balance = -1; } catch (e) { console.log(e.name, e.message); }
""",
        """
Ada: +10! {"owner":"Ada","balance":10} 10 Ada 1 current
RangeError Balance of Ada would be -1
""",
    ),
    "events, timers and an abort": js(
        """
const { EventEmitter, once, on } = require('events');
const { setTimeout: sleep } = require('timers/promises');
const bus = new EventEmitter();
setTimeout(() => bus.emit('ready', { port: 80 }), 5);
const [info] = await once(bus, 'ready');
const controller = new AbortController();
setTimeout(() => controller.abort(), 5);
const reason = await sleep(10_000, 'late', { signal: controller.signal }).catch(e => e.name);
console.log(info, reason, bus.listenerCount('ready'));
""",
        "{ port: 80 } AbortError 0",
    ),
    "proxies, weak references and symbols": js(
        """
const log = [];
const watched = new Proxy({ a: 1 }, { get(t, k, r) { log.push(String(k)); return Reflect.get(t, k, r); }, has: (t, k) => k.startsWith('a') });
console.log(watched.a + (watched.b ?? 10), 'abc' in watched, 'xyz' in watched, log);
const memo = new WeakMap(), key = {}; memo.set(key, 'v');
console.log(memo.get(key), structuredClone({ d: new Date(0), m: new Map([[1, { x: [1n] }]]) }));
""",
        """
11 true false [ 'a', 'b' ]
v { d: 1970-01-01T00:00:00.000Z, m: Map(1) { 1 => { x: [Array] } } }
""",
    ),
    "hashes, ciphers and bytes": js(
        """
const crypto = require('node:crypto');
const key = crypto.scryptSync('password', 'salt', 32), iv = Buffer.alloc(16, 1);
const cipher = crypto.createCipheriv('aes-256-cbc', key, iv);
const secret = Buffer.concat([cipher.update('attack at dawn'), cipher.final()]);
const decipher = crypto.createDecipheriv('aes-256-cbc', key, iv);
console.log(secret.length, Buffer.concat([decipher.update(secret), decipher.final()]).toString());
const view = new DataView(new ArrayBuffer(8)); view.setFloat32(0, 1.5); view.setInt16(4, -2, true);
console.log(Buffer.from(view.buffer).toString('hex'), crypto.createHash('sha1').update('abc').digest('base64'), crypto.timingSafeEqual(Buffer.from('a'), Buffer.from('a')));
""",
        """
16 attack at dawn
3fc00000feff0000 qZk+NkcGgWq6PiVxeFDCbJzQ2J0= true
""",
    ),
    "what earlier calls have left": js(
        "console.log(typeof parseCsv, orders.length, people[1].city, Account.count, require('fs').existsSync('cities.csv'))",
        "function 2 Paris 1 true",
    ),
    "an error of its own with a cause": Program(
        "javascript",
        """
class ValidationError extends Error {
  constructor(message, field, options) { super(message, options); this.name = 'ValidationError'; this.field = field; }
}
function parse(text) { try { return JSON.parse(text); } catch (cause) { throw new ValidationError('Bad settings', 'body', { cause }); } }
try { parse('{bad'); } catch (e) { console.log(e instanceof ValidationError, e.field, e.cause.name); }
parse('{"a":');
""",
        """
true body SyntaxError
stderr:
Uncaught ValidationError: Bad settings
    at parse (cell-N:4:79)
    at cell-N:6:1 {
  field: 'body',
  [cause]: SyntaxError: Unexpected end of JSON input
      at parse (cell-N:4:42)
      at cell-N:6:1
}
Failed with exit code 1.
""",
        is_error=True,
    ),
    "a name that is not there": Program(
        "javascript",
        "const values = [1, 2, 3];\n\nconsole.log(values.map(v => v * factor));",
        """
stderr:
Uncaught ReferenceError: factor is not defined
    at cell-N:3:33
    at cell-N:3:20
Failed with exit code 1.
""",
        is_error=True,
    ),
    "a promise that nobody catches": Program(
        "javascript",
        "async function load(id) { if (!id) throw new TypeError('id is missing'); return id; }\nload(1).then(console.log);\nload();",
        """
1
stderr:
Uncaught TypeError: id is missing
    at load (cell-N:1:42)
    at cell-N:3:1
Failed with exit code 1.
""",
        is_error=True,
    ),
    "a bracket too few": Program(
        "javascript",
        "function area(r) {\n  return Math.PI * (r ** 2;\n}",
        """
stderr:
SyntaxError: Expected ',', got ';'
  |
2 |   return Math.PI * (r ** 2;
  |                           ~
    at cell-N:2:27
Failed with exit code 1.
""",
        is_error=True,
    ),
    # ---- TypeScript
    "a typed repository": ts(
        """
interface Entity { readonly id: string }
interface Product extends Entity { name: string; price: number; tags?: string[] }
class Repository<T extends Entity> {
  private readonly items = new Map<T['id'], T>();
  add(...items: T[]): this { items.forEach((i) => this.items.set(i.id, i)); return this; }
  find<K extends keyof T>(key: K, value: T[K]): T[] { return [...this.items.values()].filter((i) => i[key] === value); }
  update(id: string, change: Partial<Omit<T, 'id'>>): T { const old = this.items.get(id); if (!old) throw new Error(`no ${id}`); const next = { ...old, ...change }; this.items.set(id, next); return next; }
}
const products = new Repository<Product>().add({ id: 'a', name: 'Pen', price: 2 }, { id: 'b', name: 'Ink', price: 2, tags: ['blue'] });
console.log(products.find('price', 2).map(({ name }) => name), products.update('a', { price: 3 }).price);
""",
        "[ 'Pen', 'Ink' ] 3",
    ),
    "results as a union": ts(
        """
type Result<T, E = Error> = { ok: true; value: T } | { ok: false; error: E };
const attempt = async <T,>(work: () => Promise<T> | T): Promise<Result<T>> => { try { return { ok: true, value: await work() }; } catch (e) { return { ok: false, error: e as Error }; } };
const [good, bad] = await Promise.all([attempt(() => 21 * 2), attempt<number>(() => { throw new Error('boom'); })]);
console.log(good.ok ? good.value.toFixed(1) : 'no', bad.ok ? bad.value : bad.error.message);
""",
        "42.0 boom",
    ),
    "types made of types": ts(
        """
type Getters<T> = { [K in keyof T as `get${Capitalize<string & K>}`]: () => T[K] };
type ElementOf<A> = A extends readonly (infer E)[] ? E : never;
const roles = ['admin', 'user'] as const; type Role = ElementOf<typeof roles>;
function getters<T extends object>(o: T): Getters<T> { return Object.fromEntries(Object.entries(o).map(([k, v]) => [`get${k[0].toUpperCase()}${k.slice(1)}`, () => v])) as Getters<T>; }
const person = getters({ name: 'Ada', role: 'admin' as Role });
const counts: Record<Role, number> = { admin: 1, user: 2 };
console.log(person.getName().length, person.getRole(), counts[person.getRole()]);
""",
        "3 admin 1",
    ),
    "a state machine that forgets no case": ts(
        """
type State = { tag: 'idle' } | { tag: 'loading'; since: number } | { tag: 'done'; data: string[] };
type Event = { type: 'start'; at: number } | { type: 'finish'; data: string[] } | { type: 'reset' };
function assertNever(x: never): never { throw new Error(`unexpected ${JSON.stringify(x)}`); }
function step(state: State, event: Event): State {
  switch (event.type) {
    case 'start': return state.tag === 'idle' ? { tag: 'loading', since: event.at } : state;
    case 'finish': return state.tag === 'loading' ? { tag: 'done', data: event.data } : state;
    case 'reset': return { tag: 'idle' };
    default: return assertNever(event);
  }
}
const events: Event[] = [{ type: 'start', at: 1 }, { type: 'finish', data: ['x'] }];
console.log(events.reduce(step, { tag: 'idle' } as State));
""",
        "{ tag: 'done', data: [ 'x' ] }",
    ),
    "files with Node's promises": ts(
        """
import { readFile, writeFile, readdir } from 'node:fs/promises';
import { basename, extname } from 'node:path';
interface Reading { sensor: string; celsius: number }
const readings: Reading[] = [{ sensor: 's1', celsius: 20.5 }, { sensor: 's2', celsius: 23 }];
await writeFile('readings.json', JSON.stringify(readings, null, 2), 'utf8');
const parsed = JSON.parse(await readFile('readings.json', 'utf8')) as Reading[];
const average = parsed.reduce((sum, { celsius }) => sum + celsius, 0) / parsed.length;
console.log(average.toFixed(2), (await readdir('.')).filter((f) => extname(f) === '.json').map((f) => basename(f, '.json')));
""",
        "21.75 [ 'readings' ]",
    ),
    "generators and lazy sequences": ts(
        """
class Lazy<T> implements Iterable<T> {
  constructor(private readonly source: Iterable<T>) {}
  map<U>(f: (t: T) => U): Lazy<U> { const s = this.source; return new Lazy({ *[Symbol.iterator]() { for (const x of s) yield f(x); } }); }
  take(n: number): Lazy<T> { const s = this.source; return new Lazy({ *[Symbol.iterator]() { let i = 0; if (n > 0) for (const x of s) { yield x; if (++i >= n) return; } } }); }
  [Symbol.iterator](): Iterator<T> { return this.source[Symbol.iterator](); }
}
function* naturals(): Generator<number, void, unknown> { let n = 1; while (true) yield n++; }
console.log([...new Lazy(naturals()).map((n) => n * n).take(5)].join(' '));
""",
        "1 4 9 16 25",
    ),
    "an event emitter that knows its events": ts(
        """
import { EventEmitter } from 'node:events';
type Events = { login: [user: string, at: Date]; logout: [user: string] };
class Bus extends EventEmitter<Events> {}
const bus2 = new Bus();
bus2.on('login', (user, at) => console.log(user.toUpperCase(), at.getUTCFullYear()));
bus2.emit('login', 'ada', new Date(0));
console.log(bus2.eventNames());
""",
        "ADA 1970\n[ 'login' ]",
    ),
    "text counted and sorted": ts(
        """
const text: string = 'the quick brown fox jumps over the lazy dog the end';
const frequency = text.split(/\\s+/).reduce<Map<string, number>>((m, w) => m.set(w, (m.get(w) ?? 0) + 1), new Map());
const top = [...frequency].toSorted(([a, x], [b, y]) => y - x || a.localeCompare(b)).slice(0, 2);
console.log(top, Object.groupBy(frequency.keys(), (w) => w.length).5?.length ?? 'none');
""".replace(").5?", ")[5]?"),
        "[ [ 'the', 3 ], [ 'brown', 1 ] ] 3",
    ),
    "a function is fixed and run again": ts(
        "function mean(xs: number[]): number { return xs.reduce((a, b) => a + b, 0) / xs.length; }\nfunction mean2(xs: (number | null)[]): number { return mean(xs.filter((x): x is number => x !== null)); }\nmean2([1, null, 3])",
        "2",
    ),
    "and once more with another type": ts(
        "function mean(xs: Iterable<number>): { mean: number; n: number } { let s = 0, n = 0; for (const x of xs) { s += x; n++; } return { mean: s / n, n }; }\nmean(new Set([2, 4])).mean.toFixed(1)",
        "'3.0'",
    ),
    "a wrong type that runs all the same": Program(
        "typescript",
        "interface User { name: string; age: number }\nconst user: User = { name: 'Ada', age: '36' };\nconsole.log(user.age + 1, user.nam);",
        """
361 undefined
stderr:
TypeScript: line 2, column 35: Type 'string' is not assignable to type 'number'. (TS2322)
TypeScript: line 3, column 32: Property 'nam' does not exist on type 'User'. Did you mean 'name'? (TS2551)
""",
    ),
    "an error in a method": Program(
        "typescript",
        "class Parser {\n  constructor(private readonly text: string) {}\n  number(): number {\n    const n = Number(this.text);\n    if (Number.isNaN(n)) throw new SyntaxError(`not a number: ${this.text}`);\n    return n;\n  }\n}\nconsole.log(new Parser('12').number());\nnew Parser('x').number();",
        """
12
stderr:
Uncaught SyntaxError: not a number: x
    at Parser.number (cell-N:5:32)
    at cell-N:10:17
Failed with exit code 1.
""",
        is_error=True,
    ),
    "a null that was not thought of": Program(
        "typescript",
        "const found = products.find('name', 'Brush')[0] as Product | undefined;\nconsole.log(found.price);",
        """
stderr:
Uncaught TypeError: Cannot read properties of undefined (reading 'price')
    at cell-N:2:19
TypeScript: line 2, column 13: 'found' is possibly 'undefined'. (TS18048)
Failed with exit code 1.
""",
        is_error=True,
    ),
}

WARM: Turn = [("execute_code", {"language": "typescript", "code": "const ready: number = 'no'"})]
SCRIPT: list[Turn] = [
    [("execute_code", {"language": each.language, "code": each.code.strip()})]
    for each in PROGRAMS.values()
]


def through_langchain(interpreter: CodeInterpreter, script: list[Turn]) -> list[Told]:
    scope = Scope(user_id="ada", session_id="langchain")
    tools = CodeInterpreterToolkit(interpreter, scope=scope).get_tools()
    agent = create_agent(ScriptedChatModel([*script, "done"]), tools)
    question: Any = {"messages": [("user", "go")]}
    said = agent.invoke(question, {"recursion_limit": 200})
    return [
        Told(message.text, message.status == "error")
        for message in said["messages"]
        if isinstance(message, ToolMessage)
    ]


def through_strands(interpreter: CodeInterpreter, script: list[Turn]) -> list[Told]:
    scope = Scope(user_id="ada", session_id="strands")
    agent = Agent(
        model=ScriptedModel([*script, "done"]),
        tools=list(code_interpreter_tools(interpreter, scope=scope)),
        callback_handler=None,
        conversation_manager=NullConversationManager(),  # which forgets nothing
    )
    asyncio.run(agent.invoke_async("go"))
    return [
        Told(
            "\n".join(part["text"] for part in block["toolResult"]["content"] if "text" in part),
            block["toolResult"]["status"] == "error",
        )
        for message in agent.messages
        for block in message["content"]
        if "toolResult" in block
    ]


Door = Callable[[CodeInterpreter, list[Turn]], list[Told]]


@pytest.fixture(scope="module")
def interpreter() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(LocalBackend(), limits=Limits(timeout=60)) as interpreter:
        yield interpreter


@pytest.fixture(
    scope="module", params=[through_langchain, through_strands], ids=["langchain", "strands"]
)
def told(request: pytest.FixtureRequest, interpreter: CodeInterpreter) -> dict[str, Told]:
    """One conversation of an agent, in which it runs all the programs."""
    door: Door = request.param
    # The first checks may come too late on a busy machine, and are then not told.
    warm = [WARM] * 4
    results = door(interpreter, [*warm, *SCRIPT])[len(warm) :]
    return dict(zip(PROGRAMS, results, strict=True))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_shows_what_node_would_show(told: dict[str, Told], name: str) -> None:
    text, is_error = told[name]

    program = PROGRAMS[name]
    assert re.sub(r"cell-\d+", "cell-N", text) == program.shown.strip()
    assert is_error is program.is_error


def test_there_are_thirty_and_more() -> None:
    assert len(PROGRAMS) >= 30
    assert {each.language for each in PROGRAMS.values()} == {"javascript", "typescript"}
