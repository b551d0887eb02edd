/* The two tones of a digit (ITU-T Q.23), made sample by sample. */
#ifndef PBXD_WIRE_TONE_H
#define PBXD_WIRE_TONE_H

#include <stddef.h>
#include <stdint.h>

enum { DTMF_CODES = 16 }; /* 0-9 * # A-D, as RFC 4733 §3.2 numbers them */

struct tone {
    uint32_t phase[2], step[2]; /* of 2^32 a turn */
};

void tone_tables(void); /* call once before anything else here */

/* The frequencies of a digit, in Hz. `code` is below DTMF_CODES. */
void tone_frequencies(uint8_t code, float *low, float *high);

void tone_start(struct tone *tone, uint8_t code, uint32_t rate);

/* The next samples. The first and the last `ramp` of them rise or fall where asked. */
void tone_fill(struct tone *tone, int16_t *pcm, size_t samples, size_t rise, size_t fall);

#endif
