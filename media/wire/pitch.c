#include "pitch.h"

#include <math.h>

static float resemble(const int16_t *x, int window, int lag, int step) {
    int64_t product = 0, here = 0, there = 0;
    for (int i = 0; i < window; i += step) {
        int a = x[i], b = x[i - lag];
        product += a * b;
        here += a * a;
        there += b * b;
    }
    if (here == 0 || there == 0)
        return 0;
    return (float)product / sqrtf((float)here * (float)there);
}

struct pitch pitch_find(const int16_t *x, int window, int low, int high, int step) {
    struct pitch best = {.lag = low, .similarity = -2};
    for (int lag = low; lag <= high; lag += step) {
        float similarity = resemble(x, window, lag, step);
        if (similarity > best.similarity)
            best = (struct pitch){lag, similarity};
    }
    int from = best.lag - step + 1, to = best.lag + step - 1;
    best.similarity = -2;
    for (int lag = from < low ? low : from; lag <= to && lag <= high; lag++) {
        float similarity = resemble(x, window, lag, 1);
        if (similarity > best.similarity)
            best = (struct pitch){lag, similarity};
    }
    return best;
}
