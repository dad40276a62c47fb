/* What a good nexus.yaml means: the mission's sample, defaults, every key, forms, stored settings. */
#include "config_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define assert_slice(slice, text) assert_true(nx_slice_eq_cstr((slice), (text)))

static void test_config_mission_sample(void **state)
{
    (void)state;
    parsed p = parse_good("version: v1\n"
                          "functions:\n"
                          "  - name: user-welcome\n"
                          "    on:\n"
                          "      http:\n"
                          "        method: POST\n"
                          "        path: /events/user.created\n"
                          "    runtime: wasi-preview1\n"
                          "    code: ./build/welcome.wasm\n"
                          "    timeout: 5s\n"
                          "    memory: 128Mi\n",
                          0);
    assert_int_equal(p.config->n_functions, 1);
    const nx_fn_config *f = &p.config->functions[0];
    assert_slice(f->name, "user-welcome");
    assert_slice(f->http_method, "POST");
    assert_slice(f->http_path, "/events/user.created");
    assert_slice(f->runtime, "wasi-preview1");
    assert_slice(f->code, "./build/welcome.wasm");
    assert_slice(f->code_path, "/nowhere/my-app/build/welcome.wasm");
    assert_int_equal(f->timeout_ns, 5000000000ull);
    assert_int_equal(f->memory_bytes, 128u << 20);
    assert_int_equal(f->line, 3);
    assert_ptr_equal(nx_config_function(p.config, NX_SLICE("user-welcome")), f);
    assert_null(nx_config_function(p.config, NX_SLICE("other")));
    parsed_done(&p);
}

static void check_node_defaults(const nx_config *c)
{
    assert_slice(c->ns, "default");
    assert_slice(c->listen, "127.0.0.1:8080");
    assert_slice(c->admin, "127.0.0.1:8081");
    assert_int_equal(c->log_level, NX_LOG_INFO);
    assert_false(c->log_json);
    assert_int_equal(c->tls_cert.n + c->tls_key.n, 0);
    assert_int_equal(c->max_body_bytes, 1u << 20);
    assert_int_equal(c->max_buffered_bytes, 256u << 20);
    assert_int_equal(c->max_header_bytes, 16u << 10);
    assert_int_equal(c->max_connections, 10000);
    assert_int_equal(c->head_timeout_ns, 10000000000ull);
    assert_int_equal(c->body_timeout_ns, 30000000000ull);
    assert_int_equal(c->idle_timeout_ns, 60000000000ull);
    assert_false(c->ingest_strict || c->ingest_batch);
    assert_int_equal(c->ingest_max_types, 1000);
    assert_int_equal(c->hop_limit, 16);
    assert_int_equal(c->nats_url.n + c->nats_js_prefix.n + c->nats_user.n, 0);
    assert_int_equal(c->durability, NX_DURABILITY_PROCESS);
    assert_int_equal(c->replicas, 1);
    assert_int_equal(c->events_max_age_ns, 7ull * 86400 * 1000000000);
    assert_int_equal(c->events_max_bytes, 4ull << 30);
    assert_int_equal(c->runs_max_age_ns, 7ull * 86400 * 1000000000);
    assert_int_equal(c->runs_max_bytes, 4ull << 30);
    assert_int_equal(c->dedupe_window_ns, 120ull * 1000000000);
    assert_int_equal(c->workers, 0);
}

static void test_config_defaults(void **state)
{
    (void)state;
    parsed p = parse_good("version: v1\n" ONE_FUNCTION, 0);
    check_node_defaults(p.config);
    assert_slice(p.config->path, "nexus.yaml");
    assert_slice(p.config->dir, "/nowhere/my-app");
    assert_slice(p.config->project, "my-app");
    assert_slice(p.config->data_dir, "/nowhere/my-app/.nexus");
    const nx_fn_config *f = &p.config->functions[0];
    assert_int_equal(f->http_method.n + f->http_path.n, 0);
    assert_int_equal(f->timeout_ns, 30000000000ull);
    assert_int_equal(f->memory_bytes, 128u << 20);
    assert_int_equal(f->fuel, 0);
    assert_int_equal(f->input, NX_INPUT_DATA);
    assert_int_equal(f->respond, NX_RESPOND_ASYNC);
    assert_int_equal(f->output_event.n, 0);
    assert_int_equal(f->max_output_bytes, 1u << 20);
    assert_int_equal(f->max_log_bytes, 256u << 10);
    assert_int_equal(f->concurrency, 0);
    assert_int_equal(f->retry_max_attempts, 1);
    assert_int_equal(f->retry_initial_ns, 1000000000ull);
    assert_int_equal(f->retry_factor_milli, 2000);
    assert_int_equal(f->retry_max_ns, 60000000000ull);
    assert_int_equal(f->retry_jitter, NX_JITTER_EQUAL);
    assert_int_equal(f->on_exhausted, NX_EXHAUSTED_DLQ);
    assert_int_equal(f->n_retry_on, 0);
    assert_slice(f->build_workdir, "/nowhere/my-app");
    parsed_done(&p);

    nx_config *c = NULL;
    assert_int_equal(nx_config_default("/tmp", &c, NULL), NX_OK);
    check_node_defaults(c);
    assert_int_equal(c->n_functions, 0);
    assert_slice(c->path, "");
    assert_slice(c->dir, "/tmp");
    nx_config_ref(c);
    nx_config_unref(c);
    assert_slice(c->project, "tmp");
    nx_config_unref(c);
}

