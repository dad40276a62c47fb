/* Checks of single strings of nexus.yaml. Each says what is wrong in words and, where it can, what to write instead.
 * The patterns of the schema stand beside the checks; they may be wider (an editor's first help), never narrower. */
#include "config_internal.h"

#include "nx/clock.h"
#include "nx/cron.h"
#include "nx/effect.h"
#include "nx/event.h"
#include "nx/event_key.h"
#include "nx/outbound.h"
#include "nx/redact.h"
#include "nx/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Always false, for `return refuse(…)`. */
static bool __attribute__((format(printf, 2, 3))) refuse(nx_cfg_why *why, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why->reason, sizeof why->reason, fmt, ap);
    va_end(ap);
    return false;
}

static void __attribute__((format(printf, 2, 3))) advise(nx_cfg_why *why, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why->suggestion, sizeof why->suggestion, fmt, ap);
    va_end(ap);
}

static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alnum(char c) { return is_lower(c) || is_upper(c) || is_digit(c); }
static bool is_control(char c) { return (unsigned char)c < 0x20 || c == 0x7f; }

static bool has_control(nx_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (is_control(s.p[i]))
            return true;
    }
    return false;
}

static bool no_control(nx_slice s, nx_cfg_why *why)
{
    return has_control(s) ? refuse(why, "may not hold control characters") : true;
}

/* ---- names */

static bool is_label(nx_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_lower(s.p[i]) && !is_digit(s.p[i]) && s.p[i] != '-')
            return false;
    }
    return s.n > 0 && s.p[0] != '-' && s.p[s.n - 1] != '-';
}

/* The nearest label to what was written: MyFunction -> myfunction, a_b -> a-b. */
static void suggest_label(nx_slice s, nx_cfg_why *why)
{
    char label[64];
    size_t n = 0;
    for (size_t i = 0; i < s.n && n < 60; i++) {
        char c = s.p[i];
        if (is_upper(c))
            c = (char)(c - 'A' + 'a');
        if (is_lower(c) || is_digit(c))
            label[n++] = c;
        else if (n > 0 && label[n - 1] != '-')
            label[n++] = '-';
    }
    while (n > 0 && label[n - 1] == '-')
        n--;
    if (n > 0)
        advise(why, "try %.*s", (int)n, label);
}

static bool check_label(nx_slice s, nx_cfg_why *why)
{
    if (is_label(s))
        return true;
    char shown[NX_CFG_SHOW_BYTES];
    suggest_label(s, why);
    return refuse(why, "%s is not a name: lower-case letters, digits and -, with a letter or digit first and last", nx_cfg_show(s, shown));
}

static bool check_function_name(nx_slice s, nx_cfg_why *why)
{
    if (nx_slice_eq_cstr(s, "nexus")) {
        advise(why, "choose another name");
        return refuse(why, "\"nexus\" is the name of the node's own log lines");
    }
    return check_label(s, why);
}

bool nx_cfg_env_name_check(nx_slice name, nx_cfg_why *why)
{
    char shown[NX_CFG_SHOW_BYTES];
    bool is_good = name.n > 0 && name.n <= 128 && !is_digit(name.p[0]);
    for (size_t i = 0; is_good && i < name.n; i++)
        is_good = is_alnum(name.p[i]) || name.p[i] == '_';
    if (!is_good)
        return refuse(why, "%s is not a name of an environment variable: letters, digits and _, no digit first, at most 128",
                      nx_cfg_show(name, shown));
    if (nx_slice_starts(name, NX_SLICE("EVENT_")) || nx_slice_starts(name, NX_SLICE("NEXUS_")) ||
        nx_slice_eq_cstr(name, "TRACE_ID") || nx_slice_eq_cstr(name, "TRACEPARENT")) {
        advise(why, "choose another name");
        return refuse(why, "%s is set by the platform for each event", nx_cfg_show(name, shown));
    }
    return true;
}

/* ---- addresses */

