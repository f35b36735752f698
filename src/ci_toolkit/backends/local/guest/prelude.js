// Runs once in every new JavaScript kernel, before the first cell: makes `deno jupyter` print like
// a program, offer Node's CommonJS names, name the user's own lines in errors, and let go of a
// pending `await` when the guest asks for it. Called with the sandbox paths it needs.
function prelude({ cells, stop, directory }) {
  const fs = process.getBuiltinModule("node:fs");
  const util = process.getBuiltinModule("node:util");
  const { Console } = process.getBuiltinModule("node:console");
  const { createRequire, stripTypeScriptTypes } = process.getBuiltinModule("node:module");
  const { pathToFileURL } = process.getBuiltinModule("node:url");
  const { existsSync, readFileSync } = fs;
  const { now } = performance;
  const clock = now.bind(performance);

  const define = (target, names) => {
    for (const [name, value] of Object.entries(names)) {
      Object.defineProperty(target, name, { value, writable: true, configurable: true });
    }
  };

  // ---- Output: the kernel would send each print as a message and lose some in a flood.

  const encoder = new TextEncoder();
  const channel = (fd, stream, denoStream) => {
    const file = Deno.openSync(`/proc/self/fd/${fd}`, { write: true });
    const writeAll = (bytes) => {
      for (let rest = bytes; rest.length > 0;) rest = rest.subarray(file.writeSync(rest));
      return bytes.length;
    };
    const write = (chunk, encoding, done) => {
      if (typeof chunk !== "string") writeAll(chunk);
      else if (typeof encoding !== "string") writeAll(encoder.encode(chunk));
      else writeAll(Buffer.from(chunk, encoding));
      const callback = typeof encoding === "function" ? encoding : done;
      if (callback) queueMicrotask(callback);
      return true;
    };
    define(stream, { write });
    define(denoStream, {
      write: async (bytes) => writeAll(bytes),
      writeSync: writeAll,
      writable: new WritableStream({ write: (bytes) => void writeAll(bytes) }),
    });
    return write;
  };
  const out = channel(1, process.stdout, Deno.stdout);
  const err = channel(2, process.stderr, Deno.stderr);

  const sink = (write) => ({
    write: (text) => write(text),
    on() {},
    once() {},
    removeListener() {},
    listenerCount: () => 0,
  });
  const printer = new Console({ stdout: sink(out), stderr: sink(err), colorMode: false });
  for (const name of Object.keys(printer)) {
    if (typeof printer[name] === "function") define(console, { [name]: printer[name] });
  }
  // Half of the time of a long loop that prints goes into what only groups need.
  let depth = 0;
  const quick = (write, slow) => (...values) => {
    if (depth > 0) slow(...values);
    else write(`${typeof values[0] === "string" && values.length === 1 ? values[0] : util.format(...values)}\n`);
  };
  const group = (...values) => {
    printer.group(...values);
    depth += 1;
  };
  define(console, {
    log: quick(out, printer.log),
    info: quick(out, printer.info),
    debug: quick(out, printer.debug),
    error: quick(err, printer.error),
    warn: quick(err, printer.warn),
    group,
    groupCollapsed: group,
    groupEnd: () => {
      printer.groupEnd();
      depth = Math.max(0, depth - 1);
    },
  });

  // The last value of a cell; one that knows how to show itself in Jupyter is left to Jupyter.
  const show = (value) => {
    if (typeof value?.[Symbol.for("Jupyter.display")] === "function") return value;
    if (value !== undefined) out(`${util.inspect(value, { colors: false })}\n`);
  };

  // What a child process inherits are pipes of the kernel's own, whose other ends send messages of
  // which some are lost and all come late. They are made to be the pipes of this process.
  const redirect = () => {
    const { spawnSync } = process.getBuiltinModule("node:child_process");
    const { dup3 } = Deno.dlopen("libc.so.6", {
      dup3: { parameters: ["i32", "i32", "i32"], result: "i32" },
    }).symbols;
    const CLOEXEC = 0o2000000;
    const link = (fd) => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return "";
      }
    };
    const writable = (fd) => /^flags:\s+\d*1$/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
    for (const [fd, other] of [[1, 2], [2, 1]]) {
      const stdio = ["ignore", "pipe", "pipe"];
      stdio[fd] = "inherit";
      const script = `pipe=$(readlink /proc/$$/fd/${fd}); echo "$pipe" >&${other}`;
      const pipe = spawnSync("/bin/sh", ["-c", script], { stdio }).output[other].toString().trim();
      if (!pipe.startsWith("pipe:") || pipe === link(fd)) continue;
      for (const each of fs.readdirSync("/proc/self/fd")) {
        if (link(each) === pipe && writable(each)) dup3(fd, Number(each), CLOEXEC);
      }
    }
  };
  try {
    redirect();
  } catch {
    // No libc of that name: what children print without being asked for it stays unseen.
  }

  // ---- What CommonJS code expects to find.

  const filename = `${directory}/cell.js`;
  const exports = {};
  define(globalThis, {
    require: createRequire(filename),
    module: { exports, filename, id: ".", loaded: false, children: [], paths: [] },
    exports,
    __dirname: directory,
    __filename: filename,
    __ci_meta: { url: pathToFileURL(filename).href, filename, dirname: directory, main: true },
  });

  define(require, { main: module });

  // ---- Stopping: every `await` of a cell's top level goes through `__ci_await`.

  const PERIOD = 50; // milliseconds between two looks for the guest's sign
  const waiting = new Set();
  let looked = clock();

  class Stopped extends Error {
    name = "Stopped";
  }
  class Exit extends Error {
    name = "ci:exit";
  }

  const release = (reason) => {
    for (const reject of waiting) reject(reason);
    waiting.clear();
  };
  // The kernel notices that it has interrupted a cell which had awaited before only when the
  // cell's promise is collected as garbage.
  let unanswered = 0;
  let ticking;
  const tick = () => {
    if (!existsSync(stop)) unanswered = 0;
    else if (waiting.size > 0) release(new Stopped("the run was stopped"));
    else if (++unanswered % 4 === 0) __ci_gc();
  };
  // An interrupt can take the timers of its time with it: every cell begins with a new one.
  let begun = "";
  const begin = (name) => {
    begun = name;
    floating = [];
    clearInterval(ticking);
    ticking = setInterval(tick, PERIOD);
  };
  // A loop like `for (;;) await 0` never lets a timer run, so that each await looks by itself.
  const look = () => {
    const time = clock();
    if (time - looked < PERIOD) return;
    looked = time;
    if (existsSync(stop)) throw new Stopped("the run was stopped");
  };
  // A rejection that comes from inside the runtime names no line of the user's: add the await's.
  const placed = (error, place) => {
    if (error instanceof Error && !(error instanceof Exit) && !(error instanceof Stopped)) {
      const cell = place.slice(0, place.indexOf(":") + 1);
      if (!String(error.stack).includes(cell)) define(error, { stack: `${error.stack}\n    at async ${place}` });
    }
    return error;
  };
  // The kernel keeps only the words of what is thrown.
  let thrown = [];
  const noted = (value, place) => {
    thrown = [value, place];
    return value;
  };
  const guard = (value, place) => {
    look();
    if (value === null || (typeof value !== "object" && typeof value !== "function")) return value;
    return new Promise((resolve, reject) => {
      waiting.add(reject);
      Promise.resolve(value).then(
        (result) => {
          waiting.delete(reject);
          resolve(result);
        },
        (error) => {
          waiting.delete(reject);
          reject(noted(placed(error, place), place));
        },
      );
    });
  };
  const iterate = (source, place) => {
    const items = source[Symbol.asyncIterator]
      ? source[Symbol.asyncIterator]()
      : (async function* () {
        yield* source;
      })();
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: async () => await guard(items.next(), place),
      return: async (value) => (await items.return?.(value)) ?? { done: true, value },
    };
  };

  // The session outlives the program: leaving ends the run, also from within a callback.
  const exit = (code) => {
    const reason = new Exit(String(Number(code ?? process.exitCode ?? 0) & 255));
    process.exitCode = undefined;
    release(reason);
    throw reason;
  };
  // An exit code that was set, but not left with, is the cell's.
  const exitCode = () => {
    const code = Number(process.exitCode ?? 0) & 255;
    process.exitCode = undefined;
    return code;
  };
  const leave = (...values) => {
    values.forEach(show);
    throw new Exit(String(exitCode()));
  };
  let floating = [];
  const float = (value, place) => {
    if (value instanceof Promise) {
      value.catch(() => {});
      floating.push([value, place]);
    }
    return value;
  };
  // What a last call like `server.listen()` gives is for going on with, and long.
  const { EventEmitter } = process.getBuiltinModule("node:events");
  const isRunning = (value) =>
    value instanceof EventEmitter || /^(Timeout|Immediate)$/.test(value?.constructor?.name);
  // A program ends when all that it has begun is done.
  const end = async (...last) => {
    let value = last[0];
    try {
      if (value instanceof Promise) float(...last);
      for (const each of floating) value = await guard(...each);
      if (!(last[0] instanceof Promise)) value = last[0];
    } finally {
      floating = [];
    }
    value = show(isRunning(value) ? undefined : value);
    const code = exitCode();
    if (code !== 0) throw new Exit(String(code));
    return value;
  };
  define(process, { exit });
  define(Deno, { exit });

  // ---- Errors: Deno prints each cell anew before it runs it, so that its line numbers are not the
  // user's. The same printer with a source map finds the way back.

  const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const decode = (mappings) => {
    const state = [0, 0, 0, 0, 0];
    return mappings.split(";").map((line) => {
      state[0] = 0;
      return line.split(",").filter(Boolean).map((segment) => {
        let [field, value, shift] = [0, 0, 0];
        for (const letter of segment) {
          const digit = BASE64.indexOf(letter);
          value += (digit & 31) << shift;
          shift += 5;
          if (digit & 32) continue;
          state[field++] += value & 1 ? -(value >> 1) : value >> 1;
          [value, shift] = [0, 0];
        }
        return { column: state[0], line: state[2], source: state[3] };
      });
    });
  };

  const OURS =
    /\/\*ci\{\*\/.*?\/\*\}ci\*\/|(?:await )?__ci_end\(\(|__ci_(?:show\(|throw\(|float\(|await|iterate|constant)?\(|__ci_function_|\)?, "cell-\d+:\d+:\d+"\)/g;
  const maps = new Map();
  const mapOf = (name) => {
    if (!maps.has(name)) {
      if (maps.size >= 32) maps.delete(maps.keys().next().value);
      const text = readFileSync(`${cells}/${name}`, "utf8");
      const options = { mode: "transform", sourceMap: true };
      const printed = stripTypeScriptTypes(`//# sourceURL=${name}\n${text}`, options);
      const map = JSON.parse(atob(printed.slice(printed.lastIndexOf("base64,") + 7)));
      const code = printed.slice(0, printed.lastIndexOf("//# sourceMappingURL"));
      maps.set(name, { code, lines: text.split("\n"), mappings: decode(map.mappings) });
    }
    return maps.get(name);
  };
  const place = (name, line, column) => {
    try {
      const { lines, mappings } = mapOf(name);
      const segments = mappings[line - 1] ?? [];
      const earlier = mappings.slice(0, line).findLast((each) => each.length > 0);
      const found = segments.findLast((each) => each.column < column) ?? segments[0] ?? earlier.at(-1);
      const before = lines[found.line - 1].slice(0, found.source);
      const own = before.replaceAll("throw __ci_return(", "return ").replaceAll(OURS, "");
      return `${name}:${found.line}:${own.length + 1}`;
    } catch {
      return name;
    }
  };
  const frame = (site) => {
    const script = site.getScriptNameOrSourceURL() ?? "";
    const text = site.toString();
    if (/^cell-\d+$/.test(script)) {
      const [line, column] = [site.getLineNumber(), site.getColumnNumber()];
      return text.replace(`${script}:${line}:${column}`, () => place(script, line, column));
    }
    if (/^(file|https?|data|blob):/.test(script)) return text.replace("file://", "");
    return null;
  };
  let recent = [];
  Error.stackTraceLimit = 30; // of which those of the runtime are left out
  Error.prepareStackTrace = (error, sites) => {
    recent = [error, ...recent.slice(0, 15)];
    const frames = sites.map(frame).filter(Boolean).slice(0, 10).map((text) => `\n    at ${text}`);
    return Error.prototype.toString.call(error) + frames.join("");
  };

  const report = (error) => {
    if (error instanceof Exit || error instanceof Stopped) return;
    err(`Uncaught ${util.inspect(error, { colors: false })}\n`);
  };
  // Left alone, these two would block the kernel.
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    report(event.error);
  });
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    report(event.reason);
  });

  // V8 does not say where it stumbled over a cell, but where it stumbles over a module.
  const stumbled = async (name) => {
    const code = mapOf(name).code.replace(/^.*/, "throw 0;");
    const url = `data:text/javascript,${encodeURIComponent(code)}`;
    const error = await import(url).catch((reason) => reason);
    const found = error instanceof SyntaxError && /^([^]*?) at data:[^]*:(\d+):(\d+)$/.exec(error.message);
    if (!found) return false;
    err(`SyntaxError: ${found[1]}\n    at ${place(name, Number(found[2]), Number(found[3]))}\n`);
    return true;
  };
  // Deno refuses a cell that it cannot parse without saying why.
  const explain = (name) => {
    try {
      const text = readFileSync(`${cells}/${name}`, "utf8").replace(/^\/\*ci\{.*?\}ci\*\//, "");
      stripTypeScriptTypes(text, { mode: "transform" });
      err("Error: an import of this code could not be loaded\n");
    } catch (error) {
      err(`${error.message.replace("file:///stripTypeScriptTypes.ts", name)}\n`);
    }
  };
  // The kernel tells of an uncaught error by its words alone; its causes and fields are with the
  // error that has the same stack.
  const tell = async (name, words, stack) => {
    if (stack === null) return explain(name);
    if (begun !== name && (await stumbled(name))) return;
    const error = recent.find((each) => each.stack === stack);
    if (error) report(error);
    else if (thrown.length > 0 && !(thrown[0] instanceof Error)) {
      err(`Uncaught ${util.inspect(thrown[0], { colors: false })}\n    at ${thrown[1]}\n`);
    } else err(`Uncaught ${stack || words}\n`);
  };

  define(globalThis, {
    __ci_begin: begin,
    __ci_await: guard,
    __ci_iterate: iterate,
    __ci_show: show,
    __ci_float: float,
    __ci_end: end,
    __ci_return: leave,
    __ci_throw: noted,
    __ci_named: (value, name) => Object.defineProperty(value, "name", { value: name, configurable: true }),
    __ci_constant: () => {
      throw new TypeError("Assignment to constant variable.");
    },
    __ci_report: async (name, words, stack) => {
      await tell(name, words, stack);
      [thrown, recent] = [[], []];
    },
  });
}
