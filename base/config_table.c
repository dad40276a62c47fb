/* The one table of nexus.yaml: see config_internal.h for what reads it. Order is the order of the reference and of the schema. */
#include "config_internal.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *const versions[] = {"v1", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL}; /* order of nx_log_level */
static const char *const log_formats[] = {"text", "json", NULL};                  /* index is nx_config.log_json */
static const char *const durabilities[] = {"process", "power", "quorum", NULL};   /* order of nx_durability */
static const char *const runtimes[] = {"wasi-preview1", NULL};
static const char *const inputs[] = {"data", "cloudevent", NULL};        /* order of nx_input_mode */
static const char *const responds[] = {"async", "sync", NULL};           /* order of nx_respond_mode */
static const char *const orderings[] = {"none", "key", NULL};            /* order of nx_ordering */
static const char *const jitters[] = {"none", "full", "equal", NULL};    /* order of nx_jitter */
static const char *const exhausteds[] = {"dlq", "pause", "drop", NULL};  /* order of nx_on_exhausted */
static const char *const recordings[] = {"full", "digest", "off", NULL}; /* order of nx_recording */
static const char *const singletons[] = {"skip", "cancel", NULL};
static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", NULL};

#define WIDTH(type, field) ((unsigned)sizeof(((type *)0)->field))
#define NODE(field) .at = offsetof(nx_config, field), .width = WIDTH(nx_config, field)
#define NODE_PATH(field) NODE(field), .is_path = true, .resolved_at = offsetof(nx_config, field)
#define FN(field) .at = offsetof(nx_fn_config, field), .width = WIDTH(nx_fn_config, field)
/* Width is for numbers and texts; a list is always a pointer and a count. */
#define FN_LIST(field) .at = offsetof(nx_fn_config, field), .count_at = offsetof(nx_fn_config, n_##field)
#define FN_PATH(field, resolved) FN(field), .is_path = true, .resolved_at = offsetof(nx_fn_config, resolved)

