/* Sound that lasts longer or shorter by one period of its pitch, which nobody hears (WSOLA). */
#ifndef PBXD_WIRE_STRETCH_H
#define PBXD_WIRE_STRETCH_H

#include <stddef.h>
#include <stdint.h>

enum { STRETCH_MOST_US = 12500 };

static inline size_t stretch_most(uint32_t rate) { /* samples that one change adds or takes away */
    return rate / 1000 * STRETCH_MOST_US / 1000;
}

/* Takes one period out of the `count` samples at `pcm`, at least twice stretch_most() of them. Returns how many samples
 * it took, 0 when none resemble each other by `similarity` (-1: take the best there is). */
size_t stretch_shorten(int16_t *pcm, size_t count, uint32_t rate, float similarity);

/* Puts one more period in at `pcm`, where stretch_most() samples lie before and after, and room behind the last of
 * `count`. Returns how many samples it added. */
size_t stretch_lengthen(int16_t *pcm, size_t count, uint32_t rate, float similarity);

#endif
