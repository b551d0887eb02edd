/* A copy of what is heard in a room, for Python: 20 ms at a time, in a ring of its own. Whoever reads too slowly loses
 * the newest, sees it by the numbers, and disturbs nobody. */
#ifndef PBXD_WIRE_TAP_H
#define PBXD_WIRE_TAP_H

#include <stdatomic.h>
#include <stdbool.h>

#include "player.h"
#include "resample.h"
#include "retired.h"
#include "ring.h"

enum tap_kind { TAP_HEARD, TAP_SAID, TAP_MIX }; /* of a member, to a member, or of all */

struct tap_frame { /* as it lies in the ring; `samples` at the tap's rate */
    uint64_t tick; /* of the room, since it was opened: taps of one room lie side by side by it */
    int16_t samples[TICK_WIDE];
};

struct voice;

struct tap {
    struct retired retired;
    struct tap *next;
    struct voice *voice; /* whose; NULL: TAP_MIX */
    uint32_t id;
    uint32_t kind, rate;
    _Atomic uint32_t references; /* Python's handle, and the room or the list of the retired */
    _Atomic uint32_t overruns;   /* frames lost */
    _Atomic bool closed;         /* nothing is added any more */
    struct resampler resampler;
    struct ring ring;
};

struct tap *tap_new(enum tap_kind kind, uint32_t rate, uint32_t seconds); /* with two references; NULL: no memory */
void tap_release(struct tap *tap);

/* From the wire thread: 20 ms at `rate`; NULL is silence. */
void tap_push(struct tap *tap, uint64_t tick, const int16_t *pcm, uint32_t rate);

#endif
