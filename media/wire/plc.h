/* Concealing what was lost: the voice goes on at its last pitch, falls silent within a tenth of a second, and what
 * comes after is joined without a step. The method is that of G.711 Appendix I, without its delay. */
#ifndef PBXD_WIRE_PLC_H
#define PBXD_WIRE_PLC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLC_HISTORY = 780, PLC_BRIDGE_MS = 60 }; /* at 16 kHz; half of it is used at 8 kHz */

struct plc {
    int16_t history[PLC_HISTORY];
    uint32_t rate;
    uint32_t concealed; /* samples of this gap so far */
    uint16_t lag;       /* the pitch's */
    uint16_t periods;   /* that are repeated in turn: 1 to 3, more as the gap grows, lest it hums */
    uint16_t at;        /* in those periods */
    int16_t step;       /* where the repetition does not meet what was heard last */
    bool active;
};

/* A gap begins: `end` is behind the last sample before it, and PLC_HISTORY samples lie before `end`. */
void plc_begin(struct plc *plc, const int16_t *end, uint32_t rate);
void plc_conceal(struct plc *plc, int16_t *pcm, size_t samples);
/* The gap is over: crossfades from the concealed sound into the first of `samples` real ones. */
void plc_end(struct plc *plc, int16_t *pcm, size_t samples);
/* Fills a gap of which both sides are known: `gap` samples at `pcm`, behind which `after` real ones lie. Ends it. */
void plc_bridge(struct plc *plc, int16_t *pcm, size_t gap, size_t after);
bool plc_silent(const struct plc *plc); /* nothing can be heard of it any more */

#endif
