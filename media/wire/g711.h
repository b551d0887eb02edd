/* ITU-T G.711: the two laws, and the way from one to the other. */
#ifndef PBXD_WIRE_G711_H
#define PBXD_WIRE_G711_H

#include <stddef.h>
#include <stdint.h>

enum codec { CODEC_PCMU, CODEC_PCMA, CODEC_COUNT };

enum { SAMPLE_RATE = 8000, SAMPLES_PER_MS = SAMPLE_RATE / 1000 };

/* Fills the tables; call once before anything else here. */
void g711_init(void);

static inline enum codec g711_other(enum codec codec) {
    return codec == CODEC_PCMU ? CODEC_PCMA : CODEC_PCMU;
}

int16_t g711_decode(enum codec codec, uint8_t code);
uint8_t g711_encode(enum codec codec, int16_t sample);

/* Re-codes `length` bytes in place. The same codec on both sides costs nothing.
 * Not what G.711 tables 3 and 4 say: they move some codes at segment boundaries by a step, for a better value after
 * several conversions in a row; this goes through the linear value once, which is the nearest within a segment. */
void g711_convert(enum codec from, enum codec to, uint8_t *data, size_t length);

#endif
