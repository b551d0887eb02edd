/* What a hearing consists of: for hearing.c, which takes packets in and says the sound of each tick, and playout.c, which
 * makes the one of the other. Nobody else looks inside. */
#ifndef PBXD_WIRE_PLAYOUT_H
#define PBXD_WIRE_PLAYOUT_H

#include <stdalign.h>

#include "hearing.h"
#include "jitter.h"
#include "noise.h"
#include "plc.h"
#include "stream.h"
#include "vad.h"

enum {
    RATE_MOST = 16000,
    TICK_MS = 20,
    PACKET_MS = 120,        /* what one packet holds at most */
    HISTORY = 800,          /* samples kept behind those that were said */
    SLIDE = 640,           /* how far what is said next may lie behind that, before all is moved to the front */
    READY = 3840,           /* samples decoded and not yet said: a packet, a tick and what stretching needs */
    WINDOW_MS = 500,        /* of the estimate of the delay */
    LEARNING_MS = 4000,     /* before which the delay does not fall below the first */
    SHORT_SILENCE_MS = 40,  /* up to which a hole in the timestamps is concealed though no packet is missing */
    GIVE_UP_MS = 120,       /* of concealing: then it is a pause */
    FOLLOW_MS = 40,         /* of what was made up, the last is told to the decoder */
    LATE_ROW = 5,           /* packets in a row that come too late: the way got longer for good */
    EVENT_GRACE_MS = 100,   /* an event whose packets stop coming is over after so long */
    NOISE_AFTER_LOSS_MS = 2000, NOISE_DESCRIBED_MS = 30000,
    LONG_MS = 22, SHORT_MS = 2, LOW_MS = 5, /* how far above its target the delay may be: one change of length leads from end to end */
    FAR_MS = 60, NEAR_MS = 30,  /* above and below it: urgent */
    FIXED_MS = 100,             /* when it is fixed: so long that only drift can have done it */
    PATIENCE_TICKS = 500,   /* for a pause in which to change the sound's length */
    PAUSE_TICKS = 5,        /* between two changes of the sound's length */
    LOSS_WEIGHT = 100, LOSSES_MOST = 1000, LOSSY = 150,
    FAINT = 64, FAINT_TICKS = 50, /* mean square of A-law's silence; after so long it is nothing at all */
    DECLICK = 16,
};

enum state { WAITING, PLAYING };

struct hearing {
    struct hearing_statistics statistics;
    struct stream stream;
    struct delay delay;
    struct vad vad;
    struct noise noise;
    struct plc plc;
    uint64_t born;
    int64_t edge;                   /* PLAYING: the place on the stream's line behind the last sample that is ready */
    int64_t learning;               /* until when the delay is not believed to be small */
    int64_t event_at, event_end;    /* what the newest event covers */
    int32_t least, most, start;     /* of the settings, in samples */
    uint32_t rate, ns_per_sample;
    uint32_t energy;                /* of the last frame */
    int32_t noise_left;             /* samples of comfort noise until silence */
    uint32_t gap;                   /* samples concealed in a row */
    uint16_t ready;
    uint16_t ahead;                 /* of those concealed: not yet known whether the packet is late or lost */
    uint16_t packet_samples;        /* in the newest packet decoded */
    uint16_t last_seq;
    uint16_t losses;                /* of late: LOSS_WEIGHT each, less one a packet */
    uint16_t wanted;                /* ticks for which the delay has been too long or too short */
    uint8_t state, codec, late_row, pause, faint;
    bool fixed, following, event;   /* following: `last_seq` is the number of what was said last */
    bool decoded, concealed;        /* in this pull */
    int16_t last;                   /* sample said */
    uint16_t said;                  /* place in `sound` of what is said next; HISTORY samples and more lie before it */
    int16_t sound[HISTORY + SLIDE + READY];
    struct jitter jitter;
    alignas(max_align_t) uint8_t decoder[];
};

_Static_assert(sizeof(struct hearing) <= 48 * 1024, "as much as a leg may have");
_Static_assert((int)HISTORY >= (int)PLC_HISTORY, "concealing looks back so far");
_Static_assert((int)HISTORY >= RATE_MOST / 1000 * (int)FOLLOW_MS + (int)CODEC_FOLLOW, "and so does telling the decoder");

static inline const struct codec_operations *operations(const struct hearing *h) {
    return codec_operations((enum codec)h->codec);
}

static inline int32_t ms(const struct hearing *h, int32_t count) {
    return count * (int32_t)(h->rate / 1000);
}

static inline int64_t local(const struct hearing *h, uint64_t now) { /* in samples */
    return now > h->born ? (int64_t)((now - h->born) / h->ns_per_sample) : 0;
}

static inline int16_t *tail(struct hearing *h) {
    return h->sound + h->said + h->ready;
}

/* How far behind its place on the stream's line a sample is to be said: the fastest packet's transit and the delay. */
int64_t playout_target(const struct hearing *h, int64_t when);
int64_t playout_need(const struct hearing *h); /* the delay without which packets would come too late */
void playout_learn(struct hearing *h, int64_t when); /* the delay, from the newest packet on */
void playout_pause(struct hearing *h, int32_t noise_ms); /* ends what is being said: it fades, into so much noise */

/* One step towards `samples` more that are ready: decodes, conceals or idles. It may add more, or none at first. */
void playout_advance(struct hearing *h, int64_t when, size_t samples);

#endif
