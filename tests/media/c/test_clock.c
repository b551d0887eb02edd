/* RTP clocks other than 8000: lines, reports, jitter and digits of legs whose codec counts otherwise. */
#include "tests.h"

static struct plan open_with(struct stage *stage, uint32_t leg, enum codec codec, uint8_t payload_type) {
    struct plan plan = stage_open(stage, leg);
    plan.codec = codec;
    plan.payload_type = plan.receive_payload_type = payload_type;
    stage_plan(stage, leg, &plan);
    return plan;
}

/* Opus frames of 20 ms (RFC 6716 §3.1: configuration 9, SILK wideband, one frame) of any length. */
static void say_opus(struct stage *stage, uint32_t leg, struct source *source, size_t length) {
    uint8_t payload[200];
    for (size_t i = 0; i < length; i++)
        payload[i] = sound((uint32_t)i + source->sample);
    payload[0] = 9 << 3;
    stage_say(stage, leg, &source->from, source->payload_type, false, source->seq, source->timestamp, source->ssrc,
              payload, length);
    source_skip(source, 960);
    stage_run_until(stage, stage->now + 20 * MS);
}

void test_opus_is_relayed_as_it_comes(void) {
    struct stage *stage = stage_new();
    struct plan a = open_with(stage, 0, CODEC_OPUS, 111), b = open_with(stage, 1, CODEC_OPUS, 96);
    stage_bridge(stage, 0, 1);
    struct source from_a = source_of(&a);
    for (uint32_t i = 0; i < 100; i++) {
        if (i == 50) { /* lost before us */
            source_skip(&from_a, 960);
            stage_run_until(stage, stage->now + 20 * MS);
        }
        say_opus(stage, 0, &from_a, 20 + i);
        const struct emitted *out = stage_newest(stage);
        CHECK_IS(stage->emissions, i + 1);
        CHECK_IS(out->leg, 1);
        CHECK_IS(out->rtp.payload_type, b.payload_type);
        CHECK_IS(out->rtp.length, 20 + i);
        CHECK_IS(out->rtp.payload[0], 9 << 3);
        CHECK_IS(out->rtp.payload[19], sound(19 + from_a.sample - 960));
        if (i)
            CHECK_IS(out->rtp.timestamp - stage_back(stage, 1)->rtp.timestamp, i == 50 ? 1920 : 960);
    }
    CHECK_IS(stage->legs[1].sender.span, 960);
    CHECK_IS(stage->legs[0].receiver.jitter >> 4, 0);
    CHECK_IS(receiver_lost(&stage->legs[0].receiver), 1);
    uint32_t before = stage_newest(stage)->rtp.timestamp;
    stage_run_until(stage, stage->now + SECOND); /* it stops, and begins again as somebody else */
    from_a.ssrc++;
    from_a.timestamp = 77;
    say_opus(stage, 0, &from_a, 30);
    CHECK_IS(stage_newest(stage)->rtp.timestamp - before, 48000 + 960);
    CHECK(stage_newest(stage)->rtp.marker);
    stage_free(stage);
}

void test_samples_of_two_octets_are_relayed_as_they_come(void) {
    static const uint32_t octets = 640;
    struct stage *stage = stage_new();
    struct plan a = open_with(stage, 0, CODEC_L16_WIDE, 98), b = open_with(stage, 1, CODEC_L16_WIDE, 99);
    b.ptime_ms = 40; /* is not cut */
    stage_plan(stage, 1, &b);
    stage_bridge(stage, 0, 1);
    struct source from_a = source_of(&a);
    for (int i = 0; i < 10; i++) {
        source_say(stage, 0, &from_a, octets);
        from_a.timestamp -= octets / 2; /* two octets a tick */
        stage_run_until(stage, stage->now + 20 * MS);
    }
    CHECK_IS(stage->emissions, 10);
    CHECK_IS(stage_newest(stage)->rtp.length, octets);
    CHECK_IS(stage_newest(stage)->rtp.timestamp - stage_back(stage, 9)->rtp.timestamp, 9 * 320);
    CHECK_IS(stage->legs[1].sender.span, 320);
    CHECK_IS(stage->legs[0].receiver.jitter, 0);
    stage_free(stage);
}

void test_g722_is_cut_to_the_packet_time(void) {
    struct stage *stage = stage_new();
    struct plan a = open_with(stage, 0, CODEC_G722, 9), b = open_with(stage, 1, CODEC_G722, 9);
    b.ptime_ms = 40;
    stage_plan(stage, 1, &b);
    stage_bridge(stage, 0, 1);
    struct source from_a = source_of(&a);
    for (int i = 0; i < 10; i++) {
        source_say(stage, 0, &from_a, 160);
        stage_run_until(stage, stage->now + 20 * MS);
    }
    CHECK_IS(stage->emissions, 5);
    CHECK_IS(stage_newest(stage)->rtp.length, 320);
    CHECK_IS(stage_newest(stage)->rtp.timestamp - stage_back(stage, 1)->rtp.timestamp, 320);
    for (uint32_t i = 0; i < 320; i++)
        CHECK_IS(stage_newest(stage)->rtp.payload[i], sound(8 * 160 + i));
    stage_free(stage);
}

