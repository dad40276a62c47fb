/* test_source_map.c: putting a source map into a module, and finding lines by it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nx/digest.h"
#include "rt_help.h"
#include "source_map.h"

/* Column 42 of the module: a.ts:3; 44: b.ts:7; 46 and 50: no file; 54: b.ts:8. */
static const char map_text[] = "{\"version\":3,\"sources\":[\"a.ts\",\"b.ts\"],\"sourcesContent\":[\"secret\"],\"names\":[],"
                               "\"mappings\":\"0CAEA,ECIA,E,I,IACA;AAAA\"}";

/* A module with two functions, at 41 to 48 and 50 to 57, and the section that names its map; behind the code, where compilers put it. */
static nx_slice module_with(const char *url, nx_buf *out)
{
    nx_slice module = rt_help_wat("(module (func (export \"handle_event\") nop nop nop nop nop nop) (func nop nop nop nop nop nop))");
    assert_int_equal(nx_buf_append_slice(out, module), NX_OK);
    size_t n = strlen(url);
    assert_int_equal(nx_buf_printf(out, "%c%c%csourceMappingURL%c%s", 0, (int)(n + 18), 16, (int)n, url), NX_OK);
    return nx_buf_view(out);
}

static void find(nx_slice module, nx_rt_place *places, unsigned n)
{
    nx_arena arena = NX_ARENA_INIT(1u << 20);
    nx_rt_facts facts;
    assert_int_equal(nx_rt_facts_read(module, &arena, &facts, NULL), NX_OK);
    for (unsigned i = 0; i < n; i++) places[i].address -= facts.code_offset; /* given as offsets in the module */
    nx_rt_source_map_find(&facts, &arena, places, n);
    nx_arena_done(&arena);
}

static void test_source_map_goes_into_the_module(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(1u << 20);
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(1u << 20);
    nx_error e = NX_ERROR_INIT;
    nx_slice before = module_with("./a.wasm.map", &module);
    assert_true(nx_slice_eq_cstr(nx_rt_source_map_url(before), "./a.wasm.map"));
    assert_int_equal(nx_rt_source_map_embed(before, nx_slice_cstr(map_text), &out, &e), NX_OK);
    nx_slice after = nx_buf_view(&out);
    assert_true(nx_slice_starts(nx_rt_source_map_url(after), NX_SLICE("data:application/json;base64,")));
    nx_rt_program_unref(rt_help_load(after));

    static const struct {
        uint64_t address, line;
        const char *file;
    } wanted[] = {
        {41, 0, ""},
        {42, 3, "a.ts"},
        {43, 3, "a.ts"},
        {44, 7, "b.ts"},
        {47, 7, "b.ts"}, /* what the compiler added belongs to what is before it in the function */
        {51, 0, ""},     /* and not to another function */
        {54, 8, "b.ts"},
        {9000, 8, "b.ts"}, /* the last segment reaches to the end */
    };
    nx_rt_place places[NX_ARRAY_LEN(wanted)] = {0};
    for (size_t i = 0; i < NX_ARRAY_LEN(wanted); i++) places[i].address = wanted[i].address;
    find(after, places, NX_ARRAY_LEN(wanted));
    for (size_t i = 0; i < NX_ARRAY_LEN(wanted); i++) {
        assert_int_equal(places[i].line, wanted[i].line);
        assert_string_equal(places[i].file, wanted[i].file);
    }
}

