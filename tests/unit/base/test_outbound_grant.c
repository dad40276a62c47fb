/* Grants: what is one, what it allows, and which addresses are out of reach whatever a name says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "outbound_internal.h"

static void test_grant_check_takes_the_forms(void **state)
{
    (void)state;
    static const char *const good[] = {
        "https://api.example.com", "http://api.example.com/", "https://api.example.com:8443", "*://api.example.com", "https://*.example.com", "https://*",
        "http://*:*", "https://example.com:8000..8010", "http://127.0.0.1:9000", "http://[::1]:9000", "http://10.0.0.0/8", "http://10.0.0.0/8:8080",
        "http://[fd00::]/8:80", "HTTPS://API.Example.COM", "http://localhost:3000", "http://my_service:80", "https://xn--bcher-kva.example", "http://10.0.0.0/8/"};
    for (size_t i = 0; i < NX_ARRAY_LEN(good); i++) {
        nx_error e = NX_ERROR_INIT;
        if (nx_grant_check(nx_slice_cstr(good[i]), &e) != NX_OK) fail_msg("%s: %s", good[i], e.msg);
    }
}

static void test_grant_check_says_what_to_write(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "no scheme"},
        {"api.example.com", "write https://api.example.com"},
        {"redis://cache:6379", "scheme that functions can't use"},
        {"https://", "no host"},
        {"https://api.example.com/v1", "has a path"},
        {"https://api.example.com?x", "no host name"},
        {"https://user:pw@example.com", "no port"},
        {"https://user@example.com", "user name"},
        {"https://*example.com", "whole first label"},
        {"https://api.*.com", "whole first label"},
        {"https://api.example.com:0", "no port"},
        {"https://api.example.com:70000", "no port"},
        {"https://api.example.com:", "no port"},
        {"https://api.example.com:90..80", "ends before it begins"},
        {"https://api.example.com:80.90", "no range of ports"},
        {"http://127.1", "four decimal numbers"},
        {"http://0x7f000001", "four decimal numbers"},
        {"http://2130706433", "four decimal numbers"},
        {"http://10.1.2.3/8", "bits set behind its range"},
        {"http://10.0.0.0/33", "/1 to /32"},
        {"http://10.0.0.0/0", "/1 to /32"},
        {"http://[::1", "IPv6"},
        {"http://[fe80::1%eth0]", "IPv6"},
        {"http://example.com.", "no host name"},
        {"http://-x.example", "no host name"},
        {"http://exa mple.com", "a space"},
        {"http://b\xc3\xbc"
         "cher.example",
         "xn--"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        nx_error e = NX_ERROR_INIT;
        assert_int_equal(nx_grant_check(nx_slice_cstr(bad[i][0]), &e), NX_EINVAL);
        if (!strstr(e.msg, bad[i][1])) fail_msg("%s: %s (not: %s)", bad[i][0], e.msg, bad[i][1]);
    }
}

static nx_err target(const char *grant, const char *url)
{
    nx_slice g = nx_slice_cstr(grant);
    nx_ob_url u;
    nx_error e = NX_ERROR_INIT;
    if (nx_ob_url_parse(nx_slice_cstr(url), &u, &e) != NX_OK) fail_msg("%s: %s", url, e.msg);
    nx_err err = nx_ob_allow_target(&g, 1, &u.target, &e);
    nx_ob_url_done(&u);
    return err;
}

static void test_allow_target_compares_scheme_host_and_port(void **state)
{
    (void)state;
    static const struct {
        const char *grant, *url;
        bool is_allowed;
    } cases[] = {
        {"https://api.example.com", "https://api.example.com/v1?x=1#y", true},
        {"https://api.example.com", "https://API.example.com:443/", true},
        {"https://api.example.com", "http://api.example.com/", false},
        {"https://api.example.com", "https://api.example.com:8443/", false},
        {"https://api.example.com:8443", "https://api.example.com:8443/", true},
        {"https://api.example.com:8443", "https://api.example.com/", false},
        {"*://api.example.com", "http://api.example.com/", true},
        {"https://a.example:8000..8010", "https://a.example:8010/", true},
        {"https://a.example:8000..8010", "https://a.example:8011/", false},
        {"https://a.example:*", "https://a.example:1/", true},
        {"https://*.example.com", "https://a.b.example.com/", true},
        {"https://*.example.com", "https://example.com/", false},
        {"https://*.example.com", "https://notexample.com/", false},
        {"https://*.example.com", "https://example.com.evil.net/", false},
        {"https://example.com", "https://example.com.evil.net/", false},
        {"https://*", "https://anything.net/", true},
        {"https://*", "https://93.184.216.34/", true},
        {"http://*", "http://127.0.0.1/", false},
        {"http://*", "http://169.254.169.254/latest/", false},
        {"http://*", "http://[::ffff:10.0.0.1]/", false},
        {"http://127.0.0.1:9000", "http://127.0.0.1:9000/", true},
        {"http://127.0.0.1:9000", "http://127.0.0.1:9001/", false},
        {"http://127.0.0.1", "http://0x7f.1/", true}, /* the parser's own spelling of the same address */
        {"http://127.0.0.1", "http://2130706433/", true},
        {"http://10.0.0.0/8", "http://10.2.3.4/", true},
        {"http://10.0.0.0/8", "http://11.2.3.4/", false},
        {"http://[fd00::]/8", "http://[fd12::1]/", true},
        {"http://169.254.0.0/16", "http://169.254.169.254/", false}, /* a range is not the metadata service */
        {"http://169.254.169.254", "http://169.254.169.254/", true},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++)
        if ((target(cases[i].grant, cases[i].url) == NX_OK) != cases[i].is_allowed) fail_msg("%s and %s", cases[i].grant, cases[i].url);
}

