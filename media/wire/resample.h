/* Between the two rates of sound: a half-band filter with linear phase, flat within 0.01 dB to 3.4 kHz and 68 dB down
 * from 4.6 kHz on. It delays by 27 samples at 16 kHz, 1.7 ms. */
#ifndef PBXD_WIRE_RESAMPLE_H
#define PBXD_WIRE_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

enum { RESAMPLE_HISTORY = 54 };

struct resampler { /* of one direction */
    int16_t history[RESAMPLE_HISTORY];
};

void resample_init(struct resampler *r);

/* 8 to 16 kHz: writes twice `samples`. */
void resample_up(struct resampler *r, const int16_t *narrow, size_t samples, int16_t *wide);

/* 16 to 8 kHz: `samples` is even; writes half of it. */
void resample_down(struct resampler *r, const int16_t *wide, size_t samples, int16_t *narrow);

#endif
