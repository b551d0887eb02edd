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

struct stream *stream_new(uint32_t rate, uint32_t capacity_ms, uint32_t low_ms) {
    uint32_t capacity = 1, wanted = rate / MS_PER_SECOND * capacity_ms;
    while (capacity < wanted)
        capacity *= 2;
    struct stream *stream = calloc(1, sizeof *stream + capacity * sizeof stream->samples[0]);
    if (!stream)
        return NULL;
    atomic_init(&stream->references, 1);
    stream->rate = rate;
    stream->capacity = capacity;
    stream->low = rate / MS_PER_SECOND * low_ms;
    return stream;
}

void stream_release(struct stream *stream) {
    if (atomic_fetch_sub(&stream->references, 1) == 1)
        free(stream);
}

uint32_t stream_fill(const struct stream *stream) {
    return atomic_load_explicit(&stream->head, memory_order_acquire) -
           atomic_load_explicit(&stream->tail, memory_order_acquire);
}

uint32_t stream_write(struct stream *stream, const int16_t *samples, uint32_t count) {
    uint32_t head = atomic_load_explicit(&stream->head, memory_order_relaxed);
    uint32_t room = stream->capacity - (head - atomic_load_explicit(&stream->tail, memory_order_acquire));
    if (count > room)
        count = room;
    uint32_t at = head & (stream->capacity - 1), first = stream->capacity - at;
    if (first > count)
        first = count;
    memcpy(stream->samples + at, samples, first * sizeof *samples);
    memcpy(stream->samples, samples + first, (count - first) * sizeof *samples);
    atomic_store_explicit(&stream->head, head + count, memory_order_release);
    return count;
}

static uint32_t stream_read(struct stream *stream, int16_t *to, uint32_t count) {
    uint32_t tail = atomic_load_explicit(&stream->tail, memory_order_relaxed);
    uint32_t there = atomic_load_explicit(&stream->head, memory_order_acquire) - tail;
    if (count > there)
        count = there;
    uint32_t at = tail & (stream->capacity - 1), first = stream->capacity - at;
    if (first > count)
        first = count;
    memcpy(to, stream->samples + at, first * sizeof *to);
    memcpy(to + first, stream->samples, (count - first) * sizeof *to);
    atomic_store_explicit(&stream->tail, tail + count, memory_order_release);
    return count;
}

/* ---- who plays it */

struct player *player_new(struct clip *const *clips, uint32_t count, struct stream *stream) {
    struct player *player = calloc(1, sizeof *player + count * sizeof *clips);
    if (!player)
        return NULL;
    player->retired.kind = RETIRED_PLAYER;
    player->stream = stream;
    player->count = count;
    player->rate = stream ? stream->rate : clips[0]->rate;
    player->gain = player->target = FULL_GAIN;
    player->fade = FULL_GAIN;
    player->low_told = true; /* until it was full once */
    resample_init(&player->resampler);
    if (stream)
        atomic_fetch_add(&stream->references, 1);
    for (uint32_t i = 0; i < count; i++) {
        player->clips[i] = clips[i];
        atomic_fetch_add(&clips[i]->references, 1);
    }
    return player;
}

void player_free(struct player *player) {
    for (uint32_t i = 0; i < player->count; i++)
        clip_release(player->clips[i]);
    if (player->stream)
        stream_release(player->stream);
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
    if (!p->stream)
        return got == count && advance(p) ? PLAYER_GOES_ON : PLAYER_ENDED;
    bool finished = atomic_load_explicit(&p->stream->finished, memory_order_acquire);
    uint32_t left = stream_fill(p->stream);
    if (finished && !left)
        return PLAYER_ENDED;
    if (got < count)
        atomic_fetch_add_explicit(&p->stream->underruns, 1, memory_order_relaxed);
    if (left >= p->stream->low)
        p->low_told = false;
    if (finished || p->low_told || left >= p->stream->low)
        return PLAYER_GOES_ON;
    p->low_told = true;
    return PLAYER_LOW;
}

enum player_tick player_step(struct player *p, bool narrow, bool wide) {
    uint32_t count = p->rate / MS_PER_SECOND * TICK_MS;
    uint32_t got = p->stream ? stream_read(p->stream, p->pcm, count) : read_clips(p, p->pcm, count);
    memset(p->pcm + got, 0, (count - got) * sizeof *p->pcm);
    apply_gain(p, p->pcm, count);
    p->played += got;
    if (p->rate == 8000 && wide)
        resample_up(&p->resampler, p->pcm, count, p->other);
    if (p->rate == 16000 && narrow)
        resample_down(&p->resampler, p->pcm, count, p->other);
    return outcome(p, got, count);
}
