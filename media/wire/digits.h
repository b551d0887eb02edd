/* Digits that a leg says: one after the other, as telephone events (RFC 4733 §2.5.1) or as tones. Steps by 20 ms. */
#ifndef PBXD_WIRE_DIGITS_H
#define PBXD_WIRE_DIGITS_H

#include <stdbool.h>

#include "tone.h"

enum {
    DIGITS_QUEUE = 64,
    DIGIT_TICK_MS = 20,
    DIGIT_ENDS = 3, /* the last packet of an event is sent so often */
};

struct digits {
    struct digit {
        uint8_t code, ticks;
    } queue[DIGITS_QUEUE];
    uint8_t first, count;
    uint16_t tick;      /* of the digit that is being said; 0: none has begun */
    bool as_tone;       /* how it is being said: a plan that changes amid a digit does not tear it */
    uint32_t timestamp; /* of its event */
    struct tone tone;
};

enum digit_part { DIGIT_NONE, DIGIT_EVENT, DIGIT_TONE, DIGIT_PAUSE };

struct digit_step {
    enum digit_part part;
    uint8_t code;
    bool first, end;  /* of the event */
    uint32_t ticks;   /* how long it lasts so far, in 20 ms */
    bool rise, fall;  /* of the tone */
};

/* False: the queue is full. `duration_ms` is brought to what can be heard and sent: 40 ms to 5 s. */
bool digits_say(struct digits *d, uint8_t code, uint32_t duration_ms);

static inline bool digits_busy(const struct digits *d) {
    return d->count != 0;
}

/* What the next 20 ms are. `as_tone`: the far side takes no events. */
struct digit_step digits_step(struct digits *d, bool as_tone);

#endif
