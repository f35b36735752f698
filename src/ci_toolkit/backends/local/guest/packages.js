// Runs once in every new JavaScript kernel, after the prelude: makes `import` find packages as in
// Node, however late they are installed. Deno itself runs in a folder apart, whose package.json
// makes it take packages from node_modules as they are; what a cell imports is looked for in the
// working directory, and `npm:` imports are installed into the folder apart.
function packages({ directory, apart }) {
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const { existsSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } = process.getBuiltinModule("node:fs");
  const { createRequire, isBuiltin, registerHooks } = process.getBuiltinModule("node:module");
  const { dirname, join } = process.getBuiltinModule("node:path");
  const { fileURLToPath, pathToFileURL } = process.getBuiltinModule("node:url");
  const here = pathToFileURL(`${directory}/`);
  const load = createRequire(`${directory}/cell.js`);

  const refuse = (message, code = "ERR_MODULE_NOT_FOUND") => {
    throw Object.assign(new Error(message), { code, name: "" }); // Deno puts a name before it
  };
  const above = function* (folder) {
    for (let at = folder;; at = dirname(at)) {
      yield at;
      if (at === dirname(at)) return;
    }
  };
  const manifestOf = (folder) => {
    try {
      return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) ?? {};
    } catch {
      return null;
    }
  };

  // ---- The field "exports" of a package.json.

  const choose = (target, conditions, star) => {
    if (typeof target === "string") return target.replaceAll("*", () => star);
    if (Array.isArray(target)) return target.map((each) => choose(each, conditions, star)).find(Boolean);
    for (const [condition, inner] of Object.entries(target ?? {})) {
      if (condition !== "default" && !conditions.includes(condition)) continue;
      const found = choose(inner, conditions, star);
      if (found !== undefined || inner === null) return found;
    }
  };
  const exported = (table, key, conditions) => {
    if (Object.hasOwn(table, key)) return choose(table[key], conditions, "");
    const patterns = Object.keys(table).filter((each) => each.includes("*"));
    for (const pattern of patterns.sort((a, b) => b.indexOf("*") - a.indexOf("*"))) {
      const [before, after] = pattern.split("*");
      if (key.length >= pattern.length && key.startsWith(before) && key.endsWith(after)) {
        return choose(table[pattern], conditions, key.slice(before.length, key.length - after.length));
      }
    }
  };
  const entryOf = (folder, inner, conditions) => {
    const field = manifestOf(folder)?.exports;
    if (field == null) return load.resolve(inner ? join(folder, inner) : folder);
    const isTable = typeof field === "object" && Object.keys(field).some((key) => key[0] === ".");
    const key = inner ? `./${inner}` : ".";
    const found = exported(isTable ? field : { ".": field }, key, conditions);
    if (typeof found === "string") return join(folder, found);
    refuse(`The package in ${folder} does not export '${key}'`, "ERR_PACKAGE_PATH_NOT_EXPORTED");
  };
  const find = (specifier, start, conditions) => {
    const [, name, , inner] = /^((@[^/]+\/)?[^/]+)(?:\/(.*))?$/.exec(specifier) ?? [];
    for (const at of name ? above(start) : []) {
      const folder = join(at, "node_modules", name);
      if (existsSync(folder)) return entryOf(realpathSync(folder), inner, conditions);
    }
    const ways = `npm install ${name} in a command, or import "npm:${specifier}"`;
    refuse(`Cannot find package '${specifier}'. To get it: ${ways}`);
  };

  // ---- `npm:` imports.

  const deno = (...words) => spawnSync(Deno.execPath(), words, { cwd: apart });
  const manifest = join(apart, "package.json");
  const installed = new Map();
  // Gives the specifier without version, as it is found in the folder apart.
  const install = (specifier) => {
    const found = /^npm:\/?((?:@[^/@]+\/)?[^/@]+)(?:@([^/]+))?(.*)$/.exec(specifier);
    if (!found) refuse(`'${specifier}' names no package`);
    const [, name, version, inner] = found;
    if (!installed.has(name) || (version && installed.get(name) !== version)) {
      const wanted = `npm:${name}${version ? `@${version}` : ""}`;
      const before = readFileSync(manifest);
      if (deno("add", "--quiet", wanted).status !== 0) {
        // What it has begun would stay in its way.
        writeFileSync(manifest, before);
        rmSync(join(apart, "node_modules/.deno/.setup-cache.bin"), { force: true });
        // This one tells why.
        const said = String(deno("cache", "--quiet", "--node-modules-dir=none", wanted).stderr);
        refuse(`Cannot install '${wanted}': ${said.replace(/\n\s*Stack backtrace:[^]*/, "").trim()}`);
      }
      installed.set(name, version);
    }
    return name + inner;
  };

  // ---- CommonJS: Deno would take a `.js` file of the user's for an ES module, and knows only some
  // of the names that a package exports.

  const isCommonJs = (file) => {
    if (!/\.c?js$/.test(file) || !existsSync(file)) return false;
    const type = [...above(dirname(file))].map(manifestOf).find(Boolean)?.type;
    if (type || file.endsWith(".cjs")) return type !== "module" || file.endsWith(".cjs");
    return !/^\s*(import\b\s*[^(.\s]|export\b)/m.test(readFileSync(file, "utf8"));
  };
  const facade = (file, version) => {
    const names = Object.keys(Object(load(file))).filter((name) => name !== "default");
    const lines = names.map((name, n) => {
      const word = JSON.stringify(name);
      return `const _${n} = it[${word}]; export { _${n} as ${word} };`;
    });
    const start = `// ${version}\nconst it = globalThis.__ci_require(${JSON.stringify(file)}); export default it;`;
    return `data:text/javascript,${encodeURIComponent([start, ...lines].join("\n"))}`;
  };

  // ---- A program that is started again reads its files again: so does a cell what has changed.

  const versions = new Map();
  const versionOf = (file) => {
    const changed = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
    const seen = versions.get(file) ?? { changed, number: 0 };
    if (seen.changed !== changed) {
      seen.number += 1;
      delete load.cache[file];
    }
    versions.set(file, { ...seen, changed });
    return seen.number;
  };

  const fileOf = (url) => {
    const file = url?.startsWith("file:") ? fileURLToPath(url) : "";
    return file.includes("/node_modules/") ? "" : file;
  };
  const urlOf = (file) => isCommonJs(file) ? facade(file, 0) : pathToFileURL(file).href;
  // A cell has no URL, and is in the working directory.
  const locate = (specifier, context, next) => {
    if (specifier.startsWith("npm:")) return urlOf(find(install(specifier), apart, context.conditions));
    if (/^\.{0,2}\//.test(specifier)) return new URL(specifier, here).href;
    if (/^[a-z][\w+.-]*:/i.test(specifier)) return next(specifier, context).url;
    return urlOf(find(specifier, directory, context.conditions));
  };
  const resolve = (specifier, context, next) => {
    const { conditions, parentURL } = context;
    const isPath = /^\.{0,2}\//.test(specifier);
    if (isBuiltin(specifier) || (parentURL && !isPath)) return next(specifier, context);
    const isImport = conditions.includes("import");
    const found = !isImport || parentURL ? next(specifier, context) : { url: locate(specifier, context, next) };
    const file = fileOf(found.url);
    const version = file ? versionOf(file) : 0;
    if (!isImport || !file) return { ...found, shortCircuit: true };
    if (isCommonJs(file)) return { url: facade(file, version), shortCircuit: true };
    const mark = found.url.includes("?") ? "&" : "?";
    return { url: found.url + (version ? mark + version : ""), shortCircuit: true };
  };

  // A file that was required once does not come by the hook again.
  const { require } = globalThis;
  const requireAgain = (id) => {
    try {
      if (/^\.{0,2}\//.test(id)) versionOf(load.resolve(id));
    } catch {
      // Then there is none, as is told next.
    }
    return require(id);
  };

  Object.assign(globalThis, { require: Object.assign(requireAgain, require, { main: require.main }) });
  Object.defineProperty(globalThis, "__ci_require", { value: load });
  Deno.chdir(directory);
  registerHooks({ resolve });
}
