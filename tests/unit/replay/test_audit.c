/* Which runs are chosen, and what a share is. */
#include "nx/audit.h"
#include "nx/clock.h"
#include "nx/ulid.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_audit_chooses_a_share_by_the_run_id_alone(void **state)
{
    (void)state;
    unsigned n = 0, all = 0, none = 0;
    for (unsigned i = 0; i < 20000; i++) {
        nx_id id = nx_ulid_new(nx_clock_wall_ns());
        bool is_chosen = nx_audit_is_chosen(&id, 10000); /* 1 % */
        n += is_chosen;
        all += nx_audit_is_chosen(&id, 1000000);
        none += nx_audit_is_chosen(&id, 0);
        assert_int_equal(is_chosen, nx_audit_is_chosen(&id, 10000));
        if (is_chosen) assert_true(nx_audit_is_chosen(&id, 500000)); /* a larger share holds the smaller one */
    }
    assert_int_equal(all, 20000);
    assert_int_equal(none, 0);
    assert_in_range(n, 100, 300);
}

static void test_share_in_millionths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t ppm;
    } good[] = {{"0%", 0}, {"1%", 10000}, {"100%", 1000000}, {"0.05%", 500}, {"12.5%", 125000}, {"0.0001%", 1}, {"99.9999%", 999999}};
    static const char *const bad[] = {"", "%", "1", "101%", "100.1%", "1.%", ".5%", "0.00001%", "-1%", "1 %", "1%%", "x%", "1.5.5%"};
    for (size_t i = 0; i < NX_ARRAY_LEN(good); i++) {
        uint32_t ppm = 7;
        assert_int_equal(nx_config_share_ppm(nx_slice_cstr(good[i].text), &ppm), NX_OK);
        assert_int_equal(ppm, good[i].ppm);
    }
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        uint32_t ppm;
        if (nx_config_share_ppm(nx_slice_cstr(bad[i]), &ppm) == NX_OK) fail_msg("\"%s\" is taken", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audit_chooses_a_share_by_the_run_id_alone),
        cmocka_unit_test(test_share_in_millionths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
