/* Every kind of mistake in nexus.yaml: place, path, reason, suggestion. */
#include "config_help.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct mistake {
    const char *text;
    unsigned line, column;
    const char *path, *reason, *suggestion; /* parts of them */
} mistake;

static void check_mistakes(const mistake *all, size_t n, unsigned flags)
{
    for (size_t k = 0; k < n; k++) {
        const mistake *m = &all[k];
        parsed p = parse_flags(nx_slice_cstr(m->text), flags);
        if (!p.err) fail_msg("no problem found in:\n%s", m->text);
        assert_int_equal(p.err, NX_EINVAL);
        const nx_config_issue *i = issue_at(&p, m->line, m->column, m->path);
        if (!strstr(i->reason, m->reason) || !strstr(i->suggestion, m->suggestion)) {
            print_issues(&p.issues);
            fail_msg("expected: %s (%s)", m->reason, m->suggestion);
        }
        if (m->suggestion[0] == '\0' && i->suggestion[0]) fail_msg("a suggestion that was not expected: %s", i->suggestion);
        if (p.issues.n != 1) {
            print_issues(&p.issues);
            fail_msg("%u problems in:\n%s", p.issues.n, m->text);
        }
        parsed_done(&p);
    }
}

#define HEAD "version: v1\n"
#define NODE(line) HEAD line "\n" ONE_FUNCTION
/* A function whose own lines begin on line 4 at column 5. */
#define FN(lines) HEAD "functions:\n  - name: f\n" lines
#define FN_OK(lines) FN("    on: {event: a}\n    code: f.wasm\n" lines) /* lines begin on line 6 */
#define FN_ON(lines) FN("    code: f.wasm\n    on:\n" lines)            /* lines begin on line 6 */
#define PATH(text) FN_ON("      http: {path: " text "}\n")              /* the value begins at 6:20 */
#define SUBJECT(text) FN_ON("      nats: " text "\n")                   /* the value begins at 6:13 */
#define TYPE(text) FN_ON("      event: " text "\n")                     /* the value begins at 6:14 */

/* Who writes the value itself must not read it again in a message. */
static void test_config_secret_value_is_not_shown(void **state)
{
    (void)state;
    parsed p = parse(NODE("secrets: {A: sk_live_0123}"));
    nx_buf text = NX_BUF_INIT(1u << 16);
    assert_int_equal(p.err, NX_EINVAL);
    assert_int_equal(nx_config_issues_text(&p.issues, &text), NX_OK);
    assert_non_null(strstr(nx_buf_cstr(&text), "nexus secrets set"));
    assert_null(strstr(nx_buf_cstr(&text), "sk_live"));
    nx_buf_done(&text);
    parsed_done(&p);
}

static void test_config_keys(void **state)
{
    (void)state;
    static const mistake all[] = {
        {NODE("listne: 1"), 2, 1, "listne", "unknown key", "did you mean listen?"},
        {NODE("data-dir: x"), 2, 1, "data-dir", "unknown key", "did you mean data_dir?"},
        {NODE("Workers: 1"), 2, 1, "Workers", "unknown key", "did you mean workers?"},
        {NODE("max_body: 1Mi"), 2, 1, "max_body", "unknown key", "it belongs under http"},
        {NODE("timeout: 1s"), 2, 1, "timeout", "unknown key", "it belongs under a function"},
        {NODE("zzzzzzzz: 1"), 2, 1, "zzzzzzzz", "unknown key", ""},
        {NODE("log: {zzzzzzzz: 1}"), 2, 7, "log.zzzzzzzz", "unknown key", "known here: level, format"},
        {NODE("\"a\\nb\": 1"), 2, 1, "\"a\\nb\"", "unknown key", ""},
        {FN_OK("    timeot: 5s\n"), 6, 5, "functions[0].timeot", "unknown key", "did you mean timeout?"},
        {FN_OK("    path: /x\n"), 6, 5, "functions[0].path", "unknown key", "it belongs under on.http"},
        {FN_OK("    listen: x\n"), 6, 5, "functions[0].listen", "unknown key", "it belongs under the top level"},
        {FN_ON("      htpt: {path: /x}\n"), 6, 7, "functions[0].on.htpt", "unknown key", "did you mean http?"},
        {FN_ON("      kafka: 'x'\n      event: a\n"), 6, 7, "functions[0].on.kafka", "unknown key", "known here: http, nats, event, cron"},
        {NODE("workers: 1\nworkers: 2"), 3, 1, "workers", "appears twice; first on line 2", ""},
        {NODE("log: {level: info, level: info}"), 2, 20, "log.level", "appears twice; first on line 2", ""},
        {FN_OK("    env: {A: 1, B: 2, A: 3}\n"), 6, 23, "functions[0].env.A", "appears twice; first on line 6", ""},
        {FN_OK("    <<: {a: 1}\n"), 6, 5, "functions[0].\"<<\"", "merge keys are not supported", "write the keys out"},
        {FN_OK("    env: {<<: {A: 1}}\n"), 6, 11, "functions[0].env.\"<<\"", "merge keys are not supported", "write the keys out"},
        {"functions:\n  - {name: f, on: {event: a}, code: f}\n", 1, 1, "version", "is missing", "add version: v1"},
        {HEAD, 1, 1, "functions", "is missing", "add functions: [{name: hello"},
        {HEAD "functions:\n  - on: {event: a}\n    code: f\n", 3, 5, "functions[0].name", "is missing", "add name: user-welcome"},
        {HEAD "functions:\n  - name: f\n    on: {event: a}\n", 3, 5, "functions[0].code", "is missing", "add code: ./build/welcome.wasm"},
        {HEAD "functions:\n  - name: f\n    code: f\n", 3, 5, "functions[0].on", "is missing", "add on: {event: user.created}"},
        {FN_ON("      http: {method: GET}\n"), 6, 13, "functions[0].on.http.path", "is missing", "add path: /hooks/orders"},
        {FN_ON("      http:\n"), 6, 7, "functions[0].on.http.path", "is missing", "add path: /hooks/orders"},
    };
    check_mistakes(all, NX_ARRAY_LEN(all), 0);
}

