/* template.c: files of new projects. They build without a network once their toolchain is there: no packages beside the language's own library. */
#include "template.h"
#include "sdk_files.h"

static const char gitignore[] = "# what a node and builds leave behind\n"
                                ".nexus/\n"
                                "build/\n"
                                "target/\n"
                                "node_modules/\n"
                                ".zig-cache/\n";

/* ---- Rust ------------------------------------------------------------------------------------------------------- */

static const char rust_yaml[] =
    "# Every key: nexus schema, or docs/CONFIG_REFERENCE.md of Nexus Functions\n"
    "version: v1\n"
    "name: {{name}}\n"
    "functions:\n"
    "  - name: user-welcome\n"
    "    on:\n"
    "      http:\n"
    "        method: POST\n"
    "        path: /events/user.created\n"
    "    runtime: wasi-preview1\n"
    "    code: ./build/welcome.wasm\n"
    "    build:\n"
    "      # $NEXUS_WASI_TARGET is wasm32-wasip1 or wasm32-wasi, whichever is installed.\n"
    "      command: cargo build --release --target \"$NEXUS_WASI_TARGET\" --target-dir target && cp \"target/$NEXUS_WASI_TARGET/release/welcome.wasm\" build/welcome.wasm\n"
    "      watch: [src, Cargo.toml]\n"
    "    timeout: 5s\n"
    "    memory: 128Mi\n";

static const char rust_cargo[] =
    "[package]\n"
    "name = \"{{name}}\"\n"
    "version = \"0.1.0\"\n"
    "edition = \"2021\"\n"
    "publish = false\n"
    "\n"
    "[lib]\n"
    "name = \"welcome\"\n"
    "path = \"src/lib.rs\"\n"
    "crate-type = [\"cdylib\"]\n"
    "\n"
    "[profile.release]\n"
    "# Names stay in the module, so that backtraces can be read.\n"
    "strip = \"debuginfo\"\n"
    "\n"
    "# Its own workspace, also inside another project's folder.\n"
    "[workspace]\n";

static const char rust_cargo_config[] =
    "# Before each run the memory of the one before is reset, and Rust's stack of 1 MiB is most of it.\n"
    "# A quarter of that makes a small function start three times as fast; give more to one that recurses deeply or keeps large arrays on the stack.\n"
    "[target.wasm32-wasip1]\n"
    "rustflags = [\"-C\", \"link-arg=-zstack-size=262144\"]\n"
    "\n"
    "[target.wasm32-wasi]\n"
    "rustflags = [\"-C\", \"link-arg=-zstack-size=262144\"]\n";

static const char rust_source[] =
    "use std::io::{stdin, stdout, Read, Write};\n"
    "\n"
    "/// Called for every event: its data on stdin, the answer on stdout, log lines on stderr.\n"
    "#[no_mangle]\n"
    "pub extern \"C\" fn handle_event() {\n"
    "    let mut input = Vec::new();\n"
    "    stdin().read_to_end(&mut input).unwrap();\n"
    "\n"
    "    eprintln!(\"Processing user event\");\n"
    "\n"
    "    let response = format!(\"Processed: {}\", String::from_utf8_lossy(&input));\n"
    "    stdout().write_all(response.as_bytes()).unwrap();\n"
    "}\n";

static const char readme_head[] =
    "# {{name}}\n"
    "\n"
    "A project of Nexus Functions. `nexus.yaml` says what runs and when; every event is stored, every run can be repeated.\n"
    "\n"
    "```sh\n"
    "nexus dev\n"
    "```\n"
    "\n"
    "builds the function, starts a node, and reloads on every save. In another terminal:\n"
    "\n"
    "```sh\n"
    "curl -X POST http://localhost:8080/events/user.created -H \"Content-Type: application/json\" -d '{\"user_id\": \"u42\", \"email\": \"alice@example.com\"}'\n"
    "nexus events list\n"
    "nexus runs list\n"
    "nexus replay @last\n"
    "```\n"
    "\n"
    "Its test builds the function, runs it without a node, and compares what it answers:\n"
    "\n"
    "```sh\n"
    "sh test.sh\n"
    "```\n"
    "\n"
    "`nexus invoke user-welcome --data '{}'` prints what the function answers; `nexus deploy` makes a version on a running node.\n";

static const char test_script[] =
    "#!/bin/sh\n"
    "# Builds the function and compares what it answers: sh test.sh\n"
    "set -eu\n"
    "cd \"$(dirname \"$0\")\"\n"
    "nexus build --if-changed\n"
    "\n"
    "expect() { # expect ANSWER DATA\n"
    "    answer=$(printf %s \"$2\" | nexus run build/welcome.wasm)\n"
    "    [ \"$answer\" = \"$1\" ] || { echo \"not ok: $2 gave $answer, not $1\"; exit 1; }\n"
    "    echo \"ok: $2\"\n"
    "}\n"
    "\n"
    "expect 'Processed: {\"user_id\": \"u42\"}' '{\"user_id\": \"u42\"}'\n"
    "expect 'Processed: ' ''\n";

