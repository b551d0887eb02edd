#include "tap.h"

#include <stdlib.h>
#include <string.h>

enum { TICKS_A_SECOND = 50 };

static size_t frame_size(uint32_t rate) {
    return offsetof(struct tap_frame, samples) + rate / TICKS_A_SECOND * sizeof(int16_t);
}

struct tap *tap_new(enum tap_kind kind, uint32_t rate, uint32_t seconds) {
    struct tap *tap = aligned_alloc(_Alignof(struct tap), sizeof *tap);
    uint32_t frames = 1;
    while (frames < seconds * TICKS_A_SECOND)
        frames *= 2;
    if (!tap)
        return NULL;
    memset(tap, 0, sizeof *tap);
    if (!ring_init(&tap->ring, frames, frame_size(rate))) {
        free(tap);
        return NULL;
    }
    tap->retired.kind = RETIRED_TAP;
    tap->kind = kind;
    tap->rate = rate;
    atomic_init(&tap->references, 2);
    resample_init(&tap->resampler);
    return tap;
}

void tap_release(struct tap *tap) {
    if (atomic_fetch_sub(&tap->references, 1) != 1)
        return;
    ring_free(&tap->ring);
    free(tap);
}

void tap_push(struct tap *tap, uint64_t tick, const int16_t *pcm, uint32_t rate) {
    static const int16_t silence[TICK_WIDE];
    struct tap_frame frame = {.tick = tick};
    size_t samples = rate / TICKS_A_SECOND;
    if (!pcm)
        pcm = silence;
    if (rate == tap->rate)
        memcpy(frame.samples, pcm, samples * sizeof *pcm);
    else if (rate < tap->rate)
        resample_up(&tap->resampler, pcm, samples, frame.samples);
    else
        resample_down(&tap->resampler, pcm, samples, frame.samples);
    if (!ring_push(&tap->ring, &frame))
        atomic_fetch_add_explicit(&tap->overruns, 1, memory_order_relaxed);
}