static void test_config_kinds(void **state)
{
    (void)state;
    static const mistake all[] = {
        {"- a\n", 1, 1, "", "must be a mapping of keys to values, not a list", "version: v1"},
        {"hello\n", 1, 1, "", "must be a mapping of keys to values, not one value", "version: v1"},
        {NODE("log: debug"), 2, 6, "log", "must be a mapping, not one value", ""},
        {NODE("log: [debug]"), 2, 6, "log", "must be a mapping, not a list", ""},
        {NODE("workers: [1]"), 2, 10, "workers", "must be one value, not a list", "try 0"},
        {NODE("workers: {a: 1}"), 2, 10, "workers", "must be one value, not a mapping", "try 0"},
        {NODE("workers:"), 2, 1, "workers", "has no value", "remove the key, or give it a value like 0"},
        {NODE("listen: ~"), 2, 9, "listen", "has no value", "127.0.0.1:8080"},
        {NODE("listen: ''"), 2, 9, "listen", "is empty; an address is expected", ""},
        {NODE("workers: '4'"), 2, 10, "workers", "is text, not a number", "leave out the quotes"},
        {NODE("workers: four"), 2, 10, "workers", "\"four\" is not a whole number", "try 0"},
        {NODE("workers: -1"), 2, 10, "workers", "\"-1\" is not a whole number", "try 0"},
        {NODE("workers: 1.5"), 2, 10, "workers", "\"1.5\" is not a whole number", "try 0"},
        {NODE("workers: 257"), 2, 10, "workers", "\"257\" is too large", "0 to 256"},
        {NODE("workers: 99999999999999999999999"), 2, 10, "workers", "is not a whole number", "try 0"},
        {NODE("hop_limit: 0"), 2, 12, "hop_limit", "\"0\" is too small", "1 to 64"},
        {NODE("ingest: {strict: yes}"), 2, 18, "ingest.strict", "\"yes\" is not a boolean", "try true"},
        {NODE("ingest: {strict: Off}"), 2, 18, "ingest.strict", "\"Off\" is not a boolean", "try false"},
        {NODE("ingest: {strict: maybe}"), 2, 18, "ingest.strict", "\"maybe\" is not a boolean", "true or false"},
        {NODE("ingest: {strict: 'true'}"), 2, 18, "ingest.strict", "is text, not a boolean", "leave out the quotes"},
        {NODE("log: {level: warning}"), 2, 14, "log.level", "\"warning\" is none of debug, info, warn, error", "did you mean warn?"},
        {NODE("log: {format: xml}"), 2, 15, "log.format", "\"xml\" is none of text, json", ""},
        {"version: 1\n" ONE_FUNCTION, 1, 10, "version", "\"1\" is not v1", "write v1"},
        {"version: v2\n" ONE_FUNCTION, 1, 10, "version", "\"v2\" is not v1", "write v1"},
        {FN_OK("    runtime: wasi\n"), 6, 14, "functions[0].runtime", "\"wasi\" is not wasi-preview1", "write wasi-preview1"},
        {FN_OK("    input: event\n"), 6, 12, "functions[0].input", "is none of data, cloudevent", ""},
        {FN_OK("    respond: synch\n"), 6, 14, "functions[0].respond", "is none of async, sync", "did you mean sync?"},
        {HEAD "functions: x\n", 2, 12, "functions", "must be a list, not one value", ""},
        {HEAD "functions:\n  hello: {code: a}\n", 3, 3, "functions", "must be a list, not a mapping", "begin each function with - name"},
        {HEAD "functions:\n", 2, 1, "functions", "has no value", "- name"},
        {HEAD "functions: []\n", 2, 12, "functions", "is an empty list", "- name"},
        {HEAD "functions: [f]\n", 2, 13, "functions[0]", "must be a mapping, not one value", "- name"},
    };
    check_mistakes(all, NX_ARRAY_LEN(all), 0);
    parsed p = parse(HEAD "functions:\n  -\n"); /* an empty item has no place of its own */
    assert_int_equal(p.issues.n, 1);
    assert_string_equal(p.issues.v[0].path, "functions[0]");
    assert_int_equal(p.issues.v[0].line, 3);
    parsed_done(&p);
}

