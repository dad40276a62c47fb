/* args.c: from argv to an invocation, by the table of commands. */
#include "cli.h"
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

const nx_cli_flag *nx_cli_each_flag(const nx_cli_command *command, unsigned index)
{
    const nx_cli_flag *lists[3] = {
        command ? command->flags : NULL,
        !command || command->is_client ? nx_cli_client_flags : NULL,
        nx_cli_global_flags,
    };
    for (unsigned i = 0; i < NX_ARRAY_LEN(lists); i++) {
        for (const nx_cli_flag *f = lists[i]; f && f->name; f++) {
            if (index-- == 0)
                return f;
        }
    }
    return NULL;
}

const nx_cli_command *nx_cli_command_find(const char *verb)
{
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        if (strcmp(nx_cli_commands[i]->verb, verb) == 0)
            return nx_cli_commands[i];
    }
    return NULL;
}

static const char *group_find(const char *word)
{
    for (const nx_cli_group *g = nx_cli_groups; g->word; g++) {
        if (strcmp(g->word, word) == 0)
            return g->word;
    }
    return NULL;
}

static const nx_cli_command *group_otherwise(const char *word)
{
    size_t n = strlen(word);
    for (unsigned i = 0; nx_cli_commands[i]; i++)
        if (nx_cli_commands[i]->is_otherwise && strncmp(nx_cli_commands[i]->verb, word, n) == 0 && nx_cli_commands[i]->verb[n] == ' ')
            return nx_cli_commands[i];
    return NULL;
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

static nx_err usage(const nx_cli *c, FILE *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Where nothing names a command yet, the group that was begun is what help is for. */
static nx_err usage(const nx_cli *c, FILE *err, const char *fmt, ...)
{
    const char *help_of = c->command ? c->command->verb : c->group ? c->group
                                                                   : "";
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->is_json_asked) {
        nx_cli_put_error_json(err, NX_EINVAL, text);
        return NX_EINVAL;
    }
    fprintf(err, "nexus: %s\n", text);
    if (c->command) {
        fputs("usage: ", err);
        nx_cli_usage_line(c->command, err);
    }
    fprintf(err, "try 'nexus %s%s--help'\n", help_of, help_of[0] ? " " : "");
    return NX_EINVAL;
}

/* First words where `group` is NULL, else second words of that group. */
static const char *suggest_word(const char *word, const char *group)
{
    const char *candidates[128];
    unsigned n = 0;
    size_t group_n = group ? strlen(group) : 0;
    for (const nx_cli_group *g = nx_cli_groups; g->word && !group; g++)
        candidates[n++] = g->word;
    for (unsigned i = 0; nx_cli_commands[i] && n + 1 < NX_ARRAY_LEN(candidates); i++) {
        const char *verb = nx_cli_commands[i]->verb;
        if (nx_cli_commands[i]->is_hidden)
            continue;
        if (!group && !strchr(verb, ' '))
            candidates[n++] = verb;
        else if (group && strncmp(verb, group, group_n) == 0 && verb[group_n] == ' ')
            candidates[n++] = verb + group_n + 1;
    }
    candidates[n] = NULL;
    return nx_cli_suggest(word, candidates);
}

/* "list, show": the second words of a group. */
static void words_of(const char *group, char *out, size_t size)
{
    size_t group_n = strlen(group), n = 0;
    out[0] = '\0';
    for (unsigned i = 0; nx_cli_commands[i] && n < size; i++) {
        const char *verb = nx_cli_commands[i]->verb;
        if (!nx_cli_commands[i]->is_hidden && strncmp(verb, group, group_n) == 0 && verb[group_n] == ' ')
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "", verb + group_n + 1);
    }
}

static nx_err unknown_verb(const nx_cli *c, const char *group, const char *word, FILE *err)
{
    char words[256];
    const char *near = suggest_word(word, group);
    const char *prefix = group ? group : "", *space = group ? " " : "";
    if (near)
        return usage(c, err, "unknown command '%s%s%s' (did you mean '%s%s%s'?)", prefix, space, word, prefix, space, near);
    if (!group)
        return usage(c, err, "unknown command '%s'", word);
    words_of(group, words, sizeof words);
    return usage(c, err, "unknown command '%s %s': behind '%s' stands one of %s", group, word, group, words);
}

