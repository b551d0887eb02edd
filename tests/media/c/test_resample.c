/* From one rate of sound to the other: measured as a listener would. */
#include <math.h>

#include "resample.h"
#include "sounds.h"
#include "tests.h"

enum { SECOND_NARROW = 8000, SECOND_WIDE = 16000 };

static int16_t narrow[SECOND_NARROW], wide[SECOND_WIDE];

static double decibel(double amplitude, double of) {
    return 20 * log10(amplitude / of);
}

void test_a_tone_survives_the_other_rate(void) {
    for (int frequency = 100; frequency <= 3400; frequency += 300) {
        struct resampler up, down;
        resample_init(&up), resample_init(&down);
        sounds_tone(narrow, SECOND_NARROW, 8000, frequency, 16000, 0);
        resample_up(&up, narrow, SECOND_NARROW, wide);
        CHECK(fabs(decibel(sounds_amplitude(wide + 4000, 8000, 16000, frequency), 16000)) < 0.05);
        CHECK(decibel(sounds_amplitude(wide + 4000, 8000, 16000, 8000 - frequency), 16000) < -60); /* its image */
        resample_down(&down, wide, SECOND_WIDE, narrow);
        CHECK(fabs(decibel(sounds_amplitude(narrow + 2000, 4000, 8000, frequency), 16000)) < 0.05);
    }
}

void test_what_has_no_place_at_8_khz_goes(void) {
    for (int frequency = 4600; frequency <= 7900; frequency += 300) {
        struct resampler down;
        resample_init(&down);
        sounds_tone(wide, SECOND_WIDE, 16000, frequency, 16000, 0);
        resample_down(&down, wide, SECOND_WIDE, narrow);
        CHECK(decibel(sounds_amplitude(narrow + 2000, 4000, 8000, 8000 - frequency), 16000) < -60);
    }
}

void test_resampling_in_pieces_is_the_same(void) {
    static int16_t whole[SECOND_WIDE], pieces[SECOND_WIDE];
    struct resampler one, other;
    resample_init(&one), resample_init(&other);
    sounds_tone(narrow, SECOND_NARROW, 8000, 1234, 10000, 0);
    resample_up(&one, narrow, SECOND_NARROW, whole);
    for (size_t at = 0; at < SECOND_NARROW; at += 160)
        resample_up(&other, narrow + at, 160, pieces + 2 * at);
    CHECK_IS(memcmp(whole, pieces, sizeof whole), 0);
    resample_init(&one), resample_init(&other);
    resample_down(&one, whole, SECOND_WIDE, wide);
    for (size_t at = 0; at < SECOND_WIDE; at += 320)
        resample_down(&other, whole + at, 320, pieces + at / 2);
    CHECK_IS(memcmp(wide, pieces, SECOND_NARROW * sizeof *wide), 0);
}

void test_the_loudest_sound_is_resampled_without_a_wrap(void) {
    struct resampler up, down;
    resample_init(&up), resample_init(&down);
    for (size_t i = 0; i < SECOND_NARROW; i++)
        narrow[i] = i / 40 % 2 ? 32767 : -32768;
    resample_up(&up, narrow, SECOND_NARROW, wide);
    for (size_t i = 400; i < SECOND_WIDE; i++) {
        int16_t source = narrow[i / 2 - 13];
        bool settled = narrow[i / 2 - 27] == source && narrow[i / 2] == source;
        CHECK(!settled || abs(wide[i] - source) < 2000);
    }
    resample_down(&down, wide, SECOND_WIDE, narrow);
    for (size_t i = 200; i < SECOND_NARROW - 1; i++)
        CHECK(abs(narrow[i + 1] - narrow[i]) < 60000); /* from one rail to the other it takes a few samples */
}
