/* Metrics: registration, bounds, the exact exposition, and updates from several threads while it is read. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/metrics.h"

static nx_metrics *reg;

static int setup(void **state)
{
    (void)state;
    return nx_metrics_new(0, &reg);
}

static int teardown(void **state)
{
    (void)state;
    nx_metrics_free(reg);
    nx_metrics_free(NULL);
    return 0;
}

static const char *exposition(void)
{
    static char text[65536];
    nx_buf b = {text, 0, sizeof text - 1, sizeof text - 1};
    assert_int_equal(nx_metrics_expose(reg, &b), NX_OK);
    text[b.n] = '\0';
    return text;
}

static void test_metrics_counter_and_gauge_form(void **state)
{
    (void)state;
    const nx_kv ok[] = {{NX_SLICE("function"), NX_SLICE("user-welcome")}, {NX_SLICE("status"), NX_SLICE("ok")}};
    const nx_kv odd[] = {{NX_SLICE("function"), NX_SLICE("a\"b\\c\nd\xff")}, {NX_SLICE("status"), NX_SLICE("\xE2\x82\xAC")}};
    nx_metric *a = nx_obs_counter(reg, "nexus_runs_total", "Runs by outcome.\nTwo \\ lines.", 2, ok);
    nx_metric *b = nx_obs_counter(reg, "nexus_runs_total", "ignored", 2, odd);
    nx_metric *g = nx_obs_gauge(reg, "nexus_queue_depth", "Depth.", 0, NULL);
    nx_obs_add(a, 41);
    nx_obs_inc(a);
    nx_obs_add(b, UINT64_MAX);
    nx_obs_set(g, 2.5);
    nx_obs_gauge_add(g, -1);
    assert_string_equal(exposition(), "# HELP nexus_runs_total Runs by outcome.\\nTwo \\\\ lines.\n# TYPE nexus_runs_total counter\n"
                                      "nexus_runs_total{function=\"user-welcome\",status=\"ok\"} 42\n"
                                      "nexus_runs_total{function=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD\",status=\"\xE2\x82\xAC\"} 18446744073709551615\n"
                                      "# HELP nexus_queue_depth Depth.\n# TYPE nexus_queue_depth gauge\nnexus_queue_depth 1.5\n");
    assert_true(nx_obs_value(a) == 42 && nx_obs_value(g) == 1.5);
}

static void test_metrics_histogram_form(void **state)
{
    (void)state;
    static const double bounds[] = {0.1, 1};
    const nx_kv l[] = {{NX_SLICE("f"), NX_SLICE("x")}};
    nx_metric *h = nx_obs_histogram(reg, "nexus_run_duration_seconds", "Duration.", bounds, 2, 1, l);
    nx_obs_observe(h, 0.1); /* a bound belongs to its bucket */
    nx_obs_observe_ns(h, 500000000);
    nx_obs_observe(h, 7);
    nx_obs_observe(h, (double)NAN);
    assert_string_equal(exposition(), "# HELP nexus_run_duration_seconds Duration.\n# TYPE nexus_run_duration_seconds histogram\n"
                                      "nexus_run_duration_seconds_bucket{f=\"x\",le=\"0.1\"} 1\nnexus_run_duration_seconds_bucket{f=\"x\",le=\"1\"} 2\n"
                                      "nexus_run_duration_seconds_bucket{f=\"x\",le=\"+Inf\"} 3\nnexus_run_duration_seconds_sum{f=\"x\"} 7.6\n"
                                      "nexus_run_duration_seconds_count{f=\"x\"} 3\n");
    assert_true(nx_obs_value(h) == 3);
    nx_metric *d = nx_obs_histogram(reg, "nexus_x_seconds", "x", NULL, 0, 0, NULL);
    nx_obs_observe(d, 0.00005);
    nx_obs_observe(d, 61);
    assert_non_null(strstr(exposition(), "nexus_x_seconds_bucket{le=\"5e-05\"} 1\n"));
    assert_non_null(strstr(exposition(), "nexus_x_seconds_bucket{le=\"60\"} 1\n"));
    assert_non_null(strstr(exposition(), "nexus_x_seconds_bucket{le=\"+Inf\"} 2\n"));
}

static void test_metrics_same_series_is_the_same_metric(void **state)
{
    (void)state;
    const nx_kv a[] = {{NX_SLICE("k"), NX_SLICE("1")}}, b[] = {{NX_SLICE("k"), NX_SLICE("2")}};
    nx_metric *m = nx_obs_counter(reg, "n_total", "h", 1, a);
    assert_non_null(m);
    assert_ptr_equal(nx_obs_counter(reg, "n_total", "h", 1, a), m);
    assert_ptr_not_equal(nx_obs_counter(reg, "n_total", "h", 1, b), m);
    nx_obs_hide(reg, m); /* whoever comes after that gets one of his own */
    nx_metric *again = nx_obs_counter(reg, "n_total", "h", 1, a);
    assert_ptr_not_equal(again, m);
    assert_ptr_equal(nx_obs_counter(reg, "n_total", "h", 1, a), again);
}

static void test_metrics_many_series_are_found_again(void **state)
{
    (void)state;
    static nx_metric *made[2][500];
    static const char *const names[] = {"one_total", "other_total"};
    for (int round = 0; round < 2; round++)
        for (int f = 0; f < 2; f++)
            for (int i = 0; i < 500; i++) {
                char text[16];
                int n = snprintf(text, sizeof text, "%d", i);
                const nx_kv l[] = {{NX_SLICE("i"), nx_slice_make(text, (size_t)n)}};
                nx_metric *m = nx_obs_counter(reg, names[f], "h", 1, l);
                assert_non_null(m);
                if (round) assert_ptr_equal(m, made[f][i]);
                made[f][i] = m;
            }
    for (int i = 0; i < 500; i++) assert_ptr_not_equal(made[0][i], made[1][i]);
}