static nx_err address(const char *grant, const char *url, const char *ip)
{
    nx_slice g = nx_slice_cstr(grant);
    nx_ob_url u;
    nx_ob_address a;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_ob_url_parse(nx_slice_cstr(url), &u, NULL), NX_OK);
    assert_true(nx_ob_address_parse(nx_slice_cstr(ip), &a));
    nx_err err = nx_ob_allow_address(&g, 1, &u.target, &a, &e);
    nx_ob_url_done(&u);
    return err;
}

static void test_allow_address_holds_names_to_their_kind(void **state)
{
    (void)state;
    static const struct {
        const char *grant, *url, *ip;
        bool is_allowed;
    } cases[] = {
        {"https://api.example.com", "https://api.example.com/", "93.184.216.34", true},
        {"https://api.example.com", "https://api.example.com/", "127.0.0.1", false},
        {"https://api.example.com", "https://api.example.com/", "10.0.0.1", false},
        {"https://api.example.com", "https://api.example.com/", "::1", false},
        {"https://api.example.com", "https://api.example.com/", "64:ff9b::5db8:d822", true}, /* NAT64 of a public address */
        {"https://api.example.com", "https://api.example.com/", "64:ff9b::a00:1", false},
        {"http://orders.internal:80", "http://orders.internal/", "10.0.0.1", true},
        {"http://orders.internal:80", "http://orders.internal/", "127.0.0.1", false},
        {"http://orders.internal:80", "http://orders.internal/", "169.254.169.254", false},
        {"http://db", "http://db/", "172.17.0.2", true},
        {"http://db", "http://db/", "fd00:1::2", true},
        {"http://db", "http://db/", "fd00:ec2::254", false},
        {"http://db", "http://db/", "100.100.100.200", false},
        {"http://*.internal", "http://orders.internal/", "10.0.0.1", false},
        {"http://*", "http://db/", "10.0.0.1", false},
        {"http://10.0.0.0/8", "http://api.example.com/", "10.1.2.3", true}, /* of a name that another grant allowed */
        {"http://10.0.0.0/8:8080", "http://api.example.com/", "10.1.2.3", false},
        {"http://localhost:3000", "http://localhost:3000/", "127.0.0.1", true},
        {"http://localhost:3000", "http://localhost:3000/", "::1", true},
        {"http://localhost:3000", "http://localhost:3000/", "10.0.0.1", false},
        {"http://app.localhost", "http://app.localhost/", "127.0.0.1", true},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++)
        if ((address(cases[i].grant, cases[i].url, cases[i].ip) == NX_OK) != cases[i].is_allowed)
            fail_msg("%s, %s at %s", cases[i].grant, cases[i].url, cases[i].ip);
}

static void test_refusal_does_not_tell_the_address(void **state)
{
    (void)state;
    nx_slice g = NX_SLICE("https://api.example.com");
    nx_ob_url u;
    nx_ob_address a;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_ob_url_parse(NX_SLICE("https://api.example.com/"), &u, NULL), NX_OK);
    assert_true(nx_ob_address_parse(NX_SLICE("10.9.8.7"), &a));
    assert_int_equal(nx_ob_allow_address(&g, 1, &u.target, &a, &e), NX_EDENIED);
    assert_non_null(strstr(e.msg, "private network"));
    assert_null(strstr(e.msg, "10.9"));
    nx_ob_url_done(&u);
}