static void test_config_durations_and_sizes(void **state)
{
    (void)state;
    static const mistake all[] = {
        {FN_OK("    timeout: 5 parsecs\n"), 6, 14, "functions[0].timeout", "\"5 parsecs\" is not a duration", "try 5s"},
        {FN_OK("    timeout: 5\n"), 6, 14, "functions[0].timeout", "\"5\" is not a duration", "the unit is missing: try 5s, or 5ms"},
        {FN_OK("    timeout: ''\n"), 6, 14, "functions[0].timeout", "\"\" is not a duration", "try 5s"},
        {FN_OK("    timeout: 16m\n"), 6, 14, "functions[0].timeout", "\"16m\" is too large", "1ms to 15m"},
        {FN_OK("    timeout: 0s\n"), 6, 14, "functions[0].timeout", "\"0s\" is too small", "1ms to 15m"},
        {FN_OK("    timeout: 999999999999999d\n"), 6, 14, "functions[0].timeout", "is not a duration", "try 5s"},
        {FN_OK("    memory: lots\n"), 6, 13, "functions[0].memory", "\"lots\" is not a size", "try 128Mi"},
        {FN_OK("    memory: 128mb\n"), 6, 13, "functions[0].memory", "\"128mb\" is not a size", "try 128Mi"},
        {FN_OK("    memory: 5Gi\n"), 6, 13, "functions[0].memory", "\"5Gi\" is too large", "64Ki to 4Gi"},
        {FN_OK("    memory: 1\n"), 6, 13, "functions[0].memory", "\"1\" is too small", "64Ki to 4Gi"},
        {NODE("http: {max_body: 9Mi}"), 2, 18, "http.max_body", "\"9Mi\" is too large", "1Ki to 8Mi"},
        {NODE("dedupe_window: 8d"), 2, 16, "dedupe_window", "\"8d\" is too large", "1s to 24h"},
        {NODE("dedupe_window: 24h\nretention: {events: {max_age: 1h}}"), 2, 16, "dedupe_window", "longer than retention.events.max_age", ""},
        {NODE("http: {max_body: 4Mi, max_buffered: 2Mi}"), 2, 37, "http.max_buffered", "http.max_buffered is less than http.max_body", "room for many bodies"},
        {NODE("retention: {events: {max_age: 1m}}"), 2, 31, "retention.events.max_age", "dedupe_window is longer", ""},
    };
    check_mistakes(all, NX_ARRAY_LEN(all), 0);
}

static void test_config_names_and_addresses(void **state)
{
    (void)state;
    static const mistake all[] = {
        {HEAD "functions:\n  - {name: User_Welcome, on: {event: a}, code: f}\n", 3, 12, "functions[0].name", "is not a name", "try user-welcome"},
        {HEAD "functions:\n  - {name: -x, on: {event: a}, code: f}\n", 3, 12, "functions[0].name", "\"-x\" is not a name", "try x"},
        {HEAD "functions:\n  - {name: nexus, on: {event: a}, code: f}\n", 3, 12, "functions[0].name", "the node's own log lines", "choose another"},
        {HEAD "functions:\n  - {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, on: {event: a}, code: f}\n", 3, 12, "functions[0].name",
         "has 64 bytes; at most 63", ""},
        {HEAD "functions:\n  - {name: a, on: {event: a}, code: f}\n  - {name: b, on: {event: a}, code: f}\n  - {name: a, on: {event: a}, code: f}\n", 5, 12,
         "functions[2].name", "\"a\" is the name of the function on line 3 already", "choose another name"},
        {NODE("name: My App"), 2, 7, "name", "\"My App\" is not a name", "try my-app"},
        {NODE("name: '!!'"), 2, 7, "name", "is not a name", ""},
        {NODE("namespace: a.b"), 2, 12, "namespace", "is not a name", "try a-b"},
        {NODE("listen: 8080"), 2, 9, "listen", "\"8080\" is a port without an address", "try 127.0.0.1:8080"},
        {NODE("listen: localhost"), 2, 9, "listen", "the port is missing", "127.0.0.1:8080"},
        {NODE("listen: localhost:http"), 2, 9, "listen", "the port is a number up to 65535", "127.0.0.1:8080"},
        {NODE("listen: 127.0.0.1:65536"), 2, 9, "listen", "the port is a number up to 65535", "127.0.0.1:8080"},
        {NODE("listen: '::1:80'"), 2, 9, "listen", "is not an address", "[::1]:8080"},
        {NODE("listen: http://localhost:80"), 2, 9, "listen", "is not an address", "127.0.0.1:8080"},
        {NODE("listen: 127.0.0.1:8081"), 2, 9, "listen", "listen and admin have the same address", "different ports"},
        {NODE("admin: 127.0.0.1:8080"), 2, 8, "admin", "listen and admin have the same address", "different ports"},
        {NODE("data_dir: ~/x"), 2, 11, "data_dir", "~ is not expanded here", "write the whole path"},
        {NODE("data_dir: \"a\\nb\""), 2, 11, "data_dir", "may not hold control characters", ""},
    };
    check_mistakes(all, NX_ARRAY_LEN(all), 0);
}

