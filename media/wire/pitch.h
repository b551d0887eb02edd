/* Where a sound repeats itself: the one search behind concealing and stretching. */
#ifndef PBXD_WIRE_PITCH_H
#define PBXD_WIRE_PITCH_H

#include <stddef.h>
#include <stdint.h>

struct pitch {
    int lag;          /* samples */
    float similarity; /* normalised cross-correlation, -1..1; 0 where either side is silent */
};

/* The lag from `low` to `high` at which the `window` samples at `x` resemble best those so many samples before them.
 * x[-high] to x[window - 1] must be there. `step` samples are looked at as one in the first pass. */
struct pitch pitch_find(const int16_t *x, int window, int low, int high, int step);

#endif
