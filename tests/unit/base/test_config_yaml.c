/* nexus.yaml as bytes: encodings, what YAML allows and we refuse, syntax errors, sizes, hostile files. */
#include "config_help.h"

#include "config_internal.h"
#include "nx/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD "version: v1\n"
#define BYTES(literal)                  \
    {                                   \
        "" literal, sizeof(literal) - 1 \
    }

static void test_config_bytes(void **state)
{
    (void)state;
    static const struct {
        nx_slice text;
        unsigned line, column;
        const char *reason, *suggestion;
    } cases[] = {
        {BYTES(""), 1, 1, "the file is empty", "version: v1\nfunctions:\n  - name: hello\n"},
        {BYTES("\xef\xbb\xbf"), 1, 1, "the file is empty", "version: v1\n"},
        {BYTES("# nothing but\n\n   # comments\n"), 1, 1, "the file is empty", "version: v1\n"},
        {BYTES("---\n"), 1, 1, "the file is empty", "version: v1\n"},
        {BYTES("~\n"), 1, 1, "the file is empty", "version: v1\n"},
        {BYTES("\xff\xfev\0e\0r\0"), 1, 1, "is UTF-16", "save it as UTF-8"},
        {BYTES("\xfe\xff\0v\0e"), 1, 1, "is UTF-16", "save it as UTF-8"},
        {BYTES(HEAD "name: a\0b\n"), 2, 8, "holds a NUL byte", "is this a text file?"},
        {BYTES(HEAD "name: \xc3\xa4\xff\n"), 2, 8, "byte 0xff is not UTF-8", "save it as UTF-8"},
        {BYTES(HEAD "name: \xc0\xaf\n"), 2, 7, "byte 0xc0 is not UTF-8", "save it as UTF-8"},
        {BYTES(HEAD "name: \xed\xa0\x80\n"), 2, 7, "byte 0xed is not UTF-8", "save it as UTF-8"},
        {BYTES(HEAD "name: \xf0\x9f\x98"), 2, 7, "byte 0xf0 is not UTF-8", "save it as UTF-8"},
        {BYTES(HEAD "name: a\x01\n"), 2, 8, "the control character 0x01", "write it as an escape"},
        {BYTES(HEAD "name: a\rb: c\n"), 2, 8, "a carriage return without a line feed", "line feed"},
        {BYTES(HEAD "name: a\r"), 2, 8, "a carriage return without a line feed", "line feed"},
        {BYTES(HEAD "log:\n\tlevel: info\n"), 3, 1, "indented with a tab", "indent with spaces"},
        {BYTES(HEAD "log:\n  level: info\n \tformat: json\n"), 4, 2, "indented with a tab", "indent with spaces"},
        {BYTES(HEAD "name: a: b\n"), 2, 8, "is not valid YAML: invalid nested block mapping", "quote a value that holds"},
        {BYTES(HEAD "name: \"a\n"), 2, 8, "is not valid YAML: double-quoted scalar without closing quote", ""},
        {BYTES(HEAD "http: {max_body: 1Mi\n"), 3, 1, "is not valid YAML", ""},
        {BYTES(HEAD "name: @a\n"), 2, 7, "is not valid YAML", ""},
        {BYTES(HEAD "a: b\n c: d\n"), 2, 4, "is not valid YAML", ""},
        {BYTES("%TAG !a! b\n---\n" HEAD), 1, 1, "directives (%NAME) are not supported", "remove it"},
        {BYTES("%YAML 1.2 x\n---\n" HEAD), 1, 1, "directives (%NAME) are not supported", "remove it"},
        {BYTES("%YAML 2.0\n---\n" HEAD), 1, 1, "directives (%NAME) are not supported", "remove it"},
        {BYTES(HEAD "? [a, b]\n: c\n"), 2, 3, "a list or a mapping cannot be a key", "write it as text"},
        {BYTES(HEAD "{a: b}: c\n"), 2, 1, "a list or a mapping cannot be a key", "write it as text"},
    };
    for (unsigned k = 0; k < NX_ARRAY_LEN(cases); k++) {
        parsed p = parse_flags(cases[k].text, 0);
        if (p.issues.n != 1) {
            print_issues(&p.issues);
            fail_msg("case %u: %u problems", k, p.issues.n);
        }
        const nx_config_issue *i = issue_at(&p, cases[k].line, cases[k].column, "");
        if (!strstr(i->reason, cases[k].reason) || !strstr(i->suggestion, cases[k].suggestion)) fail_msg("case %u: %s (%s)", k, i->reason, i->suggestion);
        parsed_done(&p);
    }
}