static bool is_port(nx_slice s, uint64_t least)
{
    uint64_t port;
    return nx_slice_u64(s, 65535, &port) == NX_OK && port >= least;
}

static bool is_host(nx_slice s)
{
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']') {
        bool has_colon = false;
        for (size_t i = 1; i + 1 < s.n; i++) {
            char c = s.p[i];
            has_colon |= c == ':';
            if (!is_alnum(c) && c != ':' && c != '.' && c != '%')
                return false;
        }
        return has_colon;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '.' && s.p[i] != '_')
            return false;
    }
    return s.n > 0 && s.n <= 253;
}

static bool split_host_port(nx_slice s, nx_slice *host, nx_slice *port)
{
    size_t i = s.n;
    while (i > 0 && s.p[i - 1] != ':' && s.p[i - 1] != ']')
        i--;
    if (i == 0 || s.p[i - 1] != ':')
        return false;
    *host = nx_slice_sub(s, 0, i - 1);
    *port = nx_slice_sub(s, i, s.n - i);
    return true;
}

static bool check_address(nx_slice s, nx_cfg_why *why)
{
    char shown[NX_CFG_SHOW_BYTES];
    nx_slice host, port;
    advise(why, "try 127.0.0.1:8080, [::1]:8080, or :8080 for all interfaces");
    if (is_port(s, 0)) {
        advise(why, "try 127.0.0.1:%.*s", NX_SLICE_FMT(s));
        return refuse(why, "%s is a port without an address", nx_cfg_show(s, shown));
    }
    if (!split_host_port(s, &host, &port))
        return refuse(why, "%s is not an address: the port is missing", nx_cfg_show(s, shown));
    if (!is_port(port, 0))
        return refuse(why, "%s is not an address: the port is a number up to 65535", nx_cfg_show(s, shown));
    return host.n == 0 || is_host(host) ? true : refuse(why, "%s is not an address: HOST:PORT", nx_cfg_show(s, shown));
}

static bool check_nats_server(nx_slice url, nx_cfg_why *why)
{
    char shown[NX_CFG_SHOW_BYTES];
    nx_slice rest, host, port, scheme = nx_slice_split(url, ':', &rest);
    advise(why, "try nats://127.0.0.1:4222");
    if (!nx_slice_starts(rest, NX_SLICE("//")) || !(nx_slice_eq_cstr(scheme, "nats") || nx_slice_eq_cstr(scheme, "tls"))) {
        /* Nothing of the value is shown where it may hold a password. */
        if (memchr(url.p, '@', url.n))
            return refuse(why, "the address of a NATS server begins with nats:// or tls://");
        return refuse(why, "%s does not begin with nats:// or tls://", nx_cfg_show(url, shown));
    }
    rest = nx_slice_sub(rest, 2, rest.n);
    for (size_t i = rest.n; i > 0; i--) {
        if (rest.p[i - 1] == '@') {
            rest = nx_slice_sub(rest, i, rest.n - i);
            break;
        }
    }
    if (nx_slice_ends(rest, NX_SLICE("/")))
        rest.n--;
    if (is_host(rest))
        return true;
    if (!split_host_port(rest, &host, &port) || !is_host(host) || !is_port(port, 1))
        return refuse(why, "%s is not HOST:PORT of a NATS server", nx_cfg_show(rest, shown));
    return true;
}

static bool check_nats_url(nx_slice s, nx_cfg_why *why)
{
    if (has_control(s))
        return refuse(why, "may not hold control characters");
    for (nx_slice rest = s;;) {
        nx_slice url = nx_slice_split(rest, ',', &rest);
        bool is_last = url.p + url.n == s.p + s.n;
        if (!check_nats_server(nx_slice_trim(url), why))
            return false;
        if (is_last)
            return true;
    }
}

/* ---- NATS subjects (docs of NATS: subject-based messaging) */

