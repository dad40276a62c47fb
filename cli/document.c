/* document.c: the man page and the command's part of docs/API_REFERENCE.md, from the table of commands. */
#include "cli.h"

/* ---- roff ------------------------------------------------------------------------------------------------------- */

/* Text of a roff line: hyphens that are to be copied stay ASCII, backslashes are escaped, no line begins with a request, and
 * what is not ASCII is named by its code point, which every roff understands. */
static void roff(const char *text, FILE *out)
{
    bool at_begin = true;
    for (; *text; text++) {
        if (at_begin && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\n' && text[1] == '\n') {
            fputs("\n.PP", out);
        } else if ((unsigned char)*text >= 0xe0 && (unsigned char)*text < 0xf0 && text[1] && text[2]) {
            fprintf(out, "\\[u%04X]", (unsigned)((text[0] & 0x0f) << 12 | (text[1] & 0x3f) << 6 | (text[2] & 0x3f)));
            text += 2;
        } else
            fputc(*text, out);
        at_begin = *text == '\n';
    }
}

static void man_flags(const nx_cli_flag *list, FILE *out)
{
    for (const nx_cli_flag *f = list; f && f->name; f++) {
        fputs(".TP\n\\fB", out);
        if (f->letter)
            fprintf(out, "\\-%c\\fR, \\fB", f->letter);
        fputs("\\-\\-", out);
        roff(f->name, out);
        fputs("\\fR", out);
        if (f->value) {
            fputs(" \\fI", out);
            roff(f->value, out);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        roff(f->help, out);
        fputc('\n', out);
    }
}

static void man_command(const nx_cli_command *k, FILE *out)
{
    fputs(".SS nexus ", out);
    roff(k->verb, out);
    fputc('\n', out);
    roff(k->summary, out);
    fputs(".\n", out);
    if (k->text) {
        fputs(".PP\n", out);
        roff(k->text, out);
        fputc('\n', out);
    }
    for (const nx_cli_arg *a = k->args; a && a->name; a++) {
        fprintf(out, ".TP\n\\fI%s\\fR%s\n", a->name, a->is_optional ? " (optional)" : "");
        roff(a->help, out);
        fputc('\n', out);
    }
    man_flags(k->flags, out);
    for (const nx_cli_example *e = k->examples; e && e->command; e++) {
        fputs(".PP\n", out);
        roff(e->says, out);
        fputs(":\n.PP\n.RS 4\n.nf\n", out);
        roff(e->command, out);
        fputs("\n.fi\n.RE\n", out);
    }
}

void nx_cli_man(FILE *out)
{
    fprintf(out, ".TH NEXUS 1 \"\" \"Nexus Functions %s\" \"User Commands\"\n", nx_cli_version);
    fputs(".SH NAME\nnexus \\- run, record and replay event\\-driven functions\n"
          ".SH SYNOPSIS\n\\fBnexus\\fR \\fIcommand\\fR [\\fIargument\\fR ...] [\\fIflags\\fR]\n"
          ".SH DESCRIPTION\n"
          "An event is stored before anything else happens. A function is a WebAssembly module that sees nothing but what the\n"
          "node hands it, so every run can be repeated exactly: on the same node, against another version, as a proof.\n"
          ".SH COMMANDS\n",
          out);
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        if (!nx_cli_commands[i]->is_hidden)
            man_command(nx_cli_commands[i], out);
    }
    fputs(".SH FLAGS OF EVERY COMMAND\n", out);
    man_flags(nx_cli_global_flags, out);
    fputs(".SH FLAGS OF COMMANDS THAT TALK TO A NODE\n", out);
    man_flags(nx_cli_client_flags, out);
    fputs(".SH EXIT STATUS\n", out);
    for (const nx_cli_exit *e = nx_cli_exits; e->means; e++) {
        fprintf(out, ".TP\n\\fB%d\\fR\n", e->code);
        roff(e->means, out);
        fputc('\n', out);
    }
    fputs(".SH ENVIRONMENT\n"
          ".TP\n\\fBNEXUS_ADMIN_URL\\fR\nThe node that commands talk to.\n"
          ".TP\n\\fBNEXUS_NATS_SERVER\\fR\nThe nats\\-server program that a node starts.\n"
          ".TP\n\\fBWASI_SDK_PATH\\fR\nA WASI SDK to build C with, in place of the system's clang.\n"
          ".TP\n\\fBNO_COLOR\\fR\nWith any value, no colours.\n"
          ".PP\nEvery key of nexus.yaml outside \\fBfunctions\\fR has a variable: \\fBlog.level\\fR is \\fBNEXUS_LOG_LEVEL\\fR.\n"
          ".SH FILES\n"
          ".TP\n\\fInexus.yaml\\fR\nThe project: functions and settings.\n"
          ".TP\n\\fI.nexus/\\fR\nThe private event log, compiled code and \\fInode.json\\fR, by which commands find the running node.\n",
          out);
}