void test_jitter_of_another_clock(void) {
    struct receiver r = {.clock = 48000}, narrow = {.clock = 8000};
    struct rtp rtp = {.ssrc = 1, .length = 60};
    uint32_t random = 3;
    for (uint32_t i = 0; i < 5000; i++) {
        random = random * 1103515245 + 12345;
        uint64_t now = SECOND + i * 20 * MS + (random >> 16) % 15 * MS;
        rtp.seq = (uint16_t)i;
        rtp.timestamp = i * 960;
        receiver_count(&r, &rtp, true, now);
        rtp.timestamp = i * 160;
        receiver_count(&narrow, &rtp, true, now);
    }
    CHECK(abs((int)(r.jitter >> 4) / 6 - (int)(narrow.jitter >> 4)) <= 1);
    uint32_t before = narrow.jitter_max;
    receiver_set_clock(&narrow, 48000);
    CHECK_IS(narrow.jitter_max, 6 * before);
    rtp.seq++;
    rtp.timestamp = 5;
    before = narrow.jitter;
    receiver_count(&narrow, &rtp, true, 200 * SECOND); /* the first by the new clock measures nothing */
    CHECK_IS(narrow.jitter, before);
}

void test_reports_count_in_the_codecs_clock(void) {
    struct stage *stage = stage_new();
    struct plan a = open_with(stage, 0, CODEC_OPUS, 111);
    stage_mode(stage, 0, MODE_ECHO, 0);
    struct source from_a = source_of(&a);
    uint32_t times[2];
    uint64_t at[2];
    for (size_t i = 0; i < 2; i++) {
        size_t before = stage->rtcp_emissions;
        while (stage->rtcp_emissions == before)
            say_opus(stage, 0, &from_a, 40);
        CHECK_IS(stage->rtcp.data[1], 200);
        times[i] = read32(stage->rtcp.data + 16);
        at[i] = stage->rtcp.at;
    }
    CHECK(abs((int)((times[1] - times[0]) / 48) - (int)((at[1] - at[0]) / MS)) <= 1);
    stage_free(stage);
}

void test_a_line_goes_on_when_the_codec_changes(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0), b = stage_open(stage, 1);
    stage_bridge(stage, 0, 1);
    struct source from_a = source_of(&a);
    for (int i = 0; i < 5; i++) {
        source_say(stage, 0, &from_a, 160);
        stage_run_until(stage, stage->now + 20 * MS);
    }
    struct rtp last = stage_newest(stage)->rtp;
    a.codec = b.codec = CODEC_OPUS;
    a.payload_type = a.receive_payload_type = 111;
    b.payload_type = b.receive_payload_type = 96;
    stage_plan(stage, 0, &a);
    stage_plan(stage, 1, &b);
    from_a.payload_type = 111;
    from_a.timestamp = 123456789;
    say_opus(stage, 0, &from_a, 40);
    struct rtp first = stage_newest(stage)->rtp;
    CHECK_IS(first.ssrc, last.ssrc);
    CHECK_IS((uint16_t)(first.seq - last.seq), 1);
    CHECK_IS(first.timestamp - last.timestamp, 160 + 960); /* 20 ms by the old clock, then a packet's time by the new */
    CHECK_IS(first.payload_type, 96);
    CHECK(first.marker);
    say_opus(stage, 0, &from_a, 40);
    CHECK_IS(stage_newest(stage)->rtp.timestamp - first.timestamp, 960);
    CHECK(stage->legs[0].receiver.jitter >> 4 < 48); /* the change is none */
    stage_free(stage);
}

/* One digit of 100 ms by the far end's clock, its end told once. */
static void press(struct stage *stage, uint32_t leg, const struct plan *plan, uint32_t clock, uint16_t seq) {
    uint8_t payload[4] = {5, 0x8a};
    write16(payload + 2, (uint16_t)(clock / 10));
    stage_say(stage, leg, &plan->remote, plan->dtmf_receive, true, seq, seq * 48000u, 5, payload, 4);
}

void test_digits_last_as_long_by_any_clock(void) {
    static const struct {
        uint32_t heard, said;
    } clocks[] = {{48000, 48000}, {8000, 48000}, {48000, 8000}, {8000, 8000}};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        struct stage *stage = stage_new();
        struct plan a = open_with(stage, 0, CODEC_OPUS, 111), b = open_with(stage, 1, CODEC_OPUS, 111);
        a.dtmf_clock = clocks[i].heard == 8000 ? 8000 : 0; /* of Opus itself: 48000 */
        b.dtmf_clock = clocks[i].said;
        stage_plan(stage, 0, &a);
        stage_plan(stage, 1, &b);
        stage_bridge(stage, 0, 1);
        press(stage, 0, &a, clocks[i].heard, 1);
        CHECK_IS(stage->emissions, 1);
        CHECK_IS(read16(stage_newest(stage)->rtp.payload + 2), clocks[i].said / 10);
        CHECK_IS(stage_reported(stage, EVENT_DTMF), 1);
        CHECK_IS(stage->events[stage->reports - 1].b, 100);
        stage_free(stage);
    }
}

void test_two_codecs_are_not_relayed(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0);
    open_with(stage, 1, CODEC_G722, 9);
    stage_bridge(stage, 0, 1);
    struct source from_a = source_of(&a);
    source_say(stage, 0, &from_a, 160);
    CHECK_IS(stage->emissions, 0);
    CHECK_IS(stage->legs[0].drops[DROP_other_codec], 1);
    press(stage, 0, &a, 8000, from_a.seq); /* but what is no sound passes */
    CHECK_IS(stage->emissions, 1);
    stage_free(stage);
}
