/* outbound_address.c: which addresses belong to the public internet, by the registries of RFC 6890 and its successors.
 * An address that carries an IPv4 address in it (mapped, NAT64, 6to4) is what that address is. */
#include "outbound_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>

typedef struct range {
    uint8_t b[16];
    unsigned bits;
    nx_ob_class is;
} range;

/* First match counts. IPv4 in its own 32 bits. */
static const range v4[] = {
    {{169, 254, 169, 254}, 32, NX_OB_METADATA}, /* nearly all clouds */
    {{169, 254, 170, 2}, 32, NX_OB_METADATA},   /* container credentials */
    {{169, 254, 170, 23}, 32, NX_OB_METADATA},
    {{100, 100, 100, 200}, 32, NX_OB_METADATA},
    {{168, 63, 129, 16}, 32, NX_OB_METADATA}, /* a public address that only the machine's own host answers */
    {{192, 0, 0, 192}, 32, NX_OB_METADATA},
    {{0}, 8, NX_OB_RESERVED}, /* "this network": Linux connects 0.0.0.0 to itself */
    {{10}, 8, NX_OB_PRIVATE},
    {{100, 64}, 10, NX_OB_PRIVATE}, /* between carrier and customer */
    {{127}, 8, NX_OB_LOOPBACK},
    {{169, 254}, 16, NX_OB_LINK_LOCAL},
    {{172, 16}, 12, NX_OB_PRIVATE},
    {{192, 0, 0}, 24, NX_OB_RESERVED},
    {{192, 0, 2}, 24, NX_OB_RESERVED}, /* documentation */
    {{192, 88, 99}, 24, NX_OB_RESERVED},
    {{192, 168}, 16, NX_OB_PRIVATE},
    {{198, 18}, 15, NX_OB_RESERVED}, /* benchmarks */
    {{198, 51, 100}, 24, NX_OB_RESERVED},
    {{203, 0, 113}, 24, NX_OB_RESERVED},
    {{224}, 4, NX_OB_MULTICAST},
    {{240}, 4, NX_OB_RESERVED},
};

static const range v6[] = {
    {{0xfd, 0x00, 0x0e, 0xc2, [15] = 0x54, [14] = 0x02}, 128, NX_OB_METADATA}, /* fd00:ec2::254 */
    {{0xfd, 0x20, 0x00, 0xce, [15] = 0x54, [14] = 0x02}, 128, NX_OB_METADATA}, /* fd20:ce::254 */
    {{[15] = 1}, 128, NX_OB_LOOPBACK},
    {{0xfc}, 7, NX_OB_PRIVATE},
    {{0xfe, 0x80}, 10, NX_OB_LINK_LOCAL},
    {{0xfe, 0xc0}, 10, NX_OB_PRIVATE}, /* site-local, deprecated */
    {{0xff}, 8, NX_OB_MULTICAST},
    {{0x20, 0x01}, 23, NX_OB_RESERVED},             /* protocol assignments, Teredo among them */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, NX_OB_RESERVED}, /* documentation */
    {{0x3f, 0xff}, 20, NX_OB_RESERVED},
    {{0x20}, 3, NX_OB_PUBLIC},
};

static bool has_prefix(const uint8_t *a, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, prefix, whole) != 0) return false;
    return !rest || ((a[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

static nx_ob_class class_in(const range *list, size_t n, const uint8_t *a)
{
    for (size_t i = 0; i < n; i++)
        if (has_prefix(a, list[i].b, list[i].bits)) return list[i].is;
    return list == v4 ? NX_OB_PUBLIC : NX_OB_RESERVED; /* of IPv6 only 2000::/3 was given out */
}

bool nx_ob_address_is_v4(const nx_ob_address *a)
{
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};
    return has_prefix(a->b, mapped, 96);
}

/* Where an IPv4 address lies in an IPv6 one; NULL: it carries none. */
static const uint8_t *embedded_v4(const nx_ob_address *a)
{
    static const uint8_t nat64[16] = {0x00, 0x64, 0xff, 0x9b}, six_to_four[16] = {0x20, 0x02};
    if (nx_ob_address_is_v4(a) || has_prefix(a->b, nat64, 96)) return a->b + 12;
    return has_prefix(a->b, six_to_four, 16) ? a->b + 2 : NULL;
}

nx_ob_class nx_ob_address_class(const nx_ob_address *a)
{
    const uint8_t *inner = embedded_v4(a);
    return inner ? class_in(v4, NX_ARRAY_LEN(v4), inner) : class_in(v6, NX_ARRAY_LEN(v6), a->b);
}

const char *nx_ob_class_name(nx_ob_class c)
{
    switch (c) {
    case NX_OB_PUBLIC: return "a public address";
    case NX_OB_PRIVATE: return "an address of a private network";
    case NX_OB_LOOPBACK: return "a loopback address";
    case NX_OB_LINK_LOCAL: return "a link-local address";
    case NX_OB_METADATA: return "the address of a cloud's metadata service";
    case NX_OB_MULTICAST: return "a multicast address";
    case NX_OB_RESERVED: return "a reserved address";
    }
    return "an address";
}

static nx_ob_address from_v4(const void *four)
{
    nx_ob_address a = {{[10] = 0xff, [11] = 0xff}};
    memcpy(a.b + 12, four, 4);
    return a;
}

bool nx_ob_address_parse(nx_slice text, nx_ob_address *ret)
{
    char s[64];
    struct in_addr four;
    if (nx_slice_to_cstr(text, s, sizeof s) != NX_OK) return false;
    if (inet_pton(AF_INET, s, &four) == 1) {
        *ret = from_v4(&four);
        return true;
    }
    return inet_pton(AF_INET6, s, ret->b) == 1;
}

bool nx_ob_address_of(const struct sockaddr *sa, nx_ob_address *ret, uint16_t *ret_port)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        *ret = from_v4(&in.sin_addr);
        *ret_port = ntohs(in.sin_port);
        return true;
    }
    if (sa->sa_family != AF_INET6) return false;
    struct sockaddr_in6 in6;
    memcpy(&in6, sa, sizeof in6);
    memcpy(ret->b, &in6.sin6_addr, sizeof ret->b);
    *ret_port = ntohs(in6.sin6_port);
    return true;
}
