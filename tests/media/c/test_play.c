/* What is played in rooms and copied out of them, to the sample; and members of every codec. */
#include "band.h"
#include "tests.h"

#include <math.h>

enum { LOUD = 8000, COUNT = 4000 };

static int16_t sample_of(uint32_t number) { /* one that a codec of 16 bits brings back, and never the same in a row */
    return (int16_t)(number * 7919u % 30011u) - 15000;
}

static struct clip *numbered_clip(uint32_t first, uint32_t count) {
    int16_t pcm[COUNT];
    CHECK(count <= COUNT);
    for (uint32_t i = 0; i < count; i++)
        pcm[i] = sample_of(first + i);
    struct clip *clip = clip_new(pcm, count, 8000);
    CHECK(clip);
    return clip;
}

struct concert { /* one listener, whose codec changes nothing */
    struct stage *stage;
    struct room *room;
    struct phone ear;
    int16_t heard[EAR_SAMPLES];
    size_t samples;
};

static struct concert *concert_new(void) {
    struct concert *c = calloc(1, sizeof *c);
    CHECK(c);
    c->stage = stage_new();
    c->room = band_room(c->stage, 0, 0);
    c->ear = phone_open(c->stage, 0, CODEC_L16);
    band_join(c->stage, c->room, 0, member_of(1, UINT32_MAX));
    return c;
}

static void concert_free(struct concert *c) {
    stage_free(c->stage);
    free(c);
}

static void concert_run(struct concert *c, uint64_t ms) {
    size_t from = c->stage->emissions;
    stage_run_until(c->stage, c->stage->now + ms * MS);
    c->samples += ear_listen(c->stage, 0, from, c->heard + c->samples, EAR_SAMPLES - c->samples);
}

static const struct event *last_played(const struct stage *stage) {
    const struct event *event = &stage->events[(stage->reports - 1) % KEPT];
    CHECK_IS(event->kind, EVENT_PLAYED);
    return event;
}

static struct player *row_of(uint32_t id, struct clip **clips, uint32_t count) {
    struct player *player = player_new(clips, count, NULL);
    CHECK(player);
    for (uint32_t i = 0; i < count; i++)
        clip_release(clips[i]);
    player->id = id;
    player->speaks = UINT32_MAX;
    return player;
}

void test_a_row_of_clips_is_played_to_the_sample(void) {
    static const uint32_t lengths[] = {1, 159, 0, 160, 161, 1000, 3, 7};
    for (uint32_t target = 0; target < 2; target++) {
        struct concert *c = concert_new();
        struct clip *clips[8];
        uint32_t total = 0;
        for (uint32_t i = 0; i < 8; total += lengths[i++])
            clips[i] = numbered_clip(total, lengths[i]);
        struct player *player = row_of(5, clips, 8);
        player->repeats = 2;
        player->position = 170; /* into the fourth clip */
        room_play(&c->stage->core, c->room, target ? c->stage->core.voices[0] : NULL, player, c->stage->now);
        concert_run(c, 700);
        uint32_t all = 3 * total - 170;
        for (uint32_t i = 0; i < all; i++)
            CHECK_IS(c->heard[i], sample_of((i + 170) % total));
        for (uint32_t i = all; i < c->samples; i++)
            CHECK_IS(c->heard[i], 0);
        CHECK_IS(last_played(c->stage)->a, 5);
        CHECK_IS(last_played(c->stage)->b, PLAYED_WHOLE);
        CHECK_IS(last_played(c->stage)->c, all / 8);
        concert_free(c);
    }
}

void test_a_row_of_nothing_ends(void) {
    struct concert *c = concert_new();
    struct clip *clips[] = {numbered_clip(0, 0), numbered_clip(0, 0)};
    struct player *player = row_of(5, clips, 2);
    player->repeats = UINT32_MAX;
    room_play(&c->stage->core, c->room, NULL, player, c->stage->now);
    concert_run(c, 100);
    CHECK_IS(last_played(c->stage)->b, PLAYED_WHOLE);
    CHECK(!c->room->players);
    concert_free(c);
}

