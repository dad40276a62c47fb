/* log_pack.h: a log line as one run of bytes, as it lies in the ring and in the history.
 * Why:       copying is cheaper than formatting, so the caller copies and the log's thread formats; filters need the parts, not the text.
 * Ownership: nx_log_unpack() lends from the packed bytes.
 * Threads:   plain data. */
#ifndef NX_LOG_PACK_H
#define NX_LOG_PACK_H
#include "nx/log.h"

#define NX_LOG_PACK_FIELDS 16  /* further fields are left out */
#define NX_LOG_PACK_MSG 8192   /* a longer message is cut, with "…" */
#define NX_LOG_PACK_SMALL 256  /* a longer name, id or field key */
#define NX_LOG_PACK_VALUE 1024 /* a longer field value */
/* The most that a packed line can have. */
#define NX_LOG_PACK_MAX (64 + 7 * NX_LOG_PACK_SMALL + NX_LOG_PACK_MSG + NX_LOG_PACK_FIELDS * (8 + NX_LOG_PACK_SMALL + NX_LOG_PACK_VALUE))

size_t nx_log_pack_bytes(const nx_log_line *line);
void nx_log_pack(const nx_log_line *line, void *to); /* exactly nx_log_pack_bytes() */
/* fields: storage for line->fields. */
void nx_log_unpack(nx_slice packed, nx_log_line *line, nx_kv fields[NX_LOG_PACK_FIELDS]);
#endif