/* ---- Markdown --------------------------------------------------------------------------------------------------- */

/* Inside a table cell or a paragraph: pipes would end the cell, angle brackets are taken for HTML. */
static void md(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '|')
            fputs("\\|", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else
            fputc(*text, out);
    }
}

static void md_flags(const nx_cli_flag *list, FILE *out)
{
    if (!list || !list->name)
        return;
    fputs("\n| flag | meaning |\n| --- | --- |\n", out);
    for (const nx_cli_flag *f = list; f->name; f++) {
        fputs("| `", out);
        if (f->letter)
            fprintf(out, "-%c`, `", f->letter);
        fprintf(out, "--%s", f->name);
        if (f->value) {
            fputc(' ', out);
            /* Code spans keep everything but the pipe. */
            for (const char *p = f->value; *p; p++)
                fprintf(out, "%s%c", *p == '|' ? "\\" : "", *p);
        }
        fputs("` | ", out);
        md(f->help, out);
        fputs(" |\n", out);
    }
}

static void md_command(const nx_cli_command *k, FILE *out)
{
    fprintf(out, "\n#### nexus %s\n\n", k->verb);
    md(k->summary, out);
    fputs(".\n", out);
    if (k->text) {
        fputc('\n', out);
        md(k->text, out);
        fputc('\n', out);
    }
    fputs("\n```text\n", out);
    nx_cli_usage_line(k, out);
    fputs("```\n", out);
    if (k->args && k->args->name) {
        fputs("\n| argument | meaning |\n| --- | --- |\n", out);
        for (const nx_cli_arg *a = k->args; a->name; a++) {
            fprintf(out, "| `%s` | ", a->name);
            md(a->help, out);
            fputs(" |\n", out);
        }
    }
    md_flags(k->flags, out);
    if (k->examples && k->examples->command) {
        fputs("\n```sh\n", out);
        for (const nx_cli_example *e = k->examples; e->command; e++)
            fprintf(out, "%s# %s\n%s\n", e == k->examples ? "" : "\n", e->says, e->command);
        fputs("```\n", out);
    }
}

void nx_cli_reference(FILE *out)
{
    fputs("### Commands\n\n| command | |\n| --- | --- |\n", out);
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        const nx_cli_command *k = nx_cli_commands[i];
        if (k->is_hidden)
            continue;
        fputs("| [`nexus ", out);
        fputs(k->verb, out);
        fputs("`](#nexus-", out);
        for (const char *p = k->verb; *p; p++)
            fputc(*p == ' ' ? '-' : *p, out);
        fputs(") | ", out);
        md(k->summary, out);
        fputs(" |\n", out);
    }
    fputs("\nFlags of every command:\n", out);
    md_flags(nx_cli_global_flags, out);
    fputs("\nFlags of the commands that talk to a node:\n", out);
    md_flags(nx_cli_client_flags, out);
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        if (!nx_cli_commands[i]->is_hidden)
            md_command(nx_cli_commands[i], out);
    }
    fputs("\n### Exit codes\n\n| code | meaning |\n| ---: | --- |\n", out);
    for (const nx_cli_exit *e = nx_cli_exits; e->means; e++) {
        fprintf(out, "| %d | ", e->code);
        md(e->means, out);
        fputs(" |\n", out);
    }
}
