#include "g711.h"

static uint8_t conversion[CODEC_COUNT][256]; /* by source codec; there are only two */

/* µ-law: G.711 §3.2, table 2. 14-bit values, returned with two low bits of zero. */
static int16_t decode_mu(uint8_t code) {
    unsigned bits = (uint8_t)~code;
    unsigned segment = bits >> 4 & 7, step = bits & 15;
    int magnitude = (int)((((step << 1) + 33) << segment) - 33);
    return (int16_t)((bits & 0x80 ? -magnitude : magnitude) * 4);
}

/* A-law: G.711 §3.1, table 1. 13-bit values, returned with three low bits of zero. */
static int16_t decode_a(uint8_t code) {
    unsigned bits = code ^ 0x55u;
    unsigned segment = bits >> 4 & 7, step = bits & 15;
    int magnitude = (int)(segment ? ((step << 1) + 33) << (segment - 1) : (step << 1) + 1);
    return (int16_t)((bits & 0x80 ? magnitude : -magnitude) * 8);
}

static unsigned segment_of(unsigned value, unsigned first) {
    unsigned segment = 0;
    while (segment < 7 && value >= first << segment)
        segment++;
    return segment;
}

static uint8_t encode_mu(int16_t sample) {
    unsigned sign = sample < 0 ? 0x80 : 0;
    unsigned magnitude = (unsigned)(sample < 0 ? -(int)sample : sample) / 4 + 33;
    if (magnitude > 8191)
        magnitude = 8191;
    unsigned segment = segment_of(magnitude, 64);
    return (uint8_t) ~(sign | segment << 4 | (magnitude >> (segment + 1) & 15));
}

static uint8_t encode_a(int16_t sample) {
    unsigned sign = sample < 0 ? 0 : 0x80;
    unsigned magnitude = (unsigned)(sample < 0 ? -1 - (int)sample : sample) / 8; /* decision values are symmetric */
    unsigned segment = segment_of(magnitude, 32);
    unsigned step = magnitude >> (segment ? segment : 1) & 15;
    return (uint8_t)((sign | segment << 4 | step) ^ 0x55u);
}

int16_t g711_decode(enum codec codec, uint8_t code) {
    return codec == CODEC_PCMU ? decode_mu(code) : decode_a(code);
}

uint8_t g711_encode(enum codec codec, int16_t sample) {
    return codec == CODEC_PCMU ? encode_mu(sample) : encode_a(sample);
}

void g711_init(void) {
    for (unsigned code = 0; code < 256; code++) { /* by magnitude: the sign is the same bit in both laws */
        uint8_t positive = (uint8_t)(code | 0x80), sign = (uint8_t)(code | 0x7f);
        conversion[CODEC_PCMU][code] = encode_a(decode_mu(positive)) & sign;
        conversion[CODEC_PCMA][code] = encode_mu(decode_a(positive)) & sign;
    }
}

void g711_convert(enum codec from, enum codec to, uint8_t *data, size_t length) {
    if (from == to)
        return;
    const uint8_t *table = conversion[from];
    for (size_t i = 0; i < length; i++)
        data[i] = table[data[i]];
}