static void put_path(void *self, const char *path)
{
    (void)nx_buf_printf(self, "%s ", path);
}

static void test_config_changes_that_wait_for_a_restart_are_named(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(4096);
    parsed a = parse_good("version: v1\n" ONE_FUNCTION, 0), b = parse_good("version: v1\nname: other\nlog: {level: debug, format: json}\n"
                                                                           "http: {max_headers: 32k, body_timeout: 2s}\ningest: {strict: true, batch: true}\nhop_limit: 3\n"
                                                                           "nats: {url: 'nats://a:4222', token: t}\ndurability: quorum\nreplicas: 3\ndedupe_window: 30s\n"
                                                                           "secret_key_file: ./k\nreplay: {audit: 1%}\n" ONE_FUNCTION,
                                                                           0);
    nx_config_each_restart(a.config, a.config, put_path, &out);
    assert_int_equal(out.n, 0);
    nx_config_each_restart(a.config, b.config, put_path, &out);
    assert_string_equal(nx_buf_cstr(&out), "log.format http.max_headers http.body_timeout ingest.batch nats.url nats.token durability replicas dedupe_window ");
    parsed_done(&a);
    parsed_done(&b);
}

static void test_config_settings_of_the_process_are_the_first_files(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(4096);
    parsed none = parse_good("version: v1\n" ONE_FUNCTION, 0), first = parse_good("version: v1\nworkers: 2\nwarm_memory: 64Mi\n" ONE_FUNCTION, 0),
           second = parse_good("version: v1\nworkers: 3\nwarm_memory: 64Mi\nlog: {format: json}\npriority: {weight: 300}\nhop_limit: 3\n" ONE_FUNCTION, 0);
    assert_int_equal(none.config->weight, 100);
    assert_int_equal(second.config->weight, 300);
    nx_config_each_process(first.config, none.config, none.config, put_path, &out);
    assert_int_equal(out.n, 0);
    nx_config_each_process(first.config, second.config, none.config, put_path, &out);
    assert_string_equal(nx_buf_cstr(&out), "log.format workers ");
    parsed_done(&none);
    parsed_done(&first);
    parsed_done(&second);
}

