#include "tone.h"

#include <math.h>

enum { WAVE_BITS = 10, WAVE = 1 << WAVE_BITS };

static const float lows[] = {697, 770, 852, 941}, highs[] = {1209, 1336, 1477, 1633};
static const char keys[] = "123A456B789C*0#D", codes[] = "0123456789*#ABCD";
static const float LOW_LEVEL = 5900, HIGH_LEVEL = 7400; /* -12 and -10 dBm0: two decibels for what a line takes away */
static int16_t low_wave[WAVE], high_wave[WAVE];

void tone_tables(void) {
    for (int i = 0; i < WAVE; i++) {
        float turn = sinf(6.2831853f * ((float)i + 0.5f) / WAVE);
        low_wave[i] = (int16_t)(LOW_LEVEL * turn);
        high_wave[i] = (int16_t)(HIGH_LEVEL * turn);
    }
}

void tone_frequencies(uint8_t code, float *low, float *high) {
    int key = 0;
    while (keys[key] != codes[code])
        key++;
    *low = lows[key / 4];
    *high = highs[key % 4];
}

void tone_start(struct tone *tone, uint8_t code, uint32_t rate) {
    float frequencies[2];
    tone_frequencies(code, &frequencies[0], &frequencies[1]);
    for (int i = 0; i < 2; i++) {
        tone->phase[i] = 0;
        tone->step[i] = (uint32_t)((double)frequencies[i] / rate * 4294967296.0);
    }
}

static int32_t next(struct tone *tone) {
    int32_t sample = low_wave[tone->phase[0] >> (32 - WAVE_BITS)] + high_wave[tone->phase[1] >> (32 - WAVE_BITS)];
    tone->phase[0] += tone->step[0];
    tone->phase[1] += tone->step[1];
    return sample;
}

void tone_fill(struct tone *tone, int16_t *pcm, size_t samples, size_t rise, size_t fall) {
    for (size_t i = 0; i < samples; i++) {
        int32_t sample = next(tone);
        if (i < rise)
            sample = sample * (int32_t)i / (int32_t)rise;
        if (samples - i <= fall)
            sample = sample * (int32_t)(samples - i - 1) / (int32_t)fall;
        pcm[i] = (int16_t)sample;
    }
}
