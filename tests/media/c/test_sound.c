/* The parts of hearing: concealment, stretching, noise and voice, the packets that wait. */
#include <math.h>

#include "jitter.h"
#include "noise.h"
#include "pitch.h"
#include "plc.h"
#include "stretch.h"
#include "tests.h"
#include "vad.h"

enum { LENGTH = 4000, TWENTY_MS = 160 };

static void hum(int16_t *pcm, size_t samples, double hertz, double amplitude, uint32_t rate) {
    for (size_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)(amplitude * (sin(2 * M_PI * hertz * (double)i / rate) + 0.3 * sin(6 * M_PI * hertz * (double)i / rate)));
}

static int steepest(const int16_t *pcm, size_t samples) {
    int most = 0;
    for (size_t i = 1; i < samples; i++)
        most = abs(pcm[i] - pcm[i - 1]) > most ? abs(pcm[i] - pcm[i - 1]) : most;
    return most;
}

void test_pitch_is_found(void) {
    int16_t pcm[LENGTH];
    for (int period = 25; period <= 95; period += 7) {
        hum(pcm, LENGTH, 8000.0 / period, 8000, 8000);
        struct pitch pitch = pitch_find(pcm + 1000, 100, 20, 100, 2);
        CHECK_IS(pitch.lag % period, 0);
        CHECK(pitch.similarity > 0.99f);
    }
    memset(pcm, 0, sizeof pcm);
    CHECK(pitch_find(pcm + 1000, 100, 20, 100, 2).similarity == 0);
}

static void conceal(uint32_t rate) {
    int16_t pcm[LENGTH], truth[LENGTH];
    struct plc plc = {0};
    size_t at = 1000, gap = rate / 50;
    hum(truth, LENGTH, 160, 8000, rate);
    memcpy(pcm, truth, sizeof pcm);
    plc_begin(&plc, pcm + at, rate);
    plc_conceal(&plc, pcm + at, gap);
    plc_end(&plc, pcm + at + gap, gap);
    CHECK(!plc.active);
    CHECK(steepest(pcm, at + 3 * gap) <= steepest(truth, at + 3 * gap) * 5 / 4);
    int64_t wrong = 0, right = 0;
    for (size_t i = at; i < at + gap; i++) {
        wrong += (pcm[i] - truth[i]) * (pcm[i] - truth[i]);
        right += truth[i] * truth[i];
    }
    CHECK(wrong * 20 < right);
    memcpy(pcm, truth, sizeof pcm);
    plc_begin(&plc, pcm + at, rate);
    plc_bridge(&plc, pcm + at, gap, gap);
    CHECK(memcmp(pcm + at + gap, truth + at + gap, gap * sizeof *pcm) == 0);
    CHECK(steepest(pcm, at + 3 * gap) <= steepest(truth, at + 3 * gap) * 5 / 4);
}

void test_plc_goes_on_with_the_voice(void) {
    conceal(8000);
    conceal(16000);
}

void test_plc_fades_and_ends(void) {
    int16_t pcm[LENGTH];
    struct plc plc = {0};
    hum(pcm, LENGTH, 160, 8000, 8000);
    plc_begin(&plc, pcm + 1000, 8000);
    plc_conceal(&plc, pcm, 800);
    CHECK(vad_energy(pcm, 80) > vad_energy(pcm + 400, 80) && vad_energy(pcm + 400, 80) > vad_energy(pcm + 600, 40));
    CHECK(plc_silent(&plc));
    plc_conceal(&plc, pcm, 800);
    CHECK_IS(vad_energy(pcm, 800), 0);
    plc_bridge(&plc, pcm, 800, 20); /* too long, and too little behind it */
    CHECK(!plc.active);
}

void test_plc_of_anything_stays_in_bounds(void) {
    int16_t pcm[LENGTH];
    uint32_t random = 1;
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < LENGTH; i++) {
            random = random * 1664525u + 1013904223u;
            pcm[i] = round % 4 == 0 ? (int16_t)(random >> 16) : round % 4 == 1 ? (random >> 31 ? 32767 : -32768) : 0;
        }
        struct plc plc = {0};
        uint32_t rate = round & 1 ? 8000 : 16000;
        plc_begin(&plc, pcm + 1000, rate);
        plc_conceal(&plc, pcm + 1000, (size_t)round * 3);
        plc_bridge(&plc, pcm + 1600, rate / 100 * (size_t)(round % 7 + 1), (size_t)round);
    }
}

