/* cmd_version.c: nexus version. */
#include "cmds.h"
#include "nx/rt.h"
#include <sys/utsname.h>

static int run(nx_cli *c)
{
    struct utsname sys;
    if (uname(&sys) != 0)
        memset(&sys, 0, sizeof sys);
    if (!c->json) {
        printf("nexus %s\nengine: wasmtime %s\n", nx_cli_version, nx_rt_engine_linkage());
        return NX_CLI_OK;
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(65536);
    nx_jw w = NX_JW_INIT(&out);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "version", nx_cli_version);
    nx_jw_kcstr(&w, "engine", nx_rt_engine_linkage());
    nx_jw_kcstr(&w, "world", nx_rt_world_identity());
    nx_jw_kcstr(&w, "arch", nx_rt_arch());
    nx_jw_kcstr(&w, "os", sys.sysname);
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) != NX_OK)
        return nx_cli_fail(c, nx_jw_err(&w), "out of memory");
    printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&out)));
    return NX_CLI_OK;
}

static const nx_cli_example examples[] = {
    {"nexus version", "the release, and the engine that it was linked with"},
    {"nexus version --json", "the same for a program"},
    {0},
};

const nx_cli_command nx_cli_cmd_version = {
    .verb = "version",
    .summary = "Print the version of the command and of its engine",
    .examples = examples,
    .run = run,
};
