#include "stretch.h"

#include <string.h>

#include "pitch.h"

enum { LAG_LOW_US = 2500, SILENT = 40 };

/* Whether nothing but the faintest noise is there: it may be cut anywhere. */
static int faint(const int16_t *pcm, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (pcm[i] > SILENT || pcm[i] < -SILENT)
            return 0;
    return 1;
}

/* The period between `pcm` and what lies behind it; 0: there is none. */
static int period(const int16_t *pcm, uint32_t rate, float similarity) {
    int most = (int)stretch_most(rate);
    if (faint(pcm, (size_t)most * 2))
        return most;
    struct pitch pitch = pitch_find(pcm + most, most, (int)(rate / 1000 * LAG_LOW_US / 1000), most, rate > 8000 ? 4 : 2);
    return pitch.similarity >= similarity ? pitch.lag : 0;
}

static int16_t between(int16_t from, int16_t to, int i, int count) {
    return (int16_t)(from + (to - from) * (i + 1) / (count + 1));
}

size_t stretch_shorten(int16_t *pcm, size_t count, uint32_t rate, float similarity) {
    int most = (int)stretch_most(rate), lag = period(pcm, rate, similarity);
    if (lag == 0)
        return 0;
    int16_t *first = pcm + most - lag; /* pcm + most is where the search compared */
    for (int i = 0; i < lag; i++)
        first[i] = between(first[i], first[i + lag], i, lag);
    size_t rest = count - (size_t)(most + lag);
    memmove(pcm + most, pcm + most + lag, rest * sizeof *pcm);
    return (size_t)lag;
}

size_t stretch_lengthen(int16_t *pcm, size_t count, uint32_t rate, float similarity) {
    int most = (int)stretch_most(rate), lag = period(pcm - most, rate, similarity);
    if (lag == 0)
        return 0;
    memmove(pcm + lag, pcm, count * sizeof *pcm);
    for (int i = 0; i < lag; i++) /* from what followed back into what came before, so that the period is said twice */
        pcm[i] = between(pcm[i + lag], pcm[i - lag], i, lag);
    return (size_t)lag;
}
