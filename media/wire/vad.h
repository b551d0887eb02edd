/* How loud a sound is, and whether somebody speaks: energy against the background's, which is learnt. */
#ifndef PBXD_WIRE_VAD_H
#define PBXD_WIRE_VAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LEVEL_SILENT = 127 };

struct vad {
    uint32_t background; /* mean square of what lies under the speech */
    uint32_t lowest;     /* of the frames of this span */
    uint8_t frames;      /* of this span */
    uint8_t hangover;    /* frames that still count as voice */
};

void vad_init(struct vad *vad);

/* The mean square of a frame: 0 to 2^30. */
uint32_t vad_energy(const int16_t *pcm, size_t samples);

/* Judges one frame of 20 ms by its energy; the 200 ms after a voice are voice too. */
bool vad_voice(struct vad *vad, uint32_t energy);

/* Whether this is nothing but background. */
bool vad_quiet(const struct vad *vad, uint32_t energy);

/* -dBov (RFC 6464 §3): 0 is the loudest square wave, 127 silence. */
uint8_t level_of(uint32_t energy);
uint32_t level_energy(uint8_t level);

#endif
