/* what_if.c: --set, --data, --set-effect and --at as members of a request. */
#include "what_if.h"
#include "nx/digest.h"
#include <stdlib.h>

#define DATA_BYTES (16u << 20)

/* VALUE is JSON where it is, and else a string: data.name=Ann needs no quotes for the shell to eat. */
static bool is_json(nx_slice value)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(DATA_BYTES);
    nx_slice whole;
    return nx_buf_printf(&b, "{\"v\":%.*s}", NX_SLICE_FMT(value)) == NX_OK && nx_json_member_bytes(nx_buf_view(&b), NX_SLICE("v"), &whole) == NX_OK &&
           nx_slice_eq(whole, nx_slice_trim(value));
}

/* The = behind the path; one may stand in a quoted name. */
static const char *equals_of(const char *text)
{
    bool is_quoted = false;
    for (; *text; text++) {
        if (is_quoted && *text == '\\' && text[1])
            text++;
        else if (*text == '"')
            is_quoted = !is_quoted;
        else if (*text == '=' && !is_quoted)
            return text;
    }
    return NULL;
}

static int write_sets(const nx_cli *c, nx_jw *w)
{
    unsigned n = nx_cli_flag_count(c, "set");
    if (n == 0)
        return NX_CLI_OK;
    nx_jw_key(w, "set");
    nx_jw_array(w);
    for (unsigned i = 0; i < n; i++) {
        const char *text = nx_cli_flag_at(c, "set", i), *equals = equals_of(text);
        if (!equals)
            return nx_cli_fail_usage(c, "flag --set: \"%s\" has no = behind the path (data.total=0)", text);
        nx_slice value = nx_slice_cstr(equals + 1);
        NX_CLEANUP(nx_buf_done)
        nx_buf quoted = NX_BUF_INIT(DATA_BYTES);
        if (!is_json(value) && nx_json_escape(&quoted, value) != NX_OK)
            return nx_cli_fail(c, NX_ELIMIT, "flag --set: the value is too long");
        nx_jw_object(w);
        nx_jw_kstr(w, "path", nx_slice_make(text, (size_t)(equals - text)));
        nx_jw_kstr(w, "value", quoted.n ? nx_buf_view(&quoted) : value);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
    return NX_CLI_OK;
}

static int write_effects(const nx_cli *c, nx_jw *w)
{
    unsigned n = nx_cli_flag_count(c, "set-effect");
    if (n == 0)
        return NX_CLI_OK;
    nx_jw_key(w, "set_effects");
    nx_jw_array(w);
    for (unsigned i = 0; i < n; i++) {
        nx_slice answer, number = nx_slice_split(nx_slice_cstr(nx_cli_flag_at(c, "set-effect", i)), '=', &answer);
        uint64_t index;
        if (!answer.n || nx_slice_u64(number, UINT32_MAX, &index) != NX_OK)
            return nx_cli_fail_usage(c, "flag --set-effect: \"%s\" is not N=JSON (0='{\"status\":500}')", nx_cli_flag_at(c, "set-effect", i));
        nx_jw_object(w);
        nx_jw_ku64(w, "index", index);
        nx_jw_kstr(w, "answer", answer);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
    return NX_CLI_OK;
}

static int write_data(const nx_cli *c, nx_jw *w)
{
    const char *path = nx_cli_flag_text(c, "data");
    if (!path)
        return NX_CLI_OK;
    NX_CLEANUP(nx_buf_done)
    nx_buf file = NX_BUF_INIT(DATA_BYTES);
    nx_error e = NX_ERROR_INIT;
    if ((e.code = nx_cli_read_file(path, &file, &e)) != NX_OK)
        return nx_cli_fail(c, e.code, "flag --data: %s", e.msg);
    char *base64 = malloc(4 * ((file.n + 2) / 3) + 1);
    if (!base64)
        return nx_cli_fail(c, NX_ENOMEM, "out of memory for %s", path);
    nx_jw_kstr(w, "data_base64", nx_slice_make(base64, nx_base64_encode(nx_buf_view(&file), false, base64)));
    free(base64);
    return NX_CLI_OK;
}

int nx_cli_what_if(const nx_cli *c, nx_jw *w)
{
    const char *at = nx_cli_flag_text(c, "at");
    if (at && !*at)
        return nx_cli_fail_usage(c, "flag --at is empty: a time (2026-02-28T23:59:00Z) or a span from the recorded time on (+1h, -7d)");
    int code = write_sets(c, w);
    if (code == NX_CLI_OK)
        code = write_data(c, w);
    if (code == NX_CLI_OK)
        code = write_effects(c, w);
    if (code == NX_CLI_OK && at)
        nx_jw_kcstr(w, "at", at);
    return code;
}
