/* A hearing for Python, which damages its packets and judges its sound. */
#include <stdlib.h>
#include <string.h>

#include "g711.h"
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

/* One codec's encoder and decoder, as at the two ends of a call without a network between them. */
struct mouth {
    const struct codec_operations *codec;
    void *encoder, *decoder;
};

FACE struct mouth *mouth_new(int codec, uint32_t bitrate, int fec, int expected_loss) {
    struct mouth *mouth = malloc(sizeof *mouth);
    struct codec_settings settings = {
        .bitrate = bitrate, .complexity = 5, .fec = (uint8_t)fec, .expected_loss = (uint8_t)expected_loss};
    mouth->codec = codec_operations((enum codec)codec);
    mouth->encoder = malloc(mouth->codec->encoder_size + 1);
    mouth->decoder = malloc(mouth->codec->decoder_size + 1);
    g711_init();
    if (mouth->codec->encoder_init)
        mouth->codec->encoder_init(mouth->encoder, &settings);
    if (mouth->codec->decoder_init)
        mouth->codec->decoder_init(mouth->decoder);
    return mouth;
}

FACE void mouth_free(struct mouth *mouth) {
    free(mouth->encoder);
    free(mouth->decoder);
    free(mouth);
}

FACE int mouth_encode(struct mouth *mouth, const int16_t *pcm, size_t samples, uint8_t *payload, size_t capacity) {
    return mouth->codec->encode(mouth->encoder, pcm, samples, payload, capacity);
}

FACE int mouth_decode(struct mouth *mouth, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity) {
    return mouth->codec->decode(mouth->decoder, payload, length, pcm, capacity);
}

FACE uint32_t mouth_rate(const struct mouth *mouth) {
    return mouth->codec->rate;
}

FACE uint32_t mouth_clock(const struct mouth *mouth) {
    return mouth->codec->clock;
}
