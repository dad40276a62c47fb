/* Callers that wait: both halves in any order, late answers, tokens of a former tenant. */
#include "core_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct caller {
    nx_ingest in;
    unsigned n_done;
    char token[NX_CORE_TOKEN_MAX];
} caller;

static unsigned n_released;

static void on_done(nx_ingest *in) { ((caller *)in)->n_done++; }

static void on_release(nx_answer *a)
{
    (void)a;
    n_released++;
}

static nx_core_waiters *waiters(void)
{
    nx_core_waiters *w = NULL;
    assert_int_equal(nx_core_waiters_new(&w, NULL), NX_OK);
    n_released = 0;
    return w;
}

static void add(nx_core_waiters *w, caller *c, uint64_t deadline_ns)
{
    *c = (caller){.in = {.wants_wait = true, .done = on_done}};
    assert_int_equal(nx_core_waiters_add(w, &c->in, deadline_ns, c->token), NX_OK);
}

static void test_waiters_published_then_answered_is_done_once(void **state)
{
    (void)state;
    nx_core_waiters *w = waiters();
    caller c;
    nx_answer a = {.status = 200, .release = on_release};
    add(w, &c, UINT64_MAX);
    nx_core_waiters_published(w, &c.in);
    assert_int_equal(c.n_done, 0);
    nx_core_waiters_answer(w, nx_slice_cstr(c.token), &a);
    assert_int_equal(c.n_done, 1);
    assert_ptr_equal(c.in.answer, &a);
    assert_int_equal(n_released, 0);
    nx_core_waiters_free(w);
}

static void test_waiters_answer_before_the_acknowledgement_waits_for_it(void **state)
{
    (void)state;
    nx_core_waiters *w = waiters();
    caller c;
    nx_answer a = {.release = on_release};
    add(w, &c, UINT64_MAX);
    nx_core_waiters_answer(w, nx_slice_cstr(c.token), &a);
    assert_int_equal(c.n_done, 0); /* the publication still borrows the caller's storage */
    nx_core_waiters_published(w, &c.in);
    assert_int_equal(c.n_done, 1);
    assert_ptr_equal(c.in.answer, &a);
    nx_core_waiters_free(w);
}

static void test_waiters_failed_publication_ends_the_wait(void **state)
{
    (void)state;
    nx_core_waiters *w = waiters();
    caller c;
    add(w, &c, UINT64_MAX);
    c.in.err = NX_EUNAVAIL;
    nx_core_waiters_published(w, &c.in);
    assert_int_equal(c.n_done, 1);
    nx_core_waiters_free(w);
}

static void test_waiters_late_answer_is_released(void **state)
{
    (void)state;
    nx_core_waiters *w = waiters();
    caller c;
    nx_answer a = {.release = on_release};
    add(w, &c, 1000);
    nx_core_waiters_published(w, &c.in);
    nx_core_waiters_tick(w, 999);
    assert_int_equal(c.n_done, 0);
    nx_core_waiters_tick(w, 1000);
    assert_int_equal(c.n_done, 1);
    assert_true(c.in.is_late);
    nx_core_waiters_answer(w, nx_slice_cstr(c.token), &a);
    assert_int_equal(n_released, 1);
    assert_int_equal(c.n_done, 1);
    nx_core_waiters_free(w);
}

static void test_waiters_token_of_a_former_tenant_reaches_nobody(void **state)
{
    (void)state;
    nx_core_waiters *w = waiters();
    caller first, second;
    nx_answer a = {.release = on_release};
    add(w, &first, UINT64_MAX);
    nx_core_waiters_published(w, &first.in);
    assert_true(nx_core_waiters_abandon(w, &first.in));
    add(w, &second, UINT64_MAX); /* takes the free slot */
    nx_core_waiters_answer(w, nx_slice_cstr(first.token), &a);
    assert_int_equal(n_released, 1);
    assert_int_equal(second.n_done, 0);
    assert_null(second.in.answer);
    nx_core_waiters_free(w);
}

