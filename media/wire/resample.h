/* Between the two rates of sound inside: 8000 and 16000 samples a second. */
#ifndef PBXD_WIRE_RESAMPLE_H
#define PBXD_WIRE_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

enum { RESAMPLER_TAPS = 31 };

struct resampler {
    int16_t past[RESAMPLER_TAPS - 1];
};

void resampler_init(struct resampler *r);
void resample_up(struct resampler *r, const int16_t *in, size_t samples, int16_t *out);   /* twice as many come out */
void resample_down(struct resampler *r, const int16_t *in, size_t samples, int16_t *out); /* half as many; even */

#endif
