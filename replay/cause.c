/* cause.c: a plain sentence on why two runs part at a host call. It is a likely cause, not a proof: the two calls are all it goes by. */
#include "nx/diff.h"
#include "nx/rt.h"

/* "clock_time_get(realtime) -> 12": the name. */
static nx_slice name_of(nx_slice call)
{
    nx_slice rest;
    return nx_slice_split(call, '(', &rest);
}

static bool is(nx_slice name, const char *text) { return nx_slice_eq_cstr(name, text); }

static bool is_environ(nx_slice name) { return nx_slice_starts(name, NX_SLICE("environ_")); }
static bool is_end(nx_slice call) { return nx_slice_starts(call, NX_SLICE("no further call")); }
static bool is_log(nx_slice call) { return nx_slice_starts(call, NX_SLICE("fd_write(fd 2")); }

static bool is_effect(nx_slice name)
{
    return is(name, "http_request") || nx_slice_starts(name, NX_SLICE("kv_")) || is(name, "secret_get") || is(name, "emit");
}

/* What is asked, without what came of it. */
static bool is_same_question(nx_slice x, nx_slice y)
{
    const char *a = memmem(x.p, x.n, " -> ", 4), *b = memmem(y.p, y.n, " -> ", 4);
    return a && b && nx_slice_eq(nx_slice_make(x.p, (size_t)(a - x.p)), nx_slice_make(y.p, (size_t)(b - y.p)));
}

static const char *same_call(nx_slice name, nx_slice before, nx_slice after)
{
    if (is_effect(name) && is_same_question(before, after))
        return "the same is asked, and answered otherwise: by the world as it is now, or by another policy";
    if (is(name, "clock_time_get"))
        return "the clock is read as before but shows another time: it was read more or less often up to here, or begins at another time";
    if (is(name, "random_get"))
        return "another number of random bytes is taken, or more or fewer were taken before: a HashMap more or less does that";
    if (is_environ(name))
        return "the environment differs: other variables, or longer or shorter values";
    if (is(name, "fd_read"))
        return "the input is another one, or is read in other pieces";
    if (is(name, "fd_write"))
        return is_log(before) ? "another line is logged: the runs parted before, between this call and the one before it"
                              : "something else is written: what was computed differs, or is written in other pieces (the order of a HashMap, a time, a number)";
    if (is(name, "http_request"))
        return "another URL is asked, or another method, header or body is sent";
    if (nx_slice_starts(name, NX_SLICE("kv_")))
        return "another key is asked for, or another value is stored";
    if (is(name, "secret_get"))
        return "another secret is asked for";
    if (is(name, "emit"))
        return "another event is emitted: its type, its data or another attribute differs";
    if (is(name, "proc_exit"))
        return "it exits with another code";
    if (is(name, "poll_oneoff"))
        return "it sleeps for another time";
    return "the same host call is made with other arguments, or answered otherwise";
}

const char *nx_diff_cause(nx_slice before, nx_slice after)
{
    nx_slice x = name_of(before), y = name_of(after);
    if (!before.n || !after.n || nx_slice_eq_cstr(before, NX_RT_CALL_NOT_KEPT) || nx_slice_eq_cstr(after, NX_RT_CALL_NOT_KEPT))
        return "";
    if (is_end(after))
        return "it ends here, where the other goes on: it failed, or returned earlier";
    if (is_end(before))
        return "it goes on, where the other had ended";
    if (nx_slice_eq(x, y))
        return same_call(x, before, after);
    if (is(y, "proc_exit"))
        return "it exits here, where the other goes on";
    if (is_effect(y))
        return is_effect(x) ? "it asks the outside for something else, or in another order" : "it asks the outside for something that was not asked before";
    if (is_effect(x))
        return "it no longer asks the outside for what was asked here";
    if (is(y, "clock_time_get"))
        return "it reads the clock more often than before";
    if (is(x, "clock_time_get"))
        return "it reads the clock less often than before";
    if (is(y, "random_get"))
        return "it takes random bytes where none were taken: a new HashMap does that";
    if (is(x, "random_get"))
        return "it no longer takes random bytes here: a HashMap less does that";
    if (is_environ(y))
        return "it reads its environment where it did not before";
    if (is_log(after))
        return "it logs a line that was not logged before, or logs it earlier";
    if (is_log(before))
        return "it no longer logs what was logged here, or logs it later";
    return "it makes another host call here: the code takes another way";
}