void test_a_player_fades(void) {
    struct concert *c = concert_new();
    struct clip *clip = clip_of_tone(500, LOUD, 16000, 8000);
    room_play(&c->stage->core, c->room, NULL, row_of(5, &clip, 1), c->stage->now);
    concert_run(c, 500);
    CHECK(fabs(ear_amplitude(c->heard + 800, 1600, 500, 8000) - LOUD) < LOUD * 0.01);
    room_change_gain(c->room, 5, FULL_GAIN / 4, 100);
    concert_run(c, 500);
    CHECK(fabs(ear_amplitude(c->heard + c->samples - 1600, 1600, 500, 8000) - LOUD / 4.0) < LOUD * 0.01);
    room_stop(c->room, 5, 200);
    concert_run(c, 100);
    double half = ear_amplitude(c->heard + c->samples - 160, 160, 500, 8000);
    CHECK(half > LOUD / 16.0 && half < LOUD / 4.0 * 0.8);
    concert_run(c, 200);
    CHECK_IS(last_played(c->stage)->b, PLAYED_STOPPED);
    int steepest = 0;
    for (size_t i = 1; i < c->samples; i++) /* nowhere a click */
        if (abs(c->heard[i] - c->heard[i - 1]) > steepest)
            steepest = abs(c->heard[i] - c->heard[i - 1]);
    CHECK(steepest < 2 * M_PI * 500 / 8000 * LOUD * 1.05);
    room_stop(c->room, 5, 200);
    room_change_gain(c->room, 5, 1, 0);
    concert_free(c);
}

void test_a_stream_is_played_to_the_sample(void) {
    struct concert *c = concert_new();
    struct supply *supply = supply_new(8000, 1000, 200);
    struct player *player = player_new(NULL, 0, supply);
    uint32_t written = 0, low = 0;
    int16_t pcm[2000];
    CHECK(supply && player);
    player->id = 9;
    player->speaks = UINT32_MAX;
    room_play(&c->stage->core, c->room, NULL, player, c->stage->now);
    for (int turn = 0; turn < 100; turn++) {
        uint32_t count = turn % 10 ? 160 : 480 + (uint32_t)turn;
        for (uint32_t i = 0; i < count; i++)
            pcm[i] = sample_of(written + i);
        uint32_t taken = supply_write(supply, pcm, count);
        CHECK(taken <= count);
        written += taken;
        concert_run(c, 20);
    }
    atomic_store(&supply->finished, true);
    concert_run(c, 1500);
    for (uint32_t i = 0; i < written; i++)
        CHECK_IS(c->heard[i], sample_of(i));
    CHECK_IS(atomic_load(&supply->underruns), 0);
    CHECK_IS(last_played(c->stage)->c, written / 8);
    for (size_t i = 0; i < c->stage->reports; i++)
        low += c->stage->events[i].kind == EVENT_STREAM_LOW;
    CHECK(low <= 1);
    supply_release(supply);
    concert_free(c);
}

void test_a_stream_that_runs_dry(void) {
    struct concert *c = concert_new();
    struct supply *supply = supply_new(8000, 1000, 200);
    struct player *player = player_new(NULL, 0, supply);
    static const int16_t pcm[8000];
    player->id = 9;
    room_play(&c->stage->core, c->room, NULL, player, c->stage->now);
    CHECK_IS(supply_write(supply, pcm, 4000), 4000);
    concert_run(c, 400); /* 100 ms are left */
    CHECK_IS(stage_reported(c->stage, EVENT_STREAM_LOW), 1);
    CHECK_IS(c->stage->events[0].a, 9);
    concert_run(c, 400);
    CHECK(atomic_load(&supply->underruns) >= 14);
    CHECK_IS(stage_reported(c->stage, EVENT_STREAM_LOW), 1);
    CHECK_IS(supply_write(supply, pcm, 8000), 8000);
    CHECK_IS(supply_write(supply, pcm, 8000), supply->capacity - 8000);
    concert_run(c, 1100);
    CHECK_IS(stage_reported(c->stage, EVENT_STREAM_LOW), 2);
    supply_release(supply); /* who wrote is gone: what is there is played, and that is the end */
    size_t played = stage_reported(c->stage, EVENT_PLAYED);
    CHECK_IS(played, 0);
    concert_run(c, 2000);
    CHECK_IS(last_played(c->stage)->b, PLAYED_WHOLE);
    concert_free(c);
}

