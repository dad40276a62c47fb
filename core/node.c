/* node.c: a node starts, and takes settings. Start: log, admin listener (so that /healthz answers at once), runtime, then event log, functions, gateway.
 * A node that stands beside another one of its process has all of that itself, but for the lines' way to stderr and the runtime. */
#include "core_internal.h"
#include "job_internal.h"
#include "keys.h"
#include "nx/sched.h"
#include "outbound.h"
#include "secrets.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *cstr(nx_slice s, char *buf, size_t size) { return s.n && nx_slice_to_cstr(s, buf, size) == NX_OK ? buf : NULL; }

static void publish_settings(nx_node *n)
{
    atomic_store(&n->is_strict, n->cfg->ingest_strict);
    atomic_store(&n->events_max_age_ns, n->cfg->events_max_age_ns);
    atomic_store(&n->hop_limit, n->cfg->hop_limit);
    uint32_t audit_ppm = 0;
    nx_config_share_ppm(n->cfg->audit, &audit_ppm); /* checked when it was read */
    atomic_store(&n->audit_ppm, audit_ppm);
}

/* ---- the tick: late waiters, reloads that are due ---------------------------------------------------------------------------------------- */

/* Only of a node that is ready: until then the main thread makes what is looked at here. */
static void tick(nx_node *n)
{
    nx_core_waiters_tick(n->waiters, nx_clock_ns());
    nx_core_unheards_tick(n->unheards, nx_clock_ns());
    nx_core_reload_tick(n, nx_clock_ns());
    nx_core_cron_tick(n, nx_clock_ns());
    nx_core_prune_tick(n, nx_clock_ns());
    nx_core_timers_tick(n, nx_clock_ns());
    nx_core_lanes_tick(n, nx_clock_ns());
    nx_core_batches_tick(n, nx_clock_ns());
    nx_core_again_tick(n->dispatch, nx_clock_ns());
}

static void *tick_main(void *arg)
{
    nx_node *n = arg;
    pthread_setname_np(pthread_self(), "nx-tick");
    pthread_mutex_lock(&n->tick_mu);
    while (!n->tick_stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 50 * (long)NX_NS_PER_MS;
        if (until.tv_nsec >= (long)NX_NS_PER_S) {
            until.tv_nsec -= (long)NX_NS_PER_S;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&n->tick_cv, &n->tick_mu, &until);
        pthread_mutex_unlock(&n->tick_mu);
        if (atomic_load(&n->is_ready))
            tick(n);
        else
            nx_core_start_tick(n, nx_clock_ns());
        pthread_mutex_lock(&n->tick_mu);
    }
    pthread_mutex_unlock(&n->tick_mu);
    return NULL;
}

static nx_err tick_start(nx_node *n, nx_error *reterr)
{
    if (nx_thread_start(&n->tick_thread, NULL, tick_main, n) != 0)
        return nx_error_set(reterr, NX_ENOMEM, "cannot start a thread");
    n->has_tick = true;
    return NX_OK;
}

/* ---- callbacks of the fabric ------------------------------------------------------------------------------------------------------------ */

typedef struct remote_answer {
    nx_answer a;
    char content_type[128];
} remote_answer;

static void release_remote(nx_answer *a) { free(a); }

static void on_reply(void *self, nx_slice token, int status, nx_slice content_type, nx_slice body)
{
    nx_node *n = self;
    remote_answer *r = malloc(sizeof *r + body.n);
    if (!r)
        return;
    if (body.n)
        memcpy(r + 1, body.p, body.n);
    int k = snprintf(r->content_type, sizeof r->content_type, "%.*s", NX_SLICE_FMT(content_type));
    r->a = (nx_answer){status, nx_slice_make(r->content_type, (size_t)k < sizeof r->content_type ? (size_t)k : sizeof r->content_type - 1),
                       nx_slice_make(r + 1, body.n), release_remote};
    nx_core_waiters_answer(n->waiters, token, &r->a);
}

static void on_kv_change(void *self, nx_slice key)
{
    nx_node *n = self;
    if (!nx_core_pause_on_change(n, key))
        nx_core_reload_on_change(n, key);
}

/* ---- start ------------------------------------------------------------------------------------------------------------------------------ */

