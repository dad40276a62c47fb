/* grants.c: see grants.h. */
#include "grants.h"
#include "nx/rt.h"

static bool is_given(const nx_fn_config *f, nx_slice key)
{
    const nx_grants g = nx_fn_config_grants(f);
    return (nx_slice_eq_cstr(key, "allowed_outbound_hosts") && g.n_outbound_hosts) || (nx_slice_eq_cstr(key, "key_value_stores") && g.n_stores) ||
           (nx_slice_eq_cstr(key, "emit") && g.n_emit) || (nx_slice_eq_cstr(key, "secrets") && g.n_secrets);
}

void nx_cli_note_grants(const nx_json *inspected, const nx_fn_config *f)
{
    const nx_json *grants = nx_json_get(inspected, "grants");
    for (size_t i = 0; i < nx_json_len(grants); i++) {
        const nx_json *grant = nx_json_at(grants, i), *calls = nx_json_get(grant, "calls");
        nx_slice key = nx_json_get_str(grant, "key");
        if (is_given(f, key))
            continue;
        fprintf(stderr, "note: %.*s: host calls that its module can make will be denied without `%.*s` in nexus.yaml:", NX_SLICE_FMT(f->name), NX_SLICE_FMT(key));
        for (size_t k = 0; k < nx_json_len(calls); k++)
            fprintf(stderr, "%s %.*s", k ? "," : "", NX_SLICE_FMT(nx_json_str(nx_json_at(calls, k))));
        fputc('\n', stderr);
    }
}

void nx_cli_note_module_grants(nx_slice module, const nx_fn_config *f)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(64u << 20);
    nx_jw w = NX_JW_INIT(&out);
    nx_json *root = NULL;
    if (nx_rt_inspect(module, NULL, &w, NULL) == NX_OK && nx_json_parse(nx_buf_view(&out), 64u << 20, &root, NULL) == NX_OK)
        nx_cli_note_grants(root, f);
    nx_json_free(root);
}