static void test_source_map_damaged_ones_are_refused_or_find_nothing(void **state)
{
    (void)state;
    static const char *const maps[] = {"", "[]", "{\"version\":2,\"sources\":[],\"mappings\":\"\"}", "{\"version\":3,\"sources\":[\"a\"]}",
                                       "{\"version\":3,\"sources\":3,\"mappings\":\"\"}"};
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(1u << 20);
    nx_slice before = module_with("a.map", &module);
    for (size_t i = 0; i < NX_ARRAY_LEN(maps); i++) {
        NX_CLEANUP(nx_buf_done)
        nx_buf out = NX_BUF_INIT(1u << 20);
        assert_int_equal(nx_rt_source_map_embed(before, nx_slice_cstr(maps[i]), &out, NULL), NX_EPARSE);
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(1u << 20);
    assert_int_equal(nx_rt_source_map_embed(rt_help_wat("(module)"), nx_slice_cstr(map_text), &out, NULL), NX_EMODULE);
    nx_rt_place places[1] = {{.address = 44}};
    find(before, places, 1); /* the map is elsewhere */
    assert_int_equal(places[0].line, 0);
    static const char damaged[] = "{\"version\":3,\"sources\":[\"a.ts\"],\"mappings\":\"0CAEA,!,IAAA\"}";
    assert_int_equal(nx_rt_source_map_embed(before, nx_slice_cstr(damaged), &out, NULL), NX_OK);
    find(nx_buf_view(&out), places, 1);
    assert_int_equal(places[0].line, 0);
}

/* clang -O2 -gline-tables-only of this, in the folder /x; what is in ../y/b.h is inlined and calls fail() on its line 6:
 *     2  volatile int in;
 *     3  __attribute__((noinline)) void fail(int v) { in = v; }
 *     5  int f(void)
 *     7      int one = positive(in);
 *     8      in = 1;
 *     9      return one + positive(in); */
static const char inlined_module[] =
    "AGFzbQEAAAABCQJgAX8AYAABfwMDAgABBAUBcAEBAQUDAQACBggBfwFBkIgECwcOAgZtZW1vcnkCAAFmAAEKWgINAEEAIAA2AoCIgIAAC0oBAn8CQEEAKAKAiICAACIAQX9K"
    "DQAgABCAgICAAAtBAEEBNgKAiICAAAJAQQAoAoCIgIAAIgFBf0oNACABEICAgIAACyABIABqCwD9AQsuZGVidWdfaW5mb+0AAAAEAAAAAAAEASQAAAAMACAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAgkAAAA3AAAAAQIFAwAEAAADPAAAAAQFAAAABQQFAgAAAA0AAAAH7QMAAAAAnwwAAAABAwYE7QAAnwMAAAABAzwAAAAABxMAAAACAzwAAAABCAMAAAACAzwA"
    "AAAACRAAAABKAAAAB+0DAAAAAJ8RAAAAAQU8AAAAChwAAAABBzwAAAALawAAACIAAAALAAAAAQcPDAAAAAB3AAAAAAtrAAAASAAAAAsAAAABCRIMHgAAAHcAAAAADUMAAAAt"
    "AAAADUMAAABTAAAAAAAARwouZGVidWdfbG9j/////xAAAAAQAAAAFQAAAAQA7QAAnwAAAAAAAAAA/////xAAAAA2AAAAOwAAAAQA7QABnwAAAAAAAAAAACYNLmRlYnVnX3Jh"
    "bmdlcwIAAAAPAAAAEAAAAFoAAAAAAAAAAAAAAADWAQ0uZGVidWdfYWJicmV2AREBJQ4TBQMOEBcbDhEBVRcAAAI0AAMOSRM/GToLOwsCGAAAAzUASRMAAAQkAAMOPgsLCwAA"
    "BS4BEQESBkAYl0IZAw46CzsLJxk/GQAABgUAAhgDDjoLOwtJEwAABy4BAw46CzsLJxlJEyALAAAIBQADDjoLOwtJEwAACS4BEQESBkAYl0IZAw46CzsLJxlJEz8ZAAAKNAAD"
    "DjoLOwtJEwAACx0BMRMRARIGWAtZC1cLAAAMBQACFzETAAANiYIBADETEQEAAAAAqAELLmRlYnVnX2xpbmWYAAAABAApAAAAAQEB+w4NAAEBAQEAAAABAAABLi8uLi95AABh"
    "LmMAAAAAYi5oAAEAAAAABQICAAAAFAUxCiAFNgasAgEAAQEABQIQAAAAFwUYCj0GA3nIBAIFCwYzBQkGIAYvBgN6ggQBBRgGJwUISwUYcwUbTAYDd5AEAgULBjMFCQYgBi8G"
    "A3qCBAEFEAYDCSAFBQZYAgEAAQEASwouZGVidWdfc3RyL3gAdgBpbnQAaW4AZmFpbABmAHBvc2l0aXZlAG9uZQBhLmMARGViaWFuIGNsYW5nIHZlcnNpb24gMTQuMC42AAAl"
    "BG5hbWUBCgIABGZhaWwBAWYHEgEAD19fc3RhY2tfcG9pbnRlcgA8CXByb2R1Y2VycwIIbGFuZ3VhZ2UBA0M5OQAMcHJvY2Vzc2VkLWJ5AQxEZWJpYW4gY2xhbmcGMTQuMC42";

static nx_slice inlined(void)
{
    static char bytes[2048];
    nx_slice module = NX_SLICE_NULL;
    assert_int_equal(nx_base64_decode(nx_slice_cstr(inlined_module), &module, bytes, sizeof bytes), NX_OK);
    return module;
}

static void test_source_map_from_dwarf(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(1u << 20);
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_rt_source_map_from_dwarf(inlined(), NX_SLICE("/x"), &out, &e), NX_OK);
    nx_slice after = nx_buf_view(&out);
    assert_null(memmem(after.p, after.n, ".debug_", 7));
    assert_true(after.n < inlined().n);
    static const struct {
        uint64_t address, line;
    } wanted[] = {
        {0x47, 3},
        {0x57, 7}, /* in */
        {0x67, 7}, /* fail(), inlined */
        {0x72, 8},
        {0x8d, 9}, /* fail(), inlined again */
        {0x98, 9},
    };
    nx_rt_place places[NX_ARRAY_LEN(wanted)] = {0};
    for (unsigned i = 0; i < NX_ARRAY_LEN(wanted); i++) places[i].address = wanted[i].address;
    find(after, places, NX_ARRAY_LEN(wanted));
    for (unsigned i = 0; i < NX_ARRAY_LEN(wanted); i++) {
        assert_int_equal(places[i].line, wanted[i].line);
        assert_string_equal(places[i].file, "a.c");
    }
}

