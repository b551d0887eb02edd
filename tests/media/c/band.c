#include "band.h"

#include <math.h>

struct room *band_room(struct stage *stage, uint32_t index, uint32_t flags) {
    struct room *room = room_new(flags);
    CHECK(room);
    room->index = index;
    room->generation = index + 1;
    room_open(&stage->core, room, stage->now);
    return room;
}

struct membership member_of(uint32_t speaks, uint32_t hears) {
    return (struct membership){.speaks = speaks, .hears = hears, .gain = FULL_GAIN, .detect = DETECT_NEEDED};
}

void band_join(struct stage *stage, struct room *room, uint32_t leg, struct membership membership) {
    struct voice *voice = voice_new();
    CHECK(voice);
    room_join(&stage->core, room, leg, voice, &membership, stage->now);
}

/* States of the codecs, by leg: a stage has so many. */
enum { STATE_MAX = 1 << 17 };
static _Alignas(64) uint8_t encoders[STAGE_LEGS][STATE_MAX], decoder[STATE_MAX];

static uint8_t payload_type_of(enum codec codec) {
    static const uint8_t types[] = {0, 8, 9, 111, 112, 113};
    return types[codec];
}

struct phone phone_open(struct stage *stage, uint32_t leg, enum codec codec) {
    struct phone phone = {.stage = stage, .leg = leg, .plan = stage_open(stage, leg), .ms = 20};
    phone.plan.codec = (uint8_t)codec;
    phone.plan.settings.complexity = 5; /* the house's own */
    phone.plan.payload_type = phone.plan.receive_payload_type = payload_type_of(codec);
    stage_plan(stage, leg, &phone.plan);
    phone.source = source_of(&phone.plan);
    phone.due = stage->now + (leg * 3 + 1) * MS;
    const struct codec_operations *operations = codec_operations(codec);
    CHECK(operations->encoder_size <= STATE_MAX && operations->decoder_size <= STATE_MAX);
    if (operations->encoder_init)
        operations->encoder_init(encoders[leg], &phone.plan.settings);
    return phone;
}

void phone_sing(struct phone *phone, double hertz, double amplitude) {
    phone->hertz = hertz;
    phone->amplitude = amplitude;
}

void phone_dial(struct phone *phone, const int16_t *pcm) {
    const struct codec_operations *codec = codec_operations(phone->plan.codec);
    struct source *source = &phone->source;
    uint8_t payload[RTP_LENGTH_MAX];
    uint32_t samples = codec->rate / 1000 * phone->ms;
    int length = codec->encode(encoders[phone->leg], pcm, samples, payload, sizeof payload);
    CHECK(length > 0);
    stage_say(phone->stage, phone->leg, &source->from, source->payload_type, false, source->seq, source->timestamp,
              source->ssrc, payload, (size_t)length);
    source->seq++;
    source->timestamp += codec->clock / 1000 * phone->ms;
    source->sample += samples;
}

void phone_say(struct phone *phone) {
    uint32_t rate = codec_operations(phone->plan.codec)->rate;
    int16_t pcm[CODEC_SAMPLES_MAX];
    for (uint32_t i = 0; i < rate / 1000 * phone->ms; i++)
        pcm[i] = (int16_t)lround(phone->amplitude *
                                 sin(2 * M_PI * phone->hertz * (phone->source.sample + i) / (double)rate));
    phone_dial(phone, pcm);
}

void band_play(struct stage *stage, struct phone **phones, size_t count, uint64_t ms) {
    uint64_t end = stage->now + ms * MS;
    for (;;) {
        struct phone *next = NULL;
        for (size_t i = 0; i < count; i++)
            if (phones[i]->hertz > 0 && phones[i]->due <= end && (!next || phones[i]->due < next->due))
                next = phones[i];
        if (!next)
            break;
        if (next->due > stage->now)
            stage_run_until(stage, next->due);
        next->due = stage->now + next->ms * MS;
        phone_say(next);
    }
    stage_run_until(stage, end);
}

size_t ear_listen(const struct stage *stage, uint32_t leg, size_t from, int16_t *pcm, size_t capacity) {
    size_t samples = 0;
    const struct codec_operations *codec = codec_operations(stage->legs[leg].plan.codec);
    CHECK(stage->emissions - from <= KEPT);
    if (codec->decoder_init)
        codec->decoder_init(decoder);
    for (size_t i = from; i < stage->emissions; i++) {
        const struct emitted *emitted = &stage->emitted[i % KEPT];
        const struct plan *plan = &stage->legs[leg].plan;
        if (emitted->leg != leg || emitted->rtp.payload_type != plan->payload_type)
            continue;
        int got = codec->decode(decoder, emitted->rtp.payload, emitted->rtp.length, pcm + samples, capacity - samples);
        CHECK(got > 0);
        samples += (size_t)got;
    }
    return samples;
}

double ear_amplitude(const int16_t *pcm, size_t samples, double hertz, uint32_t rate) {
    double real = 0, imaginary = 0;
    for (size_t i = 0; i < samples; i++) {
        real += pcm[i] * cos(2 * M_PI * hertz * (double)i / rate);
        imaginary += pcm[i] * sin(2 * M_PI * hertz * (double)i / rate);
    }
    return 2 * sqrt(real * real + imaginary * imaginary) / (double)samples;
}

double ear_hears(const struct stage *stage, uint32_t leg, double hertz, uint32_t ms) {
    static int16_t pcm[EAR_SAMPLES];
    size_t from = stage->emissions > KEPT ? stage->emissions - KEPT : 0;
    size_t samples = ear_listen(stage, leg, from, pcm, EAR_SAMPLES);
    uint32_t rate = codec_operations(stage->legs[leg].plan.codec)->rate;
    size_t wanted = rate / 1000 * ms;
    CHECK(samples >= wanted);
    return ear_amplitude(pcm + samples - wanted, wanted, hertz, rate);
}

struct clip *clip_of_tone(double hertz, double amplitude, uint32_t samples, uint32_t rate) {
    int16_t *pcm = malloc(samples * sizeof *pcm);
    for (uint32_t i = 0; i < samples; i++)
        pcm[i] = (int16_t)lround(amplitude * sin(2 * M_PI * hertz * i / rate));
    struct clip *clip = clip_new(pcm, samples, rate);
    free(pcm);
    CHECK(clip);
    return clip;
}

struct player *player_of(uint32_t id, struct clip *clip) {
    struct player *player = player_new(&clip, 1, NULL);
    CHECK(player);
    clip_release(clip);
    player->id = id;
    player->speaks = UINT32_MAX;
    return player;
}
