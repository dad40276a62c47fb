// Does what the first line of its input says, with the host calls of module nexus. Of a secret it tells the length and a checksum, never the value.
//   http\nMESSAGE          the request as it stands; prints the status of the call, then the answer
//   with NAME HEADER\nM    the same, with "HEADER: <secret NAME>" among the headers
//   secret NAME            prints status, length and checksum
//   env NAME               the same of a variable
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("nexus"), import_name(name)))
IMPORT("http_request")
int nexus_http_request(const char *message, size_t n);
IMPORT("secret_get")
int nexus_secret_get(const char *name, size_t n);
IMPORT("answer_size")
size_t nexus_answer_size(void);
IMPORT("answer_read")
int nexus_answer_read(char *to, size_t offset, size_t n);

static char input[70000], answer[1 << 22], message[80000];

static size_t take_answer(void)
{
    size_t n = nexus_answer_size();
    nexus_answer_read(answer, 0, n);
    return n;
}

static void tell(int status, const char *value, size_t n)
{
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < n; i++) sum = (sum ^ (unsigned char)value[i]) * 16777619u;
    printf("status %d length %zu sum %08x\n", status, n, sum);
}

static void request(const char *text, size_t n)
{
    int status = nexus_http_request(text, n);
    n = take_answer();
    printf("%d\n", status);
    fwrite(answer, 1, n, stdout);
}

static void request_with(char *words, const char *body)
{
    char *name = strtok(words, " "), *header = strtok(NULL, " ");
    int status = nexus_secret_get(name, strlen(name));
    size_t n = take_answer();
    if (status) {
        tell(status, answer, n);
        return;
    }
    const char *rest = strchr(body, '\n') + 1;
    int k = snprintf(message, sizeof message, "%.*s%s: %.*s\n%s", (int)(rest - body), body, header, (int)n, answer, rest);
    request(message, (size_t)k);
}

void handle_event(void)
{
    size_t n = fread(input, 1, sizeof input - 1, stdin);
    input[n] = 0;
    char *body = strchr(input, '\n');
    if (body) *body++ = 0;
    if (strcmp(input, "http") == 0) {
        request(body, n - (size_t)(body - input));
    } else if (strncmp(input, "with ", 5) == 0) {
        request_with(input + 5, body);
    } else if (strncmp(input, "secret ", 7) == 0) {
        int status = nexus_secret_get(input + 7, strlen(input + 7));
        size_t k = take_answer();
        if (status) printf("status %d: %.*s\n", status, (int)k, answer);
        else tell(status, answer, k);
    } else if (strncmp(input, "env ", 4) == 0) {
        const char *value = getenv(input + 4);
        tell(value ? 0 : 2, value ? value : "", value ? strlen(value) : 0);
    }
    fflush(stdout);
}
