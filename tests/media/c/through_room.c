/* Sound from one codec to another: usage: through_room FROM TO room|conference|alone
 * Takes 16-bit samples at the rate of FROM (enum codec) on the standard input, and gives those that TO's phone plays at
 * its rate: through a room of two in virtual time, through a conference with a third who is silent, or by the codecs
 * alone, one after the other. */
#include "band.h"

enum { TICK_MAX = 320, STATE_MAX = 1 << 17 };

static _Alignas(64) uint8_t decoders[2][STATE_MAX], encoders_[2][STATE_MAX];

static void give(const struct codec_operations *codec, void *decoder, const uint8_t *payload, size_t length) {
    int16_t pcm[CODEC_SAMPLES_MAX];
    int samples = codec->decode(decoder, payload, length, pcm, CODEC_SAMPLES_MAX);
    CHECK(samples > 0 && fwrite(pcm, sizeof *pcm, (size_t)samples, stdout) == (size_t)samples);
}

static void by_a_room(enum codec from, enum codec to, bool conference) {
    const struct codec_operations *out = codec_operations(to);
    struct stage *stage = stage_new();
    struct room *room = band_room(stage, 0, conference ? ROOM_GATED : ROOM_PASSES_DIGITS);
    struct phone speaker = phone_open(stage, 0, from), listener = phone_open(stage, 1, to);
    struct phone third = phone_open(stage, 2, CODEC_PCMU);
    static const int16_t silence[160];
    int16_t pcm[TICK_MAX];
    size_t samples = codec_operations(from)->rate / 50, looked = 0;
    (void)listener;
    band_join(stage, room, 0, member_of(1, 1));
    band_join(stage, room, 1, member_of(1, 1));
    if (conference)
        band_join(stage, room, 2, member_of(1, 1));
    while (fread(pcm, sizeof *pcm, samples, stdin) == samples) {
        phone_dial(&speaker, pcm);
        if (conference)
            phone_dial(&third, silence);
        stage_run_until(stage, stage->now + 20 * MS);
        for (; looked < stage->emissions; looked++) {
            const struct emitted *emitted = &stage->emitted[looked % KEPT];
            if (emitted->leg == 1)
                give(out, decoders[0], emitted->rtp.payload, emitted->rtp.length);
        }
    }
    stage_free(stage);
}

static void alone(enum codec from, enum codec to) {
    const struct codec_operations *in = codec_operations(from), *out = codec_operations(to);
    struct resampler resampler;
    int16_t pcm[TICK_MAX], heard[TICK_MAX];
    uint8_t payload[RTP_LENGTH_MAX];
    size_t samples = in->rate / 50;
    resample_init(&resampler);
    while (fread(pcm, sizeof *pcm, samples, stdin) == samples) {
        int length = in->encode(encoders_[0], pcm, samples, payload, sizeof payload);
        CHECK_IS(in->decode(decoders[1], payload, (size_t)length, pcm, TICK_MAX), samples);
        if (in->rate < out->rate)
            resample_up(&resampler, pcm, samples, heard);
        else if (in->rate > out->rate)
            resample_down(&resampler, pcm, samples, heard);
        else
            memcpy(heard, pcm, sizeof heard);
        length = out->encode(encoders_[1], heard, out->rate / 50, payload, sizeof payload);
        give(out, decoders[0], payload, (size_t)length);
    }
}

int main(int count, char **words) {
    CHECK_IS(count, 4);
    enum codec codecs[] = {(enum codec)atoi(words[1]), (enum codec)atoi(words[2])};
    struct codec_settings settings = {.complexity = 5};
    for (int i = 0; i < 2; i++) {
        const struct codec_operations *codec = codec_operations(codecs[i]);
        if (codec->encoder_init)
            codec->encoder_init(encoders_[i], &settings);
        if (codec->decoder_init)
            codec->decoder_init(decoders[1 - i]);
    }
    if (words[3][0] == 'a')
        alone(codecs[0], codecs[1]);
    else
        by_a_room(codecs[0], codecs[1], words[3][0] == 'c');
    return 0;
}
