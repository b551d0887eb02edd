/* Comfort noise: at the level and with the colour that the far end gave (RFC 3389), or at that of its background. */
#ifndef PBXD_WIRE_NOISE_H
#define PBXD_WIRE_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NOISE_ORDER = 12 };

struct noise {
    float reflection[NOISE_ORDER], memory[NOISE_ORDER + 1]; /* of the lattice */
    float amplitude, target;                                /* of the white noise that feeds it */
    uint32_t random;
    uint8_t order;
};

void noise_init(struct noise *noise);
void noise_background(struct noise *noise, uint32_t energy);                          /* white, to this mean square */
void noise_describe(struct noise *noise, const uint8_t *payload, size_t length);      /* RFC 3389 §3 */
void noise_add(struct noise *noise, int16_t *pcm, size_t samples);                    /* glides to a new level */

static inline bool noise_silent(const struct noise *noise) {
    return noise->target < 1 && noise->amplitude < 1;
}

#endif
