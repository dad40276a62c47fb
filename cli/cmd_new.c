/* cmd_new.c: nexus new. */
#include "cmds.h"
#include "template.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder's name as a name of a project and a package: lower case, digits and hyphens. */
static bool name_of(const char *path, char ret[64])
{
    char real[NX_CLI_PATH_BYTES];
    size_t n = 0;
    snprintf(real, sizeof real, "%s", path);
    for (size_t end = strlen(real); end > 1 && real[end - 1] == '/'; end--)
        real[end - 1] = 0;
    const char *base = strrchr(real, '/') ? strrchr(real, '/') + 1 : real;
    for (; *base && n + 1 < 64; base++) {
        unsigned char ch = (unsigned char)*base;
        if (isalnum(ch) && ch < 128)
            ret[n++] = (char)tolower(ch);
        else if (n > 0 && ret[n - 1] != '-')
            ret[n++] = '-';
    }
    while (n > 0 && ret[n - 1] == '-')
        n--;
    ret[n] = 0;
    return n > 0 && !isdigit((unsigned char)ret[0]); /* names of packages begin with a letter */
}

static nx_err check_folder(const char *path, nx_error *reterr)
{
    for (const char *p = path; *p; p++) /* a line break in a name breaks scripts, build files and terminals */
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return nx_error_set(reterr, NX_EINVAL, "<folder> holds a control character");
    DIR *d = opendir(path);
    if (!d && errno == ENOENT)
        return NX_OK;
    if (!d)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    bool is_empty = true;
    for (struct dirent *e; is_empty && (e = readdir(d));)
        is_empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    return is_empty ? NX_OK : nx_error_set(reterr, NX_EEXIST, "%s is there already and not empty; choose another name", path);
}

static nx_err make_folders(char *path, nx_error *reterr)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        int rc = mkdir(path, 0777);
        *p = '/';
        if (rc != 0 && errno != EEXIST)
            return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    }
    return NX_OK;
}

static nx_err write_file(const char *root, const nx_cli_template_file *f, const char *name, nx_error *reterr)
{
    char path[NX_CLI_PATH_BYTES];
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(1u << 20);
    if (snprintf(path, sizeof path, "%s/%s", root, f->path) >= (int)sizeof path)
        return nx_error_set(reterr, NX_ELIMIT, "%s: the path is too long", root);
    nx_err e = nx_cli_template_render(f, name, &text);
    if (e == NX_OK)
        e = make_folders(path, reterr);
    if (e != NX_OK)
        return e;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool is_written = fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n;
    int saved = errno;
    if (fd >= 0 && close(fd) != 0)
        is_written = false;
    return is_written ? NX_OK : nx_error_set(reterr, nx_err_from_errno(saved), "%s: %s", path, strerror(saved));
}

static int run(nx_cli *c)
{
    const char *root = c->args[0], *lang = nx_cli_flag_text(c, "lang");
    const nx_cli_template *t = nx_cli_templates;
    char name[64], folder[NX_CLI_PATH_BYTES];
    nx_error e = NX_ERROR_INIT;
    for (; t->lang && lang && strcmp(t->lang, lang) != 0; t++)
        ;
    if (!name_of(root, name))
        return nx_cli_fail_usage(c, "<folder>: \"%s\" makes no name; begin it with a letter", root);
    e.code = check_folder(root, &e);
    if (e.code == NX_OK)
        e.code = snprintf(folder, sizeof folder, "%s/", root) < (int)sizeof folder ? make_folders(folder, &e)
                                                                                   : nx_error_set(&e, NX_ELIMIT, "%s: the path is too long", root);
    for (const nx_cli_template_file *f = t->files; e.code == NX_OK && f->path; f++)
        e.code = write_file(root, f, name, &e);
    if (e.code != NX_OK)
        return nx_cli_fail_error(c, &e);
    if (c->json) {
        NX_CLEANUP(nx_buf_done)
        nx_buf out = NX_BUF_INIT(65536);
        nx_jw w = NX_JW_INIT(&out);
        nx_jw_object(&w);
        nx_jw_kcstr(&w, "folder", root);
        nx_jw_kcstr(&w, "name", name);
        nx_jw_kcstr(&w, "lang", t->lang);
        nx_jw_kcstr(&w, "first", t->first);
        nx_jw_object_end(&w);
        if (nx_jw_err(&w) == NX_OK)
            printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&out)));
        return NX_CLI_OK;
    }
    printf("made %s (%s):\n", root, t->says);
    for (const nx_cli_template_file *f = t->files; f->path; f++)
        printf("  %s/%s\n", root, f->path);
    printf("\nNow:\n  cd %s", root[0] == '-' ? "./" : "");
    nx_cli_print_word(stdout, root);
    if (t->first)
        printf("\n  %s", t->first);
    printf("\n  %s dev\n", c->program);
    return NX_CLI_OK;
}

static const char *const langs[] = {"rust", "c", "assemblyscript", "zig", "javascript", NULL};
static const nx_cli_flag flags[] = {
    {.name = "lang", .letter = 'l', .value = "LANG", .choices = langs, .help = "Language of the function: rust (default), c, assemblyscript, zig or javascript."},
    {0},
};
static const nx_cli_arg args[] = {
    {.name = "folder", .help = "Folder to make; its name becomes the project's.", .kind = NX_CLI_FILE},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus new my-app --lang=rust", "a project with one function in Rust; then: cd my-app; nexus dev"},
    {"nexus new my-app --lang=c", "the same in C"},
    {"nexus new my-app --lang=assemblyscript", "the same in AssemblyScript; its compiler comes by `npm ci`"},
    {"nexus new my-app --lang=zig", "the same in Zig"},
    {"nexus new my-app --lang=javascript", "the same in JavaScript; its engine, QuickJS, comes by `npm ci`"},
    {0},
};

const nx_cli_command nx_cli_cmd_new = {
    .verb = "new",
    .summary = "Make a project with one function that works",
    .flags = flags,
    .args = args,
    .examples = examples,
    .run = run,
};
