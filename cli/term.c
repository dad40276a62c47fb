/* term.c: colours, safe text, errors, tables, progress. */
#include "cli.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

const char *nx_cli_paint(bool with_colour, const char *code)
{
    return with_colour ? code : "";
}

void nx_cli_print_safe(FILE *out, nx_slice text)
{
    while (text.n > 0) {
        size_t n = nx_utf8_len(text);
        unsigned char ch = (unsigned char)text.p[0];
        /* C0, DEL, and C1 in UTF-8 (C2 80 to C2 9F): a terminal may act on all of them. */
        bool is_control = (n == 1 && (ch < 0x20 || ch == 0x7f) && ch != '\t') ||
                          (n == 2 && ch == 0xc2 && (unsigned char)text.p[1] < 0xa0);
        if (n == 0 || is_control) {
            size_t bytes = n ? n : 1;
            for (size_t i = 0; i < bytes; i++)
                fprintf(out, "\\x%02x", (unsigned char)text.p[i]);
            n = bytes;
        } else {
            fwrite(text.p, 1, n, out);
        }
        text = nx_slice_sub(text, n, text.n);
    }
}

void nx_cli_print_lines(FILE *out, const char *indent, nx_slice text)
{
    while (text.n > 0) {
        fputs(indent, out);
        nx_cli_print_safe(out, nx_slice_split(text, '\n', &text));
        fputc('\n', out);
    }
}

void nx_cli_print_word(FILE *out, const char *word)
{
    bool is_plain = *word != 0;
    for (const char *p = word; *p && is_plain; p++) /* bytes of UTF-8 mean nothing to a shell */
        is_plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("-_./+,:@%=", *p) || (*p & 0x80);
    if (is_plain) {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++)
        *word == '\'' ? fputs("'\\''", out) : fputc(*word, out);
    fputc('\'', out);
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

void nx_cli_put_error_json(FILE *out, nx_err code, const char *text)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf line = NX_BUF_INIT(1u << 16);
    nx_jw w = NX_JW_INIT(&line);
    nx_jw_object(&w);
    nx_jw_key(&w, "error");
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "code", nx_err_name(code));
    nx_jw_kcstr(&w, "message", text);
    nx_jw_object_end(&w);
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) == NX_OK)
        fprintf(out, "%.*s\n", NX_SLICE_FMT(nx_buf_view(&line)));
}

static int fail(const nx_cli *c, nx_err code, const char *text)
{
    if (c->json) {
        nx_cli_put_error_json(stderr, code, text);
        return nx_err_exit_code(code);
    }
    fprintf(stderr, "%snexus:%s ", nx_cli_paint(c->err_has_colour, NX_CLI_RED), nx_cli_paint(c->err_has_colour, NX_CLI_PLAIN));
    /* Messages of several lines keep them; everything else of a terminal's control is made visible. */
    nx_cli_print_lines(stderr, "", nx_slice_cstr(text));
    return nx_err_exit_code(code);
}

int nx_cli_fail(const nx_cli *c, nx_err code, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return fail(c, code, text);
}

int nx_cli_fail_error(const nx_cli *c, const nx_error *e)
{
    return fail(c, e->code, e->msg[0] ? e->msg : nx_err_text(e->code));
}

int nx_cli_fail_usage(const nx_cli *c, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fail(c, NX_EINVAL, text);
    if (!c->json)
        fprintf(stderr, "try 'nexus %s --help'\n", c->command ? c->command->verb : "");
    return NX_CLI_USAGE;
}

void nx_cli_say(const nx_cli *c, const char *fmt, ...)
{
    if (c->json)
        return;
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
}