bool nx_cfg_subject_check(nx_slice s, bool with_wildcards, nx_cfg_why *why)
{
    char shown[NX_CFG_SHOW_BYTES];
    nx_cfg_show(s, shown);
    for (nx_slice rest = s;;) {
        nx_slice token = nx_slice_split(rest, '.', &rest);
        bool is_last = token.p + token.n == s.p + s.n;
        if (token.n == 0)
            return refuse(why, "%s is not a NATS subject: a token between dots is empty", shown);
        bool has_star = memchr(token.p, '*', token.n), has_rest = memchr(token.p, '>', token.n);
        if ((has_star || has_rest) && !with_wildcards)
            return refuse(why, "%s may not hold wildcards", shown);
        if ((has_star || has_rest) && token.n > 1)
            return refuse(why, "%s is not a NATS subject: a wildcard has to be a whole token between dots", shown);
        if (has_rest && !is_last)
            return refuse(why, "%s is not a NATS subject: > may only stand at the end", shown);
        for (size_t i = 0; i < token.n; i++) {
            if (token.p[i] == ' ' || is_control(token.p[i]))
                return refuse(why, "%s is not a NATS subject: it may not hold spaces", shown);
        }
        if (is_last)
            return true;
    }
}

static bool check_subject(nx_slice s, nx_cfg_why *why)
{
    char shown[NX_CFG_SHOW_BYTES];
    if (!nx_cfg_subject_check(s, true, why))
        return false;
    nx_cfg_show(s, shown);
    nx_slice rest, first = nx_slice_split(s, '.', &rest);
    advise(why, "begin with a word of your own: orders.>");
    if (nx_slice_eq_cstr(first, "nx"))
        return refuse(why, "%s belongs to the platform: all subjects below nx. do", shown);
    if (first.p[0] == '$')
        return refuse(why, "%s belongs to the NATS server: all subjects that begin with $ do", shown);
    if (first.p[0] == '_')
        return refuse(why, "%s belongs to NATS clients: subjects that begin with _ are inboxes", shown);
    if (nx_slice_eq_cstr(first, ">") || (nx_slice_eq_cstr(first, "*") && rest.n > 0))
        return refuse(why, "%s would also take the platform's own messages (nx.…)", shown);
    why->suggestion[0] = '\0';
    return true;
}

static bool check_js_prefix(nx_slice s, nx_cfg_why *why)
{
    if (nx_cfg_subject_check(s, false, why))
        return true;
    advise(why, "try $JS.API, or $JS.DOMAIN.API");
    return false;
}

/* ---- event types */

static bool check_type_pattern(nx_slice s, nx_cfg_why *why)
{
    nx_error e = NX_ERROR_INIT;
    if (nx_event_type_pattern_check(s, &e) == NX_OK)
        return true;
    advise(why, "try user.created, user.*, or user.>");
    return refuse(why, "is not an event type or pattern: %.200s", e.msg);
}

static bool check_event_type(nx_slice s, nx_cfg_why *why)
{
    nx_error e = NX_ERROR_INIT;
    advise(why, "try user.created");
    if (nx_event_type_pattern_check(s, &e) != NX_OK)
        return refuse(why, "is not an event type: %.200s", e.msg);
    if (memchr(s.p, '*', s.n) || memchr(s.p, '>', s.n))
        return refuse(why, "an event has one type; wildcards are for on.event");
    why->suggestion[0] = '\0';
    return true;
}

/* ---- schedules */

static bool check_cron(nx_slice s, nx_cfg_why *why)
{
    nx_error e = NX_ERROR_INIT;
    nx_cron c;
    if (nx_cron_parse(s, &c, &e) == NX_OK) {
        nx_cron_done(&c);
        return true;
    }
    advise(why, "try \"*/5 * * * *\", \"@hourly\", or {schedule: \"0 9 * * MON-FRI\", timezone: Europe/Berlin}");
    return refuse(why, "is not a schedule: %.200s", e.msg);
}