/* These go on: everything else that is wrong is shown as well. */
static void test_config_refused_yaml(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned line, column;
        const char *reason, *suggestion;
    } cases[] = {
        {HEAD "name: &a x\n" ONE_FUNCTION, 2, 7, "anchors (&name) are not supported", "quote a text that begins with &"},
        {HEAD "log: &a {level: info}\n" ONE_FUNCTION, 2, 6, "anchors (&name) are not supported", "write the value out"},
        {HEAD "&a workers: 1\n" ONE_FUNCTION, 2, 1, "anchors (&name) are not supported", "write the value out"},
        {HEAD "functions:\n  - {name: f, on: {nats: *.x}, code: f}\n", 3, 26, "aliases (*name) are not supported", "quote a text that begins with *"},
        {HEAD "name: !!str x\n" ONE_FUNCTION, 2, 7, "tags (!name) are not supported", "leave it out"},
        {HEAD "name: !x y\n" ONE_FUNCTION, 2, 7, "tags (!name) are not supported", "leave it out"},
        {HEAD "data_dir: \"a\\0b\"\n" ONE_FUNCTION, 2, 11, "may not hold a NUL character", ""},
        {HEAD ONE_FUNCTION "---\nversion: v1\n", 4, 1, "a second document begins", "keep one"},
        {HEAD ONE_FUNCTION ": x\n", 2, 1, "a key is missing", ""},
    };
    for (unsigned k = 0; k < NX_ARRAY_LEN(cases); k++) {
        char text[512];
        parsed p = parse(cases[k].text);
        if (p.issues.n != 1) {
            print_issues(&p.issues);
            fail_msg("case %u: %u problems", k, p.issues.n);
        }
        const nx_config_issue *i = issue_at(&p, cases[k].line, cases[k].column, "");
        if (!strstr(i->reason, cases[k].reason) || !strstr(i->suggestion, cases[k].suggestion)) fail_msg("case %u: %s (%s)", k, i->reason, i->suggestion);
        parsed_done(&p);
        snprintf(text, sizeof text, "hop_limit: 0\n%s", cases[k].text);
        p = parse(text);
        assert_int_equal(p.issues.n, 2);
        issue_at(&p, 1, 12, "hop_limit");
        parsed_done(&p);
    }
}

/* Texts as the YAML specification decodes them; libfyaml itself gets several of these wrong, and leaks on some. */
static void test_config_texts(void **state)
{
    (void)state;
    static const struct {
        const char *written, *text; /* NULL: refused */
    } cases[] = {
        {"plain text", "plain text"},
        {"a\n        b\n\n        c", "a b\nc"},
        {"'it''''s'", "it''s"},
        {"''''''''''''''''''''''''''''''''''", "''''''''''''''''"},
        {"'a  \n\n\n          b '", "a\n\nb "},
        {"' \\n '", " \\n "},
        {"\"\\\"\\\\\\\"\"", "\"\\\""},
        {"\"a\\\\\\\n          b\"", "a\\b"},
        {"\"a \\\n          \\  b\"", "a   b"},
        {"\"a\\t \n  \n        b\"", "a\t\nb"},
        {"\"\\x41\\u00e9\\U0001F600\\N\\_\\L\\P\"", "A\xc3\xa9\xf0\x9f\x98\x80\xc2\x85\xc2\xa0\xe2\x80\xa8\xe2\x80\xa9"},
        {"\"\\a\\b\\t\\n\\v\\f\\r\\e\\ \\/\"", "\a\b\t\n\v\f\r\033 /"},
        {"|\n        a\n         b\n\n\n", "a\n b\n"},
        {"|-\n        a\n\n\n", "a"},
        {"|+\n        a\n\n\n", "a\n\n\n\n"},
        {"|\n\n        a\n", "\na\n"},
        {"|+\n         \n\n", "\n\n\n"},
        {"| # > comment\n        a\n", "a\n"},
        {">\n        a\n        b\n\n        c\n         d\n        e\n", "a b\nc\n d\ne\n"},
        {">-\n        a\n\n         b\n\n\n        c\n", "a\n\n b\n\n\nc"},
        {">\n\n\n", ""},
        {"|2\n          a\n", NULL},
        {">-1\n         a\n", NULL},
        {"\"\\ud800\"", NULL},
        {"\"\\U00110000\"", NULL},
        {"\"\\xg0\"", NULL},
        {"\"\\q\"", NULL},
    };
    for (unsigned k = 0; k < NX_ARRAY_LEN(cases); k++) {
        char text[512];
        snprintf(text, sizeof text, HEAD "functions:\n  - name: f\n    on: {event: a}\n    code: f\n    env:\n      V: %s\n", cases[k].written);
        parsed p = parse(text);
        if ((p.err == NX_OK) != (cases[k].text != NULL)) {
            print_issues(&p.issues);
            fail_msg("case %u: %s", k, nx_err_name(p.err));
        }
        if (p.config && !nx_slice_eq_cstr(p.config->functions[0].env[0].value, cases[k].text))
            fail_msg("case %u: [%s]", k, p.config->functions[0].env[0].value.p);
        parsed_done(&p);
    }
    /* Halves, as JSON writes what lies above U+FFFF. */
    parsed p = parse_good("{\"version\":\"v1\",\"data_dir\":\"\\ud83d\\ude00\",\"functions\":[]}", NX_CONFIG_NO_FUNCTIONS);
    assert_true(nx_slice_ends(p.config->data_dir, NX_SLICE("/\xf0\x9f\x98\x80")));
    parsed_done(&p);
}

