/* help.c: help texts from the table of commands. */
#include "cli.h"

#define LINE_COLUMNS 100

static unsigned columns_of(const char *text, size_t n)
{
    unsigned columns = 0;
    for (size_t i = 0; i < n; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

/* Words of `text` in lines of LINE_COLUMNS behind `indent` columns, of which the first line has some already. An empty line parts
 * paragraphs; a single newline is a space. */
static void wrapped(const char *text, unsigned indent, FILE *out)
{
    unsigned column = indent;
    while (*text) {
        size_t gap = strspn(text, " \n"), n = strcspn(text + gap, " \n");
        bool is_paragraph = gap >= 2 && memmem(text, gap, "\n\n", 2);
        unsigned columns = columns_of(text + gap, n);
        if (is_paragraph) {
            fprintf(out, "\n\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent && column + 1 + columns > LINE_COLUMNS) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fwrite(text + gap, 1, n, out);
        column += columns;
        text += gap + n;
    }
    fputc('\n', out);
}

void nx_cli_usage_line(const nx_cli_command *command, FILE *out)
{
    fprintf(out, "nexus %s", command->verb);
    for (const nx_cli_arg *a = command->args; a && a->name; a++)
        fprintf(out, " %s<%s>%s%s", a->is_optional ? "[" : "", a->name, a->is_many ? "…" : "", a->is_optional ? "]" : "");
    fputs(" [flags]\n", out);
}

static void head(const char *text, bool with_colour, FILE *out)
{
    fprintf(out, "\n%s%s%s\n", nx_cli_paint(with_colour, NX_CLI_BOLD), text, nx_cli_paint(with_colour, NX_CLI_PLAIN));
}

static unsigned flag_width(const nx_cli_flag *f)
{
    return (unsigned)(strlen(f->name) + (f->value ? 1 + strlen(f->value) : 0));
}

static void flag_lines(const nx_cli_command *command, FILE *out)
{
    unsigned width = 0;
    const nx_cli_flag *f;
    for (unsigned i = 0; (f = nx_cli_each_flag(command, i)); i++) {
        if (flag_width(f) > width)
            width = flag_width(f);
    }
    for (unsigned i = 0; (f = nx_cli_each_flag(command, i)); i++) {
        if (f->letter)
            fprintf(out, "  -%c, ", f->letter);
        else
            fputs("      ", out);
        fprintf(out, "--%s%s%s%*s  ", f->name, f->value ? " " : "", f->value ? f->value : "", (int)(width - flag_width(f)), "");
        wrapped(f->help, 10 + width, out);
    }
}

void nx_cli_help(const nx_cli_command *command, bool with_colour, FILE *out)
{
    fprintf(out, "%s.\n", command->summary);
    if (command->text) {
        fputc('\n', out);
        wrapped(command->text, 0, out);
    }
    head("Usage", with_colour, out);
    fputs("  ", out);
    nx_cli_usage_line(command, out);
    if (command->args && command->args->name) {
        unsigned width = 0;
        for (const nx_cli_arg *a = command->args; a->name; a++)
            width = strlen(a->name) > width ? (unsigned)strlen(a->name) : width;
        head("Arguments", with_colour, out);
        for (const nx_cli_arg *a = command->args; a->name; a++) {
            fprintf(out, "  <%s>%*s  ", a->name, (int)(width - strlen(a->name)), "");
            wrapped(a->help, 6 + width, out);
        }
    }
    head("Flags", with_colour, out);
    flag_lines(command, out);
    if (command->examples && command->examples->command) {
        head("Examples", with_colour, out);
        for (const nx_cli_example *e = command->examples; e->command; e++)
            fprintf(out, "  %s# %s%s\n  %s\n", nx_cli_paint(with_colour, NX_CLI_DIM), e->says,
                    nx_cli_paint(with_colour, NX_CLI_PLAIN), e->command);
    }
}

static void command_lines(const char *group, FILE *out)
{
    size_t group_n = group ? strlen(group) : 0;
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        const nx_cli_command *k = nx_cli_commands[i];
        if (k->is_hidden || (group && (strncmp(k->verb, group, group_n) != 0 || k->verb[group_n] != ' ')))
            continue;
        fprintf(out, "  %-20s %s\n", k->verb, k->summary);
    }
}

void nx_cli_help_group(const char *word, bool with_colour, FILE *out)
{
    for (const nx_cli_group *g = nx_cli_groups; g->word; g++) {
        if (strcmp(g->word, word) == 0)
            fprintf(out, "%s.\n", g->summary);
    }
    head("Commands", with_colour, out);
    command_lines(word, out);
    fprintf(out, "\nMore of each: nexus %s <command> --help\n", word);
}

void nx_cli_help_all(bool with_colour, FILE *out)
{
    fputs("Nexus Functions: event-driven functions in WebAssembly, every event stored, every run repeatable.\n", out);
    head("Usage", with_colour, out);
    fputs("  nexus <command> [flags]\n", out);
    head("Commands", with_colour, out);
    command_lines(NULL, out);
    head("Start here", with_colour, out);
    fputs("  nexus new my-app --lang=rust\n  cd my-app\n  nexus dev\n", out);
    fputs("\nMore of each, with examples: nexus <command> --help\n", out);
}
