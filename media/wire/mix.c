#include "mix.h"

#include <string.h>

static const int16_t silence[TICK_WIDE];

void mixer_add(struct mixer *mixer, const struct mix_source *source) {
    if (mixer->source_count < MIX_SOURCES)
        mixer->sources[mixer->source_count++] = *source;
}

int16_t mix_limit(int32_t value) {
    enum { KNEE = 24000, ROOM = INT16_MAX - KNEE };
    int32_t magnitude = value < 0 ? -value : value;
    if (magnitude <= KNEE)
        return (int16_t)value;
    int32_t over = magnitude - KNEE; /* KNEE at 0, full scale at infinity, and as steep as the line at KNEE */
    int32_t limited = KNEE + (int32_t)((int64_t)over * ROOM / (over + ROOM));
    return (int16_t)(value < 0 ? -limited : limited);
}

static uint32_t audible(const struct mixer *mixer, const void *listener, uint32_t hears) {
    uint32_t sources = 0;
    for (uint32_t i = 0; i < mixer->source_count; i++) {
        const struct mix_source *source = &mixer->sources[i];
        if (source->speaks & hears && source->owner != listener)
            sources |= 1u << i;
    }
    return sources;
}

static void add_up(const struct mixer *mixer, struct sum *sum) {
    int32_t total[TICK_WIDE] = {0};
    size_t samples = sum->wide ? TICK_WIDE : TICK_NARROW;
    for (uint32_t i = 0; i < mixer->source_count; i++) {
        if (!(sum->sources >> i & 1))
            continue;
        const int16_t *sound = mixer->sources[i].sound[sum->wide];
        for (size_t n = 0; n < samples; n++)
            total[n] += sound[n];
    }
    for (size_t n = 0; n < samples; n++)
        sum->samples[n] = mix_limit(total[n]);
    sum->pcm = sum->samples;
}

struct sum *mixer_for(struct mixer *mixer, const void *listener, uint32_t hears, bool wide) {
    uint32_t sources = audible(mixer, listener, hears);
    for (uint32_t i = 0; i < mixer->sum_count; i++)
        if (mixer->sums[i].sources == sources && mixer->sums[i].wide == wide)
            return &mixer->sums[i];
    if (mixer->sum_count == MIX_SUMS)
        mixer->sum_count--; /* the last place is everybody's */
    struct sum *sum = &mixer->sums[mixer->sum_count++];
    sum->sources = sources;
    sum->wide = wide;
    sum->coded = 0;
    if (!sources)
        sum->pcm = silence;
    else if (!(sources & (sources - 1))) /* one alone is passed as it is */
        sum->pcm = mixer->sources[__builtin_ctz(sources)].sound[wide];
    else
        add_up(mixer, sum);
    return sum;
}

struct coding *mixer_code(struct sum *sum, const struct codec_operations *codec) {
    for (uint32_t i = 0; i < sum->coded; i++)
        if (sum->codings[i].codec == codec)
            return &sum->codings[i];
    struct coding *coding = &sum->codings[sum->coded < MIX_CODINGS ? sum->coded++ : MIX_CODINGS - 1];
    coding->codec = codec;
    coding->length = codec->encode(NULL, sum->pcm, sum->wide ? TICK_WIDE : TICK_NARROW, coding->packet + RTP_HEADER,
                                   sizeof coding->packet - RTP_HEADER);
    return coding;
}
