// build.js: makes the function's module: QuickJS (the package quickjs-wasi), the sources as data, and glue.wat between them.
//   node nexus/build.js [src/index.js [build/welcome.wasm]]
import binaryen from "binaryen";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const [main = "src/index.js", out = "build/welcome.wasm"] = process.argv.slice(2);
const here = import.meta.dirname ?? dirname(new URL(import.meta.url).pathname);
const boot = readFileSync(join(here, "nexus.js"));
const source = readFileSync(main);

// Host calls are imported only where the function uses them: what a module imports says which grants it needs.
const T = (i) => `(call $arg_text (local.get $argv) (i32.const ${i}) (local.get $n)) (i32.load (local.get $n))`;
const EXPECTED = (i) => `(i64.trunc_sat_f64_s (call $float (call $arg (local.get $argv) (i32.const ${i}))))`;
const CALLS = [
  { words: /\bStore\b/, what: 10, name: "kv_get", params: "i32 i32 i32 i32", args: T(1) + T(2) },
  { words: /\bStore\b/, what: 11, name: "kv_put", params: "i32 i32 i32 i32 i32 i32 i64", args: T(1) + T(2) + T(3) + EXPECTED(4) },
  { words: /\bStore\b/, what: 12, name: "kv_delete", params: "i32 i32 i32 i32 i64", args: T(1) + T(2) + EXPECTED(3) },
  { words: /\bemit\b/, what: 13, name: "emit", params: "i32 i32", args: T(1) },
  { words: /\bsecret\b/, what: 14, name: "secret_get", params: "i32 i32", args: T(1) },
  { words: /\brequest\b/, what: 15, name: "http_request", params: "i32 i32", args: T(1) },
].filter((call) => call.words.test(source.toString()));

const IMPORTS = CALLS.map((c) => `(import "nexus" "${c.name}" (func $${c.name} (param ${c.params}) (result i32)))`);
const BRANCHES = CALLS.map((c) => `(if (i32.eq (local.get $what) (i32.const ${c.what})) (then
  (return (call $number (f64.convert_i32_s (call $${c.name} ${c.args}))))))`);
if (CALLS.length > 0) {
  IMPORTS.push(`(import "nexus" "answer_size" (func $answer_size (result i32)))`,
    `(import "nexus" "answer_read" (func $answer_read (param i32 i32 i32) (result i32)))`);
  BRANCHES.push(`(if (i32.eq (local.get $what) (i32.const 4)) (then
    (local.set $p (call $malloc (i32.add (call $answer_size) (i32.const 1))))
    (drop (call $answer_read (local.get $p) (i32.const 0) (call $answer_size)))
    (return (call $string (local.get $p) (call $answer_size)))))`);
}

const bytes = (data) => [...data].map((b) => "\\" + b.toString(16).padStart(2, "0")).join("");
const words = ["nexus/nexus.js", main, "__nexus", "__error", "__fail(__error)", "__run()"];
const at = words.map((_, i) => Buffer.byteLength(words.slice(0, i).join("\0")) + (i > 0 ? 1 : 0));
const wat = readFileSync(join(here, "glue.wat"), "utf8")
  .replace(";;IMPORTS", IMPORTS.join("\n"))
  .replace(";;CALLS", BRANCHES.join("\n"))
  .replace('"BOOT\\00"', `"${bytes(boot)}\\00"`)
  .replace('"MAIN\\00"', `"${bytes(source)}\\00"`)
  .replace(/\(data \$words "[^"]*"\)/, `(data $words "${bytes(Buffer.from(words.join("\0")))}\\00")`)
  .replaceAll("WORDS_BYTES", Buffer.byteLength(words.join("\0")) + 1)
  .replaceAll("BOOT_BYTES", boot.length + 1).replaceAll("BOOT_LEN", boot.length)
  .replaceAll("MAIN_BYTES", source.length + 1).replaceAll("MAIN_LEN", source.length)
  .replaceAll("AT_MAIN", at[1]).replaceAll("AT_NEXUS", at[2]).replaceAll("AT_ERROR", at[3]).replaceAll("AT_FAIL", at[4]).replaceAll("AT_RUN", at[5]);

const folder = mkdtempSync(join(tmpdir(), "nexus-js-"));
try {
  const features = binaryen.Features.All;
  binaryen.setDebugInfo(true); // names of functions
  const glue = binaryen.parseText(wat);
  glue.setFeatures(features);
  writeFileSync(join(folder, "glue.wasm"), glue.emitBinary());
  const require = createRequire(import.meta.url);
  const engine = require.resolve("quickjs-wasi/quickjs.wasm");
  const merge = join(dirname(engine), "..", "binaryen", "bin", "wasm-merge");
  execFileSync(process.execPath, [merge, "-all", "-g", engine, "quickjs", join(folder, "glue.wasm"), "env", "-o", join(folder, "merged.wasm")],
    { stdio: "inherit" });
  const module = binaryen.readBinary(readFileSync(join(folder, "merged.wasm")));
  module.setFeatures(features);
  const kept = new Set(["memory", "_initialize", "handle_event"]);
  const names = Array.from({ length: module.getNumExports() }, (_, i) => binaryen.getExportInfo(module.getExportByIndex(i)).name);
  for (const name of names) if (!kept.has(name)) module.removeExport(name);
  module.runPasses(["remove-unused-module-elements"]);
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, module.emitBinary());
} finally {
  rmSync(folder, { recursive: true });
}
