#include "digits.h"

enum {
    SHORTEST = 2, /* ticks */
    LONGEST = 250,
    PAUSE_EVENT = 1, /* after the repeated end, which lasts two more */
    PAUSE_TONE = 3,
};

bool digits_say(struct digits *d, uint8_t code, uint32_t duration_ms) {
    if (d->count == DIGITS_QUEUE)
        return false;
    uint32_t ticks = (duration_ms + DIGIT_TICK_MS / 2) / DIGIT_TICK_MS;
    ticks = ticks < SHORTEST ? SHORTEST : ticks > LONGEST ? LONGEST : ticks;
    d->queue[(d->first + d->count) % DIGITS_QUEUE] = (struct digit){code, (uint8_t)ticks};
    d->count++;
    return true;
}

static void finish(struct digits *d) {
    d->first = (uint8_t)((d->first + 1) % DIGITS_QUEUE);
    d->count--;
    d->tick = 0;
}

static struct digit_step step_event(struct digits *d, struct digit digit) {
    uint32_t tick = d->tick, last = digit.ticks + DIGIT_ENDS - 1u;
    if (tick >= last + PAUSE_EVENT)
        finish(d);
    if (tick > last)
        return (struct digit_step){.part = DIGIT_PAUSE};
    return (struct digit_step){
        .part = DIGIT_EVENT,
        .code = digit.code,
        .first = tick == 1,
        .end = tick >= digit.ticks,
        .ticks = tick < digit.ticks ? tick : digit.ticks,
    };
}

static struct digit_step step_tone(struct digits *d, struct digit digit) {
    uint32_t tick = d->tick;
    if (tick >= digit.ticks + (uint32_t)PAUSE_TONE)
        finish(d);
    if (tick > digit.ticks)
        return (struct digit_step){.part = DIGIT_PAUSE};
    return (struct digit_step){
        .part = DIGIT_TONE,
        .code = digit.code,
        .first = tick == 1,
        .rise = tick == 1,
        .fall = tick == digit.ticks,
    };
}

struct digit_step digits_step(struct digits *d, bool as_tone) {
    if (!d->count)
        return (struct digit_step){.part = DIGIT_NONE};
    if (!d->tick)
        d->as_tone = as_tone;
    d->tick++;
    struct digit digit = d->queue[d->first];
    return d->as_tone ? step_tone(d, digit) : step_event(d, digit);
}
