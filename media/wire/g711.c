#include "g711.h"

enum { LAWS = 2 };
static uint8_t conversion[LAWS][256]; /* by source codec */

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

/* The number of the segment: 0 below 1 << `first_bits`, then one more for each doubling. */
static unsigned segment_of(unsigned value, unsigned first_bits) {
    unsigned bits = 32 - (unsigned)__builtin_clz(value | 1);
    return bits > first_bits ? bits - first_bits : 0;
}

static uint8_t encode_mu(int16_t sample) {
    unsigned sign = sample < 0 ? 0x80 : 0;
    unsigned magnitude = (unsigned)(sample < 0 ? -(int)sample : sample) / 4 + 33;
    if (magnitude > 8191)
        magnitude = 8191;
    unsigned segment = segment_of(magnitude, 6);
    return (uint8_t) ~(sign | segment << 4 | (magnitude >> (segment + 1) & 15));
}

static uint8_t encode_a(int16_t sample) {
    unsigned sign = sample < 0 ? 0 : 0x80;
    unsigned magnitude = (unsigned)(sample < 0 ? -1 - (int)sample : sample) / 8; /* decision values are symmetric */
    unsigned segment = segment_of(magnitude, 5);
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
    if (from == to || !g711_is(from) || !g711_is(to))
        return;
    const uint8_t *table = conversion[from];
    for (size_t i = 0; i < length; i++)
        data[i] = table[data[i]];
}

/* ---- as codecs: the state is none, and every octet is a sample */

/* All values of a law at compile time, by the same words as decode_mu and decode_a. */
#define BITS(code) ((uint8_t)~(code))
#define MU_MAGNITUDE(bits) ((((((bits) & 15) << 1) + 33) << ((bits) >> 4 & 7)) - 33)
#define MU(code) (BITS(code) & 0x80 ? -4 * MU_MAGNITUDE(BITS(code)) : 4 * MU_MAGNITUDE(BITS(code)))
#define A_STEPS(bits) ((((bits) & 15) << 1) + ((bits) >> 4 & 7 ? 33 : 1))
#define A_MAGNITUDE(bits) (A_STEPS(bits) << ((bits) >> 4 & 7 ? ((bits) >> 4 & 7) - 1 : 0))
#define A(code) ((code) & 0x80 ? 8 * A_MAGNITUDE((code) ^ 0x55) : -8 * A_MAGNITUDE((code) ^ 0x55))
#define FOUR(law, code) law(code), law(code + 1), law(code + 2), law(code + 3)
#define ROW(law, code) FOUR(law, code), FOUR(law, code + 4), FOUR(law, code + 8), FOUR(law, code + 12)
#define ROWS(law, code) ROW(law, code), ROW(law, code + 16), ROW(law, code + 32), ROW(law, code + 48)

static const int16_t values[LAWS][256] = {
    {ROWS(MU, 0), ROWS(MU, 64), ROWS(MU, 128), ROWS(MU, 192)},
    {ROWS(A, 0), ROWS(A, 64), ROWS(A, 128), ROWS(A, 192)},
};

static int decode(enum codec law, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity) {
    if (!length || length > capacity)
        return -1;
    for (size_t i = 0; i < length; i++)
        pcm[i] = values[law][payload[i]];
    return (int)length;
}

static int pcmu_decode(void *decoder, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity) {
    (void)decoder;
    return decode(CODEC_PCMU, payload, length, pcm, capacity);
}

static int pcma_decode(void *decoder, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity) {
    (void)decoder;
    return decode(CODEC_PCMA, payload, length, pcm, capacity);
}

static int pcmu_encode(void *encoder, const int16_t *pcm, size_t samples, uint8_t *payload, size_t capacity) {
    (void)encoder;
    if (samples > capacity)
        return -1;
    for (size_t i = 0; i < samples; i++)
        payload[i] = encode_mu(pcm[i]);
    return (int)samples;
}

static int pcma_encode(void *encoder, const int16_t *pcm, size_t samples, uint8_t *payload, size_t capacity) {
    (void)encoder;
    if (samples > capacity)
        return -1;
    for (size_t i = 0; i < samples; i++)
        payload[i] = encode_a(pcm[i]);
    return (int)samples;
}

static int samples(const uint8_t *payload, size_t length) {
    (void)payload;
    return length ? (int)length : -1;
}

const struct codec_operations pcmu_codec = {
    .name = "PCMU",
    .clock = 8000,
    .rate = 8000,
    .decode = pcmu_decode,
    .encode = pcmu_encode,
    .samples = samples,
};

const struct codec_operations pcma_codec = {
    .name = "PCMA",
    .clock = 8000,
    .rate = 8000,
    .decode = pcma_decode,
    .encode = pcma_encode,
    .samples = samples,
};