static bool check_moment(nx_slice s, nx_cfg_why *why)
{
    uint64_t wall_ns;
    if (nx_clock_parse_rfc3339(s, &wall_ns) == NX_OK)
        return true;
    advise(why, "try 2026-01-01T00:00:00Z");
    return refuse(why, "is not a time");
}

/* ---- paths of what is redacted */

static bool check_redact_path(nx_slice s, nx_cfg_why *why)
{
    nx_error e = NX_ERROR_INIT;
    if (nx_redact_path_check(s, &e) == NX_OK)
        return true;
    advise(why, "try data.email, data.items.*.card, or subject");
    return refuse(why, "is not a path into an event: %.200s", e.msg);
}

/* ---- shares */

nx_err nx_config_share_ppm(nx_slice text, uint32_t *ret)
{
    uint64_t whole, part = 0;
    nx_slice rest;
    if (!nx_slice_ends(text, NX_SLICE("%")))
        return NX_EPARSE;
    nx_slice digits = nx_slice_split(nx_slice_sub(text, 0, text.n - 1), '.', &rest);
    bool has_point = memchr(text.p, '.', text.n);
    if (nx_slice_u64(digits, 100, &whole) != NX_OK || (has_point && (rest.n == 0 || rest.n > 4 || nx_slice_u64(rest, 9999, &part) != NX_OK)))
        return NX_EPARSE;
    for (size_t i = rest.n; i < 4; i++)
        part *= 10;
    uint64_t ppm = whole * 10000 + part;
    if (ppm > 1000000)
        return NX_EPARSE;
    *ret = (uint32_t)ppm;
    return NX_OK;
}

static bool check_share(nx_slice s, nx_cfg_why *why)
{
    uint32_t ppm;
    char shown[NX_CFG_SHOW_BYTES];
    if (nx_config_share_ppm(s, &ppm) == NX_OK)
        return true;
    advise(why, "try 1%%, or 0.05%%");
    return refuse(why, "%s is not a share from 0%% to 100%%, with at most four decimals", nx_cfg_show(s, shown));
}

nx_err nx_config_cpu_milli(nx_slice text, unsigned *ret)
{
    uint64_t whole, milli = 0;
    bool is_milli = nx_slice_ends(text, NX_SLICE("m"));
    nx_slice rest, digits = nx_slice_split(is_milli ? nx_slice_sub(text, 0, text.n - 1) : text, '.', &rest);
    bool has_point = text.n && memchr(text.p, '.', text.n);
    if (nx_slice_u64(digits, 256000, &whole) != NX_OK || (has_point && (is_milli || rest.n == 0 || rest.n > 3 || nx_slice_u64(rest, 999, &milli) != NX_OK)))
        return NX_EPARSE;
    for (size_t i = rest.n; i < 3; i++)
        milli *= 10;
    milli += is_milli ? whole : whole * 1000;
    if (milli < 10 || milli > 256000)
        return NX_EPARSE;
    *ret = (unsigned)milli;
    return NX_OK;
}

static bool check_cpu(nx_slice s, nx_cfg_why *why)
{
    unsigned milli;
    char shown[NX_CFG_SHOW_BYTES];
    if (nx_config_cpu_milli(s, &milli) == NX_OK)
        return true;
    advise(why, "try 250m, or 0.25");
    return refuse(why, "%s is not an amount of cores from 10m to 256", nx_cfg_show(s, shown));
}

static bool check_event_key(nx_slice s, nx_cfg_why *why)
{
    nx_error e = NX_ERROR_INIT;
    if (nx_event_key_check(s, &e) == NX_OK)
        return true;
    advise(why, "try data.customer_id, or subject");
    return refuse(why, "is not a path into an event: %.200s", e.msg);
}

/* ---- HTTP paths. The gateway compares with the request's path after percent-decoding, without the query. */