void nx_cli_format_bytes(uint64_t bytes, char out[16])
{
    static const char *const units[] = {"kB", "MB", "GB", "TB"};
    if (bytes < 1000) {
        snprintf(out, 16, "%u B", (unsigned)bytes);
        return;
    }
    double v = (double)bytes / 1000;
    unsigned u = 0;
    for (; v >= 999.5 && u + 1 < NX_ARRAY_LEN(units); u++)
        v /= 1000;
    snprintf(out, 16, v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void nx_cli_format_ms(double ms, char out[16])
{
    if (ms < 9.95)
        snprintf(out, 16, "%.1fms", ms);
    else if (ms < 1000)
        snprintf(out, 16, "%.0fms", ms);
    else
        snprintf(out, 16, "%.1fs", ms / 1000);
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

#define TABLE_BYTES_MAX (64u << 20)

void nx_cli_table_init(nx_cli_table *t, unsigned n_columns, const char *const *heads)
{
    *t = (nx_cli_table){.n_columns = n_columns > NX_CLI_COLUMNS_MAX ? NX_CLI_COLUMNS_MAX : n_columns};
    nx_buf_init(&t->text, TABLE_BYTES_MAX);
    for (unsigned i = 0; i < t->n_columns; i++) {
        t->is_number[i] = heads[i][0] == '>';
        t->heads[i] = heads[i] + (t->is_number[i] ? 1 : 0);
    }
}

void nx_cli_table_done(nx_cli_table *t)
{
    nx_buf_done(&t->text);
}

static void put_safe(nx_cli_table *t, char ch)
{
    char hex[8];
    unsigned char u = (unsigned char)ch;
    if (u >= 0x20 && u != 0x7f) {
        t->is_short_of_memory |= nx_buf_append_char(&t->text, ch) != NX_OK;
        return;
    }
    snprintf(hex, sizeof hex, "\\x%02x", u);
    t->is_short_of_memory |= nx_buf_append_cstr(&t->text, hex) != NX_OK;
}

void nx_cli_table_cell(nx_cli_table *t, nx_slice text)
{
    while (text.n > 0) {
        size_t n = nx_utf8_len(text);
        if (n > 1 && !(n == 2 && (unsigned char)text.p[0] == 0xc2 && (unsigned char)text.p[1] < 0xa0)) {
            t->is_short_of_memory |= nx_buf_append(&t->text, text.p, n) != NX_OK;
        } else {
            if (n == 1)
                put_safe(t, text.p[0]);
            else
                t->is_short_of_memory |= nx_buf_append_char(&t->text, '?') != NX_OK;
            n = n ? n : 1;
        }
        text = nx_slice_sub(text, n, text.n);
    }
    t->is_short_of_memory |= nx_buf_append_char(&t->text, 0) != NX_OK;
    t->n_cells++;
}

void nx_cli_table_cellf(nx_cli_table *t, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    nx_cli_table_cell(t, nx_slice_cstr(text));
}

/* Columns of a terminal that a text takes, for the scripts that ids and names are in: one for each code point. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void nx_cli_table_print(const nx_cli_table *t, bool with_colour, FILE *out)
{
    if (t->is_short_of_memory || t->n_columns == 0 || t->n_cells % t->n_columns != 0) {
        fputs("nexus: the table does not fit into memory; use --json\n", stderr);
        return;
    }
    size_t widths[NX_CLI_COLUMNS_MAX];
    const char *cell = t->text.p;
    for (unsigned i = 0; i < t->n_columns; i++)
        widths[i] = width_of(t->heads[i]);
    for (unsigned i = 0; i < t->n_cells; i++) {
        size_t w = width_of(cell);
        if (w > widths[i % t->n_columns])
            widths[i % t->n_columns] = w;
        cell += strlen(cell) + 1;
    }
    cell = t->text.p;
    for (unsigned i = 0; i < t->n_columns + t->n_cells; i++) {
        unsigned column = i % t->n_columns;
        bool is_head = i < t->n_columns, is_last = column + 1 == t->n_columns;
        const char *text = is_head ? t->heads[column] : cell;
        int pad = (int)(widths[column] - width_of(text));
        if (is_head && column == 0)
            fputs(nx_cli_paint(with_colour, NX_CLI_BOLD), out);
        if (t->is_number[column])
            fprintf(out, "%*s%s", pad, "", text);
        else
            fprintf(out, "%s%*s", text, is_last ? 0 : pad, "");
        if (is_head && is_last)
            fputs(nx_cli_paint(with_colour, NX_CLI_PLAIN), out);
        fputs(is_last ? "\n" : "  ", out);
        if (!is_head)
            cell += strlen(cell) + 1;
    }
}

/* ---- progress --------------------------------------------------------------------------------------------------- */

struct nx_cli_progress {
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t woken;
    bool is_over, has_line;
    char what[160];
};

#define FIRST_AFTER_MS 1000
#define STEP_MS 250

/* Bytes of text that fit into a line of the terminal beside the rest of a progress line. */
static int text_columns(void)
{
    struct winsize size = {0};
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    return columns > 20 ? columns - 12 : 8;
}

static void *progress_main(void *self)
{
    nx_cli_progress *p = self;
    struct timespec begin, until;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pthread_mutex_lock(&p->mu);
    for (unsigned step = 0; !p->is_over; step++) {
        uint64_t at_ms = FIRST_AFTER_MS + (uint64_t)step * STEP_MS;
        until = begin;
        until.tv_sec += (time_t)(at_ms / 1000);
        until.tv_nsec += (long)(at_ms % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        while (!p->is_over && pthread_cond_timedwait(&p->woken, &p->mu, &until) == 0)
            ;
        if (p->is_over)
            break;
        /* A line that wraps could not be taken back. */
        fprintf(stderr, "\r\033[K%c %.*s (%us)", "|/-\\"[step % 4], text_columns(), p -> what, (unsigned)(at_ms / 1000));
        fflush(stderr);
        p->has_line = true;
    }
    pthread_mutex_unlock(&p->mu);
    return NULL;
}

nx_cli_progress *nx_cli_progress_begin(const nx_cli *c, const char *what)
{
    if (!c->err_is_tty || c->json)
        return NULL;
    nx_cli_progress *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    pthread_condattr_t attr;
    snprintf(p->what, sizeof p->what, "%s", what);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->mu, NULL);
    pthread_cond_init(&p->woken, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&p->thread, NULL, progress_main, p) != 0) {
        pthread_cond_destroy(&p->woken);
        pthread_mutex_destroy(&p->mu);
        free(p);
        return NULL;
    }
    return p;
}

void nx_cli_progress_end(nx_cli_progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mu);
    p->is_over = true;
    pthread_cond_signal(&p->woken);
    pthread_mutex_unlock(&p->mu);
    pthread_join(p->thread, NULL);
    if (p->has_line)
        fputs("\r\033[K", stderr);
    pthread_cond_destroy(&p->woken);
    pthread_mutex_destroy(&p->mu);
    free(p);
}