static void test_config_every_node_key(void **state)
{
    (void)state;
    parsed p = parse_good("version: v1\nname: shop\nnamespace: team-a\nlisten: '[::1]:9000'\nadmin: ':0'\ndata_dir: ./state\n"
                          "log: {level: debug, format: json}\n"
                          "tls: {cert: tls/cert.pem, key: /etc/key.pem}\n"
                          "http: {max_body: 2Mi, max_buffered: 8Mi, max_headers: 32k, max_connections: 5, head_timeout: 1s, body_timeout: 2s, idle_timeout: 1m30s}\n"
                          "ingest: {strict: true, batch: True, max_types: 7}\n"
                          "hop_limit: 3\n"
                          "nats:\n"
                          "  url: nats://a:4222, tls://user:pw@b:4222/\n"
                          "  user: u\n"
                          "  password: 12345\n"
                          "  tls: {ca: ca.pem, cert: c.pem, key: k.pem}\n"
                          "  js_prefix: $JS.hub.API\n"
                          "durability: quorum\nreplicas: 3\n"
                          "retention: {events: {max_age: 1h, max_bytes: 1Gi}, runs: {max_age: 2h, max_bytes: 104857600}}\n"
                          "dedupe_window: 30s\nworkers: 4\n" ONE_FUNCTION,
                          0);
    const nx_config *c = p.config;
    assert_slice(c->project, "shop");
    assert_slice(c->ns, "team-a");
    assert_slice(c->listen, "[::1]:9000");
    assert_slice(c->admin, ":0");
    assert_slice(c->data_dir, "/nowhere/my-app/state");
    assert_int_equal(c->log_level, NX_LOG_DEBUG);
    assert_true(c->log_json);
    assert_slice(c->tls_cert, "/nowhere/my-app/tls/cert.pem");
    assert_slice(c->tls_key, "/etc/key.pem");
    assert_int_equal(c->max_body_bytes, 2u << 20);
    assert_int_equal(c->max_buffered_bytes, 8u << 20);
    assert_int_equal(c->max_header_bytes, 32000);
    assert_int_equal(c->max_connections, 5);
    assert_int_equal(c->idle_timeout_ns, 90000000000ull);
    assert_true(c->ingest_strict && c->ingest_batch);
    assert_int_equal(c->ingest_max_types, 7);
    assert_int_equal(c->hop_limit, 3);
    assert_slice(c->nats_url, "nats://a:4222, tls://user:pw@b:4222/");
    assert_slice(c->nats_password, "12345");
    assert_slice(c->nats_tls_ca, "/nowhere/my-app/ca.pem");
    assert_slice(c->nats_js_prefix, "$JS.hub.API");
    assert_int_equal(c->durability, NX_DURABILITY_QUORUM);
    assert_int_equal(c->replicas, 3);
    assert_int_equal(c->events_max_age_ns, 3600ull * 1000000000);
    assert_int_equal(c->runs_max_bytes, 104857600);
    assert_int_equal(c->dedupe_window_ns, 30ull * 1000000000);
    assert_int_equal(c->workers, 4);
    parsed_done(&p);
}

static const char full_function[] =
    "version: v1\n"
    "functions:\n"
    "  - name: f1\n"
    "    on:\n"
    "      http: {path: /hooks/bücher}\n"
    "      nats: [orders.>, \"audit.*.x\"]\n"
    "      event: [user.*, a.b]\n"
    "    code: f.wasm\n"
    "    build: {command: make f.wasm, workdir: src/f, watch: [z.rs, Cargo.toml]}\n"
    "    timeout: 250ms\n"
    "    memory: 64Ki\n"
    "    fuel: 1000000000000000000\n"
    "    input: cloudevent\n"
    "    output: {event: user.welcomed}\n"
    "    respond: sync\n"
    "    env:\n"
    "      PORT: 8080\n"
    "      EMPTY: \"\"\n"
    "      DEBUG: true\n"
    "      MULTI: |\n"
    "        a\n"
    "        b\n"
    "      A_LATE: \"t\\tab \\x7f \\u0001 \\U0001F600 \\\\ \\\"\"\n"
    "    allowed_outbound_hosts: [\"https://*.example.com\", http://localhost:3000]\n"
    "    key_value_stores: [default, carts]\n"
    "    emit: order.*\n"
    "    secrets: {read: [STRIPE_KEY, API-key], env: {DB_PASSWORD: db-password, AUTH: STRIPE_KEY}}\n"
    "    max_output: 2Mi\n"
    "    max_log: 0\n"
    "    concurrency: 2\n"
    "    retry: {max_attempts: 5, initial_interval: 200ms, factor: 1.125, max_interval: 1h, jitter: full, on_exhausted: pause}\n"
    "    retry_on: [timeout, exit]\n"
    "  - {name: f2, on: {nats: orders.new}, code: /abs/g.wasm}\n";

