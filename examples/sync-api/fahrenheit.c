#include <stdio.h>
#include <stdlib.h>

/* Exported instead of a main(): the module is set up once and each event is one call. */
__attribute__((export_name("handle_event"))) void handle_event(void)
{
    char text[64], *end;
    size_t n = fread(text, 1, sizeof text - 1, stdin);
    text[n] = 0;

    double celsius = strtod(text, &end);
    if (end == text) {
        fprintf(stderr, "not a number: %s\n", text);
        exit(1);
    }
    printf("{\"celsius\": %.2f, \"fahrenheit\": %.2f}\n", celsius, celsius * 9 / 5 + 32);
    fflush(stdout);
}
