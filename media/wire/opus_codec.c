#include "opus_codec.h"

#include <opus/opus.h>
#include <stdbool.h>

enum { CHANNELS = 1, SILENCE_OCTETS = 2 /* RFC 6716 §2.1.9: such a packet need not be sent */ };

static void decoder_init(void *decoder) {
    opus_decoder_init(decoder, WIDE_RATE, CHANNELS);
}

static void encoder_adapt(void *encoder, uint8_t expected_loss) {
    opus_encoder_ctl(encoder, OPUS_SET_PACKET_LOSS_PERC(expected_loss > 100 ? 100 : expected_loss));
}

static void encoder_init(void *encoder, const struct codec_settings *settings) {
    opus_encoder_init(encoder, WIDE_RATE, CHANNELS, OPUS_APPLICATION_VOIP);
    opus_encoder_ctl(encoder, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(settings->bitrate ? (opus_int32)settings->bitrate : OPUS_AUTO));
    opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(settings->complexity <= 10 ? settings->complexity : 10));
    opus_encoder_ctl(encoder, OPUS_SET_INBAND_FEC(settings->fec != 0));
    opus_encoder_ctl(encoder, OPUS_SET_DTX(settings->dtx != 0));
    encoder_adapt(encoder, settings->expected_loss);
}

static int samples_in(const uint8_t *payload, size_t length) {
    int samples = length ? opus_packet_get_nb_samples(payload, (opus_int32)length, WIDE_RATE) : -1;
    return samples > 0 ? samples : -1;
}

static int decode(void *decoder, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity) {
    if (samples_in(payload, length) < 0)
        return -1;
    int samples = opus_decode(decoder, payload, (opus_int32)length, pcm, (int)capacity, 0);
    return samples > 0 ? samples : -1;
}

static int conceal(void *decoder, const uint8_t *next, size_t next_length, int16_t *pcm, size_t samples) {
    bool told = next && samples_in(next, next_length) > 0;
    int made = opus_decode(decoder, told ? next : NULL, told ? (opus_int32)next_length : 0, pcm, (int)samples, told);
    return made > 0 ? made : -1;
}

static int encode(void *encoder, const int16_t *pcm, size_t samples, uint8_t *payload, size_t capacity) {
    int length = opus_encode(encoder, pcm, (int)samples, payload, (opus_int32)capacity);
    return length < 0 ? -1 : length <= SILENCE_OCTETS ? 0 : length;
}

struct codec_operations opus_codec = {
    .name = "opus",
    .clock = CODEC_CLOCK_MAX,
    .rate = WIDE_RATE,
    .decoder_init = decoder_init,
    .encoder_init = encoder_init,
    .encoder_adapt = encoder_adapt,
    .decode = decode,
    .conceal = conceal,
    .encode = encode,
    .samples = samples_in,
};

/* The sizes are the library's to say, and change with its version. */
__attribute__((constructor)) static void ask_sizes(void) {
    opus_codec.decoder_size = (size_t)opus_decoder_get_size(CHANNELS);
    opus_codec.encoder_size = (size_t)opus_encoder_get_size(CHANNELS);
}