static bool check_path_segments(nx_slice s, nx_cfg_why *why)
{
    for (nx_slice rest = nx_slice_sub(s, 1, s.n);;) {
        nx_slice segment = nx_slice_split(rest, '/', &rest);
        bool is_last = segment.p + segment.n == s.p + s.n;
        if (nx_slice_eq_cstr(segment, ".") || nx_slice_eq_cstr(segment, ".."))
            return refuse(why, "a path may not hold the segments . and ..: clients resolve them before they send");
        if (segment.n == 0 && !is_last)
            return refuse(why, "a path may not hold an empty segment (//)");
        if (segment.n > 1 && segment.p[0] == ':') {
            advise(why, "take the part from the body, or from the event's subject");
            return refuse(why, "paths are compared exactly: parameters like %.*s are not supported", NX_SLICE_FMT(nx_slice_sub(segment, 0, 40)));
        }
        if (is_last)
            return true;
    }
}

static bool check_events_path(nx_slice s, nx_cfg_why *why)
{
    nx_slice type = nx_slice_sub(s, sizeof "/events/" - 1, s.n);
    if (memchr(type.p, '/', type.n)) {
        advise(why, "try /events/user.created");
        return refuse(why, "what follows /events/ is one event type, without /");
    }
    return check_event_type(type, why);
}

static bool check_http_path(nx_slice s, nx_cfg_why *why)
{
    char shown[NX_CFG_SHOW_BYTES];
    nx_cfg_show(s, shown);
    if (s.p[0] != '/') {
        const char *scheme = memmem(s.p, s.n, "://", 3);
        if (scheme)
            advise(why, "write the part after the host");
        else
            advise(why, "try /%.*s", NX_SLICE_FMT(nx_slice_sub(s, 0, 100)));
        return refuse(why, "%s is not a path: it does not begin with /", shown);
    }
    static const struct {
        char c;
        const char *reason;
    } refused[] = {
        {'?', "a path ends before the ?: the query is no part of the route"},
        {'#', "a path may not hold #: clients never send it"},
        {'%', "write the character itself for a percent-encoded one: requests are decoded before they are compared"},
        {'\\', "a path may not hold a backslash"},
        {'*', "paths are compared exactly: wildcards are not supported"},
        {'{', "paths are compared exactly: parameters in braces are not supported"},
        {'}', "paths are compared exactly: parameters in braces are not supported"},
    };
    for (size_t i = 0; i < s.n; i++) {
        if (is_control(s.p[i]))
            return refuse(why, "a path may not hold control characters");
        for (size_t k = 0; k < NX_ARRAY_LEN(refused); k++) {
            if (s.p[i] == refused[k].c)
                return refuse(why, "%s", refused[k].reason);
        }
    }
    if (nx_slice_eq_cstr(s, "/events") || nx_slice_eq_cstr(s, "/events/") || nx_slice_eq_cstr(s, "/healthz") || nx_slice_eq_cstr(s, "/readyz")) {
        advise(why, "choose another path");
        return refuse(why, "%s is the platform's own path", shown);
    }
    if (!check_path_segments(s, why))
        return false;
    return nx_slice_starts(s, NX_SLICE("/events/")) ? check_events_path(s, why) : true;
}

/* ---- reasons of failures */

/* "timeout" is what a run ends with; the reason is called "deadline". */
static bool check_why_name(nx_slice s, nx_cfg_why *why)
{
    const char *names[32];
    unsigned n = 0;
    char shown[NX_CFG_SHOW_BYTES];
    nx_run_why w = NX_WHY_NONE;
    if (nx_slice_eq_cstr(s, "timeout") || (nx_run_why_parse(s, &w) == NX_OK && nx_run_why_can_retry(w)))
        return true;
    nx_cfg_show(s, shown);
    if (w != NX_WHY_NONE)
        return refuse(why, "%s is never tried again", shown);
    for (unsigned i = 0; i < NX_ARRAY_LEN(names) - 1; i++) {
        if (nx_run_why_can_retry((nx_run_why)i))
            names[n++] = nx_run_why_name((nx_run_why)i);
    }
    names[n] = NULL;
    const char *nearest = nx_cfg_nearest_choice(names, s);
    if (nearest)
        advise(why, "did you mean %s?", nearest);
    else
        advise(why, "trap, exit, stack_overflow, memory_limit, output_limit, fuel, deadline, effects_limit or no_secret");
    return refuse(why, "%s is no reason of a failure", shown);
}