static void test_config_partners(void **state)
{
    (void)state;
    static const mistake all[] = {
        {NODE("tls: {cert: a.pem}"), 2, 13, "tls.cert", "needs tls.key too", "add tls.key"},
        {NODE("tls: {key: a.pem}"), 2, 12, "tls.key", "needs tls.cert too", "add tls.cert"},
        {NODE("replicas: 3"), 2, 11, "replicas", "needs a NATS cluster", "add nats.url"},
        {NODE("replicas: 6"), 2, 11, "replicas", "\"6\" is too large", "1 to 5"},
        {NODE("durability: quorum"), 2, 13, "durability", "quorum needs at least 3 replicas", "set replicas: 3"},
        {NODE("durability: quorum\nreplicas: many"), 3, 11, "replicas", "is not a whole number", "try 1"},
        {NODE("nats: {js_prefix: a.b}"), 2, 19, "nats.js_prefix", "no effect without nats.url", "add nats.url"},
        {NODE("nats: {tls: {ca: a}}"), 2, 18, "nats.tls.ca", "no effect without nats.url", "add nats.url"},
        {NODE("nats: {url: 'nats://a', user: u}"), 2, 31, "nats.user", "needs nats.password too", "add nats.password"},
        {NODE("nats: {url: 'nats://a', tls: {key: u}}"), 2, 36, "nats.tls.key", "needs nats.tls.cert too", "add nats.tls.cert"},
        {NODE("nats: {url: 'nats://a', credentials: c, token: t}"), 2, 48, "nats.token", "together with nats.credentials", "keep one"},
        {NODE("nats: {url: localhost}"), 2, 13, "nats.url", "does not begin with nats:// or tls://", "nats://127.0.0.1:4222"},
        {NODE("nats: {url: 'http://me:secret@localhost'}"), 2, 13, "nats.url", "begins with nats:// or tls://", "nats://127.0.0.1:4222"},
        {NODE("nats: {url: 'nats://a:4222,nats://'}"), 2, 13, "nats.url", "is not HOST:PORT", "nats://127.0.0.1:4222"},
        {NODE("nats: {url: 'nats://u:p@a:0'}"), 2, 13, "nats.url", "\"a:0\" is not HOST:PORT", "nats://127.0.0.1:4222"},
        {NODE("nats: {url: 'nats://a', js_prefix: a.*}"), 2, 36, "nats.js_prefix", "may not hold wildcards", "$JS.API"},
    };
    check_mistakes(all, NX_ARRAY_LEN(all), 0);
    parsed p = parse(NODE("nats: {url: 'http://me:secret@localhost', token: [secret], password: \"secret\\n\"}"));
    for (unsigned i = 0; i < p.issues.n; i++) assert_null(strstr(p.issues.v[i].reason, "secret"));
    assert_int_equal(p.issues.n, 4);
    parsed_done(&p);
}

