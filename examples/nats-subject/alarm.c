#include <stdio.h>
#include <stdlib.h>

/* The data of the event are the message's bytes; EVENT_TYPE is "nats." and the subject. */
int main(void)
{
    char text[64];
    size_t n = fread(text, 1, sizeof text - 1, stdin);
    text[n] = 0;

    char *end;
    double celsius = strtod(text, &end);
    if (end == text) {
        fprintf(stderr, "not a number: %s\n", text);
        return 1;
    }
    if (celsius <= atof(getenv("LIMIT_CELSIUS"))) {
        fprintf(stderr, "%.1f is fine\n", celsius);
        return 0;
    }
    fprintf(stderr, "%.1f is too hot\n", celsius);
    printf("{\"sensor\": \"%s\", \"celsius\": %.1f}\n", getenv("EVENT_TYPE"), celsius);
    return 0;
}
