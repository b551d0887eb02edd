/* Packet times that differ: every sample arrives once, at its place, in packets of the length that was asked for. */
#include "tests.h"

enum { LENGTHS = 5 };
static const uint16_t lengths_ms[LENGTHS] = {10, 20, 30, 40, 60};

/* Each emitted sample is the one that was said at its timestamp. */
static void check_samples(const struct emitted *out, uint32_t ts_of_zero) {
    uint32_t first = out->rtp.timestamp - ts_of_zero;
    for (uint16_t i = 0; i < out->rtp.length; i++)
        CHECK_IS(out->rtp.payload[i], sound(first + i));
}

static struct stage *bridge(uint16_t out_ms, struct source *from_b) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0), b = stage_open(stage, 1);
    a.ptime_ms = out_ms;
    stage_plan(stage, 0, &a);
    stage_bridge(stage, 0, 1);
    *from_b = source_of(&b);
    return stage;
}

static void run_pair(uint16_t in_ms, uint16_t out_ms) {
    struct source from_b;
    struct stage *stage = bridge(out_ms, &from_b);
    size_t checked = 0;
    uint32_t zero = 0;
    for (int i = 0; i < 2000; i++) {
        source_say(stage, 1, &from_b, (uint16_t)(in_ms * 8));
        stage_run_until(stage, stage->now + in_ms * MS);
        for (; checked < stage->emissions; checked++) {
            const struct emitted *out = stage_back(stage, stage->emissions - 1 - checked);
            if (!checked)
                zero = out->rtp.timestamp;
            CHECK_IS(out->rtp.length, out_ms * 8);
            check_samples(out, zero);
            if (checked) {
                const struct emitted *before = stage_back(stage, stage->emissions - checked);
                CHECK_IS(seq_ahead(out->rtp.seq, before->rtp.seq), 1);
                CHECK(!out->rtp.marker);
            }
            if (checked > 10) { /* it has settled */
                const struct emitted *before = stage_back(stage, stage->emissions - checked);
                CHECK_IS(out->at - before->at, out_ms * MS);
            }
        }
    }
    CHECK(stage->emissions >= 2000u * in_ms / out_ms - 6);
    CHECK_IS(stage->core.sent, stage->emissions);
    stage_free(stage);
}

void test_every_pair_of_packet_times(void) {
    for (int in = 0; in < LENGTHS; in++)
        for (int out = 0; out < LENGTHS; out++)
            run_pair(lengths_ms[in], lengths_ms[out]);
}

/* Loss, jitter and disorder at the input: what comes out is still true to its timestamp, and nothing is said twice. */
static void run_rough(uint16_t in_ms, uint16_t out_ms, uint32_t random) {
    struct source from_b;
    struct stage *stage = bridge(out_ms, &from_b);
    size_t checked = 0, lost = 0;
    uint32_t zero = 0, said = 0;
    uint64_t start = stage->now;
    for (uint32_t i = 0; i < 3000; i++) {
        random = random * 1103515245 + 12345;
        uint64_t jitter = (random >> 16) % 30 * MS;
        uint64_t at = start + (uint64_t)i * in_ms * MS + jitter;
        if (at > stage->now)
            stage_run_until(stage, at);
        if (i > 10 && random >> 29 == 0) {
            source_skip(&from_b, (uint16_t)(in_ms * 8));
            lost++;
        } else {
            source_say(stage, 1, &from_b, (uint16_t)(in_ms * 8));
        }
        for (; checked < stage->emissions; checked++) {
            const struct emitted *out = stage_back(stage, stage->emissions - 1 - checked);
            if (!checked)
                zero = out->rtp.timestamp;
            else
                CHECK(seq_ahead(out->rtp.seq, stage_back(stage, stage->emissions - checked)->rtp.seq) >= 1);
            CHECK(ts_ahead(out->rtp.timestamp, zero + said) >= 0);
            said = out->rtp.timestamp - zero + out->rtp.length;
            check_samples(out, zero);
        }
    }
    stage_run_until(stage, stage->now + SECOND);
    CHECK(lost > 200);
    CHECK_IS(stage->legs[0].repack.fill, 0);
    stage_free(stage);
}