static nx_err start_data_dir(nx_node *n, const char *dir, nx_error *reterr)
{
    char path[4096], pid[16] = "";
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return nx_error_set(reterr, nx_err_from_errno(errno), "data_dir %s: %s", dir, strerror(errno));
    snprintf(path, sizeof path, "%s/node.lock", dir);
    n->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (n->lock_fd < 0)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    if (flock(n->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t k = pread(n->lock_fd, pid, sizeof pid - 1, 0);
        pid[k > 0 ? k : 0] = 0;
        return nx_error_set(reterr, NX_ECONFLICT, "another node (pid %s) uses %s; stop it, or give this one its own --data-dir", pid[0] ? pid : "unknown", dir);
    }
    int k = snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (ftruncate(n->lock_fd, 0) != 0 || pwrite(n->lock_fd, pid, (size_t)k, 0) != k)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    snprintf(path, sizeof path, "%s/running.journal", dir);
    return nx_core_journal_open(path, &n->journal, reterr);
}

static nx_err start_fabric(nx_node *n, const char *dir, nx_error *reterr)
{
    nx_config *c = n->cfg;
    char url[2048];
    const char *to = cstr(c->nats_url, url, sizeof url);
    if (!to) {
        nx_core_start_state(n, "starting the private event log");
        nx_fab_server_options so = {.data_dir = dir, .durability = c->durability, .memory_limit_bytes = c->server_memory_bytes};
        nx_err err = nx_fab_server_start(&so, &n->server, reterr);
        if (err != NX_OK)
            return err;
        to = nx_fab_server_url(n->server);
    }
    nx_core_start_state(n, "connecting to the event log");
    nx_fab_options fo = {
        .url = to,
        .private_server = n->server,
        .credentials_file = c->nats_credentials,
        .user = c->nats_user,
        .password = c->nats_password,
        .token = c->nats_token,
        .tls_ca = c->nats_tls_ca,
        .tls_cert = c->nats_tls_cert,
        .tls_key = c->nats_tls_key,
        .js_prefix = c->nats_js_prefix,
        .node = n->id,
        .metrics = n->metrics,
        .on_reply = on_reply,
        .reply_self = n,
    };
    nx_fab_ns_options no = {
        .events_max_age_ns = c->events_max_age_ns,
        .events_max_bytes = c->events_max_bytes,
        .runs_max_age_ns = c->runs_max_age_ns,
        .runs_max_bytes = c->runs_max_bytes,
        .dedupe_window_ns = c->dedupe_window_ns,
        .replicas = c->replicas,
        .max_types = c->ingest_max_types,
    };
    nx_err err;
    do {
        err = n->fab ? NX_OK : nx_fab_open(&fo, &n->fab, reterr);
        if (err == NX_OK && !n->ns)
            err = nx_fab_ns_open(n->fab, c->ns, &no, &n->ns, reterr);
        if (err == NX_OK)
            err = nx_fab_kv_watch(n->ns, on_kv_change, n, reterr);
    } while (nx_core_waits(n, err, reterr));
    if (err == NX_OK)
        nx_core_crashes_share(n);
    return err;
}

static nx_err make_runtime(nx_node *n, const char *dir, nx_error *reterr)
{
    char cache[4096];
    snprintf(cache, sizeof cache, "%s/cache", dir);
    nx_core_start_state(n, "starting the runtime");
    nx_rt_options ro = {.cache_dir = cache, .slots = n->cfg->workers, .warm_bytes = n->cfg->warm_memory_bytes, .metrics = n->metrics};
    nx_err err = NX_OK;
    if (n->opt.beside)
        n->rt = n->opt.beside->rt;
    else
        err = nx_rt_new(&ro, &n->rt, reterr);
    if (err == NX_OK && nx_rt_group_new(n->rt, &n->group) != NX_OK)
        err = nx_error_set(reterr, NX_ENOMEM, "shares of functions");
    if (err == NX_OK)
        nx_rt_group_set(n->group, n->cfg->weight);
    return err;
}

static nx_err start_runs(nx_node *n, nx_error *reterr)
{
    nx_err err = nx_core_dispatch_new(n, &n->dispatch, reterr);
    if (err == NX_OK && nx_core_batches_new(&n->batches) != NX_OK)
        err = nx_error_set(reterr, NX_ENOMEM, "batches");
    if (err == NX_OK && nx_core_keys_new(n, &n->keys) != NX_OK)
        err = nx_error_set(reterr, NX_ENOMEM, "keys of functions");
    if (err == NX_OK && nx_core_pauses_new(&n->pauses) != NX_OK)
        err = nx_error_set(reterr, NX_ENOMEM, "paused functions");
    if (err == NX_OK && nx_core_dlq_new(&n->dlq) != NX_OK)
        err = nx_error_set(reterr, NX_ENOMEM, "dead-letter queue");
    return err;
}

static uint32_t ms_of(uint64_t ns) { return (uint32_t)(ns / NX_NS_PER_MS); }

static nx_err start_gateway(nx_node *n, nx_error *reterr)
{
    nx_config *c = n->cfg;
    nx_core_start_state(n, "opening the listener for events");
    nx_gw_options o = {
        .listen = {.address = c->listen, .tls_cert = c->tls_cert, .tls_key = c->tls_key, .max_body_bytes = c->max_body_bytes, .max_buffered_bytes = c->max_buffered_bytes, .max_header_bytes = (uint32_t)c->max_header_bytes, .max_connections = c->max_connections, .head_timeout_ms = ms_of(c->head_timeout_ns), .body_timeout_ms = ms_of(c->body_timeout_ns), .idle_timeout_ms = ms_of(c->idle_timeout_ns)},
        .ops = &nx_core_ingest_ops,
        .ops_self = n,
        .ns = c->ns,
        .is_strict = c->ingest_strict,
        .is_batch_enabled = c->ingest_batch,
        .metrics = n->metrics,
    };
    uint64_t room = nx_fab_max_payload(n->fab) > (64u << 10) ? nx_fab_max_payload(n->fab) - (64u << 10) : 0;
    if (o.listen.max_body_bytes > room) {
        nx_log(NX_LOG_WARN, "config.max_body", "http.max_body is %llu bytes, but the event log takes messages of %llu; bodies over %llu bytes are refused",
               (unsigned long long)o.listen.max_body_bytes, (unsigned long long)nx_fab_max_payload(n->fab), (unsigned long long)room);
        o.listen.max_body_bytes = room;
    }
    nx_err err = nx_gw_new(&o, &n->gw, reterr);
    if (err == NX_OK)
        err = nx_gw_start(n->gw, reterr);
    if (err != NX_OK)
        return err;
    char address[NX_GW_ADDRESS_MAX];
    nx_gw_bound_address(n->gw, address, sizeof address);
    snprintf(n->url, sizeof n->url, "http%s://%s", nx_gw_is_tls(n->gw) ? "s" : "", address);
    return NX_OK;
}

/* Where clients find this node; replaced by rename, so that nobody reads half of it. */
static nx_err write_node_json(nx_node *n, const char *dir, nx_error *reterr)
{
    char path[4096], tmp[4096 + 8];
    snprintf(path, sizeof path, "%s/node.json", dir);
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    nx_jw w = NX_JW_INIT(&b);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "admin_url", n->admin_url);
    nx_jw_kcstr(&w, "listen_url", n->url);
    nx_jw_ku64(&w, "pid", (uint64_t)getpid());
    nx_jw_kcstr(&w, "node", n->id.s);
    nx_jw_object_end(&w);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_ok = fd >= 0 && nx_jw_err(&w) == NX_OK && write(fd, b.p, b.n) == (ssize_t)b.n;
    if (fd >= 0)
        close(fd);
    if (!is_ok || rename(tmp, path) != 0)
        return nx_error_set(reterr, NX_EIO, "%s: %s", path, strerror(errno));
    return NX_OK;
}