/* ---- grants */

static bool check_outbound_host(nx_slice s, nx_cfg_why *why)
{
    nx_error e = NX_ERROR_INIT;
    return nx_grant_check(s, &e) == NX_OK ? true : refuse(why, "%.250s", e.msg);
}

static bool check_store(nx_slice s, nx_cfg_why *why)
{
    char shown[NX_CFG_SHOW_BYTES];
    if (nx_kv_store_is_valid(s))
        return true;
    advise(why, "try default");
    return refuse(why, "%s is not the name of a store: lower-case letters, digits, - and _, a letter or digit first, at most %d", nx_cfg_show(s, shown), NX_KV_STORE_BYTES);
}

/* ---- secrets */

static bool check_secret_name(nx_slice s, nx_cfg_why *why)
{
    char shown[NX_CFG_SHOW_BYTES];
    if (nx_secret_name_is_valid(s))
        return true;
    return refuse(why, "%s is not the name of a secret: letters, digits, _ and -, a letter or _ first, at most %d", nx_cfg_show(s, shown), NX_SECRET_NAME_BYTES);
}

static bool check_env_name(nx_slice s, nx_cfg_why *why)
{
    char shown[NX_CFG_SHOW_BYTES];
    if (!memchr(s.p, '=', s.n) && !has_control(s))
        return true;
    return refuse(why, "%s is not a name of an environment variable", nx_cfg_show(s, shown));
}

/* ---- files */

static bool check_file(nx_slice s, nx_cfg_why *why)
{
    if (has_control(s))
        return refuse(why, "a file name may not hold control characters");
    if (s.p[0] == '~' && (s.n == 1 || s.p[1] == '/')) {
        advise(why, "write the whole path");
        return refuse(why, "~ is not expanded here");
    }
    return true;
}

/* Files that a function takes along: it finds them at the same path below "/". */
static bool check_own_file(nx_slice s, nx_cfg_why *why)
{
    char shown[NX_CFG_SHOW_BYTES];
    unsigned depth = 0;
    if (!check_file(s, why))
        return false;
    if (s.p[0] == '/') {
        advise(why, "copy it into the project's folder");
        return refuse(why, "%s is not a path below this file's folder", nx_cfg_show(s, shown));
    }
    for (nx_slice rest = s; rest.n;) {
        nx_slice part = nx_slice_split(rest, '/', &rest);
        if (part.n == 0 || nx_slice_eq_cstr(part, "."))
            continue;
        if (nx_slice_eq_cstr(part, "..")) {
            advise(why, "copy it into the project's folder");
            return refuse(why, "%s is not a path below this file's folder", nx_cfg_show(s, shown));
        }
        if (depth++ == 0 && nx_slice_eq_cstr(part, "tmp")) {
            advise(why, "choose another name");
            return refuse(why, "%s would hide /tmp, which is the function's scratch", nx_cfg_show(s, shown));
        }
    }
    if (depth)
        return true;
    advise(why, "name the files and folders that the function needs");
    return refuse(why, "%s is the whole project", nx_cfg_show(s, shown));
}

#define LABEL "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
#define NO_CONTROL "^[^\\u0000-\\u001f\\u007f]*$"

