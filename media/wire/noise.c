#include "noise.h"

#include <math.h>
#include <string.h>

#include "vad.h"

void noise_init(struct noise *noise) {
    *noise = (struct noise){.random = 0x2545f491u};
}

/* A uniform variable from -1 to 1 has a mean square of one third. */
static float amplitude_of(uint32_t energy) {
    return sqrtf(3.0f * (float)energy);
}

void noise_background(struct noise *noise, uint32_t energy) {
    noise->order = 0;
    noise->target = amplitude_of(energy);
}

/* | 0 |  level | k1 + 127 | ... */
void noise_describe(struct noise *noise, const uint8_t *payload, size_t length) {
    float gain = 1;
    noise->order = 0;
    for (size_t i = 1; i < length && i <= NOISE_ORDER; i++) {
        float k = ((float)payload[i] - 127) / 128;
        k = k > 0.98f ? 0.98f : k < -0.98f ? -0.98f : k; /* a pole on the circle would ring for good */
        noise->reflection[noise->order++] = k;
        gain *= 1 - k * k; /* what comes out of the lattice is louder by so much than what goes in */
    }
    memset(noise->memory, 0, sizeof noise->memory);
    noise->target = length ? amplitude_of(level_energy(payload[0] & 0x7f)) * sqrtf(gain) : 0;
}

static float shaped(struct noise *noise, float forward) {
    for (int i = noise->order - 1; i >= 0; i--) {
        forward -= noise->reflection[i] * noise->memory[i];
        noise->memory[i + 1] = noise->memory[i] + noise->reflection[i] * forward;
    }
    noise->memory[0] = forward;
    return forward;
}

void noise_add(struct noise *noise, int16_t *pcm, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        noise->random = noise->random * 1664525u + 1013904223u;
        noise->amplitude += (noise->target - noise->amplitude) * 0.005f;
        float white = (float)(int32_t)noise->random * (1.0f / 2147483648.0f) * noise->amplitude;
        float sum = (float)pcm[i] + shaped(noise, white);
        pcm[i] = (int16_t)(sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum);
    }
}