static void test_config_retries(void **state)
{
    (void)state;
    static const mistake all[] = {
        {FN_OK("    retry: {max_attempts: 0}\n"), 6, 27, "functions[0].retry.max_attempts", "\"0\" is too small", "1 to 1000"},
        {FN_OK("    retry: {max_attemps: 3}\n"), 6, 13, "functions[0].retry.max_attemps", "unknown key", "did you mean max_attempts?"},
        {FN_OK("    retry: 3\n"), 6, 12, "functions[0].retry", "must be a mapping, not one value", ""},
        {FN_OK("    retry: {max_attempts: 3, factor: 0.5}\n"), 6, 38, "functions[0].retry.factor", "\"0.5\" is too small", "1 to 100"},
        {FN_OK("    retry: {max_attempts: 3, factor: 2.}\n"), 6, 38, "functions[0].retry.factor", "is not a number with at most three digits", "try 2"},
        {FN_OK("    retry: {max_attempts: 3, factor: 1.0001}\n"), 6, 38, "functions[0].retry.factor", "is not a number", "try 2"},
        {FN_OK("    retry: {max_attempts: 3, factor: '2'}\n"), 6, 38, "functions[0].retry.factor", "is text, not a number", "leave out the quotes"},
        {FN_OK("    retry: {max_attempts: 3, jitter: ful}\n"), 6, 38, "functions[0].retry.jitter", "is none of none, full, equal", "did you mean full?"},
        {FN_OK("    retry: {on_exhausted: dead}\n"), 6, 27, "functions[0].retry.on_exhausted", "is none of dlq, pause, drop", ""},
        {FN_OK("    retry: {max_attempts: 3, initial_interval: 2m}\n"), 6, 48, "functions[0].retry.initial_interval",
         "retry.initial_interval is longer than retry.max_interval", "raise retry.max_interval"},
        {FN_OK("    retry: {max_attempts: 3, max_interval: 500ms}\n"), 6, 44, "functions[0].retry.max_interval",
         "retry.initial_interval is longer than retry.max_interval", "raise retry.max_interval"},
        {FN_OK("    cpu: 250\n"), 6, 10, "functions[0].cpu", "\"250\" is that many whole cores", "did you mean 250m? So many cores are written 250000m"},
        {FN_OK("    retry: {jitter: full}\n"), 6, 21, "functions[0].retry.jitter", "has no effect with one attempt", "set retry.max_attempts: 3"},
        {FN_OK("    retry_on: trap\n"), 6, 15, "functions[0].retry_on", "has no effect with one attempt", "set retry.max_attempts: 3"},
        {FN_OK("    retry: {max_attempts: 2}\n    retry_on: [trap, exits]\n"), 7, 22, "functions[0].retry_on[1]", "\"exits\" is no reason of a failure", "did you mean exit?"},
        {FN_OK("    retry: {max_attempts: 2}\n    retry_on: everything\n"), 7, 15, "functions[0].retry_on", "is no reason of a failure", "trap, exit, stack_overflow"},
        {FN_OK("    retry: {max_attempts: 2}\n    retry_on: hop_limit\n"), 7, 15, "functions[0].retry_on", "\"hop_limit\" is never tried again", ""},
        {FN_OK("    retry: {max_attempts: 2}\n    retry_on: []\n"), 7, 15, "functions[0].retry_on", "is an empty list", "remove the key"},
    };
    check_mistakes(all, NX_ARRAY_LEN(all), 0);
}