/* The classic: nine levels of nine aliases each. Nothing is ever expanded. */
static void test_config_alias_bomb(void **state)
{
    (void)state;
    nx_buf text = NX_BUF_INIT(1u << 16);
    assert_int_equal(nx_buf_append_cstr(&text, HEAD "a: &a [x,x,x,x,x,x,x,x,x]\n"), NX_OK);
    for (char c = 'b'; c <= 'i'; c++) {
        assert_int_equal(nx_buf_printf(&text, "%c: &%c [", c, c), NX_OK);
        for (int i = 0; i < 9; i++) assert_int_equal(nx_buf_printf(&text, "%s*%c", i ? "," : "", c - 1), NX_OK);
        assert_int_equal(nx_buf_append_cstr(&text, "]\n"), NX_OK);
    }
    parsed p = parse_flags(nx_buf_view(&text), NX_CONFIG_NO_FUNCTIONS);
    assert_int_equal(p.err, NX_EINVAL);
    issue_at(&p, 2, 4, "");
    parsed_done(&p);
    nx_buf_done(&text);
}

static void repeat(nx_buf *out, const char *text, unsigned times)
{
    for (unsigned i = 0; i < times; i++) assert_int_equal(nx_buf_append_cstr(out, text), NX_OK);
}

static void check_hostile(nx_buf *text, const char *reason)
{
    uint64_t begin_ns = nx_clock_ns();
    parsed p = parse_flags(nx_buf_view(text), 0);
    uint64_t took_ns = nx_clock_ns() - begin_ns;
    assert_int_equal(p.err, NX_EINVAL);
    bool found = false;
    for (unsigned i = 0; i < p.issues.n; i++) found |= strstr(p.issues.v[i].reason, reason) != NULL;
    if (!found) {
        print_issues(&p.issues);
        fail_msg("expected: %s", reason);
    }
    /* Generous, for sanitizers and busy machines: what it has to notice is a square of the size. */
    assert_true(took_ns < 20 * NX_NS_PER_S);
    parsed_done(&p);
    nx_buf_done(text);
}

