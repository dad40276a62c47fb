/* template.h: files of new projects. */
#ifndef NX_CLI_TEMPLATE_H
#define NX_CLI_TEMPLATE_H
#include "nx/buf.h"

typedef struct nx_cli_template_file {
    const char *path;     /* NULL ends a list */
    const nx_slice *file; /* a NUL stands behind it */
    bool has_name;        /* {{name}} stands for the project's name; else taken as it is */
} nx_cli_template_file;

typedef struct nx_cli_template {
    const char *lang, *says;
    const char *first; /* command that brings the project's own tools, before the first build; NULL: there are none */
    const nx_cli_template_file *files;
} nx_cli_template;

extern const nx_cli_template nx_cli_templates[]; /* ended by a NULL lang */

/* The file with every {{name}} replaced; another {{…}} is our own bug (NX_EBUG). */
nx_err nx_cli_template_render(const nx_cli_template_file *f, const char *name, nx_buf *out);
#endif