static void test_config_triggers(void **state)
{
    (void)state;
    static const mistake all[] = {
        {FN("    code: f\n    on: {}\n"), 5, 5, "functions[0].on", "has no trigger: the function could never run", "add http, nats, event or cron"},
        {FN("    code: f\n    on:\n"), 5, 5, "functions[0].on", "has no trigger", "add http, nats, event or cron"},
        {FN("    code: f\n    on: http\n"), 5, 9, "functions[0].on", "must be a mapping, not one value", "{event: user.created}"},
        {FN_ON("      http: /x\n"), 6, 13, "functions[0].on.http", "must be a mapping, not one value", ""},
        {FN_ON("      http: {path: /x, method: post}\n"), 6, 32, "functions[0].on.http.method", "\"post\" is none of GET, POST", "did you mean POST?"},
        {FN_ON("      http: {path: /x, method: CONNECT}\n"), 6, 32, "functions[0].on.http.method", "\"CONNECT\" is none of", ""},
        {FN_ON("      http: {path: /events/a, method: GET}\n"), 6, 39, "functions[0].on.http.method", "with POST only", "set method: POST"},
        {PATH("hooks"), 6, 20, "functions[0].on.http.path", "does not begin with /", "try /hooks"},
        {PATH("'http://a/b'"), 6, 20, "functions[0].on.http.path", "does not begin with /", "write the part after the host"},
        {PATH("/a/../b"), 6, 20, "functions[0].on.http.path", "segments . and ..", ""},
        {PATH("/a/."), 6, 20, "functions[0].on.http.path", "segments . and ..", ""},
        {PATH("/a//b"), 6, 20, "functions[0].on.http.path", "empty segment", ""},
        {PATH("/a?b=1"), 6, 20, "functions[0].on.http.path", "the query is no part", ""},
        {PATH("'/a#b'"), 6, 20, "functions[0].on.http.path", "may not hold #", ""},
        {PATH("/a%20b"), 6, 20, "functions[0].on.http.path", "write the character itself", ""},
        {PATH("/a\\b"), 6, 20, "functions[0].on.http.path", "backslash", ""},
        {PATH("/a/*"), 6, 20, "functions[0].on.http.path", "wildcards are not supported", ""},
        {PATH("'/a/{id}'"), 6, 20, "functions[0].on.http.path", "parameters in braces", ""},
        {PATH("/a/:id"), 6, 20, "functions[0].on.http.path", "parameters like :id are not supported", "from the body"},
        {PATH("\"/a\\tb\""), 6, 20, "functions[0].on.http.path", "control characters", ""},
        {PATH("/events"), 6, 20, "functions[0].on.http.path", "\"/events\" is the platform's own path", "choose another path"},
        {PATH("/events/"), 6, 20, "functions[0].on.http.path", "is the platform's own path", "choose another path"},
        {PATH("/healthz"), 6, 20, "functions[0].on.http.path", "is the platform's own path", "choose another path"},
        {PATH("/events/a/b"), 6, 20, "functions[0].on.http.path", "one event type, without /", "/events/user.created"},
        {HEAD "functions:\n  - {name: a, on: {http: {path: /x}}, code: f}\n  - {name: b, on: {http: {path: /x, method: GET}}, code: f}\n"
              "  - {name: c, on: {http: {path: /x, method: POST}}, code: f}\n",
         5, 33, "functions[2].on.http.path", "POST /x is the route of a (line 3) already", "choose another path"},
        {HEAD "functions:\n  - {name: a, on: {http: {path: /events/u.c}}, code: f}\n  - {name: b, on: {http: {path: /events/u.c}}, code: f}\n", 4, 33,
         "functions[1].on.http.path", "is the route of a (line 3) already", "write on: {event: u.c} instead"},
        {SUBJECT("orders..new"), 6, 13, "functions[0].on.nats", "a token between dots is empty", ""},
        {SUBJECT("orders."), 6, 13, "functions[0].on.nats", "a token between dots is empty", ""},
        {SUBJECT("orders new"), 6, 13, "functions[0].on.nats", "may not hold spaces", ""},
        {SUBJECT("orders.>.x"), 6, 13, "functions[0].on.nats", "> may only stand at the end", ""},
        {SUBJECT("orders.a*"), 6, 13, "functions[0].on.nats", "a whole token", ""},
        {SUBJECT("nx.default.ev.>"), 6, 13, "functions[0].on.nats", "belongs to the platform", "orders.>"},
        {SUBJECT("$JS.API.>"), 6, 13, "functions[0].on.nats", "belongs to the NATS server", "orders.>"},
        {SUBJECT("_INBOX.x"), 6, 13, "functions[0].on.nats", "belongs to NATS clients", "orders.>"},
        {SUBJECT("'>'"), 6, 13, "functions[0].on.nats", "the platform's own messages", "orders.>"},
        {SUBJECT("'*.>'"), 6, 13, "functions[0].on.nats", "the platform's own messages", "orders.>"},
        {SUBJECT("[a.b, c.d, a.b]"), 6, 24, "functions[0].on.nats[2]", "stands in the list already", "remove it"},
        {SUBJECT("[a.b, ~]"), 6, 19, "functions[0].on.nats[1]", "is empty", "remove it"},
        {SUBJECT("[a.b, [c]]"), 6, 19, "functions[0].on.nats[1]", "must be one value, not a list", ""},
        {SUBJECT("[]"), 6, 13, "functions[0].on.nats", "is an empty list", "remove the key"},
        {SUBJECT("{a: b}"), 6, 13, "functions[0].on.nats", "must be one value or a list, not a mapping", "orders.>"},
        {SUBJECT(""), 6, 7, "functions[0].on.nats", "has no value", "orders.>"},
        {TYPE("'user.>.x'"), 6, 14, "functions[0].on.event", "may only stand at the end", "user.>"},
        {TYPE("user.a*"), 6, 14, "functions[0].on.event", "is not an event type or pattern", "user.*"},
        {TYPE("[a, \"b\\n\"]"), 6, 18, "functions[0].on.event[1]", "is not an event type or pattern", "user.*"},
        {FN_OK("    allowed_outbound_hosts: api.example.com\n"), 6, 29, "functions[0].allowed_outbound_hosts", "has no scheme", ""},
        {FN_OK("    allowed_outbound_hosts: [\"https://a/b\"]\n"), 6, 30, "functions[0].allowed_outbound_hosts[0]", "\"https://a/b\"", ""},
        {FN_OK("    key_value_stores: [Default]\n"), 6, 24, "functions[0].key_value_stores[0]", "is not the name of a store", "try default"},
        {FN_OK("    emit: ['a b.>.c']\n"), 6, 12, "functions[0].emit[0]", "is not an event type or pattern", "user.*"},
        {FN_OK("    output: {event: 'a.*'}\n"), 6, 21, "functions[0].output.event", "an event has one type", "user.created"},
        {FN_OK("    output: a.b\n"), 6, 13, "functions[0].output", "must be a mapping, not one value", ""},
        {FN_OK("    env: {1A: x}\n"), 6, 11, "functions[0].env.1A", "is not a name of an environment variable", ""},
        {FN_OK("    env: {A-B: x}\n"), 6, 11, "functions[0].env.A-B", "is not a name of an environment variable", ""},
        {FN_OK("    env: {NEXUS_X: x}\n"), 6, 11, "functions[0].env.NEXUS_X", "is set by the platform", "choose another name"},
        {FN_OK("    env: {TRACE_ID: x}\n"), 6, 11, "functions[0].env.TRACE_ID", "is set by the platform", "choose another name"},
        {FN_OK("    env: {A: }\n"), 6, 11, "functions[0].env.A", "has no value", "write \"\""},
        {FN_OK("    env: {A: [1]}\n"), 6, 14, "functions[0].env.A", "must be text, not a list", ""},
        {FN_OK("    env: [A=1]\n"), 6, 10, "functions[0].env", "must be a mapping of names to texts, not a list", "{GREETING: hello}"},
        {FN_OK("    secrets: [9LIVES]\n"), 6, 15, "functions[0].secrets[0]", "is not the name of a secret", ""},
        {FN_OK("    secrets: {reed: [A]}\n"), 6, 15, "functions[0].secrets.reed", "unknown key", "did you mean read?"},
        {FN_OK("    secrets: {env: {NEXUS_X: A}}\n"), 6, 21, "functions[0].secrets.env.NEXUS_X", "is set by the platform", "choose another name"},
        {FN_OK("    secrets: {env: {A: a b}}\n"), 6, 24, "functions[0].secrets.env.A", "is not the name of a secret", ""},
        {FN_OK("    secrets: {env: [A]}\n"), 6, 20, "functions[0].secrets.env", "must be a mapping of names to texts", "DB_PASSWORD"},
        {FN_OK("    env: {A: x}\n    secrets: {env: {A: B}}\n"), 7, 20, "functions[0].secrets.env", "A is set by env already", "remove one"},
        {NODE("secrets: [A]"), 2, 10, "secrets", "must be a mapping of names to places", "STRIPE_KEY"},
        {NODE("secrets: {a.b: {env: A}}"), 2, 11, "secrets.\"a.b\"", "is not the name of a secret", ""},
        {NODE("secrets: {A: {file: x, env: y}}"), 2, 14, "secrets.A", "has 2 places", "keep one"},
        {NODE("secrets: {A: {}}"), 2, 14, "secrets.A", "has 0 places", ""},
        {NODE("secrets: {A: {vault: x}}"), 2, 15, "secrets.A.vault", "unknown key", "file, env"},
        {NODE("secrets: {A: {env: A=B}}"), 2, 20, "secrets.A.env", "is not a name of an environment variable", ""},
        {NODE("secrets: {A: {file: }}"), 2, 15, "secrets.A.file", "has no value", "./stripe.key"},
        {NODE("secrets: {A: {env: x}, A: {env: y}}"), 2, 24, "secrets.A", "appears twice; first on line 2", ""},
        {FN_OK("    build: make\n"), 6, 12, "functions[0].build", "must be a mapping, not one value", ""},
        {FN_OK("    build: {watch: src}\n"), 6, 20, "functions[0].build.watch", "must be a list, not one value", "[src, Cargo.toml]"},
    };
    check_mistakes(all, NX_ARRAY_LEN(all), 0);
}

