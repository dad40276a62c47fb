/* test_line.c: who is first in a line, and what time does to the members' places. */
#include <string.h>

#include "nx/clock.h"
#include "rt_help.h"
#include "rt_internal.h"

#define MEMBERS 100u

static nx_rt_turn members[MEMBERS];

static nx_rt_line line_of(unsigned n)
{
    nx_rt_line l = {0};
    memset(members, 0, sizeof members);
    for (unsigned i = 0; i < n; i++) {
        members[i].weight = NX_RT_WEIGHT;
        assert_int_equal(nx_rt_line_join(&l), NX_OK);
    }
    return l;
}

static void test_line_first_has_used_least(void **state)
{
    (void)state;
    nx_rt_line l = line_of(MEMBERS);
    assert_null(nx_rt_line_first(&l, NX_RT_BEGIN));
    for (unsigned i = 0; i < MEMBERS; i++) {
        members[i].vtime = i * 37 % MEMBERS;
        nx_rt_line_place(&l, &members[i], NX_RT_BEGIN, true);
        if (i % 3 == 0) nx_rt_line_place(&l, &members[i], NX_RT_RESUME, true);
    }
    for (unsigned i = 0; i < MEMBERS; i += 2) nx_rt_line_place(&l, &members[i], NX_RT_BEGIN, false);
    uint64_t last = 0;
    unsigned n = 0;
    for (nx_rt_turn *t; (t = nx_rt_line_first(&l, NX_RT_BEGIN)); n++) {
        assert_true((t - members) % 2 == 1);
        assert_true(t->vtime >= last);
        last = t->vtime;
        nx_rt_line_place(&l, t, NX_RT_BEGIN, false);
    }
    assert_int_equal(n, MEMBERS / 2);
    for (n = 0, last = 0; l.heaps[NX_RT_RESUME].n; n++) { /* what one wants has nothing to do with the other */
        nx_rt_turn *t = nx_rt_line_first(&l, NX_RT_RESUME);
        assert_true(t->vtime >= last);
        last = t->vtime;
        nx_rt_line_place(&l, t, NX_RT_RESUME, false);
        nx_rt_line_place(&l, t, NX_RT_RESUME, false);
    }
    assert_int_equal(n, (MEMBERS + 2) / 3);
    nx_rt_line_done(&l);
}

static void test_line_charges_by_weight(void **state)
{
    (void)state;
    nx_rt_line l = line_of(2);
    members[1].weight = 3 * NX_RT_WEIGHT;
    unsigned served[2] = {0};
    for (unsigned i = 0; i < 2; i++) nx_rt_line_place(&l, &members[i], NX_RT_RESUME, true);
    for (unsigned i = 0; i < 400; i++) {
        nx_rt_turn *t = nx_rt_line_first(&l, NX_RT_RESUME);
        nx_rt_line_enter(&l, t);
        t->running--;
        nx_rt_line_charge(&l, t, NX_NS_PER_MS);
        served[t - members]++;
    }
    assert_in_range(served[0], 99, 101);
    assert_in_range(served[1], 299, 301);
    nx_rt_line_done(&l);
}

/* Neither does an idle member save up for later, nor does one pay for ever for what nobody else wanted. */
static void test_line_bounds_what_idling_brings_and_what_being_alone_costs(void **state)
{
    (void)state;
    nx_rt_line l = line_of(2);
    nx_rt_turn *busy = &members[0], *idle = &members[1];
    for (unsigned i = 0; i < 1000; i++) {
        nx_rt_line_enter(&l, busy);
        busy->running--;
        nx_rt_line_charge(&l, busy, NX_NS_PER_S);
    }
    nx_rt_line_wake(&l, idle);
    assert_true(idle->vtime < busy->vtime);
    assert_true(busy->vtime - idle->vtime < 100 * NX_NS_PER_MS);
    uint64_t vtime = idle->vtime;
    l.vnow += NX_NS_PER_S;
    idle->waiting = 1; /* not idle: it has been waiting for that long */
    nx_rt_line_wake(&l, idle);
    assert_true(idle->vtime == vtime);
    nx_rt_line_done(&l);
}

/* Both had a slot while the machine was busy with something else, so that both have run ahead as far as that counts; one of them has given its slot up since
 * and waits. `also`: the one that runs has others that wait, too. */
static void wait_with_as_much_lead(unsigned weight, bool also)
{
    nx_rt_line l = line_of(2);
    nx_rt_turn *runs = &members[0], *waits = &members[1];
    waits->weight = weight;
    for (unsigned i = 0; i < 2; i++) nx_rt_line_enter(&l, &members[i]);
    nx_rt_line_charge(&l, waits, NX_NS_PER_S);
    nx_rt_line_charge(&l, runs, NX_NS_PER_S);
    waits->running--;
    nx_rt_line_place(&l, waits, NX_RT_RESUME, true);
    nx_rt_line_place(&l, runs, NX_RT_RESUME, also);
    uint64_t lead = waits->vtime, turns = 0;
    for (; runs->vtime < waits->vtime + NX_NS_PER_MS; turns++) {
        assert_true(turns <= lead / NX_NS_PER_MS + 1);
        nx_rt_line_charge(&l, runs, NX_NS_PER_MS);
    }
    assert_ptr_equal(nx_rt_line_first(&l, NX_RT_RESUME), waits);
    nx_rt_line_done(&l);
}

static void test_line_who_waits_with_as_much_lead_gets_its_turn(void **state)
{
    (void)state;
    for (unsigned also = 0; also < 2; also++) {
        wait_with_as_much_lead(NX_RT_WEIGHT, also);
        wait_with_as_much_lead(NX_RT_WEIGHT / 10, also); /* waits ten times as long */
        wait_with_as_much_lead(NX_RT_WEIGHT * 10, also);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_first_has_used_least),
        cmocka_unit_test(test_line_charges_by_weight),
        cmocka_unit_test(test_line_bounds_what_idling_brings_and_what_being_alone_costs),
        cmocka_unit_test(test_line_who_waits_with_as_much_lead_gets_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
