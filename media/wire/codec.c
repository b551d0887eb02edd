#include "codec.h"

#include "g711.h"
#include "g722.h"
#include "l16.h"
#include "opus_codec.h"

static const struct codec_operations *const table[CODEC_COUNT] = {
    [CODEC_PCMU] = &pcmu_codec,
    [CODEC_PCMA] = &pcma_codec,
    [CODEC_G722] = &g722_codec,
    [CODEC_OPUS] = &opus_codec,
    [CODEC_L16] = &l16_codec,
    [CODEC_L16_WIDE] = &l16_wide_codec,
};

const struct codec_operations *codec_operations(enum codec codec) {
    return table[codec];
}

uint32_t codec_ticks(enum codec codec, const uint8_t *payload, size_t length) {
    if (codec_cuttable(codec))
        return (uint32_t)length;
    const struct codec_operations *operations = table[codec];
    int samples = operations->samples(payload, length);
    return samples > 0 ? (uint32_t)((uint64_t)samples * operations->clock / operations->rate) : 0;
}
