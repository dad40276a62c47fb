/* fab_bench.c: what the event fabric alone can do on this machine: fab_bench [events] [window] [body bytes] [lookup].
 * With `lookup` only the look-ups are measured, in a log of so many events (10 million: about 3 minutes and 6 GB of disk).
 * Prints lines "FIGURE what|value|unit|must|beside|limit" for bench.py.
 *   bare      nats.c's own asynchronous publishes of the same body to a stream without headers: the limit of `ingest`
 *   ingest    asynchronous publishes, `window` in flight
 *   pull      pull and acknowledge what lies in the log
 *   pipeline  publish -> pull -> run record -> its PubAck -> acknowledgement, as the node does it
 *   latency   the same with one event at a time
 *   get       look-up by id; runs-of: the records of an event */
#include "nx/clock.h"
#include "nx/fab.h"
#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOOKUPS 1000u

static nx_fab *F;
static nx_fab_ns *N;
static nx_error err;
static char *body;
static size_t body_bytes = 256;

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER;
static unsigned window_free, done_events, done_runs, failed;
static nx_id *ids;

static void must(nx_err e, const char *what)
{
    if (!e)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, nx_err_name(e), err.msg);
    exit(1);
}

typedef struct job {
    nx_fab_pub pub;
    nx_fab_msg *msg;
    struct job *next;
} job;

static job *jobs, **jobs_tail = &jobs, *free_pubs;

static void on_event_stored(nx_fab_pub *p)
{
    job *j = (job *)p;

    pthread_mutex_lock(&mu);
    failed += p->err != NX_OK;
    done_events++;
    window_free++;
    j->next = free_pubs;
    free_pubs = j;
    pthread_cond_broadcast(&cv);
    pthread_mutex_unlock(&mu);
}

static void ingest(unsigned n, bool sync)
{
    nx_event e = {.ns = NX_SLICE("default"), .source = NX_SLICE("/bench"), .type = NX_SLICE("user.created"), .content_type = NX_SLICE("application/json"), .data = {body, body_bytes}};
    char time[NX_RFC3339_MAX];

    nx_trace_new(&e.trace);
    for (unsigned i = 0; i < n; i++) {
        uint64_t now = nx_clock_wall_ns();
        job *j;

        pthread_mutex_lock(&mu);
        while (!free_pubs || (sync && done_runs < i))
            pthread_cond_wait(&cv, &mu);
        j = free_pubs;
        free_pubs = j->next;
        pthread_mutex_unlock(&mu);
        j->pub.done = on_event_stored;
        e.event_id = nx_ulid_new(now);
        e.time = nx_slice_make(time, nx_clock_rfc3339(now, 3, time));
        ids[i] = e.event_id;
        must(nx_fab_publish_event(N, &e, NX_SLICE_NULL, NX_SLICE_NULL, &j->pub, &err), "publish");
    }
}

static void wait_count(const unsigned *what, unsigned n)
{
    pthread_mutex_lock(&mu);
    while (*what < n)
        pthread_cond_wait(&cv, &mu);
    pthread_mutex_unlock(&mu);
}

static void on_msg_count(void *self, nx_fab_msg *m)
{
    (void)self;
    nx_fab_msg_ack(m);
    pthread_mutex_lock(&mu);
    done_runs++;
    pthread_cond_broadcast(&cv);
    pthread_mutex_unlock(&mu);
}

static void on_msg_run(void *self, nx_fab_msg *m)
{
    job *j = calloc(1, sizeof *j);

    (void)self;
    j->msg = m;
    pthread_mutex_lock(&mu);
    *jobs_tail = j;
    jobs_tail = &j->next;
    pthread_cond_broadcast(&cv);
    pthread_mutex_unlock(&mu);
}

static void on_run_stored(nx_fab_pub *p)
{
    job *j = (job *)p;

    nx_fab_msg_ack(j->msg);
    pthread_mutex_lock(&mu);
    failed += p->err != NX_OK;
    done_runs++;
    pthread_cond_broadcast(&cv);
    pthread_mutex_unlock(&mu);
    free(j);
}

static void *worker(void *self)
{
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_run *run = calloc(1, sizeof *run);
    nx_buf b = NX_BUF_INIT(1 << 20);
    nx_event e;

    (void)self;
    for (;;) {
        job *j;

        pthread_mutex_lock(&mu);
        while (!jobs)
            pthread_cond_wait(&cv, &mu);
        j = jobs;
        jobs = j->next;
        if (!jobs)
            jobs_tail = &jobs;
        pthread_mutex_unlock(&mu);
        nx_arena_reset(&a);
        must(nx_fab_msg_event(j->msg, &a, &e, &err), "event");
        run->ns = e.ns;
        run->event_id = e.event_id;
        run->event_type = e.type;
        run->function = NX_SLICE("bench");
        run->version = NX_SLICE("v1");
        run->attempt = 1;
        run->is_final = true;
        run->trace = e.trace;
        run->output = NX_SLICE("ok");
        run->output_bytes = 2;
        run->run_id = nx_run_id_derive(e.ns, &e.event_id, e.wall_ns / NX_NS_PER_MS, run->function, 0);
        nx_buf_clear(&b);
        must(nx_run_encode(run, &b), "encode");
        j->pub.done = on_run_stored;
        must(nx_fab_publish_run(N, run, nx_buf_view(&b), &j->pub, &err), "publish run");
    }
    return NULL;
}