const nx_cfg_row nx_cfg_rows[] = {
    {"version", NX_CFG_CONST, .choices = versions, .is_required = true, .example = "v1",
     .help = "Version of this file's format."},
    {"name", NX_CFG_STRING, &nx_cfg_project, NODE(project), .is_project = true, .is_live = true, .example = "my-app",
     .help = "Name of the project. Without it, the name of the folder."},
    {"namespace", NX_CFG_STRING, &nx_cfg_namespace, "default", NODE(ns),
     .help = "Namespace that events, functions and runs belong to."},
    {"listen", NX_CFG_STRING, &nx_cfg_address, "127.0.0.1:8080", NODE(listen),
     .help = "Address of the event listener: `POST /events/{type}` and the functions' own routes. Port 0 takes a free one."},
    {"admin", NX_CFG_STRING, &nx_cfg_address, "127.0.0.1:8081", NODE(admin),
     .help = "Address of the admin listener: API, console, `/metrics`, `/healthz`, `/readyz`. Port 0 takes a free one."},
    {"data_dir", NX_CFG_STRING, &nx_cfg_folder, ".nexus", NODE_PATH(data_dir),
     .help = "Folder of the private event log, of caches and of the node's lock."},

    {"log", NX_CFG_SECTION, .help = "The node's log, which also carries what functions write to stderr."},
    {"log.level", NX_CFG_ENUM, .def = "info", .choices = log_levels, NODE(log_level), .is_live = true, .is_process = true, .help = "Least severe level that is written."},
    {"log.format", NX_CFG_ENUM, .def = "text", .choices = log_formats, NODE(log_json), .is_process = true,
     .help = "`text` is one readable line each, `json` one object per line."},

    {"tls", NX_CFG_SECTION, .help = "HTTPS on the event listener. Both keys, or neither."},
    {"tls.cert", NX_CFG_STRING, &nx_cfg_file, NODE_PATH(tls_cert), .example = "./tls/cert.pem", .help = "PEM file of the certificate chain."},
    {"tls.key", NX_CFG_STRING, &nx_cfg_file, NODE_PATH(tls_key), .example = "./tls/key.pem", .help = "PEM file of the private key."},

    {"http", NX_CFG_SECTION, .help = "Limits of the event listener."},
    {"http.max_body", NX_CFG_SIZE, .def = "1Mi", .min = "1Ki", .max = "8Mi", NODE(max_body_bytes),
     .help = "Largest request body; a larger one is answered 413. It must lie below the `max_payload` of an external NATS server."},
    {"http.max_buffered", NX_CFG_SIZE, .def = "256Mi", .min = "1Mi", .max = "1Ti", NODE(max_buffered_bytes),
     .help = "Request bodies of all connections together, until they are answered; a request that would take more is answered 503."},
    {"http.max_headers", NX_CFG_SIZE, .def = "16Ki", .min = "1Ki", .max = "256Ki", NODE(max_header_bytes),
     .help = "Largest request line and header fields together; more is answered 431."},
    {"http.max_connections", NX_CFG_INT, .def = "10000", .min = "1", .max = "1000000", .unit = "connections", NODE(max_connections),
     .help = "Open connections; further ones are answered 503 and closed."},
    {"http.head_timeout", NX_CFG_DURATION, .def = "10s", .min = "100ms", .max = "10m", NODE(head_timeout_ns),
     .help = "From the first byte of a request to the end of its header."},
    {"http.body_timeout", NX_CFG_DURATION, .def = "30s", .min = "100ms", .max = "1h", NODE(body_timeout_ns),
     .help = "From the end of the header to the end of the body."},
    {"http.idle_timeout", NX_CFG_DURATION, .def = "60s", .min = "100ms", .max = "1h", NODE(idle_timeout_ns),
     .help = "How long a connection stays open between requests."},

    {"ingest", NX_CFG_SECTION, .help = "What is taken at `POST /events/{type}`."},
    {"ingest.strict", NX_CFG_BOOL, .def = "false", NODE(ingest_strict), .is_live = true,
     .help = "Answer 404 for a type that no function takes. Otherwise it is stored and answered 202."},
    {"ingest.batch", NX_CFG_BOOL, .def = "false", NODE(ingest_batch),
     .help = "Take CloudEvents in batches (`application/cloudevents-batch+json`)."},
    {"ingest.max_types", NX_CFG_INT, .def = "1000", .min = "1", .max = "100000", .unit = "types", NODE(ingest_max_types),
     .help = "Distinct event types of the namespace; a new one past that is answered 429."},

    {"hop_limit", NX_CFG_INT, .def = "16", .min = "1", .max = "64", .unit = "hops", NODE(hop_limit), .is_live = true,
     .help = "Longest chain of events that functions publish through `output.event`. It ends loops."},

    {"nats", NX_CFG_SECTION, .help = "An external NATS server or cluster with JetStream. Without `nats.url`, the node runs a private server."},
    {"nats.url", NX_CFG_STRING, &nx_cfg_nats_url, NODE(nats_url), .example = "nats://127.0.0.1:4222",
     .help = "One or more server addresses, separated by commas; `nats://` or `tls://`."},
    {"nats.credentials", NX_CFG_STRING, &nx_cfg_file, NODE_PATH(nats_credentials), .example = "./nexus.creds",
     .help = "Credentials file (JWT and seed)."},
    {"nats.user", NX_CFG_STRING, &nx_cfg_text, NODE(nats_user), .example = "nexus", .help = "User name; with `nats.password`."},
    {"nats.password", NX_CFG_STRING, &nx_cfg_secret, NODE(nats_password), .is_secret = true, .example = "…",
     .help = "Password. Better given as `NEXUS_NATS_PASSWORD` than written into a file."},
    {"nats.token", NX_CFG_STRING, &nx_cfg_secret, NODE(nats_token), .is_secret = true, .example = "…",
     .help = "Authentication token. Better given as `NEXUS_NATS_TOKEN` than written into a file."},
    {"nats.tls", NX_CFG_SECTION, .help = "TLS towards the server."},
    {"nats.tls.ca", NX_CFG_STRING, &nx_cfg_file, NODE_PATH(nats_tls_ca), .example = "./tls/ca.pem",
     .help = "PEM file of the authorities that the server's certificate is checked against; without it, the system's."},
    {"nats.tls.cert", NX_CFG_STRING, &nx_cfg_file, NODE_PATH(nats_tls_cert), .example = "./tls/client.pem",
     .help = "PEM file of the client certificate; with `nats.tls.key`."},
    {"nats.tls.key", NX_CFG_STRING, &nx_cfg_file, NODE_PATH(nats_tls_key), .example = "./tls/client-key.pem",
     .help = "PEM file of the client certificate's key."},
    {"nats.js_prefix", NX_CFG_STRING, &nx_cfg_js_prefix, NODE(nats_js_prefix), .example = "$JS.hub.API",
     .help = "Prefix of the JetStream API, for a domain (`$JS.<domain>.API`) or an account import. Without it, `$JS.API`."},

    {"durability", NX_CFG_ENUM, .def = "process", .choices = durabilities, NODE(durability),
     .help = "What an acknowledged event survives: `process` the death of any process, `power` also a loss of power, "
             "`quorum` also the loss of a machine (needs `replicas: 3` or more)."},
    {"replicas", NX_CFG_INT, .def = "1", .min = "1", .max = "5", .unit = "copies", NODE(replicas),
     .help = "Copies of every stream in a cluster; more than 1 needs `nats.url`."},

    {"retention", NX_CFG_SECTION, .help = "How long the log keeps what every function has handled. It never drops an event that a function still has to handle."},
    {"retention.events", NX_CFG_SECTION, .help = "Events."},
    {"retention.events.max_age", NX_CFG_DURATION, .def = "7d", .min = "1m", .max = "3650d", NODE(events_max_age_ns), .help = "Age after which an event may go."},
    {"retention.events.max_bytes", NX_CFG_SIZE, .def = "4Gi", .min = "16Mi", .max = "64Ti", NODE(events_max_bytes),
     .help = "Size of the events' stream. When it is full of events still to be handled, new ones are answered 503."},
    {"retention.runs", NX_CFG_SECTION, .help = "Records of runs, which replays start from."},
    {"retention.runs.max_age", NX_CFG_DURATION, .def = "7d", .min = "1m", .max = "3650d", NODE(runs_max_age_ns), .help = "Age after which a record may go."},
    {"retention.runs.max_bytes", NX_CFG_SIZE, .def = "4Gi", .min = "16Mi", .max = "64Ti", NODE(runs_max_bytes), .help = "Size of the records' stream."},
    {"retention.versions", NX_CFG_SECTION, .help = "Deployed versions, and modules that no version has."},
    {"retention.versions.max_age", NX_CFG_DURATION, .def = "30d", .min = "1s", .max = "3650d", NODE(versions_max_age_ns),
     .help = "Age after which a version may go that no alias names, that no stored recording, job or timer needs, and that is none of its function's newest; then its module too."},
    {"retention.versions.keep", NX_CFG_INT, .def = "10", .min = "1", .max = "1000000", .unit = "versions", NODE(versions_keep),
     .help = "So many of a function's newest versions stay, however old they are."},
    {"replay", NX_CFG_SECTION, .help = "Repeating runs."},
    {"replay.audit", NX_CFG_STRING, &nx_cfg_share, "0%", NODE(audit), .is_live = true, .example = "1%",
     .help = "Share of live runs that the node repeats once more while it is idle, to see that they come out the same; see `nexus audit`."},
    {"dedupe_window", NX_CFG_DURATION, .def = "2m", .min = "1s", .max = "24h", NODE(dedupe_window_ns),
     .help = "How long an `Idempotency-Key`, or a producer's own source and id, is remembered. At most `retention.events.max_age`."},
    {"outbound", NX_CFG_SECTION, .help = "HTTP requests of functions (`allowed_outbound_hosts`)."},
    {"outbound.ca", NX_CFG_STRING, &nx_cfg_file, NODE_PATH(outbound_ca), .example = "./tls/company-ca.pem",
     .help = "PEM file of further authorities that servers' certificates are checked against, besides the system's."},
    {"outbound.connect_timeout", NX_CFG_DURATION, .def = "5s", .min = "100ms", .max = "60s", NODE(outbound_connect_timeout_ns),
     .help = "For the name, the connection and TLS together. The whole request ends with the attempt's `timeout`."},
    {"outbound.max_in_flight", NX_CFG_INT, .def = "64", .min = "1", .max = "4096", .unit = "requests", NODE(outbound_max_in_flight),
     .help = "Requests at the same time on one node; four times as many may wait for a place, further ones are refused as unavailable."},

    {"secrets", NX_CFG_SECRETS, .is_live = true, .example = "{STRIPE_KEY: {file: ./stripe.key}}",
     .help = "Where the node finds the values of secrets: each `{file: FILE}` or `{env: VARIABLE}` of the node's own environment. "
             "Those that stand nowhere here come from the node's store (`nexus secrets set`)."},
    {"secret_key_file", NX_CFG_STRING, &nx_cfg_file, NODE_PATH(secret_key_file), .is_live = true, .example = "/etc/nexus/secret.key",
     .help = "File of the key (32 bytes as base64) that seals secrets in the store; all nodes of a cluster need the same. "
             "Without it, `secret.key` in `data_dir`, made on first use."},
    {"workers", NX_CFG_INT, .def = "0", .min = "0", .max = "256", .unit = "slots", NODE(workers), .is_process = true,
     .help = "Functions that run at the same time; 0 is one per core."},
    {"warm_memory", NX_CFG_SIZE, .def = "256Mi", .min = "16Mi", .max = "64Gi", NODE(warm_memory_bytes), .is_process = true,
     .help = "Memory that compiled modules may hold while nothing of them runs, and half as much idle instances. Those used least recently are given up; "
             "one that is needed again costs about 0.2 ms."},
    {"server_memory", NX_CFG_SIZE, .def = "0", .min = "0", .max = "1Ti", NODE(server_memory_bytes), .example = "1Gi",
     .help = "Memory that the private log server tries to stay below. 0 is 192 MiB and what its functions need, about 96 KiB each; another limit has to "
             "have room for them."},

    {"priority", NX_CFG_SECTION, .help = "What the namespace gets beside others that the same process serves (`nexus serve` with several files)."},
    {"priority.weight", NX_CFG_INT, .def = "100", .min = "1", .max = "10000", .unit = "parts", NODE(weight), .is_live = true,
     .help = "The namespace's part of the process's slots while other namespaces of it want them too: twice the weight is twice the time. See [FLOW](FLOW.md)."},

    {"functions", NX_CFG_FUNCTIONS, .is_required = true, .is_project = true, .is_live = true,
     .example = "[{name: hello, on: {http: {path: /hello}}, code: hello.wasm}]", .help = "The project's functions."},
    {"functions[].name", NX_CFG_STRING, &nx_cfg_function_name, FN(name), .is_required = true, .example = "user-welcome",
     .help = "Name, unique in the namespace: lower-case letters, digits and `-`, at most 63."},
    {"functions[].on", NX_CFG_SECTION, .is_required = true, .example = "{event: user.created}", .help = "What starts the function; at least one of the keys below."},
    {"functions[].on.http", NX_CFG_SECTION, .help = "An HTTP request. It is stored as an event first, like all others."},
    {"functions[].on.http.method", NX_CFG_ENUM, .def = "POST", .choices = methods, FN(http_method), .help = "Method of the route."},
    {"functions[].on.http.path", NX_CFG_STRING, &nx_cfg_http_path, FN(http_path), .is_required = true, .example = "/hooks/orders",
     .help = "Path of the route, compared exactly with the request's after that is percent-decoded. `/events/TYPE` also makes events of that type; "
             "any other route makes events of type `nexus.http.FUNCTION` unless `on.event` names one."},
    {"functions[].on.nats", NX_CFG_ONE_OR_LIST, &nx_cfg_subject, FN_LIST(nats), .example = "orders.>",
     .help = "NATS subject, or a list of them, whose raw messages are captured; `*` stands for one token, a last `>` for the rest."},
    {"functions[].on.event", NX_CFG_ONE_OR_LIST, &nx_cfg_type_pattern, FN_LIST(events), .example = "user.created",
     .help = "Event type, or a list of them; `*` stands for one dot-separated token, a last `>` for the rest."},
    {"functions[].on.cron", NX_CFG_CRON, &nx_cfg_cron, FN_LIST(crons), .example = "\"*/5 * * * *\"",
     .help = "Schedule (`minute hour day month weekday`, `@hourly`, `@daily`, `@every 90s` …), or a list of them. In UTC, or written "
             "`{schedule: \"0 9 * * MON-FRI\", timezone: Europe/Berlin}`. Each tick is an event of type `nexus.cron.FUNCTION`."},
    {"functions[].runtime", NX_CFG_ENUM, .def = "wasi-preview1", .choices = runtimes, FN(runtime), .help = "What the code is built for."},
    {"functions[].code", NX_CFG_STRING, &nx_cfg_file, FN_PATH(code, code_path), .is_required = true, .example = "./build/welcome.wasm",
     .help = "WebAssembly module, relative to this file."},
    {"functions[].files", NX_CFG_LIST, &nx_cfg_own_file, FN_LIST(files), .example = "[./templates]",
     .help = "Files and folders below this file's folder that the function can read, each at its path below `/` (`./templates` is `/templates`). They are part "
             "of the version. At most 32 MiB and 4096 files; hidden files in folders are left out."},
    {"functions[].preinit", NX_CFG_BOOL, .def = "false", FN(is_preinit),
     .help = "Runs the module's `_initialize` once, when it is deployed, and keeps the memory it leaves, instead of in every run. Refused where it makes any "
             "host call (clock, randomness, environment, files, output) or changes tables of functions."},
    {"functions[].init", NX_CFG_STRING, &nx_cfg_export, FN(init), .example = "warm_up",
     .help = "The same with an export of this name, which takes and returns nothing, after `_initialize` where there is one."},
    {"functions[].build", NX_CFG_SECTION, .help = "How `nexus build` and `nexus dev` make the module."},
    {"functions[].build.command", NX_CFG_STRING, &nx_cfg_command, FN(build_command), .example = "cargo build --release --target wasm32-wasip1",
     .help = "Command line, run by the shell."},
    {"functions[].build.workdir", NX_CFG_STRING, &nx_cfg_folder, ".", FN_PATH(build_workdir, build_workdir), .help = "Folder it runs in."},
    {"functions[].build.watch", NX_CFG_LIST, &nx_cfg_file, FN_LIST(build_watch), .example = "[src, Cargo.toml]",
     .help = "Files and folders, relative to `workdir`, whose change starts a build in `nexus dev`. Without it, all in `workdir` but "
             "outputs (`build`, `target`, `dist`, `*.wasm`), logs, Markdown and hidden files."},
    {"functions[].timeout", NX_CFG_DURATION, .def = "30s", .min = "1ms", .max = "15m", FN(timeout_ns), .example = "5s",
     .help = "Time that one attempt may take; past it the run ends `timeout`."},
    {"functions[].memory", NX_CFG_SIZE, .def = "128Mi", .min = "64Ki", .max = "4Gi", FN(memory_bytes),
     .help = "Linear memory that the module may grow to."},
    {"functions[].fuel", NX_CFG_INT, .def = "0", .min = "0", .max = "1000000000000000000", .unit = "fuel units", FN(fuel),
     .help = "Instructions (roughly) that one attempt may execute; 0 sets no limit of its own."},
    {"functions[].input", NX_CFG_ENUM, .def = "data", .choices = inputs, FN(input),
     .help = "What stands on stdin: `data` the event's bytes, `cloudevent` the whole event as JSON."},
    {"functions[].output", NX_CFG_SECTION, .help = "What becomes of stdout besides being the answer."},
    {"functions[].output.event", NX_CFG_STRING, &nx_cfg_event_type, FN(output_event), .example = "user.welcomed",
     .help = "Publishes stdout as an event of this type, which continues the trace (see `hop_limit`)."},
    {"functions[].respond", NX_CFG_ENUM, .def = "async", .choices = responds, FN(respond),
     .help = "Answer of the function's route: `async` is 202 once the event is stored, `sync` the function's output once the run is recorded."},
    {"functions[].env", NX_CFG_ENV, &nx_cfg_env_value, FN_LIST(env), .example = "{GREETING: hello}",
     .help = "Environment variables. Names that the platform sets (`EVENT_…`, `NEXUS_…`, `TRACE_ID`, `TRACEPARENT`) are refused."},
    {"functions[].allowed_outbound_hosts", NX_CFG_ONE_OR_LIST, &nx_cfg_outbound_host, FN_LIST(outbound_hosts), .example = "[\"https://api.example.com\"]",
     .help = "Hosts that the host call `http_request` may reach, each `scheme://host[:port]`; `https://*.example.com` is every name below that one. "
             "Without it, none. Addresses that are not public have to be named themselves."},
    {"functions[].key_value_stores", NX_CFG_ONE_OR_LIST, &nx_cfg_store, FN_LIST(stores), .example = "[default]",
     .help = "Key-value stores of the namespace that `kv_get`, `kv_put` and `kv_delete` may use. A store is made when it is first used. Without it, none."},
    {"functions[].emit", NX_CFG_ONE_OR_LIST, &nx_cfg_type_pattern, FN_LIST(emit), .example = "[mail.wanted, \"order.*\"]",
     .help = "Types, or patterns of types, of events that the host call `emit` may publish. Without it, none. (`output.event` needs no entry here.)"},
    {"functions[].secrets", NX_CFG_SECTION, .list_row = "functions[].secrets.read",
     .help = "Secrets that the function may use. A list of names stands for `read`."},
    {"functions[].secrets.read", NX_CFG_ONE_OR_LIST, &nx_cfg_secret_name, FN_LIST(secrets), .example = "[STRIPE_KEY]",
     .help = "Names that the host call `secret_get` answers. The value never stands in a record."},
    {"functions[].secrets.env", NX_CFG_ENV, &nx_cfg_secret_name, FN_LIST(secret_env), .example = "{DB_PASSWORD: DB_PASSWORD}",
     .help = "Environment variables that hold the value of a secret: `VARIABLE: NAME`. Such a run can be repeated only where the same value is at hand."},
    {"functions[].max_output", NX_CFG_SIZE, .def = "1Mi", .min = "0", .max = "64Mi", FN(max_output_bytes),
     .help = "Bytes of stdout; more ends the run with an error."},
    {"functions[].max_log", NX_CFG_SIZE, .def = "256Ki", .min = "0", .max = "16Mi", FN(max_log_bytes),
     .help = "Bytes of stderr that are kept; the rest is dropped and counted."},
    {"functions[].recording", NX_CFG_ENUM, .def = "full", .choices = recordings, FN(recording),
     .help = "What records of runs keep: `full` all of it, `digest` digests and lengths of output, log and answers instead of the bytes, "
             "`off` only that it ran, how it ended and what it cost. See [PRIVACY](PRIVACY.md) for what can be replayed then."},
    {"functions[].redact", NX_CFG_LIST, &nx_cfg_redact_path, FN_LIST(redact), .example = "[data.email, \"data.items.*.card\"]",
     .help = "Values of the event that no record of a run keeps, wherever they turn up in it: paths that begin with `data`, or `subject`; a step `*` is "
             "each member or element. The event itself is not changed. At most 64."},
    {"functions[].scratch", NX_CFG_SIZE, .def = "16Mi", .min = "0", .max = "1Gi", FN(scratch_bytes),
     .help = "Bytes of files in `/tmp`, which lies in memory and goes with the attempt; 0: there is no `/tmp`."},
    {"functions[].ordering", NX_CFG_ENUM, .def = "none", .choices = orderings, FN(ordering),
     .help = "`key`: events with the same `partitionkey` are run one at a time, in the order of the log, also over retries and on many nodes. Not with `on.nats`."},
    {"functions[].concurrency", NX_CFG_SECTION, .list_row = "functions[].concurrency.limit",
     .help = "Attempts that one node runs at the same time, or with `key` all nodes together. A plain number stands for `limit`."},
    {"functions[].concurrency.limit", NX_CFG_INT, .def = "0", .min = "0", .max = "1024", .unit = "attempts", FN(concurrency),
     .help = "How many; 0 is as many as there are slots."},
    {"functions[].concurrency.key", NX_CFG_STRING, &nx_cfg_event_key, FN(concurrency_key), .example = "data.customer_id",
     .help = "Path into the event: the limit is one of each value there, not of all events together."},
    {"functions[].rate_limit", NX_CFG_SECTION, .example = "{limit: 10, period: 1m}",
     .help = "At most so many runs start in a time, over all nodes; further events are skipped, which a record says. See [FLOW](FLOW.md)."},
    {"functions[].rate_limit.limit", NX_CFG_INT, .min = "1", .max = "1000000", .unit = "runs", FN(rate_limit), .is_required = true, .example = "10", .help = "How many."},
    {"functions[].rate_limit.period", NX_CFG_DURATION, .def = "1m", .min = "1s", .max = "24h", FN(rate_period_ns), .help = "In this time, which begins with the first of them."},
    {"functions[].rate_limit.key", NX_CFG_STRING, &nx_cfg_event_key, FN(rate_key), .example = "data.customer_id", .help = "Of each value at this path."},
    {"functions[].throttle", NX_CFG_SECTION, .example = "{limit: 10, period: 1m}",
     .help = "At most so many runs start in a time, over all nodes; further events wait for their turn in the log."},
    {"functions[].throttle.limit", NX_CFG_INT, .min = "1", .max = "1000000", .unit = "runs", FN(throttle), .is_required = true, .example = "10",
     .help = "How many: one every `period` / `limit`."},
    {"functions[].throttle.period", NX_CFG_DURATION, .def = "1m", .min = "1s", .max = "24h", FN(throttle_period_ns), .help = "In this time."},
    {"functions[].throttle.burst", NX_CFG_INT, .def = "1", .min = "1", .max = "1000000", .unit = "runs", FN(throttle_burst),
     .help = "So many may start at once after a quiet time."},
    {"functions[].throttle.key", NX_CFG_STRING, &nx_cfg_event_key, FN(throttle_key), .example = "data.customer_id", .help = "Of each value at this path."},
    {"functions[].debounce", NX_CFG_SECTION, .example = "{period: 10s, key: data.document_id}",
     .help = "Of events that follow each other closely only the last one runs, over all nodes; the others are skipped, which a record says."},
    {"functions[].debounce.period", NX_CFG_DURATION, .min = "1s", .max = "24h", FN(debounce_ns), .is_required = true, .example = "10s",
     .help = "An event runs when no other one has come for so long."},
    {"functions[].debounce.timeout", NX_CFG_DURATION, .def = "0", .min = "0", .max = "24h", FN(debounce_timeout_ns), .example = "1m",
     .help = "So long after the first of them the last one runs, though more may come; 0 sets no such limit."},
    {"functions[].debounce.key", NX_CFG_STRING, &nx_cfg_event_key, FN(debounce_key), .example = "data.document_id", .help = "Of each value at this path."},
    {"functions[].batch", NX_CFG_SECTION, .example = "{max_size: 50, timeout: 5s}",
     .help = "The function gets several events in one run: a JSON array of their data (with `input: cloudevent` of whole events). See [FLOW](FLOW.md)."},
    {"functions[].batch.max_size", NX_CFG_INT, .min = "1", .max = "100", .unit = "events", FN(batch_max), .is_required = true, .example = "50",
     .help = "So many at most. Fewer where they are more than 1 MiB together."},
    {"functions[].batch.timeout", NX_CFG_DURATION, .def = "1s", .min = "100ms", .max = "60s", FN(batch_timeout_ns), .example = "5s",
     .help = "So long after the first of them the run begins, though there are fewer."},
    {"functions[].batch.key", NX_CFG_STRING, &nx_cfg_event_key, FN(batch_key), .example = "data.customer_id", .help = "Only events with the same value at this path go together."},
    {"functions[].singleton", NX_CFG_SECTION, .example = "{mode: skip, key: data.customer_id}",
     .help = "One run at a time, over all nodes: what comes meanwhile is skipped, or ends the one that runs; a record says so."},
    {"functions[].singleton.mode", NX_CFG_ENUM, .choices = singletons, FN(singleton), .is_required = true, .example = "skip", .help = "What happens when an event comes meanwhile: `skip` it, or `cancel` the run and begin one for it."},
    {"functions[].singleton.key", NX_CFG_STRING, &nx_cfg_event_key, FN(singleton_key), .example = "data.customer_id", .help = "One of each value at this path."},
    {"functions[].priority", NX_CFG_SECTION, .help = "Who goes first where more wants to run than there are slots. See [FLOW](FLOW.md)."},
    {"functions[].priority.run", NX_CFG_STRING, &nx_cfg_event_key, FN(priority_run), .example = "data.urgency",
     .help = "Path to a number in the event, -600 to 600: by so many seconds it goes before, or behind, the function's other events that wait on the node. "
             "Without a number there, 0."},
    {"functions[].priority.weight", NX_CFG_INT, .def = "100", .min = "1", .max = "10000", .unit = "parts", FN(weight),
     .help = "The function's part of the slots while others want them too: twice the weight is twice the time."},
    {"functions[].cpu", NX_CFG_STRING, &nx_cfg_cpu, FN(cpu), .example = "250m",
     .help = "CPU time that the function's attempts together may use on one node, in cores (`250m` or `0.25` is a quarter of one), averaged over 100 ms. Past it they "
             "are paused, without a slot; `timeout` does not count pauses. Without it, no limit."},
    {"functions[].warm", NX_CFG_INT, .def = "0", .min = "0", .max = "64", .unit = "instances", FN(warm),
     .help = "Instances that every node keeps ready, so that not even the first event after a pause meets a cold start: the module stays mapped, "
             "whatever `warm_memory` says. 0 keeps none."},
    {"functions[].from", NX_CFG_STRING, &nx_cfg_moment, FN(from), .example = "2026-01-01T00:00:00Z",
     .help = "A new function gets the stored events since then too, in the order of the log, beside new ones (with `ordering: key`, before the new ones of its "
             "key): once in its life, by a job (`nexus jobs list --kind backfill`)."},
    {"functions[].from_rate", NX_CFG_INT, .def = "0", .min = "0", .max = "1000000", .unit = "events", FN(from_rate),
     .help = "At most so many of those events a second; 0 is as fast as it goes."},
    {"functions[].retry", NX_CFG_SECTION, .help = "What follows an attempt that fails. Without it, a run has one attempt."},
    {"functions[].retry.max_attempts", NX_CFG_INT, .def = "1", .min = "1", .max = "1000", .unit = "attempts", FN(retry_max_attempts), .example = "5",
     .help = "Attempts of one run; the first one counts. A function without effects fails the same way again, so more than one is worth it "
             "only where a failure comes from outside."},
    {"functions[].retry.initial_interval", NX_CFG_DURATION, .def = "1s", .min = "1ms", .max = "24h", FN(retry_initial_ns),
     .help = "Time between the first attempt and the second."},
    {"functions[].retry.factor", NX_CFG_DECIMAL, .def = "2", .min = "1", .max = "100", .unit = "factor", FN(retry_factor_milli),
     .help = "Each further interval is so many times the one before."},
    {"functions[].retry.max_interval", NX_CFG_DURATION, .def = "1m", .min = "1ms", .max = "24h", FN(retry_max_ns), .help = "Longest interval."},
    {"functions[].retry.jitter", NX_CFG_ENUM, .def = "equal", .choices = jitters, FN(retry_jitter),
     .help = "How much of an interval is left to chance, so that events that failed together are not tried again together: `none` of it, `full` all of it, "
             "`equal` its second half."},
    {"functions[].retry.on_exhausted", NX_CFG_ENUM, .def = "dlq", .choices = exhausteds, FN(on_exhausted),
     .help = "What follows the last attempt: `dlq` the event waits in the dead-letter queue, `pause` the function is paused and the event tried again "
             "once it is resumed, `drop` nothing."},
    {"functions[].retry_on", NX_CFG_ONE_OR_LIST, &nx_cfg_why_name, FN_LIST(retry_on), .example = "[exit, trap]",
     .help = "Reasons after which an attempt is tried again: `trap`, `exit`, `stack_overflow`, `memory_limit`, `output_limit`, `fuel`, `deadline` "
             "(or `timeout`, the same), `effects_limit`, `no_secret`. Without it, all of these."},
};

