/* text_diff.h: where two texts differ, by lines.
 * Ownership: changes lie in the arena, their texts are lent from the two texts.
 * Threads:   plain data.
 * Errors:    NX_ELIMIT: the arena is too small.
 * Source:    E. W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986), the greedy forward form. Texts with more differences than
 *            NX_LINE_DIFF_EDITS_MAX, or more lines between the first and the last than NX_LINE_DIFF_LINES_MAX, are not aligned: what stands between is
 *            removed as a whole and added as a whole. */
#ifndef NX_REPLAY_TEXT_DIFF_H
#define NX_REPLAY_TEXT_DIFF_H
#include "nx/diff.h"

#define NX_LINE_DIFF_EDITS_MAX 200
#define NX_LINE_DIFF_LINES_MAX 20000

nx_err nx_line_diff(nx_slice before, nx_slice after, unsigned max, nx_arena *a, nx_line_changes *ret);
#endif
