/* bundle_repeat.c: repeating a bundle's run: a runtime is all it takes. */
#include "nx/bundle.h"

const nx_replay_result *nx_bundle_repeat(nx_replay_repetition *p, nx_rt *rt, const nx_bundle *b, nx_slice other, const nx_replay_how *how,
                                         char hex[NX_SHA256_HEX + 1])
{
    nx_error e = NX_ERROR_INIT;
    nx_rt_program *program = NULL;
    nx_slice module = other.n ? other : b->artifact;
    nx_sha256 digest = nx_sha256_of(module);
    nx_replay_how mine = *how;
    nx_sha256_hex(&digest, hex);
    if (!mine.artifact.n)
        mine.artifact = nx_slice_make(hex, NX_SHA256_HEX);
    if (!mine.version.n && other.n)
        mine.version = mine.artifact;
    nx_err err = nx_rt_program_load(rt, module, &digest, b->run.limit_memory_bytes, &program, &e);
    if (err != NX_OK)
        return nx_replay_refuse(p, &b->event, &b->run, &mine, false, "the code can't be loaded", e.msg[0] ? e.msg : nx_err_text(err));
    const nx_replay_result *r = nx_replay_repeat(p, program, &b->event, &b->run, &mine);
    nx_rt_program_unref(program);
    return r;
}