static nx_err start_log(nx_node *n, nx_error *reterr)
{
    if (n->opt.beside) {
        n->log = n->opt.beside->log;
        return NX_OK;
    }
    nx_obs_log_options o = {.fd = STDERR_FILENO, .is_json = n->cfg->log_json};
    nx_err err = nx_obs_log_start(&o, &n->log, reterr);
    if (err != NX_OK)
        return err;
    nx_log_set_level(n->cfg->log_level);
    nx_log_set_sink(nx_obs_log_sink(n->log));
    return NX_OK;
}

static nx_err start_metrics(nx_node *n)
{
    nx_err err = nx_metrics_new(0, &n->metrics);
    if (err != NX_OK)
        return err;
    n->m_ingested = nx_obs_counter(n->metrics, "nexus_events_ingested_total", "Events stored for callers.", 0, NULL);
    n->m_publish = nx_obs_histogram(n->metrics, "nexus_publish_duration_seconds", "From handing an event to the log to its acknowledgement.", NULL, 0, 0, NULL);
    n->m_refused = nx_obs_counter(n->metrics, "nexus_events_refused_total", "Events that could not be stored.", 0, NULL);
    n->m_running = nx_obs_gauge(n->metrics, "nexus_runs_in_progress", "Runs whose event is taken and not yet acknowledged.", 0, NULL);
    n->m_waiting = nx_obs_gauge(n->metrics, "nexus_callers_waiting", "Callers that wait for the outcome of a run.", 0, NULL);
    return NX_OK;
}

