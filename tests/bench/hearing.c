/* What one leg's hearing costs a tick: prints a case's name and the microseconds of hearing_put and of hearing_pull. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "g711.h"
#include "hearing.h"

enum { TICKS = 20000, LEGS = 64, FRAME = 160, DISTINCT = 50 };
static const uint64_t TICK = 20000000u;

enum way { SPEAKING, SILENT, ABSENT, LOSING };

static uint8_t said[DISTINCT][FRAME];

static double thread_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec * 1e-3;
}

static void speak(bool loud) {
    uint32_t random = 1;
    double one = 0, two = 0;
    for (int i = 0; i < DISTINCT * FRAME; i++) {
        random = random * 1664525 + 1013904223;
        double push = i % 71 == 0 ? 4000 : 200 * ((double)(random >> 16) / 65536 - 0.5);
        double now = push + 1.6 * one - 0.81 * two;
        two = one, one = now;
        said[i / FRAME][i % FRAME] = g711_encode(CODEC_PCMU, loud ? (int16_t)now : 0);
    }
}

/* Many legs in turn, so that each finds its memory out of the nearest cache, as in a room. */
static void measure(const char *name, enum way way) {
    const struct hearing_settings settings = {20, 200, 40, false};
    struct hearing *legs[LEGS];
    int16_t pcm[FRAME];
    double putting = 0, pulling = 0;
    for (int i = 0; i < LEGS; i++) {
        legs[i] = malloc(hearing_size(CODEC_PCMU));
        hearing_init(legs[i], CODEC_PCMU, &settings, 0);
    }
    speak(way != SILENT);
    for (int tick = 0; tick < TICKS / LEGS; tick++) {
        uint64_t now = (uint64_t)(tick + 1) * TICK;
        double begin = thread_us();
        for (int i = 0; i < LEGS && way != ABSENT; i++) {
            struct rtp rtp = {.payload = said[tick % DISTINCT], .length = FRAME, .seq = (uint16_t)tick,
                              .timestamp = (uint32_t)tick * FRAME, .ssrc = 1};
            if (way != LOSING || (tick * 7 + i) % 20)
                hearing_put(legs[i], &rtp, PACKET_AUDIO, now - TICK / 3);
        }
        double middle = thread_us();
        for (int i = 0; i < LEGS; i++)
            hearing_pull(legs[i], pcm, FRAME, now);
        putting += middle - begin;
        pulling += thread_us() - middle;
    }
    for (int i = 0; i < LEGS; i++)
        free(legs[i]);
    printf("%s %.3f %.3f\n", name, putting / TICKS, pulling / TICKS);
}

int main(void) {
    g711_init();
    measure("speaking", SPEAKING);
    measure("silent", SILENT);
    measure("absent", ABSENT);
    measure("losing", LOSING);
    return 0;
}