static void figure(const char *what, double value, const char *unit, const char *must_be, const char *beside, double limit)
{
    printf("FIGURE %s|%.1f|%s|%s|", what, value, unit, must_be);
    if (beside)
        printf("%s|%.1f\n", beside, limit);
    else
        printf("|\n");
    fflush(stdout);
}

static double since(uint64_t t)
{
    return (double)(nx_clock_ns() - t) / 1e9;
}

/* Processor time of this process and of the server, in microseconds: what a busy machine doesn't blur. */
static void cpu_us(const nx_fab_server *s, double *self, double *server)
{
    struct rusage r;
    char path[64], text[1024] = "";
    unsigned long user = 0, sys = 0;
    FILE *f;

    getrusage(RUSAGE_SELF, &r);
    *self = (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
    snprintf(path, sizeof path, "/proc/%d/stat", nx_fab_server_pid(s));
    f = fopen(path, "r");
    if (f && fgets(text, sizeof text, f) && strrchr(text, ')'))
        sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
    if (f)
        fclose(f);
    *server = (double)(user + sys) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void must_nats(natsStatus s, const char *what)
{
    if (s == NATS_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, natsStatus_GetText(s));
    exit(1);
}

static double bare_publish(const char *url, unsigned n)
{
    natsConnection *nc = NULL;
    jsCtx *js = NULL;
    jsOptions o;
    jsPubOptions po;
    natsMsg *answer = NULL;
    uint64_t t;

    jsOptions_Init(&o);
    o.PublishAsync.MaxPending = 2048;
    must_nats(natsConnection_ConnectTo(&nc, url), "connect");
    must_nats(natsConnection_JetStream(&js, nc, &o), "JetStream");
    must_nats(natsConnection_RequestString(&answer, nc, "$JS.API.STREAM.CREATE.BARE", "{\"name\":\"BARE\",\"subjects\":[\"bare\"],\"storage\":\"file\"}", 5000), "stream");
    natsMsg_Destroy(answer);
    t = nx_clock_ns();
    for (unsigned i = 0; i < n; i++)
        must_nats(js_PublishAsync(js, "bare", body, (int)body_bytes, NULL), "publish");
    jsPubOptions_Init(&po);
    po.MaxWait = 60000;
    must_nats(js_PublishAsyncComplete(js, &po), "publish");
    double rate = n / since(t);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    return rate;
}

static void look_up(const char *what, unsigned from, unsigned to)
{
    nx_arena a = NX_ARENA_INIT(1 << 24);
    uint64_t v[LOOKUPS];
    nx_event e;
    char name[96];

    for (unsigned i = 0; i < LOOKUPS; i++) {
        const nx_id *id = &ids[from + (unsigned)rand() % (to - from)];
        uint64_t t = nx_clock_ns();

        nx_arena_reset(&a);
        must(nx_fab_event_get(N, id, &a, &e, &err), "get");
        v[i] = nx_clock_ns() - t;
    }
    nx_arena_done(&a);
    qsort(v, LOOKUPS, sizeof *v, compare);
    uint64_t p50_ns = v[LOOKUPS / 2], p99_ns = v[LOOKUPS * 99 / 100];
    snprintf(name, sizeof name, "look-up by id, %s, p50", what);
    figure(name, (double)p50_ns / 1e3, "us", "", NULL, 0);
    snprintf(name, sizeof name, "look-up by id, %s, p99", what);
    figure(name, (double)p99_ns / 1e3, "us", "", NULL, 0);
}

static double server_rss_mib(const nx_fab_server *s)
{
    char path[64];
    unsigned long total = 0, resident = 0;

    snprintf(path, sizeof path, "/proc/%d/statm", nx_fab_server_pid(s));
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static int clean_up(nx_fab_server *s, const char *dir)
{
    char command[64];

    nx_fab_ns_close(N);
    nx_fab_close(F);
    nx_fab_server_stop(s);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 100000, window = argc > 2 ? (unsigned)atoi(argv[2]) : 256;
    char dir[] = "/tmp/fab-bench.XXXXXX";
    nx_fab_server_options so = {.data_dir = mkdtemp(dir), .memory_limit_bytes = getenv("FAB_BENCH_MEMORY") ? strtoull(getenv("FAB_BENCH_MEMORY"), NULL, 10) << 20 : 0};
    nx_fab_options fo = {.max_inflight = 512};
    nx_slice type = NX_SLICE("user.>");
    nx_fab_consumer_options co = {.durable = "pull", .types = &type, .n_types = 1, .from_start = true, .on_msg = on_msg_count};
    nx_fab_server *s;
    nx_fab_consumer *c;
    nx_arena a = NX_ARENA_INIT(1 << 24);
    uint64_t t = nx_clock_ns(), *v;
    double self0, self1, server0, server1;
    pthread_t th;
    nx_event e;

    if (argc > 3)
        body_bytes = (size_t)atoi(argv[3]);
    body = malloc(body_bytes + 1);
    memset(body, 'x', body_bytes);
    ids = calloc(n, sizeof *ids);
    for (unsigned i = 0; i < window; i++) {
        job *j = calloc(1, sizeof *j);

        j->next = free_pubs;
        free_pubs = j;
    }
    must(nx_fab_server_start(&so, &s, &err), "server");
    figure("private nats-server, start to ready", since(t) * 1e3, "ms", "", NULL, 0);
    fo.url = nx_fab_server_url(s);
    double bare = bare_publish(fo.url, n);
    figure("bare nats.c publish (limit)", bare, "msg/s", "", NULL, 0);
    fo.node = nx_ulid_new(nx_clock_wall_ns());
    must(nx_fab_open(&fo, &F, &err), "open");
    must(nx_fab_ns_open(F, NX_SLICE("default"), &(nx_fab_ns_options){.dedupe_window_ns = 60 * NX_NS_PER_S}, &N, &err), "namespace");

    t = nx_clock_ns();
    ingest(n, false);
    wait_count(&done_events, n);
    figure("events stored by the fabric", n / since(t), "events/s", "", "bare nats.c", bare);

    if (argc > 4) {
        look_up("newest 1,000", n - 1000, n);
        look_up("any", 0, n);
        figure("nats-server resident memory", server_rss_mib(s), "MiB", "", NULL, 0);
        return clean_up(s, dir);
    }
    v = calloc(n, sizeof *v);
    t = nx_clock_ns();
    must(nx_fab_consumer_open(N, &co, &c, &err), "consumer");
    wait_count(&done_runs, n);
    figure("events pulled and acknowledged", n / since(t), "events/s", "", NULL, 0);
    nx_fab_consumer_close(c, true);

    pthread_create(&th, NULL, worker, NULL);
    co = (nx_fab_consumer_options){.durable = "fn-bench", .types = &type, .n_types = 1, .on_msg = on_msg_run};
    must(nx_fab_consumer_open(N, &co, &c, &err), "consumer");
    done_events = done_runs = 0;
    cpu_us(s, &self0, &server0);
    t = nx_clock_ns();
    ingest(n, false);
    wait_count(&done_runs, n);
    t = nx_clock_ns() - t;
    cpu_us(s, &self1, &server1);
    figure("stored, pulled, run record stored, acknowledged", n / ((double)t / 1e9), "events/s", "", NULL, 0);
    figure("of that, CPU of this process an event", (self1 - self0) / n, "us", "", NULL, 0);
    figure("of that, CPU of nats-server an event", (server1 - server0) / n, "us", "", NULL, 0);

    done_runs = 0;
    n = n / 20;
    for (unsigned i = 0; i < n; i++) {
        t = nx_clock_ns();
        done_runs = 0;
        ingest(1, false);
        wait_count(&done_runs, 1);
        v[i] = nx_clock_ns() - t;
    }
    qsort(v, n, sizeof *v, compare);
    unsigned p50 = n / 2, p99 = n * 99 / 100;
    figure("one event, publish to acknowledged run, p50", (double)v[p50] / 1e3, "us", "", NULL, 0);
    figure("one event, publish to acknowledged run, p99", (double)v[p99] / 1e3, "us", "", NULL, 0);

    look_up("any of those", 1, n * 20);
    for (unsigned i = 0; i < 50; i++) {
        nx_arena b = NX_ARENA_INIT(1 << 26);
        nx_run *runs;
        unsigned count;

        done_runs = 0;
        ingest(1, false);
        wait_count(&done_runs, 1);
        must(nx_fab_event_get(N, &ids[0], &b, &e, &err), "get");
        t = nx_clock_ns();
        must(nx_fab_runs_done(N, &e, &b, &runs, &count, &err), "runs of");
        v[i] = nx_clock_ns() - t;
        failed += count != 1;
        nx_arena_done(&b);
    }
    qsort(v, 50, sizeof *v, compare);
    figure("records of an event just handled, p50", (double)v[25] / 1e3, "us", "", NULL, 0);
    if (failed)
        printf("FAILED    %u\n", failed);
    nx_fab_consumer_close(c, true);
    free(v);
    return clean_up(s, dir);
}
