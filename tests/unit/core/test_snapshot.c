/* Routing: own routes, /events/{type}, how many functions take a type. */
#include "fn.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const char yaml[] =
    "version: v1\n"
    "functions:\n"
    "  - {name: welcome, code: ./a.wasm, on: {http: {method: POST, path: /events/user.created}}}\n"
    "  - {name: audit, code: ./a.wasm, on: {event: 'user.*'}}\n"
    "  - {name: both, code: ./a.wasm, on: {http: {method: PUT, path: /orders}, event: [order.created, 'order.*']}}\n"
    "  - {name: get-orders, code: ./a.wasm, respond: sync, on: {http: {method: GET, path: /orders}}}\n"
    "  - {name: named, code: ./a.wasm, on: {http: {method: POST, path: /hook}, event: hook.called}}\n";

typedef struct fixture {
    nx_config *cfg;
    nx_core_fn_set set;
    nx_core_snapshot *snap;
    nx_arena arena;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof *f);
    nx_config_issues issues = {0};
    nx_error e = NX_ERROR_INIT;
    nx_sha256 digest = nx_sha256_of(NX_SLICE(""));
    nx_arena_init(&f->arena, 1u << 20);
    if (nx_config_parse(nx_slice_cstr(yaml), "test", "/tmp", 0, &f->cfg, &issues, &e) != NX_OK)
        fail_msg("%s: %s", e.msg, issues.n ? issues.v[0].reason : "");
    for (unsigned i = 0; i < f->cfg->n_functions; i++) {
        nx_core_fn *fn = NULL;
        assert_int_equal(nx_core_fn_new(f->cfg, &f->cfg->functions[i], "v1", &digest, &digest, NULL, &fn), NX_OK);
        assert_int_equal(nx_core_fn_set_add(&f->set, fn), NX_OK);
    }
    assert_int_equal(nx_core_snapshot_new(&f->set, &f->snap), NX_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    nx_core_snapshot_free(f->snap);
    nx_core_fn_set_done(&f->set);
    nx_config_unref(f->cfg);
    nx_arena_done(&f->arena);
    test_free(f);
    return 0;
}

static nx_err route(fixture *f, const char *method, const char *path, nx_ingest_route *ret, nx_slice *allow)
{
    *ret = (nx_ingest_route){0};
    *allow = NX_SLICE_NULL;
    return nx_core_snapshot_route(f->snap, nx_slice_cstr(method), nx_slice_cstr(path), &f->arena, ret, allow);
}

static void assert_slice(nx_slice s, const char *text) { assert_true(nx_slice_eq_cstr(s, text)); }

static void test_route_own_path_names_function_and_type(void **state)
{
    nx_ingest_route r;
    nx_slice allow;
    assert_int_equal(route(*state, "POST", "/events/user.created", &r, &allow), NX_OK);
    assert_slice(r.function, "welcome");
    assert_slice(r.type, "user.created");
    assert_int_equal(r.n_subscribers, 2); /* welcome, and audit by its pattern */
    assert_int_equal(route(*state, "GET", "/orders", &r, &allow), NX_OK);
    assert_slice(r.function, "get-orders");
    assert_slice(r.type, "nexus.http.get-orders");
    assert_true(r.is_sync);
    assert_int_equal(route(*state, "POST", "/hook", &r, &allow), NX_OK);
    assert_slice(r.type, "hook.called");
}

static void test_route_any_type_below_events(void **state)
{
    nx_ingest_route r;
    nx_slice allow;
    assert_int_equal(route(*state, "POST", "/events/nobody.takes", &r, &allow), NX_OK);
    assert_slice(r.function, "");
    assert_int_equal(r.n_subscribers, 0);
    assert_int_equal(route(*state, "POST", "/events/", &r, &allow), NX_ENOENT);
    assert_int_equal(route(*state, "POST", "/nothing", &r, &allow), NX_ENOENT);
}

static void test_route_wrong_method_lists_the_right_ones(void **state)
{
    nx_ingest_route r;
    nx_slice allow;
    assert_int_equal(route(*state, "DELETE", "/orders", &r, &allow), NX_ENOTSUP);
    assert_slice(allow, "GET, PUT");
    assert_int_equal(route(*state, "GET", "/events/x", &r, &allow), NX_ENOTSUP);
    assert_slice(allow, "POST");
}

static void test_subscribers_counts_a_function_once(void **state)
{
    fixture *f = *state;
    nx_core_fn *first = NULL;
    /* `both` takes order.created by its exact type and by its pattern. */
    assert_int_equal(nx_core_snapshot_subscribers(f->snap, NX_SLICE("order.created"), &first), 1);
    assert_string_equal(first->name, "both");
    nx_core_fn_unref(first);
    assert_int_equal(nx_core_snapshot_subscribers(f->snap, NX_SLICE("order.paid"), NULL), 1);
    assert_int_equal(nx_core_snapshot_subscribers(f->snap, NX_SLICE("order.paid.twice"), NULL), 0);
    assert_int_equal(nx_core_snapshot_subscribers(f->snap, NX_SLICE("nexus.invoke.audit"), NULL), 1); /* has only a pattern */
    assert_int_equal(nx_core_snapshot_subscribers(f->snap, NX_SLICE("nexus.invoke.welcome"), NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route_own_path_names_function_and_type),
        cmocka_unit_test(test_route_any_type_below_events),
        cmocka_unit_test(test_route_wrong_method_lists_the_right_ones),
        cmocka_unit_test(test_subscribers_counts_a_function_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
