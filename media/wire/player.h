/* Sound that Python prepared, played into a room or to one of its members: clips, which are there whole, or a supply,
 * which Python keeps filling ahead. */
#ifndef PBXD_WIRE_PLAYER_H
#define PBXD_WIRE_PLAYER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "resample.h"
#include "retired.h"

enum { FULL_GAIN = 4096, TICK_MS = 20, TICK_NARROW = 160, TICK_WIDE = 320 };

/* Immutable. References are counted by Python's threads: its own, and one for each player. */
struct clip {
    _Atomic uint32_t references;
    uint32_t rate, count;
    int16_t samples[];
};

/* One writer, Python; one reader, the wire thread. */
struct supply {
    _Atomic uint32_t references;
    uint32_t rate, capacity, low; /* samples; the capacity is a power of two */
    _Atomic uint32_t head, tail;
    _Atomic bool finished;        /* nothing is added any more */
    _Atomic uint32_t underruns;   /* ticks that found too little */
    int16_t samples[];
};

enum played { PLAYED_WHOLE, PLAYED_STOPPED, PLAYED_LEG_GONE, PLAYED_ROOM_GONE };

struct player {
    struct retired retired;
    struct player *next;
    uint32_t id;
    uint32_t speaks;        /* of one that plays to the room: who hears it, as a member's */
    uint32_t rate;
    int32_t gain, target;   /* of FULL_GAIN; the gain moves towards the target */
    int32_t fade;           /* by so much each tick */
    bool stopping, ended;
    bool low_told;
    uint64_t played;        /* samples at `rate` */
    struct supply *supply;  /* NULL: clips */
    uint32_t repeats;       /* how often the row is played again; UINT32_MAX: for ever */
    uint32_t clip, position;
    struct resampler resampler;
    int16_t pcm[TICK_WIDE], other[TICK_WIDE]; /* of this tick, at `rate` and at the other one */
    uint32_t count;
    struct clip *clips[];
};

struct clip *clip_new(const int16_t *samples, uint32_t count, uint32_t rate); /* NULL: no memory */
void clip_release(struct clip *clip);

struct supply *supply_new(uint32_t rate, uint32_t capacity_ms, uint32_t low_ms);
void supply_release(struct supply *supply);
uint32_t supply_write(struct supply *supply, const int16_t *samples, uint32_t count); /* how many found room */
uint32_t supply_fill(const struct supply *supply);

/* Takes a reference to each clip, or to the stream. NULL: no memory. */
struct player *player_new(struct clip *const *clips, uint32_t count, struct supply *supply);
void player_free(struct player *player);

enum player_tick { PLAYER_GOES_ON, PLAYER_LOW, PLAYER_ENDED };

/* The next 20 ms into `pcm`, and into `other` when both rates are wanted. When it says ENDED they hold what was left. */
enum player_tick player_step(struct player *player, bool narrow, bool wide);

static inline const int16_t *player_sound(const struct player *player, bool wide) {
    return (player->rate == 16000) == wide ? player->pcm : player->other;
}

#endif
