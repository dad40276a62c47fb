/* completion.c: completion scripts for bash, zsh and fish, from the table of commands.
 * Verbs, flags and fixed values stand in the script; names of functions are asked of the node when they are needed. */
#include "cli.h"

#define FUNCTION_NAMES "nexus functions list --names 2>/dev/null"

/* Second words of a group, or first words where group is NULL, each once: calls put(word, summary). */
static void each_word(const char *group, void (*put)(FILE *out, const char *word, const char *summary), FILE *out)
{
    size_t group_n = group ? strlen(group) : 0;
    for (const nx_cli_group *g = nx_cli_groups; g->word && !group; g++)
        put(out, g->word, g->summary);
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        const nx_cli_command *k = nx_cli_commands[i];
        if (k->is_hidden)
            continue;
        if (!group && !strchr(k->verb, ' '))
            put(out, k->verb, k->summary);
        else if (group && strncmp(k->verb, group, group_n) == 0 && k->verb[group_n] == ' ')
            put(out, k->verb + group_n + 1, k->summary);
    }
}

static void put_word(FILE *out, const char *word, const char *summary)
{
    (void)summary;
    fprintf(out, "%s ", word);
}

static void put_list(const char *const *list, FILE *out)
{
    for (; *list; list++)
        fprintf(out, "%s ", *list);
}

/* ---- bash ------------------------------------------------------------------------------------------------------- */

static void bash_flag_values(const nx_cli_command *k, FILE *out)
{
    const nx_cli_flag *f;
    for (unsigned i = 0; (f = nx_cli_each_flag(k, i)); i++) {
        if (!f->value)
            continue;
        fprintf(out, "        '%s --%s'%s%s%s%c%s) ", k->verb, f->name, f->letter ? "|'" : "", f->letter ? k->verb : "",
                f->letter ? " -" : "", f->letter ? f->letter : ' ', f->letter ? "'" : "");
        if (f->choices) {
            fputs("COMPREPLY=($(compgen -W '", out);
            put_list(f->choices, out);
            fputs("' -- \"$cur\")); return ;;\n", out);
        } else if (f->kind == NX_CLI_FILE) {
            fputs("compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", out);
        } else if (f->kind == NX_CLI_FUNCTION) {
            fputs("COMPREPLY=($(compgen -W \"$(" FUNCTION_NAMES ")\" -- \"$cur\")); return ;;\n", out);
        } else {
            fputs("return ;;\n", out);
        }
    }
}

static void bash_words(const nx_cli_command *k, FILE *out)
{
    const nx_cli_flag *f;
    fprintf(out, "        '%s')\n            if [[ $cur == -* ]]; then\n                COMPREPLY=($(compgen -W '", k->verb);
    for (unsigned i = 0; (f = nx_cli_each_flag(k, i)); i++)
        fprintf(out, "--%s ", f->name);
    fputs("' -- \"$cur\"))\n            else\n                ", out);
    const nx_cli_arg *a = k->args;
    if (a && a->name && a->choices) {
        fputs("COMPREPLY=($(compgen -W '", out);
        put_list(a->choices, out);
        fputs("' -- \"$cur\"))", out);
    } else if (a && a->name && a->kind == NX_CLI_FILE) {
        fputs("compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\"))", out);
    } else if (a && a->name && a->kind == NX_CLI_FUNCTION) {
        fputs("COMPREPLY=($(compgen -W \"$(" FUNCTION_NAMES ")\" -- \"$cur\"))", out);
    } else {
        fputs("COMPREPLY=()", out);
    }
    fputs("\n            fi ;;\n", out);
}

void nx_cli_completion_bash(FILE *out)
{
    fputs("# bash completion for nexus. Load it with: source <(nexus completion bash)\n"
          "_nexus() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb='' word i\n"
          "    COMPREPLY=()\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        word=${COMP_WORDS[i]}\n"
          "        [[ $word == -* ]] && continue\n"
          "        case $verb in\n"
          "        '') verb=$word ;;\n",
          out);
    for (const nx_cli_group *g = nx_cli_groups; g->word; g++)
        fprintf(out, "        %s) verb=\"$verb $word\" ;;\n", g->word);
    fputs("        esac\n    done\n    case \"$verb $prev\" in\n", out);
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        if (!nx_cli_commands[i]->is_hidden)
            bash_flag_values(nx_cli_commands[i], out);
    }
    fputs("    esac\n    case $verb in\n        '') COMPREPLY=($(compgen -W '", out);
    each_word(NULL, put_word, out);
    fputs("help --help --version' -- \"$cur\")) ;;\n", out);
    for (const nx_cli_group *g = nx_cli_groups; g->word; g++) {
        fprintf(out, "        %s) COMPREPLY=($(compgen -W '", g->word);
        each_word(g->word, put_word, out);
        fputs("' -- \"$cur\")) ;;\n", out);
    }
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        if (!nx_cli_commands[i]->is_hidden)
            bash_words(nx_cli_commands[i], out);
    }
    fputs("    esac\n}\ncomplete -F _nexus nexus\n", out);
}

/* ---- zsh -------------------------------------------------------------------------------------------------------- */