static const nx_cli_template_file rust_files[] = {
    {"nexus.yaml", rust_yaml, NULL},
    {"Cargo.toml", rust_cargo, NULL},
    {".cargo/config.toml", rust_cargo_config, NULL},
    {"src/lib.rs", rust_source, NULL},
    {"test.sh", test_script, NULL},
    {"README.md", readme_head, NULL},
    {".gitignore", gitignore, NULL},
    {0},
};

/* ---- C ---------------------------------------------------------------------------------------------------------- */

static const char c_yaml[] =
    "# Every key: nexus schema, or docs/CONFIG_REFERENCE.md of Nexus Functions\n"
    "version: v1\n"
    "name: {{name}}\n"
    "functions:\n"
    "  - name: user-welcome\n"
    "    on:\n"
    "      http:\n"
    "        method: POST\n"
    "        path: /events/user.created\n"
    "    runtime: wasi-preview1\n"
    "    code: ./build/welcome.wasm\n"
    "    build:\n"
    "      # $WASI_CC and $WASI_CFLAGS: clang for WASI as it is installed here.\n"
    "      command: $WASI_CC $WASI_CFLAGS -g -Wall -mexec-model=reactor -o build/welcome.wasm src/welcome.c\n"
    "      watch: [src]\n"
    "    timeout: 5s\n"
    "    memory: 128Mi\n";

static const char c_source[] =
    "#include <stdio.h>\n"
    "\n"
    "/* Called for every event: its data on stdin, the answer on stdout, log lines on stderr. */\n"
    "__attribute__((export_name(\"handle_event\"))) void handle_event(void)\n"
    "{\n"
    "    char piece[4096];\n"
    "    size_t n;\n"
    "\n"
    "    fputs(\"Processing user event\\n\", stderr);\n"
    "\n"
    "    fputs(\"Processed: \", stdout);\n"
    "    while ((n = fread(piece, 1, sizeof piece, stdin)) > 0)\n"
    "        fwrite(piece, 1, n, stdout);\n"
    "}\n";

static const nx_cli_template_file c_files[] = {
    {"nexus.yaml", c_yaml, NULL},
    {"src/welcome.c", c_source, NULL},
    {"test.sh", test_script, NULL},
    {"README.md", readme_head, NULL},
    {".gitignore", gitignore, NULL},
    {0},
};

/* ---- AssemblyScript --------------------------------------------------------------------------------------------- */

static const char as_yaml[] =
    "# Every key: nexus schema, or docs/CONFIG_REFERENCE.md of Nexus Functions\n"
    "version: v1\n"
    "name: {{name}}\n"
    "functions:\n"
    "  - name: user-welcome\n"
    "    on:\n"
    "      http:\n"
    "        method: POST\n"
    "        path: /events/user.created\n"
    "    runtime: wasi-preview1\n"
    "    code: ./build/welcome.wasm\n"
    "    build:\n"
    "      # Its settings stand in asconfig.json; `npm ci` brings it, in the version and with the hash of package-lock.json.\n"
    "      command: node_modules/.bin/asc\n"
    "      watch: [assembly, asconfig.json]\n"
    "    timeout: 5s\n"
    "    memory: 128Mi\n";

static const char as_source[] =
    "import { answer, inputText, log } from \"./nexus\";\n"
    "\n"
    "/** Called for every event: its data on stdin, the answer on stdout, log lines on stderr. */\n"
    "export function handle_event(): void {\n"
    "  const data = inputText();\n"
    "\n"
    "  log(\"Processing user event\");\n"
    "\n"
    "  answer(\"Processed: \" + data);\n"
    "}\n";

static const char as_tsconfig[] =
    "{\n"
    "  \"extends\": \"assemblyscript/std/assembly.json\",\n"
    "  \"include\": [\"./**/*.ts\", \"../node_modules/@assemblyscript/wasi-shim/assembly/**/*.ts\"]\n"
    "}\n";

static const nx_cli_template_file as_files[] = {
    {"nexus.yaml", as_yaml, NULL},
    {"package.json", NULL, &nx_cli_sdk_asc_package},
    {"package-lock.json", NULL, &nx_cli_sdk_asc_lock},
    {"asconfig.json", NULL, &nx_cli_sdk_asc_config},
    {"assembly/index.ts", as_source, NULL},
    {"assembly/nexus.ts", NULL, &nx_cli_sdk_assemblyscript},
    {"assembly/tsconfig.json", as_tsconfig, NULL},
    {"test.sh", test_script, NULL},
    {"README.md", readme_head, NULL},
    {".gitignore", gitignore, NULL},
    {0},
};

/* ---- Zig -------------------------------------------------------------------------------------------------------- */

