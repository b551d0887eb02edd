/* A leg's part in a room: what it hears becomes sound here, and sound becomes what it says. Allocated on Python's thread,
 * large enough for every codec, so that a new plan needs no memory. */
#ifndef PBXD_WIRE_VOICE_H
#define PBXD_WIRE_VOICE_H

#include "core.h"
#include "detector.h"
#include "digits.h"
#include "hearing.h"
#include "mode.h"
#include "player.h"
#include "resample.h"
#include "retired.h"

enum detection { DETECT_OFF, DETECT_ON, DETECT_NEEDED /* where no telephone events were negotiated */ };

struct membership {
    uint32_t speaks, hears; /* i hears j when hears of i and speaks of j have a bit in common */
    int32_t gain;           /* of what it says, of FULL_GAIN */
    uint8_t muted;
    uint8_t detect;         /* enum detection: of digits in its sound */
    uint8_t keeps_digits;   /* the others neither hear nor get its digits */
};

enum { LINE_CAPACITY = 2 * 60 * 16 }; /* 60 ms waiting and as much arriving, at 16 kHz */

struct line { /* what waits to be said in packets of another length than a tick */
    uint64_t due;       /* when the next packet wants to go; 0: none waits */
    uint64_t last;      /* when the newest was due */
    uint64_t tick;      /* of the room, served last */
    uint32_t timestamp; /* of the first sample that waits, or of the next one */
    uint32_t fill;
    int16_t pcm[LINE_CAPACITY];
};

struct voice {
    struct retired retired;
    struct room *room;
    uint32_t leg;
    struct membership membership;
    enum codec codec;
    const struct codec_operations *operations;
    struct codec_settings settings; /* of the encoder as it is */
    struct hearing *hearing; /* these two behind this structure */
    void *encoder;
    struct player *players;
    struct detector detector;
    struct digits digits;
    struct resampler resampler;
    struct line line;
    struct hearing_statistics statistics; /* as they were a moment ago, for Python to copy */
    uint32_t ticks;                       /* heard */
    uint8_t expected_loss;                /* as the encoder was told */

    /* this tick */
    bool sounds;     /* there is something to hear of it */
    bool spoken;     /* it is voice, or was a moment ago */
    bool chosen;     /* it is in the mix, */
    bool was_chosen; /* and it was the tick before */
    bool gagged;     /* a digit is heard in its sound */
    bool converted;  /* `other` went on without a gap */
    uint32_t level;  /* mean magnitude, falling slowly */
    int16_t pcm[TICK_WIDE], other[TICK_WIDE]; /* at its codec's rate, and at the other */

    uint16_t hang;   /* ticks for which it still counts as speaking */
    uint16_t talked, paused; /* ticks in a row, for EVENT_TALKING */
    bool talking;
};

struct voice *voice_new(void); /* on Python's thread; NULL: no memory */
void voice_free(struct voice *voice);

static inline struct leg *voice_leg(const struct core *core, const struct voice *voice) {
    return &core->legs[voice->leg];
}

static inline bool voice_wide(const struct voice *voice) {
    return voice->operations->rate == WIDE_RATE;
}

static inline size_t voice_samples(const struct voice *voice) { /* of a tick */
    return voice_wide(voice) ? TICK_WIDE : TICK_NARROW;
}

/* Takes up the leg's plan, at first and whenever it changed. */
void voice_settle(struct core *core, struct voice *voice, bool anew, uint64_t now);

/* The next 20 ms of what the leg hears: fills in what belongs to this tick. */
struct detected voice_hear(struct core *core, struct voice *voice, bool gags, uint64_t now);

/* Makes `pcm`, and `other` when both rates are wanted, ready for the mix; fades where it comes or goes. */
void voice_offer(struct voice *voice, bool fades, bool both);

static inline const int16_t *voice_sound(const struct voice *voice, bool wide) {
    return voice_wide(voice) == wide ? voice->pcm : voice->other;
}

#endif
