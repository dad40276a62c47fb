/* bundle_repeat.c: repeating a bundle's run: a runtime is all it takes. */
#include "nx/bundle.h"

/* What is not said yet of the code that is run; *hex holds its digest from then on. */
static nx_replay_how complete(const nx_replay_how *how, nx_slice other, const nx_sha256 *digest, char hex[NX_SHA256_HEX + 1])
{
    nx_replay_how mine = *how;
    nx_sha256_hex(digest, hex);
    if (!mine.artifact.n)
        mine.artifact = nx_slice_make(hex, NX_SHA256_HEX);
    if (!mine.version.n && other.n)
        mine.version = mine.artifact;
    return mine;
}

const nx_replay_result *nx_bundle_repeat(nx_replay_repetition *p, nx_rt *rt, const nx_bundle *b, nx_slice other, const nx_replay_how *how,
                                         char hex[NX_SHA256_HEX + 1])
{
    nx_error e = NX_ERROR_INIT;
    nx_rt_program *program = NULL;
    nx_slice module = other.n ? other : b->artifact;
    nx_sha256 digest = nx_sha256_of(module);
    nx_replay_how mine = complete(how, other, &digest, hex);
    nx_err err = nx_rt_program_load(rt, module, &digest, b->run.limit_memory_bytes, &program, &e);
    if (err != NX_OK)
        return nx_replay_refuse(p, &b->event, &b->run, &mine, false, "the code can't be loaded", e.msg[0] ? e.msg : nx_err_text(err));
    const nx_replay_result *r = nx_replay_repeat(p, program, &b->event, &b->run, &mine);
    nx_rt_program_unref(program);
    return r;
}

void nx_bundle_explain(nx_replay_explanation *ret, nx_rt *rt, const nx_bundle *b, nx_slice other, const nx_replay_how *how, nx_replay_result *r)
{
    char hex[NX_SHA256_HEX + 1];
    nx_slice module = other.n ? other : b->artifact;
    nx_sha256 recorded = nx_sha256_of(b->artifact), digest = nx_sha256_of(module);
    nx_replay_how mine = complete(how, other, &digest, hex);
    nx_replay_codes codes = {.module = module};
    if (r->verdict == NX_REPLAY_DIVERGED && nx_rt_program_load(rt, module, &digest, b->run.limit_memory_bytes, &codes.replayed, NULL) == NX_OK)
        (void)nx_rt_program_load(rt, b->artifact, &recorded, b->run.limit_memory_bytes, &codes.recorded, NULL);
    nx_replay_explain(ret, rt, &codes, &mine, r);
    nx_rt_program_unref(codes.recorded);
    nx_rt_program_unref(codes.replayed);
}