/* ---- code */

static void write_file(const char *dir, const char *name, nx_slice bytes)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.p, 1, bytes.n, f), bytes.n);
    assert_int_equal(fclose(f), 0);
}

static void test_config_code(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t n;
        const char *reason, *suggestion;
    } cases[] = {
        {"good.wasm", "\0asm\x01\0\0\0 more", 13, NULL, NULL},
        {"component.wasm", "\0asm\x0d\0\x01\0", 8, "is a component, not a core module", "build for wasi preview 1"},
        {"future.wasm", "\0asm\x02\0\0\0", 8, "unknown version", ""},
        {"cut.wasm", "\0asm\x01", 5, "is cut off", ""},
        {"empty.wasm", "", 0, "is empty", "build for wasi preview 1"},
        {"text.wat", "(module)", 8, "is WebAssembly text", "wat2wasm"},
        {"elf", "\177ELF\2\1\1\0", 8, "is not a WebAssembly module", "build for wasi preview 1"},
        {"missing.wasm", NULL, 0, "\"missing.wasm\" does not exist", "build it, or correct the path"},
        {"elf/x.wasm", NULL, 0, "does not exist", "build it"},
        {".", NULL, 0, "is a folder", ""},
    };
    char dir[] = "/tmp/nx-config-XXXXXX", text[512];
    assert_non_null(mkdtemp(dir));
    for (unsigned i = 0; i < NX_ARRAY_LEN(cases); i++)
        if (cases[i].bytes) write_file(dir, cases[i].name, nx_slice_make(cases[i].bytes, cases[i].n));
    for (unsigned i = 0; i < NX_ARRAY_LEN(cases); i++) {
        nx_config *c = NULL;
        nx_config_issues issues = {0};
        snprintf(text, sizeof text, HEAD "functions:\n  - {name: f, on: {event: a}, code: %s}\n", cases[i].name);
        nx_err err = nx_config_parse(nx_slice_cstr(text), "nexus.yaml", dir, NX_CONFIG_CHECK_CODE, &c, &issues, NULL);
        assert_int_equal(err, cases[i].reason ? NX_EINVAL : NX_OK);
        if (cases[i].reason) {
            assert_int_equal(issues.n, 1);
            assert_int_equal(issues.v[0].line, 3);
            assert_int_equal(issues.v[0].column, 37);
            assert_string_equal(issues.v[0].path, "functions[0].code");
            assert_non_null(strstr(issues.v[0].reason, cases[i].reason));
            assert_non_null(strstr(issues.v[0].suggestion, cases[i].suggestion));
        }
        nx_config_unref(c);
        nx_config_issues_done(&issues);
    }
    for (unsigned i = 0; i < NX_ARRAY_LEN(cases); i++) {
        snprintf(text, sizeof text, "%s/%s", dir, cases[i].name);
        if (cases[i].bytes) unlink(text);
    }
    rmdir(dir);
}

