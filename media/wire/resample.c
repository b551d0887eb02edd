#include "resample.h"

#include <string.h>

void resampler_init(struct resampler *r) {
    memset(r, 0, sizeof *r);
}

void resample_up(struct resampler *r, const int16_t *in, size_t samples, int16_t *out) {
    for (size_t i = 0; i < samples; i++) {
        out[2 * i] = (int16_t)((r->past[0] + in[i]) / 2);
        out[2 * i + 1] = in[i];
        r->past[0] = in[i];
    }
}

void resample_down(struct resampler *r, const int16_t *in, size_t samples, int16_t *out) {
    (void)r;
    for (size_t i = 0; i < samples / 2; i++)
        out[i] = (int16_t)((in[2 * i] + in[2 * i + 1]) / 2);
}