static nx_err unknown_flag(const nx_cli *c, const char *name, FILE *err)
{
    const char *candidates[64];
    unsigned n = 0;
    const nx_cli_flag *f;
    for (unsigned i = 0; (f = nx_cli_each_flag(c->command, i)) && n + 1 < NX_ARRAY_LEN(candidates); i++)
        candidates[n++] = f->name;
    candidates[n] = NULL;
    const char *near = nx_cli_suggest(name, candidates);
    const char *where = c->command ? c->command->verb : "";
    if (near)
        return usage(c, err, "unknown flag --%s for 'nexus%s%s' (did you mean --%s?)", name, *where ? " " : "", where, near);
    return usage(c, err, "unknown flag --%s for 'nexus%s%s'", name, *where ? " " : "", where);
}

/* ---- flags ------------------------------------------------------------------------------------------------------ */

static nx_err flag_take(nx_cli *c, const nx_cli_flag *f, const char *text, FILE *err)
{
    if (strcmp(f->name, "help") == 0)
        c->wants_help = true;
    if (strcmp(f->name, "json") == 0)
        c->json = true;
    if (f->choices && text) {
        bool is_known = false;
        for (const char *const *p = f->choices; *p; p++)
            is_known = is_known || strcmp(*p, text) == 0;
        if (!is_known) {
            char list[256];
            size_t n = 0;
            for (const char *const *p = f->choices; *p && n < sizeof list; p++)
                n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", *p);
            return usage(c, err, "flag --%s: \"%s\" is not one of %s", f->name, text, list);
        }
    }
    if (c->n_values == NX_CLI_VALUES_MAX)
        return usage(c, err, "too many flags (at most %d)", NX_CLI_VALUES_MAX);
    c->values[c->n_values++] = (nx_cli_value){f, text};
    return NX_OK;
}

static nx_err flag_long(nx_cli *c, int argc, char *const *argv, int *at, FILE *err)
{
    const char *word = argv[*at] + 2;
    const char *equals = strchr(word, '=');
    char name[64];
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    if (nx_slice_to_cstr(nx_slice_make(word, n), name, sizeof name) != NX_OK)
        return usage(c, err, "unknown flag %s", argv[*at]);
    const nx_cli_flag *f;
    for (unsigned i = 0; (f = nx_cli_each_flag(c->command, i)); i++) {
        if (strcmp(f->name, name) == 0)
            break;
    }
    if (!f)
        return unknown_flag(c, name, err);
    if (!f->value)
        return equals ? usage(c, err, "flag --%s takes no value", name) : flag_take(c, f, NULL, err);
    if (equals)
        return flag_take(c, f, equals + 1, err);
    if (*at + 1 >= argc)
        return usage(c, err, "flag --%s needs a value (%s)", name, f->value);
    return flag_take(c, f, argv[++*at], err);
}

