#include "listener.h"

#include <math.h>

struct listener *listener_new(uint16_t min_ms, uint16_t max_ms, uint16_t start_ms, bool fixed) {
    struct listener *l = calloc(1, sizeof *l);
    struct hearing_settings settings = {min_ms, max_ms, start_ms, fixed};
    g711_init();
    l->now = SECOND;
    l->seq = 65530; /* wraps soon */
    l->timestamp = 0xfffffe00u;
    l->ssrc = 7;
    l->hearing = malloc(hearing_size(CODEC_PCMU));
    CHECK(l->hearing);
    hearing_init(l->hearing, CODEC_PCMU, &settings, l->now);
    return l;
}

void listener_free(struct listener *l) {
    free(l->hearing);
    free(l);
}

void listener_forget(struct listener *l) {
    l->loudest = l->steepest = 0;
}

int16_t tone(uint32_t sample) {
    return (int16_t)(10000 * sin(2 * 3.14159265358979 * 400 * (double)(sample % 8000) / 8000));
}

void listener_put(struct listener *l, enum packet_kind kind, uint16_t seq, uint32_t timestamp, uint32_t ssrc,
                  const uint8_t *payload, size_t length) {
    uint8_t *copy = malloc(length ? length : 1); /* of its exact size, for the sanitizer */
    memcpy(copy, payload, length);
    struct rtp rtp = {.payload = copy, .length = (uint16_t)length, .seq = seq, .timestamp = timestamp, .ssrc = ssrc};
    hearing_put(l->hearing, &rtp, kind, l->now - TICK_PHASE * MS);
    free(copy);
}

void listener_hear(struct listener *l) {
    uint8_t payload[FRAME];
    for (uint32_t i = 0; i < FRAME; i++)
        payload[i] = g711_encode(CODEC_PCMU, tone(l->sample + i));
    listener_put(l, PACKET_AUDIO, l->seq, l->timestamp, l->ssrc, payload, FRAME);
    listener_skip(l, 1);
}

void listener_skip(struct listener *l, int packets) {
    l->seq = (uint16_t)(l->seq + packets);
    l->timestamp += (uint32_t)packets * FRAME;
    l->sample += (uint32_t)packets * FRAME;
}

void listener_tick(struct listener *l) {
    memset(l->pcm, 0x55, sizeof l->pcm);
    l->flags = hearing_pull(l->hearing, l->pcm, FRAME, l->now);
    l->now += 20 * MS;
    for (int i = 0; i < FRAME; i++) {
        int step = abs(l->pcm[i] - l->last);
        l->steepest = step > l->steepest ? step : l->steepest;
        l->loudest = abs(l->pcm[i]) > l->loudest ? abs(l->pcm[i]) : l->loudest;
        CHECK(!(l->flags & HEARD_NOTHING) || l->pcm[i] == 0);
        l->last = l->pcm[i];
    }
}

void listener_run(struct listener *l, int ticks) {
    for (int i = 0; i < ticks; i++) {
        listener_hear(l);
        listener_tick(l);
    }
}

void listener_wait(struct listener *l, int ticks) {
    for (int i = 0; i < ticks; i++)
        listener_tick(l);
}

struct hearing_statistics listener_statistics(const struct listener *l) {
    struct hearing_statistics statistics;
    hearing_statistics(l->hearing, &statistics);
    return statistics;
}