static void test_config_every_function_key(void **state)
{
    (void)state;
    parsed p = parse_good(full_function, 0);
    const nx_fn_config *f = &p.config->functions[0];
    assert_slice(f->http_method, "POST");
    assert_slice(f->http_path, "/hooks/bücher");
    assert_int_equal(f->n_nats, 2);
    assert_slice(f->nats[0], "audit.*.x"); /* sorted: the order of subscriptions means nothing */
    assert_slice(f->nats[1], "orders.>");
    assert_int_equal(f->n_events, 2);
    assert_slice(f->events[0], "a.b");
    assert_slice(f->build_command, "make f.wasm");
    assert_slice(f->build_workdir, "/nowhere/my-app/src/f");
    assert_int_equal(f->n_build_watch, 2);
    assert_slice(f->build_watch[0], "z.rs"); /* not sorted */
    assert_int_equal(f->timeout_ns, 250000000);
    assert_int_equal(f->memory_bytes, 65536);
    assert_int_equal(f->fuel, 1000000000000000000ull);
    assert_int_equal(f->input, NX_INPUT_CLOUDEVENT);
    assert_slice(f->output_event, "user.welcomed");
    assert_int_equal(f->respond, NX_RESPOND_SYNC);
    assert_int_equal(f->n_env, 5);
    assert_slice(f->env[0].key, "A_LATE"); /* sorted: equal settings make equal worlds */
    assert_slice(f->env[0].value, "t\tab \x7f \x01 \xf0\x9f\x98\x80 \\ \"");
    assert_slice(f->env[1].value, "true");
    assert_slice(f->env[2].value, "");
    assert_slice(f->env[3].value, "a\nb\n");
    assert_slice(f->env[4].value, "8080");
    nx_grants g = nx_fn_config_grants(f);
    assert_int_equal(g.n_outbound_hosts, 2);
    assert_slice(g.outbound_hosts[0], "http://localhost:3000");
    assert_int_equal(g.n_stores, 2);
    assert_slice(g.stores[0], "carts");
    assert_int_equal(g.n_emit, 1);
    assert_slice(g.emit[0], "order.*");
    assert_int_equal(f->n_secrets, 2);
    assert_slice(f->secrets[0], "API-key"); /* sorted */
    assert_int_equal(f->n_secret_env, 2);
    assert_slice(f->secret_env[0].key, "AUTH");
    assert_slice(f->secret_env[0].value, "STRIPE_KEY");
    assert_int_equal(f->max_output_bytes, 2u << 20);
    assert_int_equal(f->max_log_bytes, 0);
    assert_int_equal(f->concurrency, 2);
    assert_int_equal(f->retry_max_attempts, 5);
    assert_int_equal(f->retry_initial_ns, 200000000ull);
    assert_int_equal(f->retry_factor_milli, 1125);
    assert_int_equal(f->retry_max_ns, 3600000000000ull);
    assert_int_equal(f->retry_jitter, NX_JITTER_FULL);
    assert_int_equal(f->on_exhausted, NX_EXHAUSTED_PAUSE);
    assert_int_equal(f->n_retry_on, 2);
    assert_slice(f->retry_on[0], "exit");
    assert_slice(f->retry_on[1], "timeout");
    assert_slice(p.config->functions[1].nats[0], "orders.new");
    assert_slice(p.config->functions[1].code_path, "/abs/g.wasm");
    parsed_done(&p);
}

static void stored_form(const nx_fn_config *f, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_buf_clear(out);
    assert_int_equal(nx_fn_config_to_json(f, &w), NX_OK);
}

/* Settings -> JSON -> settings -> JSON gives the same bytes. */
static void check_stored(const nx_fn_config *f)
{
    nx_buf json = NX_BUF_INIT(1u << 20), file = NX_BUF_INIT(1u << 20), again = NX_BUF_INIT(1u << 20);
    stored_form(f, &json);
    assert_int_equal(nx_buf_printf(&file, "{\"version\":\"v1\",\"functions\":[%.*s]}", NX_SLICE_FMT(nx_buf_view(&json))), NX_OK);
    parsed p = parse_good(nx_buf_cstr(&file), NX_CONFIG_STORED);
    assert_int_equal(p.config->n_functions, 1);
    stored_form(&p.config->functions[0], &again);
    assert_string_equal(nx_buf_cstr(&json), nx_buf_cstr(&again));
    assert_int_equal(p.config->functions[0].code.n, 0);
    parsed_done(&p);
    /* In more than one line it is read as YAML. */
    assert_int_equal(nx_buf_append_char(&file, '\n'), NX_OK);
    p = parse_good(nx_buf_cstr(&file), NX_CONFIG_STORED);
    stored_form(&p.config->functions[0], &again);
    assert_string_equal(nx_buf_cstr(&json), nx_buf_cstr(&again));
    parsed_done(&p);
    nx_buf_done(&json);
    nx_buf_done(&file);
    nx_buf_done(&again);
}