static void test_source_map_from_dwarf_of_another_folder(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(1u << 20);
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_rt_source_map_from_dwarf(inlined(), NX_SLICE("/xy"), &out, &e), NX_OK);
    assert_int_equal(nx_rt_source_map_url(nx_buf_view(&out)).n, 0);
    assert_null(memmem(out.p, out.n, ".debug_", 7));
}

static void make_map(nx_slice module, size_t n, size_t flipped)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(1u << 20);
    char *copy = malloc(n + 1); /* exactly as large, for the sanitizers, but that nothing can't be allocated */
    assert_non_null(copy);
    memcpy(copy + 1, module.p, n);
    if (flipped < n) copy[1 + flipped] = (char)(copy[1 + flipped] ^ (1 << flipped % 8));
    (void)nx_rt_source_map_from_dwarf(nx_slice_make(copy + 1, n), NX_SLICE("/x"), &out, NULL);
    free(copy);
}

/* Cut and changed anywhere: no byte beside the module is read. */
static void test_source_map_from_damaged_dwarf(void **state)
{
    (void)state;
    nx_slice module = inlined();
    for (size_t i = 0; i < module.n; i++) {
        make_map(module, module.n, i);
        make_map(module, i, SIZE_MAX);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_map_goes_into_the_module),
        cmocka_unit_test(test_source_map_damaged_ones_are_refused_or_find_nothing),
        cmocka_unit_test(test_source_map_from_dwarf),
        cmocka_unit_test(test_source_map_from_dwarf_of_another_folder),
        cmocka_unit_test(test_source_map_from_damaged_dwarf),
    };
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