static void test_address_classes(void **state)
{
    (void)state;
    static const struct {
        const char *ip;
        nx_ob_class is;
    } cases[] = {
        {"8.8.8.8", NX_OB_PUBLIC},
        {"0.0.0.0", NX_OB_RESERVED},
        {"10.255.255.255", NX_OB_PRIVATE},
        {"11.0.0.0", NX_OB_PUBLIC},
        {"100.63.255.255", NX_OB_PUBLIC},
        {"100.64.0.0", NX_OB_PRIVATE},
        {"100.127.255.255", NX_OB_PRIVATE},
        {"100.128.0.0", NX_OB_PUBLIC},
        {"127.255.255.254", NX_OB_LOOPBACK},
        {"169.254.1.1", NX_OB_LINK_LOCAL},
        {"169.254.169.254", NX_OB_METADATA},
        {"168.63.129.16", NX_OB_METADATA},
        {"172.15.255.255", NX_OB_PUBLIC},
        {"172.16.0.0", NX_OB_PRIVATE},
        {"172.31.255.255", NX_OB_PRIVATE},
        {"172.32.0.0", NX_OB_PUBLIC},
        {"192.168.0.1", NX_OB_PRIVATE},
        {"192.0.2.1", NX_OB_RESERVED},
        {"198.19.255.255", NX_OB_RESERVED},
        {"224.0.0.1", NX_OB_MULTICAST},
        {"240.0.0.1", NX_OB_RESERVED},
        {"255.255.255.255", NX_OB_RESERVED},
        {"::", NX_OB_RESERVED},
        {"::1", NX_OB_LOOPBACK},
        {"::127.0.0.1", NX_OB_RESERVED},
        {"::ffff:127.0.0.1", NX_OB_LOOPBACK},
        {"::ffff:8.8.8.8", NX_OB_PUBLIC},
        {"::ffff:169.254.169.254", NX_OB_METADATA},
        {"64:ff9b::7f00:1", NX_OB_LOOPBACK},
        {"64:ff9b:1::7f00:1", NX_OB_RESERVED},
        {"2002:7f00:1::", NX_OB_LOOPBACK},
        {"2002:808:808::", NX_OB_PUBLIC},
        {"2001:0:1::1", NX_OB_RESERVED},
        {"2001:db8::1", NX_OB_RESERVED},
        {"2606:4700::1", NX_OB_PUBLIC},
        {"fc00::1", NX_OB_PRIVATE},
        {"fe80::1", NX_OB_LINK_LOCAL},
        {"fec0::1", NX_OB_PRIVATE},
        {"ff02::1", NX_OB_MULTICAST},
        {"4000::1", NX_OB_RESERVED},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        nx_ob_address a;
        assert_true(nx_ob_address_parse(nx_slice_cstr(cases[i].ip), &a));
        if (nx_ob_address_class(&a) != cases[i].is) fail_msg("%s is %s", cases[i].ip, nx_ob_class_name(nx_ob_address_class(&a)));
    }
}

static void test_url_parse_refuses_what_hides_a_host(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "/path", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "http://user:pw@example.com/", "http://user@example.com/",
        "http://exam ple.com/", "http://example.com\\@evil.net/", "http://example.com/\n", "http://example.com/\xc3\xbc", "http://example.com:0/",
        "http://example.com:99999/", "http://example.com./", "http://[fe80::1%25eth0]/", "http://[::1/", "http://1.2.3.4.5/", "http://%31%32%37.1.1.1.1/", "http:///x"};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        nx_ob_url u;
        nx_error e = NX_ERROR_INIT;
        if (nx_ob_url_parse(nx_slice_cstr(bad[i]), &u, &e) == NX_OK) fail_msg("%s became %s", bad[i], u.text);
        assert_string_not_equal(e.msg, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grant_check_takes_the_forms),
        cmocka_unit_test(test_grant_check_says_what_to_write),
        cmocka_unit_test(test_allow_target_compares_scheme_host_and_port),
        cmocka_unit_test(test_allow_address_holds_names_to_their_kind),
        cmocka_unit_test(test_refusal_does_not_tell_the_address),
        cmocka_unit_test(test_address_classes),
        cmocka_unit_test(test_url_parse_refuses_what_hides_a_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