const nx_cfg_format nx_cfg_text = {"text", NO_CONTROL, 256, false, no_control};
const nx_cfg_format nx_cfg_secret = {"text", NO_CONTROL, 4096, false, no_control};
const nx_cfg_format nx_cfg_command = {"a command", NULL, 4096, false, NULL};
const nx_cfg_format nx_cfg_env_value = {"text", NULL, NX_CFG_ENV_VALUE_BYTES, true, NULL};
const nx_cfg_format nx_cfg_outbound_host = {"a host", "^([A-Za-z]+|\\*)://[^\\s@]+$", NX_GRANT_BYTES, false, check_outbound_host};
const nx_cfg_format nx_cfg_store = {"the name of a store", "^[a-z0-9][-_a-z0-9]*$", NX_KV_STORE_BYTES, false, check_store};
const nx_cfg_format nx_cfg_secret_name = {"the name of a secret", "^[A-Za-z_][A-Za-z0-9_-]*$", NX_SECRET_NAME_BYTES, false, check_secret_name};
const nx_cfg_format nx_cfg_env_name = {"the name of an environment variable", NO_CONTROL, 256, false, check_env_name};
const nx_cfg_format nx_cfg_project = {"a name", LABEL, 63, false, check_label};
const nx_cfg_format nx_cfg_namespace = {"a namespace", LABEL, 31, false, check_label};
const nx_cfg_format nx_cfg_function_name = {"a name", LABEL, 63, false, check_function_name};
const nx_cfg_format nx_cfg_address = {"an address", "^.*:[0-9]{1,5}$", 270, false, check_address};
const nx_cfg_format nx_cfg_file = {"a file", NO_CONTROL, 4000, false, check_file};
const nx_cfg_format nx_cfg_folder = {"a folder", NO_CONTROL, 4000, false, check_file};
const nx_cfg_format nx_cfg_own_file = {"a file or folder", "^[^/\\u0000-\\u001f\\u007f][^\\u0000-\\u001f\\u007f]*$", 4000, false, check_own_file};
const nx_cfg_format nx_cfg_export = {"the name of an export", NO_CONTROL, 256, false, no_control};
const nx_cfg_format nx_cfg_nats_url = {"an address of NATS servers", "^(nats|tls)://", 2000, false, check_nats_url};
const nx_cfg_format nx_cfg_js_prefix = {"a subject prefix", "^[^\\s.*>]+(\\.[^\\s.*>]+)*$", 128, false, check_js_prefix};
const nx_cfg_format nx_cfg_http_path = {"an HTTP path", "^/[^\\u0000-\\u001f\\u007f?#%\\\\*{}]*$", 1024, false, check_http_path};
const nx_cfg_format nx_cfg_subject = {"a NATS subject", "^[^\\s.]+(\\.[^\\s.]+)*$", 255, false, check_subject};
const nx_cfg_format nx_cfg_cron = {"a schedule", NO_CONTROL, NX_CRON_BYTES, false, check_cron};
const nx_cfg_format nx_cfg_moment = {"a time", "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", NX_RFC3339_MAX, false, check_moment};
const nx_cfg_format nx_cfg_event_type = {"an event type", "^[^*>\\u0000-\\u001f\\u007f]+$", NX_EVENT_TYPE_BYTES, false, check_event_type};
const nx_cfg_format nx_cfg_why_name = {"a reason of failures", "^[a-z_]+$", 32, false, check_why_name};
const nx_cfg_format nx_cfg_type_pattern = {"an event type or pattern", "^[^\\u0000-\\u001f\\u007f]+$", NX_EVENT_TYPE_BYTES, false, check_type_pattern};
const nx_cfg_format nx_cfg_redact_path = {"a path into the event", "^(subject$|data)", NX_REDACT_PATH_BYTES, false, check_redact_path};
const nx_cfg_format nx_cfg_event_key = {"a path into the event", "^(subject|type|source|partitionkey|data.*)$", NX_EVENT_KEY_PATH_BYTES, false, check_event_key};
const nx_cfg_format nx_cfg_cpu = {"an amount of cores", "^([0-9]{1,6}m|[0-9]{1,3}(\\.[0-9]{1,3})?)$", 8, false, check_cpu};
const nx_cfg_format nx_cfg_share = {"a share", "^[0-9]{1,3}(\\.[0-9]{1,4})?%$", 9, false, check_share};