static void test_metrics_null_is_ignored(void **state)
{
    (void)state;
    nx_obs_add(NULL, 1);
    nx_obs_inc(NULL);
    nx_obs_set(NULL, 1);
    nx_obs_gauge_add(NULL, 1);
    nx_obs_observe(NULL, 1);
    nx_obs_hide(reg, NULL);
    assert_true(nx_obs_value(NULL) == 0);
    assert_null(nx_obs_counter(NULL, "x_total", "h", 0, NULL));
    /* An update of the wrong kind changes nothing instead of spoiling the other type's bits. */
    nx_metric *g = nx_obs_gauge(reg, "g", "h", 0, NULL), *c = nx_obs_counter(reg, "c_total", "h", 0, NULL);
    nx_obs_add(g, 5);
    nx_obs_set(c, 5);
    nx_obs_observe(c, 5);
    assert_true(nx_obs_value(g) == 0 && nx_obs_value(c) == 0);
}

static void test_metrics_bound_of_series(void **state)
{
    (void)state;
    nx_metrics *small = NULL;
    assert_int_equal(nx_metrics_new(3, &small), NX_OK);
    char text[16];
    for (int i = 0; i < 5; i++) {
        int n = snprintf(text, sizeof text, "%d", i);
        const nx_kv l[] = {{NX_SLICE("i"), nx_slice_make(text, (size_t)n)}};
        nx_metric *m = nx_obs_counter(small, "n_total", "h", 1, l);
        assert_int_equal(m != NULL, i < 3);
        nx_obs_inc(m);
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    assert_int_equal(nx_metrics_expose(small, &b), NX_OK);
    assert_non_null(strstr(nx_buf_cstr(&b), "nexus_metrics_refused_total 2\n"));
    nx_buf tiny = NX_BUF_INIT(20);
    assert_int_equal(nx_metrics_expose(small, &tiny), NX_ELIMIT);
    nx_buf_done(&tiny);
    nx_metrics_free(small);
}

static double depth = 3;
static double read_depth(void *self) { return *(double *)self; }

static void test_metrics_callbacks_and_hiding(void **state)
{
    (void)state;
    nx_metric *g = nx_obs_gauge_fn(reg, "nexus_mailbox_depth", "d", read_depth, &depth, 0, NULL);
    nx_metric *c = nx_obs_counter_fn(reg, "nexus_log_dropped_total", "d", read_depth, &depth, 0, NULL);
    assert_non_null(strstr(exposition(), "nexus_mailbox_depth 3\n"));
    assert_non_null(strstr(exposition(), "# TYPE nexus_log_dropped_total counter\nnexus_log_dropped_total 3\n"));
    depth = 4;
    assert_non_null(strstr(exposition(), "nexus_mailbox_depth 4\n"));
    assert_true(nx_obs_value(g) == 4);
    nx_obs_hide(reg, g);
    nx_obs_hide(reg, c);
    assert_string_equal(exposition(), "");
    assert_non_null(nx_obs_gauge_fn(reg, "nexus_mailbox_depth", "d", read_depth, &depth, 0, NULL)); /* may come back */
    assert_non_null(strstr(exposition(), "nexus_mailbox_depth 4\n"));
}

enum { THREADS = 4,
       EACH = 20000 };
static nx_metric *hot_counter, *hot_gauge, *hot_histogram;
static atomic_bool is_over;

static void *update(void *self)
{
    (void)self;
    for (int i = 0; i < EACH; i++) {
        nx_obs_inc(hot_counter);
        nx_obs_gauge_add(hot_gauge, 1);
        nx_obs_observe(hot_histogram, 0.001 * (i % 100));
    }
    return NULL;
}

static void *scrape(void *self)
{
    (void)self;
    nx_buf b = NX_BUF_INIT(65536);
    double last = 0;
    while (!atomic_load(&is_over)) {
        nx_buf_clear(&b);
        if (nx_metrics_expose(reg, &b) != NX_OK) abort();
        double now = nx_obs_value(hot_counter);
        if (now < last) abort(); /* a counter never goes back */
        last = now;
        (void)nx_obs_counter(reg, "other_total", "h", 0, NULL);
    }
    nx_buf_done(&b);
    return NULL;
}

static void test_metrics_updates_from_many_threads(void **state)
{
    (void)state;
    hot_counter = nx_obs_counter(reg, "hot_total", "h", 0, NULL);
    hot_gauge = nx_obs_gauge(reg, "hot", "h", 0, NULL);
    hot_histogram = nx_obs_histogram(reg, "hot_seconds", "h", NULL, 0, 0, NULL);
    pthread_t t[THREADS], s;
    assert_int_equal(pthread_create(&s, NULL, scrape, NULL), 0);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&t[i], NULL, update, NULL), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    atomic_store(&is_over, true);
    pthread_join(s, NULL);
    assert_true(nx_obs_value(hot_counter) == THREADS * EACH);
    assert_true(nx_obs_value(hot_gauge) == THREADS * EACH);
    assert_true(nx_obs_value(hot_histogram) == THREADS * EACH);
    const char *sum = strstr(exposition(), "hot_seconds_sum ");
    assert_non_null(sum);
    assert_true(fabs(strtod(sum + 16, NULL) - 0.0495 * THREADS * EACH) < 0.001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_metrics_counter_and_gauge_form, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_histogram_form, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_same_series_is_the_same_metric, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_many_series_are_found_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_null_is_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_bound_of_series, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_callbacks_and_hiding, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_updates_from_many_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
