#include "player.h"

#include <stdlib.h>
#include <string.h>

enum { MS_PER_SECOND = 1000 };

/* ---- what is played */

struct clip *clip_new(const int16_t *samples, uint32_t count, uint32_t rate) {
    struct clip *clip = malloc(sizeof *clip + count * sizeof *samples);
    if (!clip)
        return NULL;
    atomic_init(&clip->references, 1);
    clip->rate = rate;
    clip->count = count;
    memcpy(clip->samples, samples, count * sizeof *samples);
    return clip;
}

void clip_release(struct clip *clip) {
    if (atomic_fetch_sub(&clip->references, 1) == 1)
        free(clip);
}

struct supply *supply_new(uint32_t rate, uint32_t capacity_ms, uint32_t low_ms) {
    uint32_t capacity = 1, wanted = rate / MS_PER_SECOND * capacity_ms;
    while (capacity < wanted)
        capacity *= 2;
    struct supply *supply = calloc(1, sizeof *supply + capacity * sizeof supply->samples[0]);
    if (!supply)
        return NULL;
    atomic_init(&supply->references, 1);
    supply->rate = rate;
    supply->capacity = capacity;
    supply->low = rate / MS_PER_SECOND * low_ms;
    return supply;
}

void supply_release(struct supply *supply) {
    if (atomic_fetch_sub(&supply->references, 1) == 1)
        free(supply);
}

uint32_t supply_fill(const struct supply *supply) {
    return atomic_load_explicit(&supply->head, memory_order_acquire) -
           atomic_load_explicit(&supply->tail, memory_order_acquire);
}

uint32_t supply_write(struct supply *supply, const int16_t *samples, uint32_t count) {
    uint32_t head = atomic_load_explicit(&supply->head, memory_order_relaxed);
    uint32_t room = supply->capacity - (head - atomic_load_explicit(&supply->tail, memory_order_acquire));
    if (count > room)
        count = room;
    uint32_t at = head & (supply->capacity - 1), first = supply->capacity - at;
    if (first > count)
        first = count;
    memcpy(supply->samples + at, samples, first * sizeof *samples);
    memcpy(supply->samples, samples + first, (count - first) * sizeof *samples);
    atomic_store_explicit(&supply->head, head + count, memory_order_release);
    return count;
}

static uint32_t supply_read(struct supply *supply, int16_t *to, uint32_t count) {
    uint32_t tail = atomic_load_explicit(&supply->tail, memory_order_relaxed);
    uint32_t there = atomic_load_explicit(&supply->head, memory_order_acquire) - tail;
    if (count > there)
        count = there;
    uint32_t at = tail & (supply->capacity - 1), first = supply->capacity - at;
    if (first > count)
        first = count;
    memcpy(to, supply->samples + at, first * sizeof *to);
    memcpy(to + first, supply->samples, (count - first) * sizeof *to);
    atomic_store_explicit(&supply->tail, tail + count, memory_order_release);
    return count;
}

/* ---- who plays it */

struct player *player_new(struct clip *const *clips, uint32_t count, struct supply *supply) {
    struct player *player = calloc(1, sizeof *player + count * sizeof *clips);
    if (!player)
        return NULL;
    player->retired.kind = RETIRED_PLAYER;
    player->supply = supply;
    player->count = count;
    player->rate = supply ? supply->rate : clips[0]->rate;
    player->gain = player->target = FULL_GAIN;
    player->fade = FULL_GAIN;
    player->low_told = true; /* until it was full once */
    resample_init(&player->resampler);
    if (supply)
        atomic_fetch_add(&supply->references, 1);
    for (uint32_t i = 0; i < count; i++) {
        player->clips[i] = clips[i];
        atomic_fetch_add(&clips[i]->references, 1);
    }
    return player;
}

void player_free(struct player *player) {
    for (uint32_t i = 0; i < player->count; i++)
        clip_release(player->clips[i]);
    if (player->supply)
        supply_release(player->supply);
    free(player);
}

/* ---- its tick */

/* To the next sample that there is; false: the row is at its end. */
static bool advance(struct player *p) {
    bool rewound = false;
    while (p->clip == p->count || p->position >= p->clips[p->clip]->count) {
        if (p->clip < p->count) {
            p->position -= p->clips[p->clip]->count; /* a start beyond the first clip leads into the next */
            p->clip++;
            continue;
        }
        if (!p->repeats || rewound)
            return false;
        rewound = true; /* a row of nothing ends even when it is to go on for ever */
        p->repeats -= p->repeats != UINT32_MAX;
        p->clip = p->position = 0;
    }
    return true;
}

static uint32_t read_clips(struct player *p, int16_t *to, uint32_t count) {
    uint32_t done = 0;
    while (done < count && advance(p)) {
        const struct clip *clip = p->clips[p->clip];
        uint32_t part = clip->count - p->position < count - done ? clip->count - p->position : count - done;
        memcpy(to + done, clip->samples + p->position, part * sizeof *to);
        p->position += part;
        done += part;
    }
    return done;
}

static void apply_gain(struct player *p, int16_t *pcm, uint32_t count) {
    int32_t from = p->gain, step = p->target - from;
    if (step > p->fade)
        step = p->fade;
    if (step < -p->fade)
        step = -p->fade;
    p->gain = from + step;
    if (from == FULL_GAIN && !step)
        return;
    for (uint32_t i = 0; i < count; i++) {
        int32_t value = pcm[i] * (from + step * (int32_t)(i + 1) / (int32_t)count) / FULL_GAIN;
        pcm[i] = (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
    }
}

static enum player_tick outcome(struct player *p, uint32_t got, uint32_t count) {
    if (p->stopping && p->gain == 0)
        return PLAYER_ENDED;
    if (!p->supply)
        return got == count && advance(p) ? PLAYER_GOES_ON : PLAYER_ENDED;
    bool finished = atomic_load_explicit(&p->supply->finished, memory_order_acquire) ||
                    atomic_load_explicit(&p->supply->references, memory_order_acquire) == 1; /* nobody can add any more */
    uint32_t left = supply_fill(p->supply);
    if (finished && !left)
        return PLAYER_ENDED;
    if (got < count)
        atomic_fetch_add_explicit(&p->supply->underruns, 1, memory_order_relaxed);
    if (left >= p->supply->low)
        p->low_told = false;
    if (finished || p->low_told || left >= p->supply->low)
        return PLAYER_GOES_ON;
    p->low_told = true;
    return PLAYER_LOW;
}

enum player_tick player_step(struct player *p, bool narrow, bool wide) {
    uint32_t count = p->rate / MS_PER_SECOND * TICK_MS;
    uint32_t got = p->supply ? supply_read(p->supply, p->pcm, count) : read_clips(p, p->pcm, count);
    memset(p->pcm + got, 0, (count - got) * sizeof *p->pcm);
    apply_gain(p, p->pcm, count);
    p->played += got;
    if (p->rate == 8000 && wide)
        resample_up(&p->resampler, p->pcm, count, p->other);
    if (p->rate == 16000 && narrow)
        resample_down(&p->resampler, p->pcm, count, p->other);
    return outcome(p, got, count);
}
