#include "plc.h"

#include <string.h>

#include "pitch.h"

enum {
    FULL_MS = 10,    /* at full level for so long, */
    FADE_MS = 80,   /* silent after so long */
    LAG_LOW_US = 2500, LAG_HIGH_US = 12500, LAG_AFTER_US = 12500, WINDOW_US = 6000,
    STEP_MS = 2,     /* in which a step is evened out */
    JOIN_MS = 4, JOIN_MORE_MS = 4, JOIN_MOST_MS = 4, /* crossfade at the end, more for each 10 ms of gap */
    PERIODS_MOST = 1,
};

static int samples_of(const struct plc *plc, uint32_t us) {
    return (int)(plc->rate * us / 1000000u);
}

static const int16_t *history_end(const struct plc *plc) {
    return plc->history + PLC_HISTORY;
}

void plc_begin(struct plc *plc, const int16_t *end, uint32_t rate) {
    memcpy(plc->history, end - PLC_HISTORY, sizeof plc->history);
    plc->rate = rate;
    plc->concealed = 0;
    plc->periods = 1;
    plc->at = 0;
    plc->active = true;
    int window = samples_of(plc, WINDOW_US);
    struct pitch pitch = pitch_find(history_end(plc) - window, window, samples_of(plc, LAG_LOW_US),
                                    samples_of(plc, LAG_HIGH_US), rate > 8000 ? 4 : 2);
    plc->lag = (uint16_t)pitch.lag;
    plc->step = (int16_t)((history_end(plc)[-1] - history_end(plc)[-1 - pitch.lag]) / 2);
}

/* Sample number `at` of the repeated periods, whose last quarter leads into their beginning. */
static float repeated(const struct plc *plc, unsigned periods, unsigned at) {
    int length = (int)periods * plc->lag, quarter = plc->lag / 4;
    const int16_t *from = history_end(plc) - length;
    int into = (int)at - (length - quarter);
    if (into < 0)
        return from[at];
    float weight = ((float)into + 1) / ((float)quarter + 1);
    return (float)from[at] * (1 - weight) + (float)from[(int)at - length] * weight;
}

static float gain(const struct plc *plc) {
    float ms = (float)plc->concealed * 1000 / (float)plc->rate;
    if (ms <= FULL_MS)
        return 1;
    return ms >= FADE_MS ? 0 : (FADE_MS - ms) / (FADE_MS - FULL_MS);
}

static float next(struct plc *plc) {
    uint32_t tenth = plc->rate / 100, evened = plc->rate * STEP_MS / 1000;
    unsigned length = (unsigned)plc->periods * plc->lag;
    float sample = repeated(plc, plc->periods, plc->at);
    if (plc->concealed < evened)
        sample += (float)(plc->step * 2) * (float)(evened - plc->concealed) / (float)evened;
    sample *= gain(plc);
    plc->concealed++;
    if (++plc->at >= length) {
        plc->at = 0;
        if (plc->periods < PERIODS_MOST && plc->concealed >= tenth * plc->periods)
            plc->periods++;
    }
    return sample;
}

static int16_t clip(float sample) {
    return (int16_t)(sample > 32767 ? 32767 : sample < -32768 ? -32768 : sample);
}

bool plc_silent(const struct plc *plc) {
    return !plc->active || plc->concealed * 1000ull >= (uint64_t)FADE_MS * plc->rate;
}

void plc_conceal(struct plc *plc, int16_t *pcm, size_t samples) {
    for (size_t i = 0; i < samples; i++)
        pcm[i] = plc_silent(plc) ? 0 : clip(next(plc));
}

void plc_end(struct plc *plc, int16_t *pcm, size_t samples) {
    uint32_t ms = JOIN_MS + JOIN_MORE_MS * (plc->concealed * 100 / plc->rate);
    size_t join = plc->rate * (ms < JOIN_MOST_MS ? ms : JOIN_MOST_MS) / 1000;
    if (join > samples)
        join = samples;
    for (size_t i = 0; i < join; i++) {
        float weight = ((float)i + 1) / ((float)join + 1);
        float old = plc_silent(plc) ? 0 : next(plc);
        pcm[i] = clip((float)pcm[i] * weight + old * (1 - weight));
    }
    plc->active = false;
}

/* ---- with both sides known */

/* The sample `before` ahead of what really came, by repeating its first period backwards. */
static float backwards(const int16_t *real, size_t lag, size_t before) {
    size_t at = (before - 1) % lag, quarter = lag / 4; /* 0: the last of the period */
    float sample = real[lag - 1 - at];
    if (at < lag - quarter)
        return sample;
    float weight = (float)(at - (lag - quarter) + 1) / (float)(quarter + 1);
    return sample * (1 - weight) + (float)real[2 * lag - 1 - at] * weight;
}

/* The pitch of what really came; 0: too little of it. */
static size_t period_after(const struct plc *plc, const int16_t *real, size_t after) {
    int window = samples_of(plc, WINDOW_US), low = samples_of(plc, LAG_LOW_US), high = samples_of(plc, LAG_AFTER_US);
    if (high > (int)after / 2)
        high = (int)after / 2;
    if (high > (int)after - window)
        high = (int)after - window;
    if (high < low)
        return 0;
    return (size_t)pitch_find(real + high, window, low, high, plc->rate > 8000 ? 4 : 2).lag;
}

void plc_bridge(struct plc *plc, int16_t *pcm, size_t gap, size_t after) {
    const int16_t *real = pcm + gap;
    size_t period = gap <= (size_t)samples_of(plc, PLC_BRIDGE_MS * 1000) ? period_after(plc, real, after) : 0;
    if (period == 0) {
        plc_conceal(plc, pcm, gap);
        plc_end(plc, pcm + gap, after);
        return;
    }
    for (size_t i = 0; i < gap; i++) {
        float weight = ((float)i + 1) / ((float)gap + 1);
        pcm[i] = clip(next(plc) * (1 - weight) + backwards(real, period, gap - i) * weight);
    }
    plc->active = false;
}