static nx_err start_functions(nx_node *n, nx_error *reterr)
{
    nx_err err;
    nx_core_start_state(n, "loading functions");
    do {
        pthread_mutex_lock(&n->apply_mu);
        err = nx_core_registry_apply(n, n->cfg, NULL, reterr);
        pthread_mutex_unlock(&n->apply_mu);
    } while (nx_core_waits(n, err, reterr));
    if (err == NX_OK)
        nx_core_secrets_remind(n);
    return err;
}

/* What waits for no server. */
static nx_err make(nx_node *n, const char *dir, nx_error *reterr)
{
    nx_err err = start_data_dir(n, dir, reterr);
    if (err == NX_OK)
        err = start_log(n, reterr);
    if (err == NX_OK)
        err = start_metrics(n);
    if (err == NX_OK)
        err = nx_core_waiters_new(&n->waiters, reterr);
    if (err == NX_OK && !(n->unheards = nx_core_unheards_new(n)))
        err = nx_error_set(reterr, NX_ENOMEM, "waiting callers");
    if (err == NX_OK)
        err = nx_core_jobs_new(4, 4096, &n->jobs, reterr);
    if (err == NX_OK && nx_core_changed_new(&n->changed) != NX_OK)
        err = nx_error_set(reterr, NX_ENOMEM, "changes of the registry");
    if (err == NX_OK)
        err = tick_start(n, reterr);
    if (err == NX_OK)
        err = nx_core_secrets_new(dir, n->cfg, &n->secrets, reterr);
    if (err == NX_OK)
        err = nx_core_admin_start(n, reterr);
    if (err == NX_OK)
        err = make_runtime(n, dir, reterr);
    return err;
}

static nx_err start(nx_node *n, const char *dir, nx_error *reterr)
{
    nx_err err = start_fabric(n, dir, reterr);
    if (err == NX_OK)
        err = start_runs(n, reterr);
    if (err == NX_OK)
        err = nx_core_outbound_new(n->cfg, n->metrics, &n->outbound, reterr);
    if (err == NX_OK)
        err = start_functions(n, reterr);
    if (err == NX_OK)
        err = start_gateway(n, reterr);
    if (err == NX_OK)
        err = nx_job_board_open(n, reterr);
    if (err == NX_OK)
        err = write_node_json(n, dir, reterr);
    return err;
}

/* Each connection and each mapped module needs a descriptor; the usual soft limit of 1024 is for programs that call select(). */
static void raise_descriptor_limit(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &r) != 0)
            nx_log(NX_LOG_WARN, "node.descriptors", "cannot raise the limit of open files: %s", strerror(errno));
    }
}

static nx_err new_node(const nx_node_options *o, nx_config *cfg, nx_node **ret, nx_error *reterr)
{
    nx_node *n = calloc(1, sizeof *n);
    if (!n)
        return nx_error_set(reterr, NX_ENOMEM, "node");
    n->thread_ns = nx_thread_ns();
    snprintf(n->ns_name, sizeof n->ns_name, "%.*s", NX_SLICE_FMT(cfg->ns));
    if (nx_slice_to_cstr(cfg->data_dir, n->data_dir, sizeof n->data_dir) != NX_OK) {
        free(n);
        return nx_error_set(reterr, NX_EINVAL, "data_dir: the path is too long");
    }
    n->opt = *o;
    n->lock_fd = -1;
    n->cfg = cfg;
    nx_config_ref(cfg);
    n->id = nx_ulid_new(nx_clock_wall_ns());
    n->started_ns = n->start_said_ns = nx_clock_ns();
    publish_settings(n);
    pthread_mutex_init(&n->apply_mu, NULL);
    pthread_mutex_init(&n->tick_mu, NULL);
    pthread_rwlock_init(&n->snap_mu, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&n->tick_cv, &attr);
    pthread_condattr_destroy(&attr);
    nx_core_start_state(n, "starting");
    nx_err err = make(n, n->data_dir, reterr);
    if (err == NX_OK)
        *ret = n;
    else
        nx_node_stop(n);
    return err;
}