static nx_err flag_letters(nx_cli *c, int argc, char *const *argv, int *at, FILE *err)
{
    for (const char *p = argv[*at] + 1; *p; p++) {
        const nx_cli_flag *f;
        for (unsigned i = 0; (f = nx_cli_each_flag(c->command, i)); i++) {
            if (f->letter == *p)
                break;
        }
        if (!f)
            return usage(c, err, "unknown flag -%c", *p);
        nx_err e;
        if (!f->value) {
            if ((e = flag_take(c, f, NULL, err)) != NX_OK)
                return e;
            continue;
        }
        if (p[1])
            return flag_take(c, f, p + 1, err);
        if (*at + 1 >= argc)
            return usage(c, err, "flag -%c needs a value (%s)", *p, f->value);
        return flag_take(c, f, argv[++*at], err);
    }
    return NX_OK;
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

/* A word while no command is known. *group is the group that stands so far. */
static nx_err word_of_verb(nx_cli *c, const char **group, const char *word, FILE *err)
{
    if (!*group) {
        if (strcmp(word, "help") == 0) {
            c->wants_help = true;
            return NX_OK;
        }
        if ((*group = c->group = group_find(word)))
            return NX_OK;
        if (!(c->command = nx_cli_command_find(word)) || strchr(word, ' ')) {
            c->command = NULL;
            return unknown_verb(c, NULL, word, err);
        }
        return NX_OK;
    }
    char verb[96];
    int n = snprintf(verb, sizeof verb, "%s %s", *group, word);
    if (n >= 0 && (size_t)n < sizeof verb && (c->command = nx_cli_command_find(verb)))
        return NX_OK;
    if (!(c->command = group_otherwise(*group)))
        return unknown_verb(c, *group, word, err);
    c->args[c->n_args++] = word;
    return NX_OK;
}

static nx_err check_args(nx_cli *c, FILE *err)
{
    unsigned most = 0;
    for (const nx_cli_arg *a = c->command->args; a && a->name; a++, most++) {
        if (c->n_args <= most || !c->args[most]) {
            if (!a->is_optional)
                return usage(c, err, "missing argument <%s>: %s", a->name, a->help);
            continue;
        }
        if (!a->is_many && !c->args[most][0]) /* of an empty variable in a script, most likely */
            return usage(c, err, "<%s> is empty: %s", a->name, a->help);
        if (a->choices) {
            bool is_known = false;
            for (const char *const *p = a->choices; *p; p++)
                is_known = is_known || strcmp(*p, c->args[most]) == 0;
            const char *near = is_known ? NULL : nx_cli_suggest(c->args[most], a->choices);
            if (near)
                return usage(c, err, "<%s>: unknown '%s' (did you mean '%s'?)", a->name, c->args[most], near);
            if (!is_known)
                return usage(c, err, "<%s>: unknown '%s'; %s", a->name, c->args[most], a->help);
        }
        if (a->is_many)
            return NX_OK;
    }
    if (c->n_args > most && c->command->on_extra)
        return usage(c, err, "%s", c->command->on_extra);
    if (c->n_args > most)
        return usage(c, err, "unexpected argument '%s'", c->args[most]);
    return NX_OK;
}

nx_err nx_cli_parse(int argc, char *const *argv, nx_cli *c, const char **ret_group, FILE *err)
{
    const char *group = NULL;
    bool only_words = false;
    *ret_group = NULL;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        c->is_json_asked = c->is_json_asked || strcmp(argv[i], "--json") == 0;
    if (argc > NX_CLI_ARGS_MAX)
        return usage(c, err, "too many arguments (at most %d)", NX_CLI_ARGS_MAX);
    if (!(c->args = calloc((size_t)argc + 1, sizeof *c->args)))
        return usage(c, err, "out of memory");
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        nx_err e = NX_OK;
        if (only_words || word[0] != '-' || !word[1]) {
            if (c->command)
                c->args[c->n_args++] = word;
            else
                e = word_of_verb(c, &group, word, err);
        } else if (strcmp(word, "--") == 0) {
            only_words = true;
        } else if (strcmp(word, "--version") == 0 && !c->command) {
            c->command = nx_cli_command_find("version");
        } else {
            e = word[1] == '-' ? flag_long(c, argc, argv, &i, err) : flag_letters(c, argc, argv, &i, err);
        }
        if (e != NX_OK)
            return e;
    }
    *ret_group = group;
    if (c->wants_help)
        return NX_OK;
    if (!c->command && group) {
        char words[256];
        words_of(group, words, sizeof words);
        return usage(c, err, "'nexus %s' needs one more word: %s", group, words);
    }
    if (!c->command) {
        c->wants_help = true;
        return NX_OK;
    }
    return check_args(c, err);
}

void nx_cli_done(nx_cli *c)
{
    free(c->args);
    c->args = NULL;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* Asking for a flag that the table does not give to the command is our own bug. */
static void check_name(const nx_cli *c, const char *name)
{
    const nx_cli_flag *f;
    bool is_known = false;
    for (unsigned i = 0; (f = nx_cli_each_flag(c->command, i)); i++)
        is_known = is_known || strcmp(f->name, name) == 0;
    assert(is_known);
    (void)is_known;
}

const char *nx_cli_flag_at(const nx_cli *c, const char *name, unsigned index)
{
    for (unsigned i = 0; i < c->n_values; i++) {
        if (strcmp(c->values[i].flag->name, name) == 0 && index-- == 0)
            return c->values[i].text;
    }
    return NULL;
}

unsigned nx_cli_flag_count(const nx_cli *c, const char *name)
{
    unsigned n = 0;
    check_name(c, name);
    for (unsigned i = 0; i < c->n_values; i++)
        n += strcmp(c->values[i].flag->name, name) == 0;
    return n;
}

bool nx_cli_flag_is_set(const nx_cli *c, const char *name)
{
    return nx_cli_flag_count(c, name) > 0;
}

const char *nx_cli_flag_text(const nx_cli *c, const char *name)
{
    unsigned n = nx_cli_flag_count(c, name);
    return n ? nx_cli_flag_at(c, name, n - 1) : NULL;
}

nx_err nx_cli_flag_u64(const nx_cli *c, const char *name, uint64_t min, uint64_t max, uint64_t otherwise, uint64_t *ret)
{
    const char *text = nx_cli_flag_text(c, name);
    uint64_t value = otherwise;
    if (text && (nx_slice_u64(nx_slice_cstr(text), max, &value) != NX_OK || value < min)) {
        nx_cli_fail_usage(c, "flag --%s: \"%s\" is not a number from %llu to %llu", name, text, (unsigned long long)min,
                          (unsigned long long)max);
        return NX_EINVAL;
    }
    *ret = value;
    return NX_OK;
}
