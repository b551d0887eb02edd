/* The names are those of the Recommendation: its blocks, its variables in lower case. Everything is 16-bit arithmetic
 * with saturation where §6.2.1.1 says so, so the octets are the same on every machine. */
#include "g722.h"

#include <stdbool.h>
#include <string.h>

enum { TAPS = 24, HISTORY = TAPS - 2, PAIRS_AT_ONCE = 160, ZEROS = 6 };

struct band {
    int16_t s, sz;     /* the signal as predicted; the share of the zeros in it */
    int16_t nb, det;   /* the logarithmic scale factor, and the linear one */
    int16_t a[2];      /* coefficients of the two poles */
    int16_t r[2], p[2];/* reconstructed and partially reconstructed signal, newest first */
    int16_t b[ZEROS], d[ZEROS]; /* coefficients of the zeros, and the differences they weigh */
};

struct encoder {
    struct band low, high;
    int16_t history[HISTORY]; /* of the sound */
};

struct decoder {
    struct band low, high;
    int32_t history[HISTORY]; /* sum and difference of the bands, in turn */
};

static int clamp(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

static int16_t saturate(int value) {
    return (int16_t)clamp(value, -32768, 32767);
}

/* ---- tables of §6.2.1.2 */

/* Table 11: half of the 24 coefficients of the quadrature mirror filter, in 1/8192; the other half mirrors them. */
static const int16_t h[TAPS / 2] = {3, -11, -11, 53, 12, -156, 32, 362, -210, -805, 951, 3876};

/* Table 14: decision levels of the 60-level quantizer, in 1/4096 of det. */
static const int16_t q6[] = {35,  72,  110, 150,  190,  233,  276,  323,  370,  422,  473,  530,  587,  650, 714,
                             786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919};
enum { LOW_LEVELS = sizeof q6 / sizeof *q6, HIGH_LEVEL = 564 };

/* Tables 16 to 18: what the codes stand for, in 1/32768 of det. */
static const int16_t qm6[64] = {
    -136,  -136,  -136,  -136,  -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576,  -6000,  -5456,  -4944,  -4464,  -4008,  -3576,  -3168,  -2776,
    -2400, -2032, -1688, -1360, -1040,  -728,   24808,  21904,  19008,  16704,  14984,  13512,  12280,
    11192, 10232, 9360,  8576,  7856,   7192,   6576,   6000,   5456,   4944,   4464,   4008,   3576,
    3168,  2776,  2400,  2032,  1688,   1360,   1040,   728,    432,    136,    -432,   -136,
};
static const int16_t qm4[16] = {0,     -20456, -12896, -8968, -6288, -4240, -2584, -1200,
                                20456, 12896,  8968,   6288,  4240,  2584,  1200,  0};
static const int16_t qm2[4] = {-7408, -1616, 7408, 1616};

/* How far a code moves the logarithmic scale factor: tables 19 and 20 applied to their code words. */
static const int16_t wl[16] = {-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60};
static const int16_t wh[4] = {798, -214, 798, -214};

/* Table 21: 2048 * 2^(i/32) */
static const int16_t ilb[32] = {2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543,
                                2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025, 3091, 3158, 3228,
                                3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008};

enum { LOW_NB_MAX = 18432, HIGH_NB_MAX = 22528, LOW_SHIFT = 8, HIGH_SHIFT = 10, LOW_DET = 32, HIGH_DET = 8 };

/* ---- adaptation, the same in both bands and both directions */

/* LOGSCL and SCALEL, or LOGSCH and SCALEH (§6.2.1.4, §6.2.2.4) */
static void scale(struct band *band, int step, int nb_max, int shift) {
    int nb = clamp((band->nb * 127 >> 7) + step, 0, nb_max);
    int down = shift - (nb >> 11), value = ilb[nb >> 6 & 31];
    band->nb = (int16_t)nb;
    band->det = (int16_t)((down < 0 ? value << -down : value >> down) * 4);
}

/* UPPOL2 and UPPOL1 (§6.2.1.6) */
static void adapt_poles(struct band *band, int p) {
    bool same1 = (p ^ band->p[0]) >= 0, same2 = (p ^ band->p[1]) >= 0;
    int wd = saturate(band->a[0] * 4);
    wd = same1 ? saturate(-wd) : wd;
    int a2 = clamp((same2 ? 128 : -128) + (wd >> 7) + (band->a[1] * 32512 >> 15), -12288, 12288);
    int bound = 15360 - a2;
    int a1 = clamp((same1 ? 192 : -192) + (band->a[0] * 32640 >> 15), -bound, bound);
    band->a[0] = (int16_t)a1;
    band->a[1] = (int16_t)a2;
}

/* UPZERO and the delay line of d (§6.2.1.6); the share of the zeros in the next prediction (FILTEZ) on the way */
static void adapt_zeros(struct band *band, int d) {
    int step = d ? 128 : 0, sum = 0;
    for (int i = 0; i < ZEROS; i++)
        band->b[i] = (int16_t)(((d ^ band->d[i]) >= 0 ? step : -step) + (band->b[i] * 32640 >> 15));
    for (int i = ZEROS - 1; i > 0; i--)
        band->d[i] = band->d[i - 1];
    band->d[0] = (int16_t)d;
    for (int i = ZEROS - 1; i >= 0; i--)
        sum += band->b[i] * saturate(2 * band->d[i]) >> 15;
    band->sz = saturate(sum);
}

/* BLOCK4: takes the quantized difference `d` in and predicts the next sample. */
static void predict(struct band *band, int d) {
    int16_t r = saturate(band->s + d), p = saturate(band->sz + d);
    adapt_poles(band, p);
    adapt_zeros(band, d);
    band->p[1] = band->p[0];
    band->p[0] = p;
    band->r[1] = band->r[0];
    band->r[0] = r;
    int sp = (band->a[0] * saturate(2 * band->r[0]) >> 15) + (band->a[1] * saturate(2 * band->r[1]) >> 15); /* FILTEP */
    band->s = saturate(saturate(sp) + band->sz);
}

static void adapt_low(struct band *band, unsigned code) { /* by the four bits that every mode has */
    int d = band->det * qm4[code >> 2] >> 15;
    scale(band, wl[code >> 2], LOW_NB_MAX, LOW_SHIFT);
    predict(band, d);
}

static int adapt_high(struct band *band, unsigned code) { /* returns the quantized difference */
    int d = band->det * qm2[code] >> 15;
    scale(band, wh[code], HIGH_NB_MAX, HIGH_SHIFT);
    predict(band, d);
    return d;
}

static void band_init(struct band *low, struct band *high) {
    low->det = LOW_DET;
    high->det = HIGH_DET;
}

/* ---- encoder */

/* QUANTL: the number of levels below the magnitude, by halving. */
static unsigned levels_below(int magnitude, int det) {
    unsigned from = 0, to = LOW_LEVELS;
    while (from < to) {
        unsigned middle = (from + to) / 2;
        if (magnitude >= q6[middle] * det >> 12)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static unsigned quantize_low(int x, const struct band *band) {
    int e = saturate(x - band->s);
    unsigned level = levels_below(e < 0 ? ~e : e, band->det);
    if (e >= 0)
        return 61 - level; /* table 15: ILP, from 61 down */
    return level < 2 ? 63 - level : 33 - level; /* ILN: 63, 62, then from 31 down */
}

static unsigned quantize_high(int x, const struct band *band) {
    int e = saturate(x - band->s);
    bool outer = (e < 0 ? ~e : e) >= HIGH_LEVEL * band->det >> 12;
    return e < 0 ? (outer ? 0 : 1) : (outer ? 2 : 3);
}

static uint8_t encode_pair(struct encoder *encoder, const int16_t *line) {
    int even = 0, odd = 0;
    for (int i = 0; i < TAPS / 2; i += 2) { /* the line's newest sample is the last; h is its own mirror */
        even += line[i] * h[i] + line[TAPS - 2 - i] * h[i + 1];
        odd += line[i + 1] * h[i + 1] + line[TAPS - 1 - i] * h[i];
    }
    int low = (odd + even) >> 14, high = (odd - even) >> 14;
    unsigned low_code = quantize_low(low, &encoder->low), high_code = quantize_high(high, &encoder->high);
    adapt_low(&encoder->low, low_code);
    adapt_high(&encoder->high, high_code);
    return (uint8_t)(high_code << 6 | low_code);
}

static void encoder_init(void *state, const struct codec_settings *settings) {
    (void)settings;
    struct encoder *encoder = memset(state, 0, sizeof *encoder);
    band_init(&encoder->low, &encoder->high);
}

static int encode(void *state, const int16_t *pcm, size_t samples, uint8_t *payload, size_t capacity) {
    struct encoder *encoder = state;
    int16_t line[HISTORY + 2 * PAIRS_AT_ONCE];
    size_t pairs = samples / 2;
    if (samples % 2 || pairs > capacity)
        return -1;
    while (pairs) {
        size_t now = pairs < PAIRS_AT_ONCE ? pairs : PAIRS_AT_ONCE;
        memcpy(line, encoder->history, sizeof encoder->history);
        memcpy(line + HISTORY, pcm, 2 * now * sizeof *pcm);
        for (size_t i = 0; i < now; i++)
            *payload++ = encode_pair(encoder, line + 2 * i);
        memcpy(encoder->history, line + 2 * now, sizeof encoder->history);
        pcm += 2 * now;
        pairs -= now;
    }
    return (int)(samples / 2);
}

/* ---- decoder */

static void decode_bands(struct decoder *decoder, uint8_t octet, int32_t *sum_and_difference) {
    struct band *low = &decoder->low, *high = &decoder->high;
    unsigned low_code = octet & 63, high_code = octet >> 6;
    int low_signal = clamp(low->s + (low->det * qm6[low_code] >> 15), -16384, 16383); /* INVQBL, RECONS, LIMIT */
    int high_predicted = high->s;
    adapt_low(low, low_code);
    int high_signal = clamp(high_predicted + adapt_high(high, high_code), -16384, 16383);
    sum_and_difference[0] = low_signal + high_signal;
    sum_and_difference[1] = low_signal - high_signal;
}

static void join(const int32_t *line, int16_t *pcm) {
    int sums = 0, differences = 0;
    for (int i = 0; i < TAPS / 2; i += 2) {
        sums += line[i] * h[i] + line[TAPS - 2 - i] * h[i + 1];
        differences += line[i + 1] * h[i + 1] + line[TAPS - 1 - i] * h[i];
    }
    pcm[0] = saturate(differences >> 11);
    pcm[1] = saturate(sums >> 11);
}

static void decoder_init(void *state) {
    struct decoder *decoder = memset(state, 0, sizeof *decoder);
    band_init(&decoder->low, &decoder->high);
}

static int samples_in(const uint8_t *payload, size_t length) {
    (void)payload;
    return length ? (int)(2 * length) : -1;
}

static int decode(void *state, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity) {
    struct decoder *decoder = state;
    int32_t line[HISTORY + 2 * PAIRS_AT_ONCE];
    if (!length || 2 * length > capacity)
        return -1;
    for (size_t rest = length; rest;) {
        size_t now = rest < PAIRS_AT_ONCE ? rest : PAIRS_AT_ONCE;
        memcpy(line, decoder->history, sizeof decoder->history);
        for (size_t i = 0; i < now; i++) {
            decode_bands(decoder, *payload++, line + HISTORY + 2 * i);
            join(line + 2 * i, pcm + 2 * i);
        }
        memcpy(decoder->history, line + 2 * now, sizeof decoder->history);
        pcm += 2 * now;
        rest -= now;
    }
    return (int)(2 * length);
}

/* As ITU-T G.722 Appendices III and IV do it: what was made up is encoded from where the decoder stands, and decoded. Both
 * filters together are late by HISTORY samples, so the encoder had heard so much more by then. */
static void follow(void *state, const int16_t *pcm, size_t samples) {
    struct decoder *decoder = state;
    struct encoder encoder = {.low = decoder->low, .high = decoder->high};
    memcpy(encoder.history, pcm, sizeof encoder.history);
    for (pcm += HISTORY; samples;) {
        uint8_t payload[PAIRS_AT_ONCE];
        int16_t unheard[2 * PAIRS_AT_ONCE];
        size_t now = samples < 2 * PAIRS_AT_ONCE ? samples : 2 * PAIRS_AT_ONCE;
        encode(&encoder, pcm, now, payload, sizeof payload);
        decode(decoder, payload, now / 2, unheard, now);
        pcm += now;
        samples -= now;
    }
}

const struct codec_operations g722_codec = {
    .name = "G722",
    .clock = NARROW_RATE,
    .rate = WIDE_RATE,
    .decoder_size = sizeof(struct decoder),
    .encoder_size = sizeof(struct encoder),
    .decoder_init = decoder_init,
    .encoder_init = encoder_init,
    .decode = decode,
    .follow = follow,
    .encode = encode,
    .samples = samples_in,
};
