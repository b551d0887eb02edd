/* Who is heard by whom, within one tick. Listeners who hear the same share the sum, and where the codec keeps no state
 * between packets, its encoding, too. */
#ifndef PBXD_WIRE_MIX_H
#define PBXD_WIRE_MIX_H

#include "codec.h"
#include "player.h"
#include "rtp.h"

enum { MIX_SOURCES = 16, MIX_SUMS = 32, MIX_CODINGS = 3 };

struct mix_source {
    const int16_t *sound[2]; /* narrow, wide; NULL where nobody wants it */
    uint32_t speaks;
    const void *owner; /* does not hear itself */
};

struct coding {
    const struct codec_operations *codec;
    int length;
    uint8_t packet[RTP_HEADER + 2 * TICK_WIDE]; /* room for the header of whoever sends it */
};

struct sum {
    uint32_t sources; /* one bit each */
    bool wide;
    const int16_t *pcm;
    int16_t samples[TICK_WIDE];
    uint32_t coded;
    struct coding codings[MIX_CODINGS];
};

struct mixer {
    uint32_t source_count, sum_count;
    struct mix_source sources[MIX_SOURCES];
    struct sum sums[MIX_SUMS];
};

static inline void mixer_begin(struct mixer *mixer) {
    mixer->source_count = mixer->sum_count = 0;
}

/* Beyond MIX_SOURCES nobody is added. */
void mixer_add(struct mixer *mixer, const struct mix_source *source);

/* What a listener hears. Valid until the next call of this or of mixer_begin. */
struct sum *mixer_for(struct mixer *mixer, const void *listener, uint32_t hears, bool wide);

/* The sum as `codec` says it, which must be one without state. */
struct coding *mixer_code(struct sum *sum, const struct codec_operations *codec);

/* Adds without a hard edge at full scale. */
int16_t mix_limit(int32_t value);

#endif
