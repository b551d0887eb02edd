#include "l16.h"

static int samples(const uint8_t *payload, size_t length) {
    (void)payload;
    return length && length % 2 == 0 ? (int)(length / 2) : -1;
}

static int decode(void *decoder, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity) {
    (void)decoder;
    int count = samples(payload, length);
    if (count > (int)capacity)
        return -1;
    for (int i = 0; i < count; i++)
        pcm[i] = (int16_t)(payload[2 * i] << 8 | payload[2 * i + 1]);
    return count;
}

static int encode(void *encoder, const int16_t *pcm, size_t samples, uint8_t *payload, size_t capacity) {
    (void)encoder;
    if (samples * 2 > capacity)
        return -1;
    for (size_t i = 0; i < samples; i++) {
        payload[2 * i] = (uint8_t)((uint16_t)pcm[i] >> 8);
        payload[2 * i + 1] = (uint8_t)pcm[i];
    }
    return (int)(samples * 2);
}

const struct codec_operations l16_codec = {
    .name = "L16",
    .clock = NARROW_RATE,
    .rate = NARROW_RATE,
    .decode = decode,
    .encode = encode,
    .samples = samples,
};

const struct codec_operations l16_wide_codec = {
    .name = "L16",
    .clock = WIDE_RATE,
    .rate = WIDE_RATE,
    .decode = decode,
    .encode = encode,
    .samples = samples,
};
