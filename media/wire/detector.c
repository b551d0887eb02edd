#include "detector.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 102,      /* samples at 8 kHz: 78 Hz wide, so that neighbours of a group stay apart */
    HITS_TO_BEGIN = 4, /* half blocks: 32 ms of the same tones, so that 40 ms are always found (Q.24 §2.2) */
    MISSES_TO_END = 5, /* 32 ms, so that a pause of 40 ms is always found */
    UNKNOWN_MAX = 24, /* 150 ms of loss within a digit */
};
static const float SHARE = 0.80f;         /* of all energy that lies in the two tones */
static const float NEXT_IN_GROUP = 6.3f;  /* 8 dB above the others of the group */
static const float TWIST = 8.0f;          /* the low tone at most 9 dB above the high one */
static const float REVERSE_TWIST = 4.0f;  /* or 6 dB below */
static const float QUIETEST = 300.0f;     /* amplitude of a tone: about -36 dBm0 */
static const float STILL = 0.02f;         /* of a digit's energy: what is made up falls silent more slowly */
static const char keys[] = "123A456B789C*0#D", codes[] = "0123456789*#ABCD";
static const float frequencies[DETECTOR_TONES] = {697, 770, 852, 941, 1209, 1336, 1477, 1633};

static void restart(struct goertzel *g) {
    memset(g, 0, sizeof *g);
}

void detector_init(struct detector *d, uint32_t rate) {
    memset(d, 0, sizeof *d);
    d->rate = rate;
    d->block = BLOCK * (rate / 8000);
    for (int i = 0; i < DETECTOR_TONES; i++)
        d->coefficients[i] = 2 * cosf(6.2831853f * frequencies[i] / (float)rate);
    d->blocks[1].count = d->block / 2;
    d->candidate = d->digit = -1;
}

static float power(const struct detector *d, const struct goertzel *g, int tone) {
    float a = g->last[tone], b = g->before[tone];
    return a * a + b * b - d->coefficients[tone] * a * b;
}

/* The strongest of four; 0 when another comes near. */
static float strongest(const float *powers, int *which) {
    int best = 0;
    for (int i = 1; i < 4; i++)
        if (powers[i] > powers[best])
            best = i;
    for (int i = 0; i < 4; i++)
        if (i != best && powers[best] < NEXT_IN_GROUP * powers[i])
            return 0;
    *which = best;
    return powers[best];
}

static int8_t code_of(int row, int column) {
    return (int8_t)(strchr(codes, keys[4 * row + column]) - codes);
}

/* The digit that a whole block shows; -1: none. */
static int8_t judge(const struct detector *d, const struct goertzel *g) {
    float powers[DETECTOR_TONES], half = (float)d->block / 2;
    int row = 0, column = 0;
    for (int i = 0; i < DETECTOR_TONES; i++)
        powers[i] = power(d, g, i);
    float low = strongest(powers, &row), high = strongest(powers + 4, &column);
    float quietest = QUIETEST * half * QUIETEST * half;
    if (low < quietest || high < quietest || low > TWIST * high || high > REVERSE_TWIST * low)
        return -1;
    return low + high >= SHARE * half * g->energy ? code_of(row, column) : -1;
}

static void begin_or_forget(struct detector *d, int8_t found, bool doubtful) {
    if (found != d->candidate && doubtful && d->candidate >= 0 && d->unknown < UNKNOWN_MAX) {
        d->unknown++;
        return;
    }
    if (found < 0 || found != d->candidate) {
        d->candidate = found;
        d->hits = d->unknown = 0;
    }
    if (found < 0 || ++d->hits < HITS_TO_BEGIN)
        return;
    d->digit = found;
    d->samples = (HITS_TO_BEGIN + 1) * d->block / 2;
    d->misses = d->unknown = 0;
}

static struct detected go_on(struct detector *d, int8_t found, bool doubtful) {
    struct detected detected = {0};
    d->samples += d->block / 2;
    if (found == d->digit) {
        d->misses = d->unknown = 0;
    } else if (doubtful && d->unknown < UNKNOWN_MAX) {
        d->unknown++;
    } else if (++d->misses >= MISSES_TO_END) {
        uint32_t sound = d->samples - (d->misses + d->unknown) * d->block / 2;
        detected = (struct detected){(uint8_t)d->digit, sound / (d->rate / 1000), true};
        d->digit = d->candidate = -1;
        d->hits = d->unknown = 0;
    }
    return detected;
}

/* How far both blocks can go before one of them is whole. */
static size_t until_whole(const struct detector *d, size_t samples) {
    for (int i = 0; i < 2; i++)
        if (samples > d->block - d->blocks[i].count)
            samples = d->block - d->blocks[i].count;
    return samples;
}

static void run(const struct detector *d, struct goertzel *g, const int16_t *pcm, size_t samples) {
    detector_tones last = g->last, before = g->before, coefficients = d->coefficients;
    float energy = g->energy;
    for (size_t n = 0; n < samples; n++) {
        float sample = pcm[n];
        detector_tones next = coefficients * last - before + sample;
        before = last;
        last = next;
        energy += sample * sample;
    }
    g->last = last;
    g->before = before;
    g->energy = energy;
    g->count += (uint32_t)samples;
}

struct detected detector_hear(struct detector *d, const int16_t *pcm, size_t samples, bool concealed) {
    struct detected detected = {0};
    bool unsure = concealed || d->concealed; /* the seam behind what was made up is no better */
    d->concealed = concealed;
    while (samples) {
        size_t part = until_whole(d, samples);
        for (int i = 0; i < 2; i++) {
            struct goertzel *g = &d->blocks[i];
            run(d, g, pcm, part);
            g->unsure |= unsure;
            if (g->count < d->block)
                continue;
            int8_t found = judge(d, g);
            bool doubtful = g->unsure && g->energy > STILL * d->energy;
            if (found >= 0)
                d->energy = g->energy;
            restart(g);
            if (d->digit < 0) {
                begin_or_forget(d, found, doubtful);
                continue;
            }
            struct detected one = go_on(d, found, doubtful);
            if (one.ended)
                detected = one;
        }
        pcm += part;
        samples -= part;
    }
    return detected;
}
