#include "vad.h"

#include <math.h>

enum {
    SPAN = 150,          /* frames in which speech pauses at least once */
    HANGOVER = 10,
    VOICE_LEAST = 400,   /* -64 dBov: below nobody speaks, whatever the background */
    VOICE_FACTOR = 5,    /* 7 dB above the background */
    BACKGROUND_MOST = 110000, /* -40 dBov: above it is no background, or a voice without pauses would be taken for one */
    BACKGROUND_FIRST = 2000,
};

void vad_init(struct vad *vad) {
    *vad = (struct vad){.background = BACKGROUND_FIRST, .lowest = UINT32_MAX};
}

uint32_t vad_energy(const int16_t *pcm, size_t samples) {
    uint64_t sum = 0;
    for (size_t i = 0; i < samples; i++)
        sum += (uint32_t)(pcm[i] * pcm[i]);
    return samples ? (uint32_t)(sum / samples) : 0;
}

static void learn(struct vad *vad, uint32_t energy) {
    if (energy < vad->lowest)
        vad->lowest = energy;
    if (energy < vad->background)
        vad->background -= (vad->background - energy) / 4;
    if (++vad->frames < SPAN)
        return;
    uint32_t lowest = vad->lowest < BACKGROUND_MOST ? vad->lowest : BACKGROUND_MOST;
    if (lowest > vad->background)
        vad->background += (lowest - vad->background) / 2 + 1;
    vad->frames = 0;
    vad->lowest = UINT32_MAX;
}

bool vad_quiet(const struct vad *vad, uint32_t energy) {
    return energy < VOICE_LEAST || energy / 2 < vad->background;
}

bool vad_voice(struct vad *vad, uint32_t energy) {
    learn(vad, energy);
    if (energy >= VOICE_LEAST && energy / VOICE_FACTOR >= vad->background)
        vad->hangover = HANGOVER;
    else if (vad->hangover)
        vad->hangover--;
    return vad->hangover > 0;
}

uint8_t level_of(uint32_t energy) {
    if (energy == 0)
        return LEVEL_SILENT;
    float level = 10 * log10f(32768.0f * 32768.0f / (float)energy);
    return (uint8_t)(level < 0 ? 0 : level > LEVEL_SILENT ? LEVEL_SILENT : level + 0.5f);
}

uint32_t level_energy(uint8_t level) {
    return (uint32_t)(32768.0f * 32768.0f * powf(10, -(float)level / 10));
}