void test_a_tap_that_nobody_can_read_ends(void) {
    struct concert *c = concert_new();
    struct tap *taps[] = {tap_new(TAP_MIX, 8000, 1), tap_new(TAP_MIX, 8000, 1)};
    for (int i = 0; i < 2; i++)
        room_tap(&c->stage->core, c->room, NULL, taps[i], c->stage->now);
    concert_run(c, 100);
    tap_release(taps[0]);
    concert_run(c, 100);
    CHECK(c->room->taps == taps[1] && !taps[1]->next);
    tap_release(taps[1]);
    concert_run(c, 100);
    CHECK(!c->room->taps);
    concert_free(c);
}

static size_t read_tap(struct tap *tap, int16_t *pcm, uint64_t *first) {
    struct tap_frame frame;
    size_t samples = 0;
    uint64_t before = 0;
    while (ring_pop(&tap->ring, &frame)) {
        if (!samples)
            *first = frame.tick;
        else
            CHECK_IS(frame.tick, before + 1);
        before = frame.tick;
        memcpy(pcm + samples, frame.samples, tap->rate / 50 * sizeof *pcm);
        samples += tap->rate / 50;
    }
    return samples;
}

void test_taps_are_exact_to_the_sample(void) {
    static int16_t said[EAR_SAMPLES], heard[EAR_SAMPLES], mix[EAR_SAMPLES];
    struct concert *c = concert_new();
    struct phone singer = phone_open(c->stage, 1, CODEC_L16), *band[] = {&singer};
    struct voice *voices[] = {c->stage->core.voices[0], NULL};
    phone_sing(&singer, 700, LOUD);
    band_join(c->stage, c->room, 1, member_of(1, UINT32_MAX));
    voices[1] = c->stage->core.voices[1];
    struct tap *taps[] = {tap_new(TAP_SAID, 8000, 4), tap_new(TAP_HEARD, 8000, 4), tap_new(TAP_MIX, 8000, 4)};
    uint64_t firsts[3];
    for (int i = 0; i < 3; i++)
        room_tap(&c->stage->core, c->room, i < 2 ? voices[i] : NULL, taps[i], c->stage->now);
    size_t from = c->stage->emissions;
    band_play(c->stage, band, 1, 3000);
    c->samples = ear_listen(c->stage, 0, from, c->heard, EAR_SAMPLES);
    CHECK_IS(read_tap(taps[0], said, &firsts[0]), c->samples);
    CHECK_IS(read_tap(taps[1], heard, &firsts[1]), c->samples);
    CHECK_IS(read_tap(taps[2], mix, &firsts[2]), c->samples);
    CHECK(firsts[0] == firsts[1] && firsts[1] == firsts[2]);
    CHECK_IS(memcmp(said, c->heard, c->samples * sizeof *said), 0);
    CHECK_IS(memcmp(heard, c->heard, c->samples * sizeof *heard), 0);
    CHECK_IS(memcmp(mix, c->heard, c->samples * sizeof *mix), 0);
    CHECK(fabs(ear_amplitude(heard + c->samples - 8000, 8000, 700, 8000) - LOUD) < LOUD * 0.02);
    for (int i = 0; i < 3; i++)
        room_untap(&c->stage->core, c->room, taps[i]->id);
    CHECK(!c->room->taps);
    for (int i = 0; i < 3; i++) {
        CHECK(atomic_load(&taps[i]->closed));
        tap_release(taps[i]);
    }
    concert_free(c);
}

