#include "resample.h"

#include <string.h>

/* Every second coefficient of the filter is zero but the middle one, which is a half: one phase of the higher rate is
 * only delayed, the other is a sum over SIDE pairs. */
enum { SIDE = 14, TAPS = 2 * SIDE, AT_ONCE = 320, ONE = 1 << 14 };

/* From the middle outwards, in 1/16384, for a gain of two. An equiripple (Parks-McClellan) design of 55 taps. */
static const int16_t side[SIDE] = {10392, -3363, 1901, -1241, 854, -598, 417, -286, 191, -123, 75, -43, 22, -11};

static int16_t saturate(int value) {
    return (int16_t)(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
}

void resample_init(struct resampler *r) {
    memset(r, 0, sizeof *r);
}

static void up(const int16_t *line, size_t samples, int16_t *wide) {
    for (size_t n = 0; n < samples; n++, line++) {
        int sum = ONE / 2;
        for (int i = 0; i < SIDE; i++)
            sum += side[i] * (line[SIDE - 1 - i] + line[SIDE + i]);
        *wide++ = saturate(sum >> 14);
        *wide++ = line[SIDE];
    }
}

void resample_up(struct resampler *r, const int16_t *narrow, size_t samples, int16_t *wide) {
    int16_t line[TAPS - 1 + AT_ONCE];
    while (samples) {
        size_t now = samples < AT_ONCE ? samples : AT_ONCE;
        memcpy(line, r->history, (TAPS - 1) * sizeof *line);
        memcpy(line + TAPS - 1, narrow, now * sizeof *line);
        up(line, now, wide);
        memcpy(r->history, line + now, (TAPS - 1) * sizeof *line);
        narrow += now;
        wide += 2 * now;
        samples -= now;
    }
}

static void down(const int16_t *line, size_t samples, int16_t *narrow) {
    for (size_t n = 0; n < samples; n++, line += 2) {
        int sum = ONE + ONE * line[TAPS - 1];
        for (int i = 0; i < SIDE; i++)
            sum += side[i] * (line[TAPS - 2 - 2 * i] + line[TAPS + 2 * i]);
        *narrow++ = saturate(sum >> 15);
    }
}

void resample_down(struct resampler *r, const int16_t *wide, size_t samples, int16_t *narrow) {
    int16_t line[RESAMPLE_HISTORY + 2 * AT_ONCE];
    for (size_t rest = samples / 2; rest;) {
        size_t now = rest < AT_ONCE ? rest : AT_ONCE;
        memcpy(line, r->history, sizeof r->history);
        memcpy(line + RESAMPLE_HISTORY, wide, 2 * now * sizeof *line);
        down(line, now, narrow);
        memcpy(r->history, line + 2 * now, sizeof r->history);
        wide += 2 * now;
        narrow += now;
        rest -= now;
    }
}
