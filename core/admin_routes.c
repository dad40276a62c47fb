/* admin_routes.c: the routes of the admin API: who handles them, and what they take and answer. Query parameters and keys of bodies are checked against these rows;
 * /openapi.json, docs/openapi.json and the table of docs/API_REFERENCE.md are made from them. Shapes: nx/shape.h. */
#include "admin.h"
#include "job_internal.h"

#define MODULE_BYTES (64u << 20)

/* ---- shapes ------------------------------------------------------------------------------------------------------------------------------------- */

#define JSON(name, shape)               \
    {                                   \
        NX_GW_JSON, (name), "" shape "" \
    }
#define LINES(name, shape)                \
    {                                     \
        NX_GW_NDJSON, (name), "" shape "" \
    }
#define BYTES                                  \
    {                                          \
        "application/octet-stream", NULL, NULL \
    }

#define STATUS "'ok' | 'error' | 'timeout' | 'dead' | 'skipped' | 'cancelled' | 'batched'"
#define TRAFFIC "[{version, percent: number}]"
#define PAUSE "paused: bool, paused_at?: time, pause_reason?, pause_event_id?: id"
#define VERSION "namespace, function, version, artifact: sha256, derived?: sha256"
#define ALIAS "namespace, function, alias, traffic: " TRAFFIC ", changed_at, before: [" TRAFFIC "]"
#define EVENT "namespace, event_id: id, type, source, subject, time, trace_id, size_bytes: int"
#define RUN                                                                                                                                 \
    "namespace, run_id: id, event_id: id, function, version, status: " STATUS ", why?, attempt: int, max_attempts?: int, generation: int, " \
    "is_final: bool, next_attempt_at?: time, on_exhausted?: 'dlq' | 'drop' | 'pause', is_replay: bool, duration_ms: number, fuel: int, "    \
    "memory_bytes: int, trace_id, time: time"
#define RUN_WHOLE                                                                                                                                         \
    RUN ", span_id, parent_span_id?, event_type?, artifact?, redrive_of?: id, is_cold: bool, replay_of?: id, original_timestamp?: time, "                 \
        "exit_code?: int, message?, backtrace?, output?, output_base64?, output_bytes: int, output_sha256: sha256, logs?, logs_base64?, "                 \
        "logs_bytes: int, logs_sha256: sha256, recording: 'full' | 'digest' | 'off', redacted: [string], seed: sha256, env: {*: string}, "                \
        "secret_env?: {*: string}, limits: {timeout_ms: number, memory_bytes: int, fuel?: int, output_bytes: int, scratch_bytes: int}, "                  \
        "input_is_cloudevent: bool, takes_batches: bool, batch?: [id], engine?, world?, arch?, node?, emitted: [{event_id: id, type, sha256?: sha256}], " \
        "effects: [{name, request_sha256: sha256, status, clock_ms: number, answer?, answer_base64?}], host_calls: int, "                                 \
        "host_calls_sha256: sha256, host_calls_kept_bytes: int, event_seq: int, delivery: int, record_seq?: int, recorded_at?: time, "                    \
        "attempts: [{" RUN "}]"
#define JOB                                                                                                                                                       \
    "namespace, job_id: id, kind: 'replay' | 'shadow' | 'backfill' | 'prune', status: 'queued' | 'running' | 'done' | 'failed' | 'canceled', created_at?: time, " \
    "started_at?: time, ended_at?: time, node?, error?, progress: {events: int, percent?: number, eta_s?: number, events_per_s: number}, spec: {…}, summary?: {…}"
#define DEAD_FILTER "ids?: [string], function?, type?, why?, since?, until?, all?: bool, limit?: int, after?: int, not_before?"
#define HANDLED "{matching: int, left: int, after: int, events: [{namespace, event_id: id, function, run_id: id, result: 'redriven' | 'purged' | 'failed', " \
                "reason?, new_run_id?: id, generation?: int, due_at?: time}]}"

/* ---- query parameters ---------------------------------------------------------------------------------------------------------------------------- */

#define LIMIT                                                       \
    {                                                               \
        "limit", "int", "At most so many (1 to 10,000; default 20)" \
    }
#define SINCE                                                                         \
    {                                                                                 \
        "since", "string", "Not earlier than this: a time, or a span before now (1h)" \
    }
#define UNTIL                                    \
    {                                            \
        "until", "string", "Not later than this" \
    }
#define FUNCTION                                 \
    {                                            \
        "function", "string", "Of this function" \
    }