/* ---- the list of problems */

static void test_config_issues_in_order_of_the_file(void **state)
{
    (void)state;
    parsed p = parse("version: v9\ntls: {cert: a}\nworkers: x\nfunctions:\n  - {name: f, on: {}, code: f, timeout: 1}\n  - {name: f, on: {event: a}, code: f, memry: 1}\n");
    assert_int_equal(p.issues.n, 7);
    for (unsigned i = 1; i < p.issues.n; i++) {
        const nx_config_issue *a = &p.issues.v[i - 1], *b = &p.issues.v[i];
        assert_true(a->line < b->line || (a->line == b->line && a->column <= b->column));
    }
    assert_string_equal(p.error.msg, "nexus.yaml:1:10: version: \"v9\" is not v1");
    parsed_done(&p);
}

static void test_config_issues_forms(void **state)
{
    (void)state;
    nx_buf out = NX_BUF_INIT(4096);
    parsed p = parse(HEAD "functions:\n  - name: f\n    on: {event: a}\n    code: f\n    timeout: 5 parsecs\n");
    assert_int_equal(nx_config_issues_text(&p.issues, &out), NX_OK);
    assert_string_equal(nx_buf_cstr(&out), "nexus.yaml:6:14: functions[0].timeout: \"5 parsecs\" is not a duration (try 5s)\n");
    nx_buf_clear(&out);
    assert_int_equal(nx_config_issues_json(&p.issues, &out), NX_OK);
    assert_string_equal(nx_buf_cstr(&out),
                        "{\"valid\":false,\"file\":\"nexus.yaml\",\"is_cut\":false,\"issues\":[{\"source\":\"nexus.yaml\",\"line\":6,\"column\":14,"
                        "\"path\":\"functions[0].timeout\",\"reason\":\"\\\"5 parsecs\\\" is not a duration\",\"suggestion\":\"try 5s\"}]}");
    nx_buf_done(&out);
    parsed_done(&p);
}

static void test_config_issues_are_bounded(void **state)
{
    (void)state;
    nx_buf text = NX_BUF_INIT(1u << 20), out = NX_BUF_INIT(1u << 20);
    assert_int_equal(nx_buf_append_cstr(&text, HEAD "functions:\n"), NX_OK);
    for (int i = 0; i < 500; i++) assert_int_equal(nx_buf_append_cstr(&text, "  - {a: 1}\n"), NX_OK);
    parsed p = parse_flags(nx_buf_view(&text), 0);
    assert_int_equal(p.issues.n, NX_CONFIG_ISSUES_MAX);
    assert_true(p.issues.is_cut);
    assert_int_equal(nx_config_issues_text(&p.issues, &out), NX_OK);
    assert_non_null(strstr(nx_buf_cstr(&out), "more than 100 problems"));
    nx_buf_done(&text);
    nx_buf_done(&out);
    parsed_done(&p);
}

/* What a user wrote comes back bounded, printable and in UTF-8. */
static void test_config_issues_show_long_and_odd_values(void **state)
{
    (void)state;
    char text[4096];
    snprintf(text, sizeof text, HEAD "durability: \"");
    for (int i = 0; i < 300; i++) strcat(text, "\xf0\x9f\x98\x80");
    strcat(text, "\\x1b[31m\"\n" ONE_FUNCTION);
    parsed p = parse(text);
    const nx_config_issue *i = issue_at(&p, 2, 13, "durability");
    assert_true(nx_slice_is_utf8(nx_slice_cstr(i->reason)));
    assert_non_null(strstr(i->reason, "…\" is none of process, power, quorum"));
    parsed_done(&p);
    p = parse(HEAD "durability: \"\\x1b[31m\"\n" ONE_FUNCTION);
    assert_non_null(strstr(p.issues.v[0].reason, "\"?[31m\" is none of"));
    parsed_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_keys),
        cmocka_unit_test(test_config_secret_value_is_not_shown),
        cmocka_unit_test(test_config_kinds),
        cmocka_unit_test(test_config_durations_and_sizes),
        cmocka_unit_test(test_config_names_and_addresses),
        cmocka_unit_test(test_config_partners),
        cmocka_unit_test(test_config_retries),
        cmocka_unit_test(test_config_triggers),
        cmocka_unit_test(test_config_code),
        cmocka_unit_test(test_config_issues_in_order_of_the_file),
        cmocka_unit_test(test_config_issues_forms),
        cmocka_unit_test(test_config_issues_are_bounded),
        cmocka_unit_test(test_config_issues_show_long_and_odd_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
