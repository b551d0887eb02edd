/* A hearing for Python, which damages its packets and judges its sound. */
#include <stdlib.h>
#include <string.h>

#include "hearing.h"

#define FACE __attribute__((visibility("default")))

FACE struct hearing *ear_new(int codec, int min_ms, int max_ms, int start_ms, int fixed) {
    struct hearing_settings settings = {(uint16_t)min_ms, (uint16_t)max_ms, (uint16_t)start_ms, fixed};
    struct hearing *h = malloc(hearing_size((enum codec)codec));
    g711_init();
    hearing_init(h, (enum codec)codec, &settings, 1000000000u);
    return h;
}

FACE void ear_free(struct hearing *h) {
    free(h);
}

FACE void ear_put(struct hearing *h, int kind, uint16_t seq, uint32_t timestamp, uint32_t ssrc, const uint8_t *payload,
                  size_t length, uint64_t now) {
    uint8_t copy[RTP_LENGTH_MAX];
    memcpy(copy, payload, length);
    struct rtp rtp = {.payload = copy, .length = (uint16_t)length, .seq = seq, .timestamp = timestamp, .ssrc = ssrc};
    hearing_put(h, &rtp, (enum packet_kind)kind, now);
}

FACE int ear_pull(struct hearing *h, int16_t *pcm, size_t samples, uint64_t now) {
    return hearing_pull(h, pcm, samples, now);
}

FACE void ear_statistics(const struct hearing *h, struct hearing_statistics *statistics) {
    hearing_statistics(h, statistics);
}

FACE int ear_encode(int codec, const int16_t *pcm, size_t samples, uint8_t *payload, size_t capacity) {
    const struct codec_operations *operations = codec_operations((enum codec)codec);
    void *state = operations->encoder_size ? malloc(operations->encoder_size) : NULL;
    if (operations->encoder_init)
        operations->encoder_init(state, &(struct codec_settings){0});
    int octets = operations->encode(state, pcm, samples, payload, capacity);
    free(state);
    return octets;
}

FACE int ear_decode(int codec, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity) {
    const struct codec_operations *operations = codec_operations((enum codec)codec);
    void *state = operations->decoder_size ? malloc(operations->decoder_size) : NULL;
    if (operations->decoder_init)
        operations->decoder_init(state);
    int samples = operations->decode(state, payload, length, pcm, capacity);
    free(state);
    return samples;
}