void test_stretching_changes_the_length_and_not_the_sound(void) {
    int16_t pcm[LENGTH], truth[LENGTH];
    for (uint32_t rate = 8000; rate <= 16000; rate += 8000)
        for (int hertz = 90; hertz < 380; hertz += 17) {
            hum(truth, LENGTH, hertz, 8000, rate);
            int most = steepest(truth, LENGTH) * 11 / 10;
            memcpy(pcm, truth, sizeof pcm);
            size_t taken = stretch_shorten(pcm + 1000, 1000, rate, 0.9f);
            CHECK(taken > 0 && taken <= stretch_most(rate));
            CHECK(memcmp(pcm + 1000 + 500, truth + 1000 + 500 + taken, (500 - taken) * sizeof *pcm) == 0);
            CHECK(steepest(pcm, 2000 - taken) <= most);
            memcpy(pcm, truth, sizeof pcm);
            size_t added = stretch_lengthen(pcm + 1000, 1000, rate, 0.9f);
            CHECK(added > 0 && added <= stretch_most(rate));
            CHECK(memcmp(pcm + 1000 + added, truth + 1000, 1000 * sizeof *pcm) == 0);
            CHECK(steepest(pcm, 2000 + added) <= most);
        }
    uint32_t random = 1;
    for (size_t i = 0; i < LENGTH; i++)
        pcm[i] = (int16_t)((random = random * 1664525u + 1013904223u) >> 18);
    CHECK_IS(stretch_shorten(pcm + 1000, 1000, 8000, 0.9f), 0); /* no noise resembles itself */
    CHECK(stretch_shorten(pcm + 1000, 1000, 8000, -1) > 0);
    memset(pcm, 0, sizeof pcm);
    CHECK_IS(stretch_lengthen(pcm + 1000, 1000, 8000, 0.9f), stretch_most(8000));
}

void test_voice_against_its_background(void) {
    struct vad vad;
    vad_init(&vad);
    int16_t loud[TWENTY_MS], low[TWENTY_MS];
    hum(loud, TWENTY_MS, 200, 5000, 8000);
    hum(low, TWENTY_MS, 200, 60, 8000);
    for (int i = 0; i < 500; i++)
        CHECK(!vad_voice(&vad, vad_energy(low, TWENTY_MS)) || i < 10);
    CHECK(vad_voice(&vad, vad_energy(loud, TWENTY_MS)));
    for (int i = 0; i < 9; i++)
        CHECK(vad_voice(&vad, vad_energy(low, TWENTY_MS))); /* the end of a word */
    CHECK(!vad_voice(&vad, vad_energy(low, TWENTY_MS)));
    for (int i = 0; i < 3000; i++)
        CHECK(vad_voice(&vad, vad_energy(loud, TWENTY_MS))); /* a minute without a pause */
    CHECK_IS(level_of(0), 127);
    CHECK_IS(level_of(1u << 30), 0);
    for (uint8_t level = 0; level < 80; level++)
        CHECK_IS(level_of(level_energy(level)), level);
}

void test_waiting_packets_against_a_plain_list(void) {
    static struct jitter j;
    static uint8_t payload[RTP_LENGTH_MAX], copy[RTP_LENGTH_MAX];
    bool here[65536] = {false};
    uint32_t random = 7, count = 0, low = 65500;
    jitter_clear(&j);
    for (int round = 0; round < 100000; round++) {
        random = random * 1664525u + 1013904223u;
        uint16_t seq = (uint16_t)(low + (random >> 8) % 100), length = (uint16_t)((random >> 16) % 400);
        struct jitter_packet packet = {.seq = seq, .length = length, .at = seq};
        memset(payload, seq & 0xff, length);
        if (random >> 31) {
            bool room = (length + JITTER_CHUNK - 1) / JITTER_CHUNK <= j.free_count;
            CHECK_IS(jitter_put(&j, &packet, payload), room && !here[seq]);
            count += room && !here[seq];
            here[seq] |= room;
        } else if (jitter_head(&j)) {
            const struct jitter_packet *head = jitter_head(&j);
            for (; !here[(uint16_t)low]; low++)
                CHECK(!jitter_find(&j, (uint16_t)low));
            CHECK_IS(head->seq, (uint16_t)low);
            size_t octets = jitter_copy(&j, head, copy);
            CHECK(octets == head->length && (!octets || (copy[0] == (low & 0xff) && copy[octets - 1] == (low & 0xff))));
            here[(uint16_t)low] = false;
            jitter_drop(&j);
            count--;
        }
        CHECK_IS(j.count, count);
    }
    while (jitter_head(&j))
        jitter_drop(&j);
    CHECK_IS(j.free_count, JITTER_CHUNKS);
}
