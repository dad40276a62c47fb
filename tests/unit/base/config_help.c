#include "config_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

parsed parse_flags(nx_slice text, unsigned flags)
{
    parsed p = {.err = NX_EBUG};
    p.err = nx_config_parse(text, "nexus.yaml", "/nowhere/my-app", flags, &p.config, &p.issues, &p.error);
    assert_true((p.err == NX_OK) == (p.config != NULL));
    assert_true((p.err == NX_OK) == (p.issues.n == 0));
    return p;
}

parsed parse(const char *text) { return parse_flags(nx_slice_cstr(text), 0); }

void print_issues(const nx_config_issues *i)
{
    nx_buf out = NX_BUF_INIT(1u << 20);
    assert_int_equal(nx_config_issues_text(i, &out), NX_OK);
    print_error("%s", nx_buf_cstr(&out));
    nx_buf_done(&out);
}

parsed parse_good(const char *text, unsigned flags)
{
    parsed p = parse_flags(nx_slice_cstr(text), flags);
    if (p.err) {
        print_issues(&p.issues);
        fail_msg("expected no problems: %s", p.error.msg);
    }
    return p;
}

void parsed_done(parsed *p)
{
    nx_config_unref(p->config);
    nx_config_issues_done(&p->issues);
    p->config = NULL;
}

const nx_config_issue *issue_at(const parsed *p, unsigned line, unsigned column, const char *path)
{
    for (unsigned k = 0; k < p->issues.n; k++) {
        const nx_config_issue *i = &p->issues.v[k];
        if (i->line == line && i->column == column && strcmp(i->path, path) == 0) return i;
    }
    print_issues(&p->issues);
    fail_msg("no problem at %u:%u %s", line, column, path);
    return NULL;
}