void test_rough_input(void) {
    for (int in = 0; in < LENGTHS; in++)
        for (int out = 0; out < LENGTHS; out++)
            run_rough(lengths_ms[in], lengths_ms[out], 77u + (uint32_t)(in * LENGTHS + out));
}

void test_the_tail_of_a_talkspurt(void) {
    struct source from_b;
    struct stage *stage = bridge(20, &from_b);
    source_say(stage, 1, &from_b, 240);
    CHECK_IS(stage->emissions, 1);
    CHECK_IS(stage_newest(stage)->rtp.length, 160);
    stage_run_until(stage, stage->now + SECOND);
    CHECK_IS(stage->emissions, 2);
    CHECK_IS(stage_newest(stage)->rtp.length, 80);
    CHECK_IS(ts_ahead(stage_newest(stage)->rtp.timestamp, stage_back(stage, 1)->rtp.timestamp), 160);
    stage_free(stage);
}

void test_one_odd_packet_is_passed_as_it_is(void) {
    struct source from_b;
    struct stage *stage = bridge(20, &from_b);
    static const uint16_t lengths[] = {160, 160, 80, 160, 160};
    for (int i = 0; i < 5; i++) {
        source_say(stage, 1, &from_b, lengths[i]);
        CHECK_IS(stage_newest(stage)->rtp.length, lengths[i]);
        stage_run_until(stage, stage->now + 20 * MS);
    }
    CHECK(!stage->legs[0].repack.active);
    source_say(stage, 1, &from_b, 240); /* but two of them are a new packet time */
    source_say(stage, 1, &from_b, 240);
    CHECK(stage->legs[0].repack.active);
    stage_run_until(stage, stage->now + SECOND);
    for (int i = 0; i < 3; i++) /* and back: numbered by offset again */
        source_say(stage, 1, &from_b, 160);
    CHECK(!stage->legs[0].repack.active);
    for (size_t back = stage->emissions - 1; back > 0; back--)
        CHECK_IS(seq_ahead(stage_back(stage, back - 1)->rtp.seq, stage_back(stage, back)->rtp.seq), 1);
    stage_free(stage);
}

void test_a_packet_longer_than_the_buffer(void) {
    struct source from_b;
    struct stage *stage = bridge(20, &from_b);
    source_say(stage, 1, &from_b, 1400);
    stage_run_until(stage, stage->now + SECOND);
    size_t samples = 0;
    for (size_t back = 0; back < stage->emissions; back++)
        samples += stage_back(stage, back)->rtp.length;
    CHECK_IS(samples, 1400);
    stage_free(stage);
}

void test_hold_forgets_what_waits(void) {
    struct source from_b;
    struct stage *stage = bridge(20, &from_b);
    struct plan a = stage->legs[0].plan;
    source_say(stage, 1, &from_b, 480);
    a.sends = false;
    stage_plan(stage, 0, &a); /* what waited goes out before the hold, nothing after it */
    CHECK_IS(stage->emissions, 3);
    source_say(stage, 1, &from_b, 480);
    stage_run_until(stage, stage->now + SECOND);
    CHECK_IS(stage->emissions, 3);
    CHECK_IS(stage->legs[0].repack.fill, 0);
    stage_free(stage);
}

void test_repacking_converts(void) {
    struct source from_b;
    struct stage *stage = bridge(30, &from_b);
    struct plan a = stage->legs[0].plan;
    a.codec = CODEC_PCMA;
    a.payload_type = a.receive_payload_type = 8;
    stage_plan(stage, 0, &a);
    for (int i = 0; i < 3; i++)
        source_say(stage, 1, &from_b, 160);
    CHECK_IS(stage_newest(stage)->rtp.payload_type, 8);
    for (uint32_t i = 0; i < 240; i++) {
        uint8_t wanted = sound(i);
        g711_convert(CODEC_PCMU, CODEC_PCMA, &wanted, 1);
        CHECK_IS(stage_newest(stage)->rtp.payload[i], wanted);
    }
    stage_free(stage);
}