const unsigned nx_cfg_n_rows = (unsigned)NX_ARRAY_LEN(nx_cfg_rows);

bool nx_cfg_row_is_function(const nx_cfg_row *row)
{
    return strncmp(row->path, NX_CFG_IN_FUNCTION ".", sizeof NX_CFG_IN_FUNCTION) == 0;
}

bool nx_cfg_row_is_scalar(const nx_cfg_row *row)
{
    switch (row->shape) {
    case NX_CFG_STRING:
    case NX_CFG_ENUM:
    case NX_CFG_DURATION:
    case NX_CFG_SIZE:
    case NX_CFG_INT:
    case NX_CFG_DECIMAL:
    case NX_CFG_BOOL:
    case NX_CFG_CONST:
        return true;
    case NX_CFG_SECTION:
    case NX_CFG_FUNCTIONS:
    case NX_CFG_LIST:
    case NX_CFG_ONE_OR_LIST:
    case NX_CFG_CRON:
    case NX_CFG_ENV:
    case NX_CFG_SECRETS:
        return false;
    }
    return false;
}

/* Where a row's key stands in its path. Rows are looked for by the hundred thousand when many functions are read. */
static struct place {
    unsigned path_n, key_at;
} places[NX_ARRAY_LEN(nx_cfg_rows)];
static pthread_once_t places_once = PTHREAD_ONCE_INIT;

