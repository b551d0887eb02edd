/* Rooms: who hears whom, how loud, and on which line. */
#include "band.h"
#include "tests.h"

#include <math.h>

enum { LOUD = 8000, NOTHING = 60 /* what coding a tone leaves elsewhere */ };

#define CHECK_NEAR(actual, expected, within)                                                                           \
    do {                                                                                                               \
        double is_ = (actual), should_ = (expected);                                                                   \
        if (fabs(is_ - should_) > (within)) {                                                                          \
            fprintf(stderr, "%s:%d: in %s: %s is %f, not %f\n", __FILE__, __LINE__, __func__, #actual, is_, should_);  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static const double tones[] = {500, 750, 1100, 1450};

void test_a_room_mixes_all_but_oneself(void) {
    struct stage *stage = stage_new();
    struct room *room = band_room(stage, 0, 0);
    struct phone phones[3], *band[3];
    for (uint32_t leg = 0; leg < 3; leg++) {
        phones[leg] = phone_open(stage, leg, leg == 1 ? CODEC_PCMA : CODEC_PCMU);
        phone_sing(&phones[leg], tones[leg], LOUD);
        band[leg] = &phones[leg];
        band_join(stage, room, leg, member_of(1, 1));
    }
    band_play(stage, band, 3, 2000);
    for (uint32_t listener = 0; listener < 3; listener++)
        for (uint32_t singer = 0; singer < 3; singer++)
            CHECK_NEAR(ear_hears(stage, listener, tones[singer], 1000), listener == singer ? 0 : LOUD,
                       listener == singer ? NOTHING : LOUD * 0.02);
    stage_free(stage);
}

void test_masks_of_a_room(void) {
    struct stage *stage = stage_new();
    struct room *room = band_room(stage, 0, 0);
    struct phone phones[3], *band[3]; /* a customer, an agent, and who whispers to the agent */
    enum { CUSTOMER = 1, AGENT = 2, COACH = 4 };
    static const uint32_t speaks[] = {CUSTOMER, AGENT, COACH};
    static const uint32_t hears[] = {AGENT, CUSTOMER | COACH, CUSTOMER | AGENT};
    for (uint32_t leg = 0; leg < 3; leg++) {
        phones[leg] = phone_open(stage, leg, CODEC_PCMU);
        phone_sing(&phones[leg], tones[leg], LOUD);
        band[leg] = &phones[leg];
        band_join(stage, room, leg, member_of(speaks[leg], hears[leg]));
    }
    band_play(stage, band, 3, 2000);
    for (uint32_t listener = 0; listener < 3; listener++)
        for (uint32_t singer = 0; singer < 3; singer++) {
            bool heard = listener != singer && hears[listener] & speaks[singer];
            CHECK_NEAR(ear_hears(stage, listener, tones[singer], 1000), heard ? LOUD : 0, heard ? LOUD * 0.02 : NOTHING);
        }
    struct membership barge = member_of(CUSTOMER | COACH, UINT32_MAX);
    stage->core.voices[2]->membership = barge;
    stage->core.voices[0]->membership.hears = UINT32_MAX;
    stage->core.voices[1]->membership.muted = true;
    band_play(stage, band, 3, 2000);
    CHECK_NEAR(ear_hears(stage, 0, tones[2], 1000), LOUD, LOUD * 0.02);
    CHECK_NEAR(ear_hears(stage, 0, tones[1], 1000), 0, NOTHING);
    stage_free(stage);
}

void test_a_room_of_two_passes_samples_untouched(void) {
    struct stage *stage = stage_new();
    struct room *room = band_room(stage, 0, 0);
    struct phone a = phone_open(stage, 0, CODEC_PCMU), b = phone_open(stage, 1, CODEC_PCMU), *band[] = {&a, &b};
    phone_sing(&a, 440, 12000);
    band_join(stage, room, 0, member_of(1, 1));
    band_join(stage, room, 1, member_of(1, 1));
    band_play(stage, band, 2, 1000);
    static int16_t pcm[16000];
    size_t samples = ear_listen(stage, 1, 0, pcm, 16000), first = 0;
    while (first < samples && abs(pcm[first]) < 100)
        first++;
    CHECK(samples - first > 4000);
    const struct codec_operations *codec = codec_operations(CODEC_PCMU);
    uint32_t begins = 0;
    for (int found = 0; !found && begins < 3; begins += !found) { /* silence at its first zeros is silence */
        found = 1;
        for (size_t i = 0; found && i + begins < 4000; i++) {
            int16_t sung = (int16_t)lround(12000 * sin(2 * M_PI * 440 * (double)(i + begins) / 8000)), coded;
            uint8_t octet;
            CHECK_IS(codec->encode(NULL, &sung, 1, &octet, 1), 1);
            CHECK_IS(codec->decode(NULL, &octet, 1, &coded, 1), 1);
            found = coded == pcm[first + i];
        }
    }
    CHECK(begins < 3);
    stage_free(stage);
}

/* Packets of a leg since `from`: each follows the one before. Returns how many. */
static size_t check_line(const struct stage *stage, uint32_t leg, size_t from, uint32_t span) {
    const struct emitted *before = NULL;
    size_t count = 0;
    for (size_t i = from; i < stage->emissions; i++) {
        const struct emitted *emitted = &stage->emitted[i % KEPT];
        if (emitted->leg != leg)
            continue;
        count++;
        if (before) {
            CHECK_IS((uint16_t)(emitted->rtp.seq - before->rtp.seq), 1);
            CHECK_IS(emitted->rtp.timestamp - before->rtp.timestamp, span);
            CHECK(!emitted->rtp.marker);
            CHECK_IS(emitted->at - before->at, span * 125000ull);
        }
        before = emitted;
    }
    return count;
}

void test_a_member_is_sent_a_continuous_line(void) {
    static const uint8_t ptimes[] = {20, 10, 30, 40, 60, 0, 50};
    static const uint32_t spans[] = {160, 80, 240, 320, 480, 160, 400};
    for (size_t i = 0; i < sizeof ptimes; i++) {
        struct stage *stage = stage_new();
        struct room *room = band_room(stage, 3, 0);
        struct phone a = phone_open(stage, 0, CODEC_PCMU), b = phone_open(stage, 1, CODEC_PCMU), *band[] = {&a, &b};
        b.plan.ptime_ms = ptimes[i];
        stage_plan(stage, 1, &b.plan);
        band_join(stage, room, 0, member_of(1, 1));
        band_join(stage, room, 1, member_of(1, 1));
        phone_sing(&a, 700, LOUD);
        stage_run_until(stage, stage->now + 200 * MS);
        size_t from = stage->emissions;
        band_play(stage, band, 2, 6000);
        phone_sing(&a, 0, 0); /* it falls silent; the line goes on */
        band_play(stage, band, 2, 6000);
        size_t count = check_line(stage, 1, from, spans[i]);
        CHECK(count + 1 >= 12000 * 8 / spans[i] && count <= 12000 * 8 / spans[i] + 1);
        stage_free(stage);
    }
}

void test_the_line_goes_on_from_relay_to_room_and_back(void) {
    struct stage *stage = stage_new();
    struct phone a = phone_open(stage, 0, CODEC_PCMU), b = phone_open(stage, 1, CODEC_PCMU), *band[] = {&a, &b};
    struct room *room = band_room(stage, 0, 0);
    phone_sing(&a, 700, LOUD);
    stage_bridge(stage, 0, 1);
    band_play(stage, band, 2, 500);
    for (int round = 0; round < 3; round++) {
        const struct rtp before = stage_newest(stage)->rtp;
        size_t from = stage->emissions;
        band_join(stage, room, 0, member_of(1, 1));
        band_join(stage, room, 1, member_of(1, 1));
        CHECK_IS(stage->legs[1].mode, MODE_MIX);
        band_play(stage, band, 2, 500);
        while (stage->emitted[from % KEPT].leg != 1)
            from++;
        const struct rtp *first = &stage->emitted[from % KEPT].rtp;
        CHECK_IS((uint16_t)(first->seq - before.seq), 1);
        CHECK(first->timestamp - before.timestamp >= 160 && first->timestamp - before.timestamp <= 480);
        CHECK(first->marker);
        CHECK(check_line(stage, 1, from, 160) > 20);
        size_t back = 0;
        while (stage_back(stage, back)->leg != 1)
            back++;
        const struct rtp last = stage_back(stage, back)->rtp;
        from = stage->emissions;
        stage_bridge(stage, 0, 1);
        CHECK(!stage->core.voices[0] && !stage->core.voices[1] && !room->count);
        band_play(stage, band, 2, 500);
        const struct rtp *relayed = &stage->emitted[from % KEPT].rtp;
        CHECK_IS((uint16_t)(relayed->seq - last.seq), 1);
        CHECK(relayed->timestamp - last.timestamp >= 160 && relayed->timestamp - last.timestamp <= 480);
        CHECK(relayed->marker);
    }
    stage_free(stage);
}

void test_hold_in_a_room(void) {
    struct stage *stage = stage_new();
    struct room *room = band_room(stage, 0, 0);
    struct phone a = phone_open(stage, 0, CODEC_PCMU), b = phone_open(stage, 1, CODEC_PCMU), *band[] = {&a, &b};
    band_join(stage, room, 0, member_of(1, 1));
    band_join(stage, room, 1, member_of(1, 1));
    phone_sing(&a, 700, LOUD);
    phone_sing(&b, 900, LOUD);
    band_play(stage, band, 2, 500);
    b.plan.sends = false;
    stage_plan(stage, 1, &b.plan);
    a.plan.receives = false;
    stage_plan(stage, 0, &a.plan);
    band_play(stage, band, 2, 500);
    size_t from = stage->emissions;
    band_play(stage, band, 2, 500);
    for (size_t i = from; i < stage->emissions; i++)
        CHECK_IS(stage->emitted[i % KEPT].leg, 0);
    CHECK_IS(stage->emissions - from, 25);
    CHECK_NEAR(ear_hears(stage, 0, 900, 400), LOUD, LOUD * 0.02);
    CHECK(stage->legs[0].drops[DROP_not_receiving] >= 40);
    uint32_t stood = stage->legs[1].sender.timestamp;
    b.plan.sends = true;
    stage_plan(stage, 1, &b.plan);
    a.plan.receives = true;
    stage_plan(stage, 0, &a.plan);
    from = stage->emissions;
    band_play(stage, band, 2, 1000);
    while (stage->emitted[from % KEPT].leg != 1)
        from++;
    CHECK(stage->emitted[from % KEPT].rtp.marker);
    CHECK(stage->emitted[from % KEPT].rtp.timestamp - stood >= 8000);
    CHECK_NEAR(ear_hears(stage, 1, 700, 500), LOUD, LOUD * 0.02);
    stage_free(stage);
}

void test_a_room_that_was_late(void) {
    struct stage *stage = stage_new();
    struct room *room = band_room(stage, 0, 0);
    struct phone a = phone_open(stage, 0, CODEC_PCMU);
    (void)a;
    band_join(stage, room, 0, member_of(1, 1));
    stage_run_until(stage, stage->now + 100 * MS);
    size_t from = stage->emissions;
    uint64_t tick = room->tick;
    stage->now += 45 * MS; /* two or three ticks late: they are caught up */
    core_step(&stage->core, stage->now);
    CHECK_IS(room->tick - tick, stage->emissions - from);
    CHECK(stage->emissions - from >= 2);
    const struct rtp before = stage_newest(stage)->rtp;
    from = stage->emissions;
    stage->now += 1000 * MS; /* a second is lost */
    core_step(&stage->core, stage->now);
    CHECK(stage->emissions - from <= 4);
    const struct rtp *after = &stage->emitted[from % KEPT].rtp;
    CHECK_IS((uint16_t)(after->seq - before.seq), 1);
    CHECK(after->marker);
    CHECK_NEAR(after->timestamp - before.timestamp, 8000, 400);
    CHECK(core_due(&stage->core) > stage->now);
    stage_free(stage);
}

void test_rooms_tick_at_moments_of_their_own(void) {
    struct stage *stage = stage_new();
    bool taken[20] = {false};
    for (uint32_t index = 0; index < STAGE_LEGS; index++) {
        struct room *room = band_room(stage, index, 0);
        CHECK_IS(room->due, 0);
        stage_open(stage, index);
        band_join(stage, room, index, member_of(1, 1));
        CHECK(room->due > stage->now && room->due <= stage->now + 20 * MS);
        CHECK_IS(room->due % MS, 0);
        CHECK(!taken[room->due / MS % 20]);
        taken[room->due / MS % 20] = true;
    }
    stage_run_until(stage, stage->now + 1000 * MS);
    CHECK_IS(stage->emissions, STAGE_LEGS * 50);
    stage_free(stage);
}

void test_only_who_speaks_is_mixed_in_a_gated_room(void) {
    struct stage *stage = stage_new();
    struct room *room = band_room(stage, 0, ROOM_GATED);
    struct phone phones[3], *band[3];
    static const double amplitudes[] = {LOUD, 20, LOUD};
    for (uint32_t leg = 0; leg < 3; leg++) {
        phones[leg] = phone_open(stage, leg, CODEC_PCMU);
        phone_sing(&phones[leg], tones[leg], amplitudes[leg]);
        band[leg] = &phones[leg];
        band_join(stage, room, leg, member_of(1, 1));
    }
    band_play(stage, band, 3, 2000);
    CHECK_NEAR(ear_hears(stage, 2, tones[0], 1000), LOUD, LOUD * 0.02);
    CHECK(ear_hears(stage, 2, tones[1], 1000) < 8);
    CHECK_IS(stage_reported(stage, EVENT_TALKING), 2);
    phone_sing(&phones[0], tones[0], 5);
    band_play(stage, band, 3, 2000);
    CHECK_IS(stage_reported(stage, EVENT_TALKING), 3);
    CHECK_IS(stage->events[stage->reports - 1].leg, 0);
    CHECK_IS(stage->events[stage->reports - 1].a, 0);
    stage_free(stage);
}

void test_the_sum_is_limited_softly(void) {
    for (int32_t value = 0; value < 200000; value++) {
        int16_t limited = mix_limit(value);
        CHECK(limited <= value && limited >= (value < 24000 ? value : 24000));
        CHECK_IS(mix_limit(-value), -limited);
        if (value)
            CHECK(limited >= mix_limit(value - 1));
    }
}

void test_a_leg_that_is_closed_in_a_room(void) {
    struct stage *stage = stage_new();
    struct room *room = band_room(stage, 0, 0);
    struct phone a = phone_open(stage, 0, CODEC_PCMU), b = phone_open(stage, 1, CODEC_PCMU), *band[] = {&b};
    (void)a;
    band_join(stage, room, 0, member_of(1, 1));
    band_join(stage, room, 1, member_of(1, 1));
    phone_sing(&b, 700, LOUD);
    band_play(stage, band, 1, 200);
    room_play(&stage->core, room, stage->core.voices[0], player_of(7, clip_of_tone(300, LOUD, 80000, 8000)), stage->now);
    struct tap *tap = tap_new(TAP_HEARD, 8000, 1);
    room_tap(&stage->core, room, stage->core.voices[0], tap, stage->now);
    band_play(stage, band, 1, 200);
    core_close(&stage->core, 0, stage->now);
    CHECK_IS(room->count, 1);
    CHECK(atomic_load(&tap->closed));
    CHECK_IS(stage_reported(stage, EVENT_PLAYED), 1);
    const struct event *event = &stage->events[stage->reports - 1];
    CHECK_IS(event->kind, EVENT_PLAYED);
    CHECK_IS(event->a, 7);
    CHECK_IS(event->b, PLAYED_LEG_GONE);
    band_play(stage, band, 1, 200);
    core_close(&stage->core, 1, stage->now);
    CHECK_IS(room->due, 0);
    tap_release(tap);
    stage_free(stage);
}

void test_moving_from_room_to_room(void) {
    struct stage *stage = stage_new();
    struct room *first = band_room(stage, 0, 0), *second = band_room(stage, 1, 0);
    struct phone a = phone_open(stage, 0, CODEC_PCMU), b = phone_open(stage, 1, CODEC_PCMU);
    struct phone c = phone_open(stage, 2, CODEC_PCMU), *band[] = {&a, &b, &c};
    band_join(stage, first, 0, member_of(1, 1));
    band_join(stage, first, 1, member_of(1, 1));
    band_join(stage, second, 2, member_of(1, 1));
    phone_sing(&a, 700, LOUD);
    band_play(stage, band, 3, 1000);
    CHECK_NEAR(ear_hears(stage, 1, 700, 500), LOUD, LOUD * 0.02);
    const struct voice *voice = stage->core.voices[0];
    band_join(stage, second, 0, member_of(1, 1));
    CHECK(stage->core.voices[0] == voice && first->count == 1 && second->count == 2);
    band_play(stage, band, 3, 1000);
    CHECK_NEAR(ear_hears(stage, 1, 700, 500), 0, NOTHING);
    CHECK_NEAR(ear_hears(stage, 2, 700, 500), LOUD, LOUD * 0.02);
    room_close(&stage->core, second, stage->now);
    CHECK_IS(stage->legs[0].mode, MODE_IDLE);
    CHECK(!stage->core.voices[0] && !stage->core.voices[2]);
    stage_free(stage);
}