static void test_config_stored_settings_round_trip(void **state)
{
    (void)state;
    parsed p = parse_good(full_function, 0);
    check_stored(&p.config->functions[0]);
    check_stored(&p.config->functions[1]);
    nx_buf json = NX_BUF_INIT(4096);
    stored_form(&p.config->functions[1], &json);
    assert_string_equal(nx_buf_cstr(&json),
                        "{\"name\":\"f2\",\"on\":{\"nats\":[\"orders.new\"]},\"runtime\":\"wasi-preview1\",\"timeout\":\"30s\",\"memory\":\"128Mi\","
                        "\"fuel\":0,\"input\":\"data\",\"respond\":\"async\",\"max_output\":\"1Mi\",\"scratch\":\"16Mi\",\"max_log\":\"256Ki\",\"concurrency\":0}");
    nx_buf_done(&json);
    parsed_done(&p);
}

/* What a project file may not say any more runs on where it is stored. */
static void test_config_stored_cores_stand(void **state)
{
    (void)state;
    parsed p = parse_good("{\"version\":\"v1\",\"functions\":[{\"name\":\"f\",\"on\":{\"event\":[\"a\"]},\"cpu\":\"250\"}]}", NX_CONFIG_STORED);
    assert_true(nx_slice_eq_cstr(p.config->functions[0].cpu, "250"));
    parsed_done(&p);
    p = parse_good("version: v1\nfunctions:\n  - {name: f, on: {event: a}, code: f.wasm, cpu: 250000m}\n  - {name: g, on: {event: a}, code: f.wasm, cpu: 64}\n", 0);
    parsed_done(&p);
}

static void test_config_equal_settings_are_equal_bytes(void **state)
{
    (void)state;
    parsed p = parse_good("version: v1\n"
                          "functions:\n"
                          "  - {name: f, on: {event: [b, a], http: {path: /x, method: POST}}, code: a.wasm, timeout: 60s, memory: 1048576, env: {B: 1, A: 2}}\n",
                          0);
    parsed q = parse_good("functions:\n"
                          "  - env: {A: '2', B: \"1\"}\n"
                          "    memory: 1024Ki\n"
                          "    timeout: 1m\n"
                          "    code: other.wasm\n"
                          "    build: {command: make}\n"
                          "    on: {http: {path: /x}, event: [a, b]}\n"
                          "    name: f\n"
                          "version: v1\n",
                          0);
    nx_buf a = NX_BUF_INIT(4096), b = NX_BUF_INIT(4096);
    stored_form(&p.config->functions[0], &a);
    stored_form(&q.config->functions[0], &b);
    assert_string_equal(nx_buf_cstr(&a), nx_buf_cstr(&b));
    nx_buf_done(&a);
    nx_buf_done(&b);
    parsed_done(&p);
    parsed_done(&q);
}

static void test_config_secrets_say_where_values_are(void **state)
{
    (void)state;
    parsed p = parse_good("version: v1\n"
                          "secret_key_file: key\n"
                          "secrets: {B: {file: ./b.txt}, A: {env: NODE_A}}\n"
                          "functions:\n"
                          "  - {name: f, on: {event: a}, code: f.wasm, secrets: [B, A]}\n"
                          "  - {name: g, on: {event: a}, code: g.wasm, secrets: A}\n",
                          0);
    const nx_config *c = p.config;
    assert_int_equal(c->n_secrets, 2);
    assert_slice(c->secrets[0].name, "A");
    assert_false(c->secrets[0].is_file);
    assert_slice(c->secrets[0].at, "NODE_A");
    assert_true(c->secrets[1].is_file);
    assert_slice(c->secrets[1].at, "/nowhere/my-app/b.txt");
    assert_slice(c->secret_key_file, "/nowhere/my-app/key");
    assert_int_equal(c->functions[0].n_secrets, 2);
    assert_slice(c->functions[0].secrets[0], "A");
    assert_int_equal(c->functions[1].n_secrets, 1);
    parsed_done(&p);
}

