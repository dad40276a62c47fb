#include <stdio.h>
#include <stdlib.h>

/* A function can be a plain program: it starts anew for every event, reads its data and ends. */
int main(void)
{
    char name[256];
    size_t n = fread(name, 1, sizeof name - 1, stdin);
    name[n] = 0;

    fprintf(stderr, "greeting %zu bytes of event %s\n", n, getenv("EVENT_ID"));
    printf("%s, %s!\n", getenv("GREETING"), n ? name : "world");
    return 0;
}
