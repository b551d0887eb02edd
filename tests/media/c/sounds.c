#include "sounds.h"

#include <math.h>

static const double TURN = 6.283185307179586;

void sounds_tone(int16_t *pcm, size_t samples, double rate, double frequency, double amplitude, size_t from) {
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)lrint(amplitude * sin(TURN * frequency * (double)(from + i) / rate));
}

double sounds_amplitude(const int16_t *pcm, size_t samples, double rate, double frequency) {
    double real = 0, imaginary = 0;
    for (size_t i = 0; i < samples; i++) {
        double angle = TURN * frequency * (double)i / rate;
        real += pcm[i] * cos(angle);
        imaginary += pcm[i] * sin(angle);
    }
    return 2 * sqrt(real * real + imaginary * imaginary) / (double)samples;
}
