/* Sounds to try codecs with, and an ear for one frequency. */
#ifndef SOUNDS_H
#define SOUNDS_H

#include <stddef.h>
#include <stdint.h>

/* A sine from sample number `from` on. */
void sounds_tone(int16_t *pcm, size_t samples, double rate, double frequency, double amplitude, size_t from);

/* How loud `frequency` is in it: the amplitude of that sine. */
double sounds_amplitude(const int16_t *pcm, size_t samples, double rate, double frequency);

#endif
