/* shape.c: the notation of nx/shape.h, parsed by descent, written as JSON Schema on the way. */
#include "nx/shape.h"
#include "nx/ulid.h"

#define FIELDS_MAX 96
#define DEPTH_MAX 8
#define ALTERNATIVES_MAX 16

typedef struct reading {
    const char *text, *p;
    nx_jw *w;
    nx_error *reterr;
    unsigned depth;
} reading;

static nx_err wrong(const reading *r, const char *what)
{
    if (!r->w->err) r->w->err = NX_EINVAL; /* what follows is not written, and need not be whole */
    return nx_error_set(r->reterr, NX_EINVAL, "shape \"%s\", at %td: %s", r->text, r->p - r->text, what);
}

static void blanks(reading *r)
{
    while (*r->p == ' ' || *r->p == '\n') r->p++;
}

static bool take(reading *r, const char *mark)
{
    size_t n = strlen(mark);
    blanks(r);
    if (strncmp(r->p, mark, n) != 0) return false;
    r->p += n;
    return true;
}

static nx_slice word(reading *r)
{
    blanks(r);
    const char *from = r->p;
    while ((*r->p >= 'a' && *r->p <= 'z') || (*r->p >= 'A' && *r->p <= 'Z') || (*r->p >= '0' && *r->p <= '9') || *r->p == '_' || *r->p == '-' || *r->p == '.') r->p++;
    return nx_slice_make(from, (size_t)(r->p - from));
}

static nx_err value(reading *r);

static nx_err object(reading *r)
{
    nx_slice required[FIELDS_MAX];
    unsigned n = 0;
    bool is_open = false;
    nx_err err = NX_OK;
    nx_jw_kcstr(r->w, "type", "object");
    if (take(r, "*")) {
        if (!take(r, ":")) return wrong(r, "a map is {*: type}");
        nx_jw_key(r->w, "additionalProperties");
        err = value(r);
        return err != NX_OK || take(r, "}") ? err : wrong(r, "} is missing");
    }
    nx_jw_key(r->w, "properties");
    nx_jw_object(r->w);
    while (err == NX_OK && !take(r, "}")) {
        is_open = take(r, "…");
        if (is_open) {
            if (!take(r, "}")) return wrong(r, "… stands at the end");
            break;
        }
        nx_slice name = word(r);
        if (!name.n || n == FIELDS_MAX) return wrong(r, name.n ? "too many fields" : "a field's name is missing");
        nx_jw_key_slice(r->w, name);
        if (!take(r, "?")) required[n++] = name;
        if (take(r, ":")) {
            err = value(r);
        } else {
            nx_jw_object(r->w);
            nx_jw_kcstr(r->w, "type", "string");
            nx_jw_object_end(r->w);
        }
        if (err == NX_OK && !take(r, ",") && *r->p != '}') return wrong(r, ", or } is missing");
    }
    nx_jw_object_end(r->w);
    if (err == NX_OK && n) {
        nx_jw_key(r->w, "required");
        nx_jw_array(r->w);
        for (unsigned i = 0; i < n; i++) nx_jw_str(r->w, required[i]);
        nx_jw_array_end(r->w);
    }
    if (err == NX_OK && !is_open) nx_jw_kbool(r->w, "additionalProperties", false);
    return err;
}

static bool plain(nx_slice name, nx_jw *w)
{
    static const struct {
        const char *name, *type, *format, *pattern;
    } types[] = {
        {"string", "string", NULL, NULL},
        {"int", "integer", NULL, NULL},
        {"number", "number", NULL, NULL},
        {"bool", "boolean", NULL, NULL},
        {"null", "null", NULL, NULL},
        {"time", "string", "date-time", NULL},
        {"id", "string", NULL, "^[0-9A-HJKMNP-TV-Z]{26}$"},
        {"sha256", "string", NULL, "^[0-9a-f]{64}$"},
        {"any", NULL, NULL, NULL},
    };
    for (unsigned i = 0; i < NX_ARRAY_LEN(types); i++) {
        if (!nx_slice_eq_cstr(name, types[i].name)) continue;
        if (types[i].type) nx_jw_kcstr(w, "type", types[i].type);
        if (types[i].format) nx_jw_kcstr(w, "format", types[i].format);
        if (types[i].pattern) nx_jw_kcstr(w, "pattern", types[i].pattern);
        if (strcmp(types[i].name, "int") == 0) nx_jw_ku64(w, "minimum", 0);
        return true;
    }
    return false;
}

/* One alternative, without the braces of its schema. */
static nx_err one(reading *r)
{
    if (take(r, "{")) return object(r);
    if (take(r, "[")) {
        nx_jw_kcstr(r->w, "type", "array");
        nx_jw_key(r->w, "items");
        nx_err err = value(r);
        return err != NX_OK || take(r, "]") ? err : wrong(r, "] is missing");
    }
    if (take(r, "'")) {
        const char *end = strchr(r->p, '\'');
        if (!end) return wrong(r, "' is missing");
        nx_jw_kstr(r->w, "const", nx_slice_make(r->p, (size_t)(end - r->p)));
        r->p = end + 1;
        return NX_OK;
    }
    return plain(word(r), r->w) ? NX_OK : wrong(r, "no such type");
}

/* Whether another alternative stands at this level behind what begins here. */
static bool has_alternatives(const reading *r)
{
    unsigned depth = 0;
    for (const char *p = r->p; *p; p++) {
        if (*p == '\'') {
            p = strchr(p + 1, '\'');
            if (!p) return false;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0) return false;
            depth--;
        } else if (depth == 0 && (*p == ',' || *p == '|')) {
            return *p == '|';
        }
    }
    return false;
}

static nx_err value(reading *r)
{
    nx_err err = NX_OK;
    if (++r->depth > DEPTH_MAX) return wrong(r, "nested too deeply");
    nx_jw_object(r->w);
    if (has_alternatives(r)) {
        nx_jw_key(r->w, "anyOf");
        nx_jw_array(r->w);
        do {
            nx_jw_object(r->w);
            err = one(r);
            nx_jw_object_end(r->w);
        } while (err == NX_OK && take(r, "|"));
        nx_jw_array_end(r->w);
    } else {
        err = one(r);
    }
    nx_jw_object_end(r->w);
    r->depth--;
    return err;
}

nx_err nx_shape_schema(const char *shape, nx_jw *w, nx_error *reterr)
{
    reading r = {.text = shape, .p = shape, .w = w, .reterr = reterr};
    nx_err err = value(&r);
    blanks(&r);
    if (err == NX_OK && *r.p) err = wrong(&r, "more stands behind the end");
    return err == NX_OK ? nx_jw_err(w) : err;
}