static void test_config_hostile_files(void **state)
{
    (void)state;
    nx_buf t = NX_BUF_INIT(NX_CONFIG_FILE_BYTES + 1);
    repeat(&t, HEAD "a: ", 1);
    repeat(&t, "[", 300000);
    check_hostile(&t, "nested too deeply");
    repeat(&t, "{a: ", 200000);
    check_hostile(&t, "nested too deeply");
    repeat(&t, "- ", 300000);
    check_hostile(&t, "nested too deeply");
    for (unsigned i = 0; i < 1200; i++) {
        repeat(&t, " ", i);
        repeat(&t, "a:\n", 1);
    }
    check_hostile(&t, "nested too deeply");
    for (unsigned i = 0; i < 100000; i++) assert_int_equal(nx_buf_printf(&t, "k%u: 1\n", i), NX_OK);
    check_hostile(&t, "keys; at most 256");
    repeat(&t, HEAD "functions: [{name: f, on: {nats: [", 1);
    repeat(&t, "a,", 300000);
    repeat(&t, "b]}}]\n", 1);
    check_hostile(&t, "holds too many values");
    repeat(&t, HEAD "functions: [{name: f, on: {nats: [", 1);
    repeat(&t, "a,", 90000);
    repeat(&t, "b]}}]\n", 1);
    check_hostile(&t, "items; at most 256");
    repeat(&t, HEAD "functions:\n", 1);
    repeat(&t, "- {}\n", 5000);
    check_hostile(&t, "has 5000 functions; at most 4096");
    repeat(&t, HEAD "functions: [{name: f, on: {event: a}, code: f, env: {", 1);
    for (unsigned i = 0; i < 300; i++) assert_int_equal(nx_buf_printf(&t, "V%u: 1,", i), NX_OK);
    repeat(&t, "}}]\n", 1);
    check_hostile(&t, "has 300 variables; at most 256");
    repeat(&t, HEAD "functions: [{name: f, on: {event: a}, code: f, env: {", 1);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(nx_buf_printf(&t, "V%u: ", i), NX_OK);
        repeat(&t, "x", 30000);
        repeat(&t, ",", 1);
    }
    repeat(&t, "}}]\n", 1);
    check_hostile(&t, "at most 131072 are allowed");
    repeat(&t, HEAD "data_dir: ", 1);
    repeat(&t, "x", 900000);
    check_hostile(&t, "has 900000 bytes; at most 4000");
    repeat(&t, HEAD "name: |\n", 1);
    repeat(&t, "  y\n", 200000);
    check_hostile(&t, "has 400000 bytes; at most 63");
    repeat(&t, HEAD "x: \"", 1);
    repeat(&t, "\\n", 400000);
    check_hostile(&t, "is not valid YAML");
    repeat(&t, "#", NX_CONFIG_FILE_BYTES);
    check_hostile(&t, "the file is empty");
    repeat(&t, "#", NX_CONFIG_FILE_BYTES + 1);
    check_hostile(&t, "has 1048577 bytes; at most 1048576 are read");
    repeat(&t, "%", 300000);
    check_hostile(&t, "directives (%NAME) are not supported");
    repeat(&t, "!<", 400000);
    check_hostile(&t, "is not valid YAML");
    repeat(&t, "? ", 400000);
    check_hostile(&t, "");
    repeat(&t, "a: &b ", 100000);
    check_hostile(&t, "");
}

/* 4096 functions, the largest project there may be. */
static void test_config_many_functions(void **state)
{
    (void)state;
    nx_buf t = NX_BUF_INIT(NX_CONFIG_FILE_BYTES);
    repeat(&t, HEAD "functions:\n", 1);
    for (unsigned i = 0; i < NX_CONFIG_FUNCTIONS_MAX; i++)
        assert_int_equal(nx_buf_printf(&t, "- {name: f%u, on: {http: {path: /p%u}, event: [a, b]}, code: f.wasm, env: {A: b}}\n", i, i), NX_OK);
    parsed p = parse_flags(nx_buf_view(&t), 0);
    assert_int_equal(p.err, NX_OK);
    assert_int_equal(p.config->n_functions, NX_CONFIG_FUNCTIONS_MAX);
    assert_non_null(nx_config_function(p.config, NX_SLICE("f4095")));
    parsed_done(&p);
    nx_buf_done(&t);
}

/* libfyaml writes to stderr by default; a terminal must only show what the command prints. */
static void test_config_parser_is_silent(void **state)
{
    (void)state;
    char path[] = "/tmp/nx-config-stderr-XXXXXX", seen[64];
    int file = mkstemp(path), saved = dup(STDERR_FILENO);
    assert_true(file >= 0 && saved >= 0);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    static const char *const texts[] = {"a: [1", "\"", "- a\nb", "a: b\n\tc: d\n", "%YAML 9.9\n---\na: b\n", "a: *b\n", "%TAG ! x\n%TAG ! y\n--- a\n", "&&"};
    for (unsigned i = 0; i < NX_ARRAY_LEN(texts); i++) {
        nx_config *c = NULL;
        nx_config_parse(nx_slice_cstr(texts[i]), "f", ".", 0, &c, NULL, NULL);
        nx_config_unref(c);
    }
    fflush(stderr);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
    assert_int_equal(pread(file, seen, sizeof seen, 0), 0);
    close(file);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_bytes),
        cmocka_unit_test(test_config_refused_yaml),
        cmocka_unit_test(test_config_texts),
        cmocka_unit_test(test_config_alias_bomb),
        cmocka_unit_test(test_config_hostile_files),
        cmocka_unit_test(test_config_many_functions),
        cmocka_unit_test(test_config_parser_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
