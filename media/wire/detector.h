/* Digits in the sound of a leg (ITU-T Q.24): two tones of their groups and hardly anything else, for long enough.
 *
 * Blocks of 12.75 ms overlap by half. A digit begins when enough of them in a row show the same pair, and ends when
 * enough show none. What stands for a lost packet decides neither. */
#ifndef PBXD_WIRE_DETECTOR_H
#define PBXD_WIRE_DETECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DETECTOR_TONES = 8 };

typedef float detector_tones __attribute__((vector_size(DETECTOR_TONES * sizeof(float)), aligned(4)));

struct goertzel {
    detector_tones last, before;
    float energy;
    uint32_t count;
    bool unsure; /* some of it was never heard */
};

struct detector {
    detector_tones coefficients;
    struct goertzel blocks[2]; /* half a block apart */
    uint32_t rate, block;
    uint32_t hits, misses, unknown; /* half blocks in a row */
    float energy;                   /* of the newest block that showed a pair */
    uint32_t samples;               /* since the digit began, at `rate` */
    bool concealed;                 /* part of the sound before was */
    int8_t candidate, digit;        /* codes; -1: none */
};

struct detected {
    uint8_t code;
    uint32_t ms;
    bool ended;        /* a whole digit was heard */
};

void detector_init(struct detector *d, uint32_t rate);

/* `concealed`: part of it stands for what was lost. At most one digit ends within 20 ms. */
struct detected detector_hear(struct detector *d, const int16_t *pcm, size_t samples, bool concealed);

enum { HITS_TO_SUSPECT = 2 };

/* A digit is being heard, or what may become one: by the time it is certain too much of it would have gone on. */
static inline bool detector_on(const struct detector *d) {
    return d->digit >= 0 || (d->candidate >= 0 && d->hits >= HITS_TO_SUSPECT);
}

/* Whether a silent leg needs to be listened to at all. */
static inline bool detector_waits(const struct detector *d) {
    return d->digit >= 0 || d->candidate >= 0;
}

#endif
