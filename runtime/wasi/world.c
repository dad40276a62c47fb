/* wasi/world.c: begin and end of a world. */
#include "wasi/world.h"

#include "effects/effects.h"
#include "wasi/files.h"

#include <stdlib.h>

nx_rt_scratch *nx_rt_scratch_new(void)
{
    nx_rt_scratch *s = malloc(sizeof *s);
    if (!s) return NULL;
    s->next = NULL;
    s->effects = NULL;
    s->fs = NULL;
    s->line_n = s->trace_n = 0;
    s->logs_sha = nx_sha256_ctx_new();
    s->calls_sha = nx_sha256_ctx_new();
    if (s->logs_sha && s->calls_sha) return s;
    nx_rt_scratch_free(s);
    return NULL;
}

void nx_rt_scratch_free(nx_rt_scratch *s)
{
    if (!s) return;
    nx_sha256_ctx_free(s->logs_sha);
    nx_sha256_ctx_free(s->calls_sha);
    nx_rt_effects_free(s->effects);
    nx_rt_fs_free(s->fs);
    free(s);
}

void nx_rt_world_init(nx_rt_world *w, nx_attempt *a, nx_rt_scratch *s)
{
    memset(w, 0, offsetof(nx_rt_world, blob));
    w->attempt = a;
    w->scratch = s;
    w->files = a->files;
    w->now_ns = a->start_wall_ns;
    w->has_secret = a->has_secret_env;
    w->deadline_ns = UINT64_MAX;
    w->streams[0] = (nx_rt_open){.kind = NX_RT_FD_STDIN, .rights = NX_RT_RIGHTS_STREAM | NX_RT_RIGHT_READ};
    w->streams[1] = (nx_rt_open){.kind = NX_RT_FD_STDOUT, .rights = NX_RT_RIGHTS_STREAM | NX_RT_RIGHT_WRITE};
    w->streams[2] = (nx_rt_open){.kind = NX_RT_FD_STDERR, .rights = NX_RT_RIGHTS_STREAM | NX_RT_RIGHT_WRITE};
    s->line_n = s->trace_n = 0;
    a->out.output.max = (size_t)a->max_output_bytes;
    a->out.logs.max = (size_t)a->max_log_bytes;
    a->out.calls.max = (size_t)a->max_calls_bytes;
    a->out.call_marks.max = NX_RT_CALL_MARKS * NX_RT_CALL_MARK_BYTES;
}

void nx_rt_world_finish(nx_rt_world *w)
{
    nx_outcome *o = &w->attempt->out;
    nx_rt_logs_flush_line(w);
    o->output_sha256 = nx_sha256_of(nx_buf_view(&o->output));
    o->logs_sha256 = w->is_logs_hashed ? nx_sha256_ctx_end(w->scratch->logs_sha) : nx_sha256_of(NX_SLICE_NULL);
    nx_rt_trace_finish(w);
}

void nx_rt_world_done(nx_rt_world *w)
{
    nx_chacha_free(w->random);
    w->random = NULL;
    if (w->effects) nx_rt_effects_end(w);
    if (w->fs) nx_rt_fs_end(w);
}