static void test_waiters_abandon_while_publishing_is_refused(void **state)
{
    (void)state;
    nx_core_waiters *w = waiters();
    caller c;
    add(w, &c, UINT64_MAX);
    assert_false(nx_core_waiters_abandon(w, &c.in));
    nx_core_waiters_published(w, &c.in);
    assert_true(nx_core_waiters_abandon(w, &c.in));
    assert_int_equal(c.n_done, 0);
    nx_core_waiters_free(w);
}

static void test_waiters_malformed_tokens_are_released(void **state)
{
    (void)state;
    nx_core_waiters *w = waiters();
    const char *bad[] = {"", "-", "1", "x-y", "99999999-0", "0-99999999999", "16383-0", "-1-0"};
    nx_answer a = {.release = on_release};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        nx_core_waiters_answer(w, nx_slice_cstr(bad[i]), &a);
    assert_int_equal(n_released, NX_ARRAY_LEN(bad));
    nx_core_waiters_free(w);
}

static void test_waiters_are_bounded(void **state)
{
    (void)state;
    nx_core_waiters *w = waiters();
    caller *v = test_calloc(NX_CORE_WAITERS_MAX, sizeof *v), extra = {.in = {.done = on_done}};
    for (unsigned i = 0; i < NX_CORE_WAITERS_MAX; i++)
        add(w, &v[i], 1);
    assert_int_equal(nx_core_waiters_add(w, &extra.in, 1, extra.token), NX_EBUSY);
    for (unsigned i = 0; i < NX_CORE_WAITERS_MAX; i++)
        nx_core_waiters_published(w, &v[i].in);
    nx_core_waiters_fail_all(w);
    for (unsigned i = 0; i < NX_CORE_WAITERS_MAX; i++)
        assert_int_equal(v[i].n_done, 1);
    test_free(v);
    nx_core_waiters_free(w);
}

/* Each is looked for after a second, and every second again, a few at a time; what is over or not stored yet is not. */
static void test_waiters_unheard_come_by_turns(void **state)
{
    (void)state;
    nx_core_waiters *w = waiters();
    nx_core_unheard found[2];
    caller v[4];
    uint64_t now = 5 * NX_NS_PER_S;
    for (unsigned i = 0; i < 4; i++) {
        add(w, &v[i], UINT64_MAX);
        v[i].in.event.type = NX_SLICE("t");
        v[i].in.event.wall_ns = i;
        if (i != 1)
            nx_core_waiters_published(w, &v[i].in);
    }
    assert_int_equal(nx_core_waiters_unheard(w, now, found, 2), 0);
    assert_int_equal(nx_core_waiters_unheard(w, now + NX_CORE_UNHEARD_NS - 1, found, 2), 0);
    now += NX_CORE_UNHEARD_NS;
    assert_int_equal(nx_core_waiters_unheard(w, now, found, 2), 2);
    assert_string_equal(found[0].token, v[0].token);
    assert_string_equal(found[1].token, v[2].token);
    assert_string_equal(found[1].type, "t");
    assert_int_equal(found[1].event.wall_ns, 2);
    assert_int_equal(nx_core_waiters_unheard(w, now, found, 2), 1);
    assert_string_equal(found[0].token, v[3].token);
    assert_int_equal(nx_core_waiters_unheard(w, now, found, 2), 0);
    assert_true(nx_core_waiters_abandon(w, &v[2].in));
    now += NX_CORE_UNHEARD_NS;
    assert_int_equal(nx_core_waiters_unheard(w, now, found, 2), 2);
    assert_int_equal(nx_core_waiters_unheard(w, now, found, 2), 0);
    nx_core_waiters_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiters_published_then_answered_is_done_once),
        cmocka_unit_test(test_waiters_answer_before_the_acknowledgement_waits_for_it),
        cmocka_unit_test(test_waiters_failed_publication_ends_the_wait),
        cmocka_unit_test(test_waiters_late_answer_is_released),
        cmocka_unit_test(test_waiters_token_of_a_former_tenant_reaches_nobody),
        cmocka_unit_test(test_waiters_abandon_while_publishing_is_refused),
        cmocka_unit_test(test_waiters_malformed_tokens_are_released),
        cmocka_unit_test(test_waiters_are_bounded),
        cmocka_unit_test(test_waiters_unheard_come_by_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