static const char zig_yaml[] =
    "# Every key: nexus schema, or docs/CONFIG_REFERENCE.md of Nexus Functions\n"
    "version: v1\n"
    "name: {{name}}\n"
    "functions:\n"
    "  - name: user-welcome\n"
    "    on:\n"
    "      http:\n"
    "        method: POST\n"
    "        path: /events/user.created\n"
    "    runtime: wasi-preview1\n"
    "    code: ./build/welcome.wasm\n"
    "    build:\n"
    "      # $ZIG: the compiler as it is installed here. Its own stack of 16 MiB is more than most functions need.\n"
    "      command: >\n"
    "        \"$ZIG\" build-exe src/welcome.zig -target wasm32-wasi -fno-entry -rdynamic --stack 262144\n"
    "        -O ReleaseSafe -femit-bin=build/welcome.wasm\n"
    "      watch: [src]\n"
    "    timeout: 5s\n"
    "    memory: 128Mi\n";

static const char zig_source[] =
    "const std = @import(\"std\");\n"
    "const nexus = @import(\"nexus.zig\");\n"
    "\n"
    "pub const panic = std.debug.FullPanic(nexus.panic);\n"
    "\n"
    "/// Called for every event: its data on stdin, the answer on stdout, log lines on stderr.\n"
    "export fn handle_event() void {\n"
    "    const data = nexus.input() catch |e| @panic(@errorName(e));\n"
    "\n"
    "    nexus.log(\"Processing user event\");\n"
    "\n"
    "    nexus.answer(\"Processed: \");\n"
    "    nexus.answer(data);\n"
    "}\n";

static const nx_cli_template_file zig_files[] = {
    {"nexus.yaml", zig_yaml, NULL},
    {"src/welcome.zig", zig_source, NULL},
    {"src/nexus.zig", NULL, &nx_cli_sdk_zig},
    {"test.sh", test_script, NULL},
    {"README.md", readme_head, NULL},
    {".gitignore", gitignore, NULL},
    {0},
};

/* ---- JavaScript ------------------------------------------------------------------------------------------------- */

static const char js_yaml[] =
    "# Every key: nexus schema, or docs/CONFIG_REFERENCE.md of Nexus Functions\n"
    "version: v1\n"
    "name: {{name}}\n"
    "functions:\n"
    "  - name: user-welcome\n"
    "    on:\n"
    "      http:\n"
    "        method: POST\n"
    "        path: /events/user.created\n"
    "    runtime: wasi-preview1\n"
    "    code: ./build/welcome.wasm\n"
    "    build:\n"
    "      # Joins the source with QuickJS, which `npm ci` brings in the version and with the hash of package-lock.json.\n"
    "      command: node nexus/build.js src/index.js build/welcome.wasm\n"
    "      watch: [src, nexus]\n"
    "    timeout: 5s\n"
    "    memory: 128Mi\n";

static const char js_source[] =
    "// Called for every event, with its data. What it returns is the answer; console.log writes to the function's log.\n"
    "function handle(data) {\n"
    "  console.log(\"Processing user event\");\n"
    "\n"
    "  return \"Processed: \" + data;\n"
    "}\n";

static const nx_cli_template_file js_files[] = {
    {"nexus.yaml", js_yaml, NULL},
    {"package.json", NULL, &nx_cli_sdk_js_package},
    {"package-lock.json", NULL, &nx_cli_sdk_js_lock},
    {"src/index.js", js_source, NULL},
    {"nexus/nexus.js", NULL, &nx_cli_sdk_javascript},
    {"nexus/build.js", NULL, &nx_cli_sdk_js_build},
    {"nexus/glue.wat", NULL, &nx_cli_sdk_js_glue},
    {"test.sh", test_script, NULL},
    {"README.md", readme_head, NULL},
    {".gitignore", gitignore, NULL},
    {0},
};

const nx_cli_template nx_cli_templates[] = {
    {"rust", "Rust, built by cargo", NULL, rust_files},
    {"c", "C, built by clang", NULL, c_files},
    {"assemblyscript", "AssemblyScript, built by asc", "npm ci", as_files},
    {"zig", "Zig", NULL, zig_files},
    {"javascript", "JavaScript, run by QuickJS", "npm ci", js_files},
    {0},
};

nx_err nx_cli_template_render(const nx_cli_template_file *f, const char *name, nx_buf *out)
{
    const char *text = f->text;
    nx_err e = NX_OK;
    if (f->file)
        return nx_buf_append_slice(out, *f->file);
    while (*text && e == NX_OK) {
        const char *mark = strstr(text, "{{");
        e = nx_buf_append(out, text, mark ? (size_t)(mark - text) : strlen(text));
        if (!mark)
            break;
        if (strncmp(mark, "{{name}}", 8) != 0)
            return NX_EBUG;
        if (e == NX_OK)
            e = nx_buf_append_cstr(out, name);
        text = mark + 8;
    }
    return e;
}
