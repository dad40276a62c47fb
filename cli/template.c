/* template.c: files of new projects, which lie in sdk/. They build without a network once their toolchain is there: no packages beside the language's own library. */
#include "template.h"
#include "sdk_files.h"

static const nx_cli_template_file rust_files[] = {
    {"nexus.yaml", &nx_cli_sdk_rust_yaml, true},
    {"Cargo.toml", &nx_cli_sdk_rust_cargo, true},
    {".cargo/config.toml", &nx_cli_sdk_rust_config, true},
    {"src/lib.rs", &nx_cli_sdk_rust_welcome, true},
    {"test.sh", &nx_cli_sdk_test_script, true},
    {"README.md", &nx_cli_sdk_readme, true},
    {".gitignore", &nx_cli_sdk_gitignore, true},
    {0},
};

static const nx_cli_template_file c_files[] = {
    {"nexus.yaml", &nx_cli_sdk_c_yaml, true},
    {"src/welcome.c", &nx_cli_sdk_c_welcome, true},
    {"test.sh", &nx_cli_sdk_test_script, true},
    {"README.md", &nx_cli_sdk_readme, true},
    {".gitignore", &nx_cli_sdk_gitignore, true},
    {0},
};

static const nx_cli_template_file as_files[] = {
    {"nexus.yaml", &nx_cli_sdk_asc_yaml, true},
    {"package.json", &nx_cli_sdk_asc_package, false},
    {"package-lock.json", &nx_cli_sdk_asc_lock, false},
    {"asconfig.json", &nx_cli_sdk_asc_config, false},
    {"assembly/index.ts", &nx_cli_sdk_asc_welcome, true},
    {"assembly/nexus.ts", &nx_cli_sdk_assemblyscript, false},
    {"assembly/tsconfig.json", &nx_cli_sdk_asc_tsconfig, true},
    {"test.sh", &nx_cli_sdk_test_script, true},
    {"README.md", &nx_cli_sdk_readme, true},
    {".gitignore", &nx_cli_sdk_gitignore, true},
    {0},
};

static const nx_cli_template_file zig_files[] = {
    {"nexus.yaml", &nx_cli_sdk_zig_yaml, true},
    {"src/welcome.zig", &nx_cli_sdk_zig_welcome, true},
    {"src/nexus.zig", &nx_cli_sdk_zig, false},
    {"test.sh", &nx_cli_sdk_test_script, true},
    {"README.md", &nx_cli_sdk_readme, true},
    {".gitignore", &nx_cli_sdk_gitignore, true},
    {0},
};

static const nx_cli_template_file js_files[] = {
    {"nexus.yaml", &nx_cli_sdk_js_yaml, true},
    {"package.json", &nx_cli_sdk_js_package, false},
    {"package-lock.json", &nx_cli_sdk_js_lock, false},
    {"src/index.js", &nx_cli_sdk_js_welcome, true},
    {"nexus/nexus.js", &nx_cli_sdk_javascript, false},
    {"nexus/build.js", &nx_cli_sdk_js_build, false},
    {"nexus/glue.wat", &nx_cli_sdk_js_glue, false},
    {"test.sh", &nx_cli_sdk_test_script, true},
    {"README.md", &nx_cli_sdk_readme, true},
    {".gitignore", &nx_cli_sdk_gitignore, true},
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
    const char *text = f->file->p; /* a NUL stands behind it */
    nx_err e = NX_OK;
    if (!f->has_name)
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