/* Inside '…' of zsh, in a description of _arguments or _describe. */
static void zsh_text(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (*text == ':' || *text == '[' || *text == ']' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void zsh_pair(FILE *out, const char *word, const char *summary)
{
    fprintf(out, " '%s:", word);
    zsh_text(summary, out);
    fputc('\'', out);
}

static void zsh_action(const char *const *list, nx_cli_kind kind, FILE *out)
{
    if (list) {
        fputc('(', out);
        put_list(list, out);
        fputc(')', out);
    } else if (kind == NX_CLI_FILE) {
        fputs("_files", out);
    } else if (kind == NX_CLI_FUNCTION) {
        fputs("_nexus_functions", out);
    } else {
        fputc(' ', out);
    }
}

static void zsh_arguments(const nx_cli_command *k, FILE *out)
{
    const nx_cli_flag *f;
    fprintf(out, "    '%s')\n        _arguments -s", k->verb);
    for (unsigned i = 0; (f = nx_cli_each_flag(k, i)); i++) {
        fprintf(out, " \\\n            '%s--%s%s[", f->is_many ? "*" : "", f->name, f->value ? "=" : "");
        zsh_text(f->help, out);
        fputc(']', out);
        if (f->value) {
            fputc(':', out);
            zsh_text(f->value, out);
            fputc(':', out);
            zsh_action(f->choices, f->kind, out);
        }
        fputc('\'', out);
    }
    for (const nx_cli_arg *a = k->args; a && a->name; a++) {
        fprintf(out, " \\\n            '%s:%s:", a->is_many ? "*" : a->is_optional ? ":"
                                                                                   : "",
                a->name);
        zsh_action(a->choices, a->kind, out);
        fputc('\'', out);
    }
    fputs(" ;;\n", out);
}

void nx_cli_completion_zsh(FILE *out)
{
    fputs("#compdef nexus\n"
          "# zsh completion for nexus. Put it as _nexus into a folder of $fpath, or: source <(nexus completion zsh)\n"
          "_nexus_functions() { local -a names; names=(${(f)\"$(" FUNCTION_NAMES ")\"}); compadd -a names }\n"
          "_nexus() {\n"
          "    local -a list\n"
          "    local verb=${words[2]} skip=1\n"
          "    if (( CURRENT == 2 )); then\n"
          "        list=(",
          out);
    each_word(NULL, zsh_pair, out);
    fputs(")\n        _describe command list\n        return\n    fi\n    case $verb in\n", out);
    for (const nx_cli_group *g = nx_cli_groups; g->word; g++) {
        fprintf(out, "    %s)\n        if (( CURRENT == 3 )); then\n            list=(", g->word);
        each_word(g->word, zsh_pair, out);
        fputs(")\n            _describe command list\n            return\n        fi\n"
              "        verb=\"$verb ${words[3]}\" skip=2 ;;\n",
              out);
    }
    fputs("    esac\n    shift $skip words\n    (( CURRENT -= skip ))\n    case $verb in\n", out);
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        if (!nx_cli_commands[i]->is_hidden)
            zsh_arguments(nx_cli_commands[i], out);
    }
    fputs("    esac\n}\nif [[ $zsh_eval_context[-1] == loadautofunc ]]; then _nexus \"$@\"; else compdef _nexus nexus; fi\n", out);
}

/* ---- fish ------------------------------------------------------------------------------------------------------- */

static void fish_text(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void fish_word(const char *condition, const char *word, const char *summary, FILE *out)
{
    fprintf(out, "complete -c nexus -f -n '%s' -a %s -d '", condition, word);
    fish_text(summary, out);
    fputs("'\n", out);
}

static void fish_values(const char *const *list, nx_cli_kind kind, FILE *out)
{
    if (list) {
        fputs(" -f -a '", out);
        put_list(list, out);
        fputs("'", out);
    } else if (kind == NX_CLI_FILE) {
        fputs(" -F", out);
    } else if (kind == NX_CLI_FUNCTION) {
        fputs(" -f -a '(" FUNCTION_NAMES ")'", out);
    } else {
        fputs(" -f", out);
    }
}

static void fish_command(const nx_cli_command *k, FILE *out)
{
    char first[64], condition[192];
    const char *space = strchr(k->verb, ' ');
    snprintf(first, sizeof first, "%.*s", space ? (int)(space - k->verb) : 63, k->verb);
    if (space)
        snprintf(condition, sizeof condition, "__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s", first, space + 1);
    else
        snprintf(condition, sizeof condition, "__fish_seen_subcommand_from %s", first);
    const nx_cli_flag *f;
    for (unsigned i = 0; (f = nx_cli_each_flag(k, i)); i++) {
        fprintf(out, "complete -c nexus -n '%s' -l %s", condition, f->name);
        if (f->letter)
            fprintf(out, " -s %c", f->letter);
        if (f->value) {
            fputs(" -r", out);
            fish_values(f->choices, f->kind, out);
        }
        fputs(" -d '", out);
        fish_text(f->help, out);
        fputs("'\n", out);
    }
    const nx_cli_arg *a = k->args;
    if (a && a->name) {
        fprintf(out, "complete -c nexus -n '%s'", condition);
        fish_values(a->choices, a->kind, out);
        fputc('\n', out);
    }
}

void nx_cli_completion_fish(FILE *out)
{
    char condition[192];
    fputs("# fish completion for nexus. Load it with: nexus completion fish | source\n", out);
    for (const nx_cli_group *g = nx_cli_groups; g->word; g++)
        fish_word("__fish_use_subcommand", g->word, g->summary, out);
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        const nx_cli_command *k = nx_cli_commands[i];
        const char *space = strchr(k->verb, ' ');
        if (k->is_hidden)
            continue;
        if (space) {
            int n = (int)(space - k->verb);
            snprintf(condition, sizeof condition, "test (count (commandline -opc)) -eq 2; and __fish_seen_subcommand_from %.*s", n, k->verb);
            fish_word(condition, space + 1, k->summary, out);
        } else {
            fish_word("__fish_use_subcommand", k->verb, k->summary, out);
        }
        fish_command(k, out);
    }
}