/* Every character that a string may hold survives the way through the stored form. */
static void test_config_stored_settings_keep_every_character(void **state)
{
    (void)state;
    nx_fn_config f = {.name = NX_SLICE("f"), .runtime = NX_SLICE("wasi-preview1"), .timeout_ns = 1000000000, .memory_bytes = 65536};
    nx_slice type = NX_SLICE("a");
    nx_kv var = {NX_SLICE("V"), NX_SLICE_NULL};
    f.events = &type;
    f.n_events = 1;
    f.env = &var;
    f.n_env = 1;
    static const unsigned points[] = {1, 8, 9, 10, 13, 31, 32, 34, 35, 39, 44, 58, 92, 127, 128, 133, 159, 160, 255, 0x2028, 0x2029, 0xd7ff, 0xe000, 0xfeff, 0xfffd, 0xfffe, 0xffff, 0x10000, 0x1f600, 0x10ffff};
    for (unsigned i = 0; i < NX_ARRAY_LEN(points); i++) {
        unsigned c = points[i];
        char value[8] = "x";
        size_t n = 1;
        if (c < 0x80) value[n++] = (char)c;
        else if (c < 0x800) value[n++] = (char)(0xc0 | c >> 6), value[n++] = (char)(0x80 | (c & 0x3f));
        else if (c < 0x10000) value[n++] = (char)(0xe0 | c >> 12), value[n++] = (char)(0x80 | (c >> 6 & 0x3f)), value[n++] = (char)(0x80 | (c & 0x3f));
        else value[n++] = (char)(0xf0 | c >> 18), value[n++] = (char)(0x80 | (c >> 12 & 0x3f)), value[n++] = (char)(0x80 | (c >> 6 & 0x3f)), value[n++] = (char)(0x80 | (c & 0x3f));
        value[n++] = 'y';
        var.value = nx_slice_make(value, n);
        check_stored(&f);
    }
}

static void test_config_json_and_yaml_forms_are_one(void **state)
{
    (void)state;
    parsed p = parse_good("{\n\t\"version\": \"v1\",\n\t\"workers\": 2,\n\t\"ingest\": {\"strict\": true},\n"
                          "\t\"functions\": [\n\t\t{\"name\": \"f\", \"on\": {\"http\": {\"method\": \"GET\", \"path\": \"\\/a\"}}, \"code\": \"f.wasm\"}\n\t]\n}\n",
                          0);
    assert_int_equal(p.config->workers, 2);
    assert_true(p.config->ingest_strict);
    assert_slice(p.config->functions[0].http_path, "/a");
    parsed_done(&p);
    p = parse_good("\xef\xbb\xbf%YAML 1.2\r\n---\r\nversion: v1 # comment\r\nfunctions:\r\n- name: 'f'\r\n  on: {event: a}\r\n  code: >-\r\n    a b\r\n    c.wasm\r\n...\r\n", 0);
    assert_slice(p.config->functions[0].code, "a b c.wasm");
    parsed_done(&p);
}

static void test_config_without_functions_where_allowed(void **state)
{
    (void)state;
    parsed p = parse_good("version: v1\nworkers: 3\n", NX_CONFIG_NO_FUNCTIONS);
    assert_int_equal(p.config->n_functions, 0);
    parsed_done(&p);
    p = parse_good("version: v1\nfunctions:\n", NX_CONFIG_NO_FUNCTIONS);
    parsed_done(&p);
    p = parse_good("version: v1\nfunctions: []\nlog:\n", NX_CONFIG_NO_FUNCTIONS);
    parsed_done(&p);
}

static void test_config_project_name_comes_from_the_folder(void **state)
{
    (void)state;
    static const struct {
        const char *dir, *name;
    } cases[] = {
        {"/a/My App_2", "my-app-2"},
        {"/a/--x--", "x"},
        {"/", "project"},
        {"/a/\xc3\xa4", "project"},
        {"/a/"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    };
    for (unsigned i = 0; i < NX_ARRAY_LEN(cases); i++) {
        nx_config *c = NULL;
        assert_int_equal(nx_config_parse(NX_SLICE("version: v1\n"), NULL, cases[i].dir, NX_CONFIG_NO_FUNCTIONS, &c, NULL, NULL), NX_OK);
        assert_slice(c->project, cases[i].name);
        nx_config_unref(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_mission_sample),
        cmocka_unit_test(test_config_defaults),
        cmocka_unit_test(test_config_changes_that_wait_for_a_restart_are_named),
        cmocka_unit_test(test_config_settings_of_the_process_are_the_first_files),
        cmocka_unit_test(test_config_every_node_key),
        cmocka_unit_test(test_config_every_function_key),
        cmocka_unit_test(test_config_secrets_say_where_values_are),
        cmocka_unit_test(test_config_stored_settings_round_trip),
        cmocka_unit_test(test_config_stored_cores_stand),
        cmocka_unit_test(test_config_equal_settings_are_equal_bytes),
        cmocka_unit_test(test_config_stored_settings_keep_every_character),
        cmocka_unit_test(test_config_json_and_yaml_forms_are_one),
        cmocka_unit_test(test_config_without_functions_where_allowed),
        cmocka_unit_test(test_config_project_name_comes_from_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
