/* What each codec costs: prints its name and the microseconds of encoding and of decoding 20 ms of speech-like sound,
 * and the same of resampling. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec.h"
#include "resample.h"

enum { FRAMES = 250, ROUNDS = 8, FRAME_MS = 20, PAYLOAD_MAX = 2 * CODEC_SAMPLES_MAX };

static int16_t sound[FRAMES * WIDE_RATE / 1000 * FRAME_MS], heard[CODEC_SAMPLES_MAX];
static uint8_t payloads[FRAMES][PAYLOAD_MAX];
static int lengths[FRAMES];

static double thread_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec * 1e-3;
}

/* Pulses of a changing pitch through a resonance, some noise, and pauses: what an encoder has to work for. */
static void speak(void) {
    uint32_t random = 1;
    double one = 0, two = 0, phase = 0;
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++) {
        random = random * 1664525 + 1013904223;
        double pitch = 100 + 60.0 * (double)(i / 8000 % 3), noise = (double)(random >> 16) / 65536 - 0.5;
        phase += pitch / WIDE_RATE;
        double push = phase >= 1 ? 6000 : 200 * noise;
        phase -= phase >= 1;
        double now = push + 1.6 * one - 0.81 * two;
        two = one, one = now;
        sound[i] = (int16_t)(i / 16000 % 5 == 4 ? 10 * noise : now);
    }
}

static void measure(enum codec number, const char *name, const struct codec_settings *settings) {
    const struct codec_operations *codec = codec_operations(number);
    void *encoder = malloc(codec->encoder_size + 1), *decoder = malloc(codec->decoder_size + 1);
    size_t samples = codec->rate / 1000 * FRAME_MS;
    double encoding = 0, decoding = 0;
    for (int round = 0; round < ROUNDS; round++) {
        if (codec->encoder_init)
            codec->encoder_init(encoder, settings), codec->decoder_init(decoder);
        double begin = thread_us();
        for (size_t i = 0; i < FRAMES; i++)
            lengths[i] = codec->encode(encoder, sound + i * samples, samples, payloads[i], PAYLOAD_MAX);
        double middle = thread_us();
        for (size_t i = 0; i < FRAMES; i++)
            codec->decode(decoder, payloads[i], (size_t)lengths[i], heard, CODEC_SAMPLES_MAX);
        encoding += middle - begin;
        decoding += thread_us() - middle;
    }
    printf("%s %.3f %.3f\n", name, encoding / FRAMES / ROUNDS, decoding / FRAMES / ROUNDS);
    free(encoder);
    free(decoder);
}

int main(void) {
    speak();
    for (unsigned codec = 0; codec < CODEC_COUNT; codec++) {
        static const char *const names[CODEC_COUNT] = {"PCMU", "PCMA", "G722", "opus", "L16", "L16/16000"};
        static const struct codec_settings settings = {.bitrate = 24000, .complexity = 5};
        if (codec != CODEC_OPUS)
            measure((enum codec)codec, names[codec], &settings);
    }
    for (uint8_t complexity = 0; complexity <= 10; complexity = (uint8_t)(complexity + 5)) {
        char name[32];
        struct codec_settings settings = {.bitrate = 24000, .complexity = complexity, .fec = 1, .expected_loss = 5};
        snprintf(name, sizeof name, "opus-%u", complexity);
        measure(CODEC_OPUS, name, &settings);
    }
    struct resampler up, down;
    static int16_t wide[320], narrow[160];
    resample_init(&up), resample_init(&down);
    double begin = thread_us();
    for (size_t i = 0; i < FRAMES * ROUNDS; i++)
        resample_up(&up, sound + i % FRAMES * 160, 160, wide);
    double middle = thread_us();
    for (size_t i = 0; i < FRAMES * ROUNDS; i++)
        resample_down(&down, sound + i % FRAMES * 320, 320, narrow);
    printf("resample %.3f %.3f\n", (middle - begin) / FRAMES / ROUNDS, (thread_us() - middle) / FRAMES / ROUNDS);
    return wide[5] == 1 && narrow[5] == 1 && heard[3] == 1; /* nothing is left out for want of use */
}