static const nx_gw_param events_query[] = {LIMIT, {"type", "string", "Of this type; a pattern as in on.event"}, SINCE, UNTIL, {0}};
static const nx_gw_param runs_query[] = {
    {"event", "string", "Of this event: its id, the unique end of one, or @last"},
    FUNCTION,
    {"version", "string", "Of this version of the function (v3)"},
    {"status", STATUS, "That ended so"},
    LIMIT,
    SINCE,
    UNTIL,
    {"all", "string", "1: every attempt and every replay, not only how each run ended"},
    {0},
};
static const nx_gw_param dlq_query[] = {
    FUNCTION,
    {"type", "string", "Events of this type; a pattern"},
    {"why", "string", "That failed for this reason"},
    LIMIT,
    SINCE,
    UNTIL,
    {"count", "string", "1: only how many there are"},
    {0},
};
static const nx_gw_param function_query[] = {FUNCTION, {0}};
static const nx_gw_param invoke_query[] = {
    {"wait", "int", "Seconds to wait for the output (0 to 300; default 30); 0 answers 202 once the event is stored"},
    {"type", "string", "Of the event: one that the function takes"},
    {"content_type", "string", "Of the data (default application/json)"},
    {"source", "string", "Of the event (default /nexus/invoke)"},
    {"subject", "string", "Of the event"},
    {0},
};
static const nx_gw_param jobs_query[] = {{"kind", "string", "Of this kind"}, {"summary", "string", "1: with the summaries"}, {0}};
static const nx_gw_param logs_query[] = {
    {"follow", "string", "1: goes on with new lines"},
    FUNCTION,
    {"trace", "string", "Of this trace"},
    {"event", "string", "Of this event (whole id)"},
    {"level", "'debug' | 'info' | 'warn' | 'error'", "Of this level, or worse"},
    {"limit", "int", "Of the lines that the node has kept, the last so many (default 200)"},
    {0},
};

/* ---- routes -------------------------------------------------------------------------------------------------------------------------------------- */

#define DOC(...) \
    &(const nx_gw_route_doc) { __VA_ARGS__ }

