/* ITU-T G.711: the two laws, and the way from one to the other. */
#ifndef PBXD_WIRE_G711_H
#define PBXD_WIRE_G711_H

#include "codec.h"

/* Fills the tables of g711_convert; call once before it. */
void g711_init(void);

static inline bool g711_is(enum codec codec) {
    return codec == CODEC_PCMU || codec == CODEC_PCMA;
}

static inline enum codec g711_other(enum codec codec) {
    return codec == CODEC_PCMU ? CODEC_PCMA : CODEC_PCMU;
}

int16_t g711_decode(enum codec codec, uint8_t code);
uint8_t g711_encode(enum codec codec, int16_t sample);

/* Re-codes `length` bytes in place, between the two laws. The same codec on both sides costs nothing,
 * and other codecs are left as they are.
 * Not what G.711 tables 3 and 4 say: they move some codes at segment boundaries by a step, for a better value after
 * several conversions in a row; this goes through the linear value once, which is the nearest within a segment. */
void g711_convert(enum codec from, enum codec to, uint8_t *data, size_t length);

extern const struct codec_operations pcmu_codec, pcma_codec;

#endif
