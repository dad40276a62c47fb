/* Takes items out of stock: compare-and-set on a counter in a key-value store, and an event when little is left.
 * Data: "ITEM QUANTITY"; a negative quantity fills up. */
#include "nexus.h"

#define TRIES 16
#define LITTLE 5

/* The new level, or -1 after saying why. */
static long long change(const char *key, long long by)
{
    for (int i = 0; i < TRIES; i++) {
        nexus_text value = {NULL, 0};
        uint64_t revision = 0;
        nexus_status s = nexus_kv_get("stock", key, &value, &revision);
        if (s && s != NEXUS_NOT_FOUND) break;
        long long level = (value.p ? atoll(value.p) : 0) - by;
        free(value.p);
        if (level < 0) {
            fprintf(stderr, "not enough of %s\n", key);
            return -1;
        }
        char text[32];
        int n = snprintf(text, sizeof text, "%lld", level);
        s = nexus_kv_put("stock", key, text, (size_t)n, s ? NEXUS_ABSENT : (int64_t)revision, NULL);
        if (!s) return level;
        if (s != NEXUS_CONFLICT) break; /* else: somebody else was faster */
    }
    fprintf(stderr, "%s\n", nexus_error());
    return -1;
}

int main(void)
{
    char item[64], data[128];
    long long quantity, level;
    if (scanf("%63s %lld", item, &quantity) != 2) {
        fprintf(stderr, "expected: ITEM QUANTITY\n");
        return 2;
    }
    level = change(item, quantity);
    if (level < 0) return 1;
    printf("%lld left\n", level);
    if (level > LITTLE) return 0;
    int n = snprintf(data, sizeof data, "{\"item\": \"%s\", \"left\": %lld}", item, level);
    if (nexus_emit("stock.low", item, item, "application/json", data, (size_t)n) != NEXUS_OK) {
        fprintf(stderr, "%s\n", nexus_error());
        return 1;
    }
    return 0;
}