void test_who_reads_a_tap_too_slowly_sees_it(void) {
    struct concert *c = concert_new();
    struct tap *tap = tap_new(TAP_MIX, 16000, 1);
    struct tap_frame frame;
    room_tap(&c->stage->core, c->room, NULL, tap, c->stage->now);
    concert_run(c, 2000);
    uint32_t lost = atomic_load(&tap->overruns), kept = 0;
    while (ring_pop(&tap->ring, &frame))
        kept++;
    CHECK_IS(kept, 64);
    CHECK_IS(kept + lost, 100);
    concert_run(c, 20);
    CHECK(ring_pop(&tap->ring, &frame));
    CHECK_IS(frame.tick, c->room->tick - 1);
    room_untap(&c->stage->core, c->room, tap->id);
    tap_release(tap);
    concert_free(c);
}

/* Every codec hears every other, at the right level and not itself; narrow and wide at once. */
void test_members_of_every_codec(void) {
    static const enum codec codecs[] = {CODEC_PCMU, CODEC_G722, CODEC_OPUS, CODEC_L16_WIDE, CODEC_PCMA};
    static const double tones[] = {440, 700, 1000, 1300, 1600};
    enum { SINGERS = sizeof codecs / sizeof *codecs };
    for (int singer = 0; singer < SINGERS; singer++) {
        struct stage *stage = stage_new();
        struct room *room = band_room(stage, 0, 0);
        struct phone phones[SINGERS], *band[SINGERS];
        for (uint32_t leg = 0; leg < SINGERS; leg++) {
            phones[leg] = phone_open(stage, leg, codecs[leg]);
            band[leg] = &phones[leg];
            band_join(stage, room, leg, member_of(1, 1));
        }
        phone_sing(&phones[singer], tones[singer], LOUD);
        band_play(stage, band, SINGERS, 3000);
        for (int listener = 0; listener < SINGERS; listener++) {
            double heard = ear_hears(stage, (uint32_t)listener, tones[singer], 1000);
            if (listener == singer)
                CHECK(heard < 30);
            else
                CHECK(heard > LOUD * 0.85 && heard < LOUD * 1.15);
        }
        stage_free(stage);
    }
}

/* Silence costs a leg of Opus with DTX nothing, and the line shows where it was. */
void test_what_need_not_be_said_is_not_sent(void) {
    struct stage *stage = stage_new();
    struct room *room = band_room(stage, 0, 0);
    struct phone a = phone_open(stage, 0, CODEC_PCMU), b = phone_open(stage, 1, CODEC_OPUS), *band[] = {&a};
    b.plan.settings.dtx = 1;
    stage_plan(stage, 1, &b.plan);
    band_join(stage, room, 0, member_of(1, 1));
    band_join(stage, room, 1, member_of(1, 1));
    phone_sing(&a, 700, LOUD);
    band_play(stage, band, 1, 1000);
    phone_sing(&a, 0, 0);
    band_play(stage, band, 1, 3000);
    uint64_t packets = stage->legs[1].sender.packets;
    band_play(stage, band, 1, 2000);
    CHECK(stage->legs[1].sender.packets - packets < 20);
    uint32_t stood = stage->legs[1].sender.timestamp;
    uint64_t at = stage->legs[1].sender.sent;
    phone_sing(&a, 700, LOUD);
    size_t from = stage->emissions;
    band_play(stage, band, 1, 1000);
    while (stage->emitted[from % KEPT].leg != 1)
        from++;
    const struct emitted *first = &stage->emitted[from % KEPT];
    CHECK(first->rtp.marker);
    CHECK_IS(first->rtp.timestamp - stood, (first->at - at) * 48 / 1000000);
    stage_free(stage);
}
