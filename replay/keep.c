/* keep.c: see keep.h. */
#include "keep.h"
#include "nx/log.h"
#include "nx/redact.h"
#include "nx/registry.h"
#include "pub_wait.h"

#define ENCODED_BYTES (128u << 20)
#define ARENA_BYTES (256u << 20)

void nx_replay_keep(nx_node *n, const nx_replay_result *r)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf encoded = NX_BUF_INIT(ENCODED_BYTES);
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(ARENA_BYTES);
    nx_run run;
    nx_error e = NX_ERROR_INIT;
    nx_pub_wait w;
    nx_pub_wait_begin(&w);
    nx_err err = nx_run_hide_like(r->original, r->event, r->replayed, &a, &run);
    if (err == NX_OK)
        err = nx_run_encode(&run, &encoded);
    if (err == NX_OK)
        err = nx_fab_publish_run(nx_core_namespace(n), &run, nx_buf_view(&encoded), &w.pub, &e);
    err = nx_pub_wait_end(&w, err);
    if (err != NX_OK)
        nx_log(NX_LOG_WARN, "replay.not_recorded", "the record of the replay of run %.*s was not stored: %s", NX_SLICE_FMT(r->replayed->replay_of), nx_err_text(err));
}