static const nx_gw_admin_route routes[] = {
    {"GET", "/healthz", nx_core_admin_healthz, NX_GW_ROUTE_FAST | NX_GW_ROUTE_ANY_QUERY, 0,
     DOC("health", "Node", "Whether the process answers", .answers = {{200, {"text/plain", NULL, NULL}}})},
    {"GET", "/readyz", nx_core_admin_readyz, NX_GW_ROUTE_FAST | NX_GW_ROUTE_ANY_QUERY, 0,
     DOC("ready", "Node", "Whether the node takes and runs events", .answers = {{200, JSON("Ready", "{status, reason?}")}, {503, JSON("Ready", "{status, reason?}")}})},
    {"GET", "/metrics", nx_core_admin_metrics, NX_GW_ROUTE_ANY_QUERY, 0,
     DOC("metrics", "Node", "Metrics in Prometheus' text format", .answers = {{200, {"text/plain", NULL, NULL}}})},
    {"GET", "/openapi.json", nx_core_admin_openapi, 0, 0,
     DOC("openapi", "Node", "This API, as an OpenAPI 3.1 document", .answers = {{200, JSON("OpenApi", "{openapi, info: {…}, paths: {…}, components: {…}, …}")}})},
    {"GET", "/api/v1/node", nx_core_admin_node, 0, 0,
     DOC("node", "Node", "What runs here",
         .answers = {{200, JSON("Node", "{node: id, version, engine, pid: int, listen_url, admin_url, project, namespace, durability: 'process' | 'power' | 'quorum', dev: bool, "
                                        "functions: int, nats: {private: bool, pid: int, version, connected: bool}}")}})},
    {"GET", "/api/v1/functions", nx_core_admin_functions, 0, 0,
     DOC("list_functions", "Functions and versions", "The functions of this node",
         .answers = {{200, LINES("Function", "{namespace, name, version, artifact: sha256, traffic: " TRAFFIC ", origin: 'project' | 'registry', pending: int, in_flight: int, "
                                             "dlq: int, " PAUSE ", triggers: {…}}")}})},
    {"GET", "/api/v1/functions/{name}/versions", nx_core_admin_versions, 0, 0,
     DOC("list_versions", "Functions and versions", "The versions of a function, newest first",
         .answers = {{200, LINES("VersionLine", "{" VERSION ", created_at: time, live: bool, aliases: {*: number}}")}})},
    {"POST", "/api/v1/functions/{name}/versions", nx_core_admin_deploy, 0, 0,
     DOC("deploy", "Functions and versions", "Makes a version of an uploaded artifact and settings, and gives it events",
         .body = JSON("Deployment", "{artifact: sha256, settings: {…}, alias?: string | null, percent?: number, from?, from_rate?: int, from_effects?}"),
         .answers = {{201, JSON("Deployed", "{" VERSION ", created: bool}")}, {200, JSON("Deployed", "{" VERSION ", created: bool}")}})},
    {"GET", "/api/v1/functions/{name}/versions/{version}", nx_core_admin_version, 0, 0,
     DOC("get_version", "Functions and versions", "One version, by its number or an alias, with its settings",
         .answers = {{200, JSON("Version", "{" VERSION ", created_at?: time, live: bool, aliases: {*: number}, settings: {…}}")}})},
    {"GET", "/api/v1/aliases", nx_core_admin_aliases, 0, 0,
     DOC("list_aliases", "Functions and versions", "What names versions", function_query, .answers = {{200, LINES("Alias", "{" ALIAS ", from?: " TRAFFIC "}")}})},
    {"PUT", "/api/v1/functions/{name}/aliases/{alias}", nx_core_admin_alias_put, 0, 0,
     DOC("put_alias", "Functions and versions", "Names a version, or shares events out to several",
         .body = JSON("AliasTarget", "{to: string} | {traffic: " TRAFFIC "}"), .answers = {{200, JSON("Alias", "{" ALIAS ", from?: " TRAFFIC "}")}})},
    {"DELETE", "/api/v1/functions/{name}/aliases/{alias}", nx_core_admin_alias_delete, 0, 0,
     DOC("delete_alias", "Functions and versions", "Removes a name; never live", .answers = {{200, JSON("AliasRemoved", "{namespace, function, alias, removed: bool}")}})},
    {"POST", "/api/v1/functions/{name}/rollback", nx_core_admin_rollback, 0, 0,
     DOC("rollback", "Functions and versions", "Gives an alias back what it named before, or a version that is named",
         .body = JSON("Rollback", "{to?, alias?}"), .is_body_optional = true, .answers = {{200, JSON("Alias", "{" ALIAS ", from?: " TRAFFIC "}")}})},
    {"POST", "/api/v1/functions/{name}/pause", nx_core_admin_pause, 0, 0,
     DOC("pause", "Functions and versions", "Stops running a function on all nodes; its events wait",
         .body = JSON("PauseReason", "{reason?}"), .is_body_optional = true, .answers = {{200, JSON("Pause", "{namespace, function, " PAUSE ", changed: bool}")}})},
    {"POST", "/api/v1/functions/{name}/resume", nx_core_admin_resume, 0, 0,
     DOC("resume", "Functions and versions", "Lets it run again", .answers = {{200, JSON("Pause", "{namespace, function, " PAUSE ", changed: bool}")}})},
    {"POST", "/api/v1/functions/{name}/invoke", nx_core_admin_invoke, NX_GW_ROUTE_STREAM, 0,
     DOC("invoke", "Functions and versions", "Stores an event and answers with this function's output", invoke_query, .body = {"*/*", NULL, NULL}, .is_body_optional = true,
         .answers = {{200, {"*/*", NULL, NULL}}, {202, JSON("Invoked", "{event_id: id, status: 'published', trace_id}")}})},
    {"PUT", "/api/v1/artifacts/{sha256}", nx_core_admin_artifact_put, 0, MODULE_BYTES,
     DOC("put_artifact", "Artifacts", "Uploads a module, with its files where it has some (64 MiB at most)", .body = BYTES,
         .answers = {{200, JSON("Artifact", "{artifact: sha256, size_bytes: int}")}})},
    {"GET", "/api/v1/artifacts/{sha256}", nx_core_admin_artifact, 0, 0, DOC("get_artifact", "Artifacts", "Its bytes", .answers = {{200, {"application/wasm", NULL, NULL}}})},
    {"GET", "/api/v1/events", nx_core_admin_events, 0, 0,
     DOC("list_events", "Events", "Stored events, newest first", events_query, .answers = {{200, LINES("EventLine", "{" EVENT "}")}})},
    {"GET", "/api/v1/events/{id}", nx_core_admin_event, 0, 0,
     DOC("get_event", "Events", "One event, with the whole CloudEvent",
         .answers = {{200, JSON("Event", "{" EVENT ", content_type, hop: int, cause, sequence: int, deliver_at?: time, event: {specversion, id, source, type, …}}")}})},
    {"GET", "/api/v1/events/{id}/data", nx_core_admin_event_data, 0, 0, DOC("get_event_data", "Events", "Its data, byte for byte", .answers = {{200, {"*/*", NULL, NULL}}})},
    {"GET", "/api/v1/cron", nx_core_admin_cron, 0, 0,
     DOC("list_schedules", "Schedules", "Schedules of this node's functions, with their next ticks",
         .answers = {{200, LINES("Schedule", "{function, schedule, timezone, type, next: [time]}")}})},
    {"GET", "/api/v1/runs", nx_core_admin_runs, 0, 0, DOC("list_runs", "Runs", "How runs ended, newest first", runs_query, .answers = {{200, LINES("RunLine", "{" RUN "}")}})},
    {"GET", "/api/v1/runs/{id}", nx_core_admin_run, 0, 0, DOC("get_run", "Runs", "The whole record of a run", .answers = {{200, JSON("Run", "{" RUN_WHOLE "}")}})},
    {"GET", "/api/v1/secrets", nx_core_admin_secrets, 0, 0,
     DOC("list_secrets", "Secrets", "Names of secrets, never values",
         .answers = {{200, LINES("Secret", "{namespace, name, source: 'store' | 'file' | 'env', at, set_at, available: bool, functions: [string]}")}})},
    {"PUT", "/api/v1/secrets/{name}", nx_core_admin_secret_put, 0, 0,
     DOC("put_secret", "Secrets", "Stores a value (1 byte to 64 KiB), encrypted", .body = BYTES,
         .answers = {{201, JSON("SecretSet", "{namespace, name, created: bool}")}, {200, JSON("SecretSet", "{namespace, name, created: bool}")}})},
    {"DELETE", "/api/v1/secrets/{name}", nx_core_admin_secret_delete, 0, 0,
     DOC("delete_secret", "Secrets", "Removes it from the store", .answers = {{200, JSON("SecretDeleted", "{namespace, name, deleted: bool}")}})},
    {"POST", "/api/v1/jobs", nx_core_admin_job_post, 0, NX_JOB_SPEC_BYTES,
     DOC("start_job", "Jobs", "Begins work that takes longer than a request", .body = JSON("JobSpec", "{kind: 'replay' | 'shadow' | 'backfill' | 'prune', spec: {since?, until?, type?, function?, status?, against?, effects?, rate?: number, "
                                                                                                      "older_than?, keep?: int, dry_run?: bool}}"),
         .answers = {{201, JSON("Job", "{" JOB "}")}})},
    {"GET", "/api/v1/jobs", nx_core_admin_jobs, 0, 0, DOC("list_jobs", "Jobs", "Jobs, newest first", jobs_query, .answers = {{200, LINES("Job", "{" JOB "}")}})},
    {"GET", "/api/v1/jobs/{id}", nx_core_admin_job, 0, 0, DOC("get_job", "Jobs", "One job, with its summary", .answers = {{200, JSON("Job", "{" JOB "}")}})},
    {"POST", "/api/v1/jobs/{id}/cancel", nx_core_admin_job_cancel, 0, 0,
     DOC("cancel_job", "Jobs", "Stops it; what it found is kept", .answers = {{200, JSON("Job", "{" JOB "}")}})},
    {"GET", "/api/v1/dlq", nx_core_admin_dlq, 0, 0,
     DOC("list_dead_letters", "Dead letters", "Events whose run failed for good, newest first", dlq_query,
         .answers = {{200, LINES("DeadLetter", "{" RUN ", event_type, message}")}, {200, JSON("DeadLetterCount", "{matching: int, is_cut: bool}")}})},
    {"GET", "/api/v1/dlq/{id}", nx_core_admin_dlq_show, 0, 0,
     DOC("get_dead_letter", "Dead letters", "The whole record of each function that failed on an event, and the event", function_query,
         .answers = {{200, LINES("DeadLetterWhole", "{" RUN_WHOLE ", event: {…} | null}")}})},
    {"POST", "/api/v1/dlq/redrive", nx_core_admin_dlq_redrive, NX_GW_ROUTE_STREAM, 0,
     DOC("redrive", "Dead letters", "Gives events to their functions once more",
         .body = JSON("Redrive", "{" DEAD_FILTER ", against?, effects?: 'live' | 'recorded' | 'deny', rate?: int}"), .answers = {{200, JSON("Handled", HANDLED)}})},
    {"POST", "/api/v1/dlq/purge", nx_core_admin_dlq_purge, NX_GW_ROUTE_STREAM, 0,
     DOC("purge", "Dead letters", "Takes events out of the queue; records and events stay", .body = JSON("Purge", "{" DEAD_FILTER "}"), .answers = {{200, JSON("Handled", HANDLED)}})},
    {"GET", "/api/v1/logs", nx_core_admin_logs, NX_GW_ROUTE_STREAM, 0,
     DOC("read_logs", "Logs", "The last lines of the node and its functions, oldest first", logs_query,
         .answers = {{200, LINES("LogLine", "{time: time, level: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR', component, event?, message?, trace_id?, event_id?, run_id?, function?, namespace?, …}")}})},
};

const nx_gw_admin_route *nx_core_admin_routes(unsigned *ret_n)
{
    *ret_n = NX_ARRAY_LEN(routes);
    return routes;
}