static void find_places(void)
{
    for (unsigned i = 0; i < nx_cfg_n_rows; i++) {
        const char *path = nx_cfg_rows[i].path, *dot = strrchr(path, '.');
        places[i] = (struct place){(unsigned)strlen(path), dot ? (unsigned)(dot + 1 - path) : 0};
    }
}

static const struct place *place_of_row(const nx_cfg_row *row)
{
    pthread_once(&places_once, find_places);
    return &places[nx_cfg_row_index(row)];
}

const char *nx_cfg_row_key(const nx_cfg_row *row) { return row->path + place_of_row(row)->key_at; }

static bool is_below(const nx_cfg_row *row, const struct place *p, const char *prefix, size_t prefix_n)
{
    return (p->key_at ? p->key_at - 1 : 0) == prefix_n && memcmp(row->path, prefix, prefix_n) == 0;
}

bool nx_cfg_row_is_child_of(const nx_cfg_row *row, const char *prefix) { return is_below(row, place_of_row(row), prefix, strlen(prefix)); }

const nx_cfg_row *nx_cfg_row_child(const char *prefix, nx_slice key)
{
    const struct place *p = place_of_row(nx_cfg_rows);
    size_t prefix_n = strlen(prefix);
    for (const nx_cfg_row *row = nx_cfg_rows; row < nx_cfg_rows + nx_cfg_n_rows; row++, p++) {
        if (p->path_n - p->key_at == key.n && memcmp(row->path + p->key_at, key.p, key.n) == 0 && is_below(row, p, prefix, prefix_n))
            return row;
    }
    return NULL;
}

const nx_cfg_row *nx_cfg_row_find(const char *path)
{
    const struct place *p = place_of_row(nx_cfg_rows);
    size_t n = strlen(path);
    for (const nx_cfg_row *row = nx_cfg_rows; row < nx_cfg_rows + nx_cfg_n_rows; row++, p++) {
        if (p->path_n == n && memcmp(row->path, path, n) == 0)
            return row;
    }
    return NULL;
}

size_t nx_cfg_row_env_name(const nx_cfg_row *row, char out[NX_CFG_ENV_NAME_BYTES])
{
    if (row->is_project || row->shape == NX_CFG_CONST || nx_cfg_row_is_function(row) || !nx_cfg_row_is_scalar(row))
        return 0;
    int n = snprintf(out, NX_CFG_ENV_NAME_BYTES, "NEXUS_%s", row->path);
    if (n < 0 || n >= NX_CFG_ENV_NAME_BYTES)
        return 0;
    for (char *p = out; *p; p++) {
        if (*p == '.')
            *p = '_';
        else if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    }
    return (size_t)n;
}