nx_err nx_node_new(const nx_node_options *o, nx_config *cfg, nx_node **ret, nx_error *reterr)
{
    nx_sched_prompt();
    raise_descriptor_limit();
    const char *before = nx_thread_ns_set(o->is_shared ? nx_thread_ns_name(cfg->ns) : NULL);
    nx_err err = new_node(o, cfg, ret, reterr);
    if (err != NX_OK && reterr && !reterr->msg[0])
        nx_error_set(reterr, err, "the node did not start: %s", nx_err_text(err));
    (void)nx_thread_ns_set(before);
    return err;
}

nx_err nx_node_start(nx_node *n, nx_error *reterr)
{
    const char *before = nx_thread_ns_set(n->thread_ns);
    nx_err err = start(n, n->data_dir, reterr);
    void *part = NULL;
    if (err == NX_OK && n->opt.part)
        err = n->opt.part->start(n, &part, reterr);
    atomic_store(&n->part, part);
    if (err != NX_OK) {
        if (reterr && !reterr->msg[0])
            nx_error_set(reterr, err, "the node did not start: %s", nx_err_text(err));
        nx_core_start_state(n, "the start has failed, and what was started is ended");
    } else {
        atomic_store(&n->is_ready, true);
        nx_job_board_kick(n->board);
        nx_log(NX_LOG_INFO, "node.ready", "node %s ready in %.0fms: events %s, admin %s", n->id.s, (double)(nx_clock_ns() - n->started_ns) / 1e6, n->url, n->admin_url);
    }
    (void)nx_thread_ns_set(before);
    return err;
}

/* ---- apply ------------------------------------------------------------------------------------------------------------------------------ */

static void put_restart(void *self, const char *path)
{
    nx_buf_printf(self, "%s changed: takes effect when the node is started again\n", path);
}

nx_err nx_node_apply(nx_node *n, nx_config *cfg, nx_buf *ret_changes, nx_error *reterr)
{
    pthread_mutex_lock(&n->apply_mu);
    nx_err err = nx_core_registry_apply(n, cfg, ret_changes, reterr);
    if (err == NX_OK) {
        if (ret_changes)
            nx_config_each_restart(n->cfg, cfg, put_restart, ret_changes);
        if (!n->opt.beside)
            nx_log_set_level(cfg->log_level);
        nx_rt_group_set(n->group, cfg->weight);
        nx_config *old = n->cfg;
        nx_config_ref(cfg);
        n->cfg = cfg;
        nx_core_secrets_use(n->secrets, cfg);
        publish_settings(n);
        nx_config_unref(old);
    }
    pthread_mutex_unlock(&n->apply_mu);
    if (err == NX_OK)
        nx_core_secrets_remind(n);
    return err;
}

const char *nx_node_url(const nx_node *n) { return n->url; }
const char *nx_node_admin_url(const nx_node *n) { return n->admin_url; }
nx_rt *nx_core_runtime(nx_node *n) { return n->rt; }
nx_rt_share *nx_core_own_share(nx_node *n) { return nx_rt_group_share(n->group); }
nx_fab_ns *nx_core_namespace(nx_node *n) { return n->ns; }
const nx_id *nx_core_node_id(const nx_node *n) { return &n->id; }
nx_metrics *nx_core_metrics(nx_node *n) { return n->metrics; }
void *nx_core_part(nx_node *n) { return atomic_load_explicit(&n->part, memory_order_acquire); }
uint32_t nx_core_audit_ppm(nx_node *n) { return atomic_load_explicit(&n->audit_ppm, memory_order_relaxed); }

bool nx_core_is_idle(nx_node *n)
{
    unsigned queued, running;
    nx_rt_depth(n->rt, &queued, &running);
    return queued + running == 0 && nx_core_dispatch_running(n->dispatch) == 0;
}
