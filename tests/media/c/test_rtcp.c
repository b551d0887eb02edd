/* Reports, silence, loss and jitter. */
#include "tests.h"

static void talk(struct stage *stage, uint32_t leg, struct source *source, uint64_t until) {
    while (stage->now < until) {
        source_say(stage, leg, source, 160);
        stage_run_until(stage, stage->now + 20 * MS);
    }
}

void test_reports_every_five_seconds(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0);
    stage_mode(stage, 0, MODE_ECHO, 0);
    struct source from_a = source_of(&a);
    uint64_t start = stage->now;
    stage_run_until(stage, stage->now + 60 * SECOND);
    CHECK_IS(stage->rtcp_emissions, 0); /* nothing sent, nothing heard: nothing to report */
    talk(stage, 0, &from_a, start + 3660 * SECOND);
    CHECK(stage->rtcp_emissions > 3600 / 6.2 && stage->rtcp_emissions < 3600 / 2.0);
    const uint8_t *p = stage->rtcp.data;
    CHECK_IS(p[0], 0x81); /* SR with one block */
    CHECK_IS(p[1], 200);
    CHECK_IS(read32(p + 4), stage->legs[0].sender.ssrc);
    CHECK_IS(read32(p + 8), 3900000000ull + stage->rtcp.at / SECOND);
    const struct sender *s = &stage->legs[0].sender; /* it went on since: back to the time of the report */
    CHECK(abs(ts_ahead(s->timestamp - (uint32_t)((s->clock_at - stage->rtcp.at) / 125000), read32(p + 16))) <= 1);
    CHECK_IS(read32(p + 28), from_a.ssrc);
    CHECK_IS(read32(p + 32), 0); /* no loss */
    CHECK_IS(stage->rtcp.to.port, 4001);
    CHECK_IS(stage->rtcp.channel, CHANNEL_RTCP);
    size_t sr = 4u * (read16(p + 2) + 1u);
    CHECK_IS(p[sr + 1], 202); /* SDES, CNAME */
    CHECK_IS(p[sr + 8], 1);
    CHECK_IS(p[sr + 9], CNAME_LENGTH);
    stage_mode(stage, 0, MODE_IDLE, 0); /* hears, but says nothing: RR */
    talk(stage, 0, &from_a, stage->now + 20 * SECOND);
    CHECK_IS(stage->rtcp.data[1], 201);
    core_close(&stage->core, 0, stage->now);
    size_t length = stage->rtcp.length;
    CHECK_IS(stage->rtcp.data[length - 7], 203); /* BYE */
    CHECK_IS(core_due(&stage->core), UINT64_MAX);
    stage_free(stage);
}

void test_muxed_reports_share_the_port(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0);
    struct rtcp far;
    struct sender far_sender;
    struct receiver far_receiver = {0};
    uint8_t report[RTCP_COMPOUND_MAX];
    rtcp_init(&far, 5);
    sender_init(&far_sender, 6);
    size_t length = rtcp_write(&far, report, &far_sender, &far_receiver, stage->now, 0, false);
    stage_datagram(stage, 0, CHANNEL_RTP, &a.remote, report, length);
    CHECK_IS(stage->core.drops[DROP_rtcp_not_mux], 1);
    a.rtcp_mux = true;
    stage_plan(stage, 0, &a);
    stage_mode(stage, 0, MODE_ECHO, 0);
    stage_datagram(stage, 0, CHANNEL_RTP, &a.remote, report, length);
    CHECK_IS(stage->core.drops[DROP_rtcp_malformed], 0);
    struct source from_a = source_of(&a);
    talk(stage, 0, &from_a, stage->now + 10 * SECOND);
    CHECK_IS(stage->rtcp.channel, CHANNEL_RTP);
    CHECK_IS(stage->rtcp.to.port, 4000);
    stage_free(stage);
}

void test_round_trip_and_what_the_far_end_reports(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0);
    stage_mode(stage, 0, MODE_ECHO, 0);
    struct source from_a = source_of(&a);
    talk(stage, 0, &from_a, stage->now + 10 * SECOND);
    CHECK(stage->rtcp_emissions > 0);
    uint32_t last = read32(stage->rtcp.data + 8) << 16 | read32(stage->rtcp.data + 12) >> 16;
    stage_run_until(stage, stage->rtcp.at + 1080 * MS); /* 40 ms there, a second there, 40 ms back */
    uint8_t report[32] = {0x81, 201, 0, 7};
    write32(report + 4, from_a.ssrc);
    write32(report + 8, stage->legs[0].sender.ssrc);
    write32(report + 12, 64u << 24 | 17);
    write32(report + 20, 40);
    write32(report + 24, last);
    write32(report + 28, 1u << 16);
    struct addr from = a.remote;
    from.port = 4001;
    stage_datagram(stage, 0, CHANNEL_RTCP, &from, report, sizeof report);
    const struct rtcp *rtcp = &stage->legs[0].rtcp;
    CHECK(abs((int)rtcp->round_trip - 80 * 65536 / 1000) <= 1);
    CHECK_IS(rtcp->remote_fraction, 64);
    CHECK_IS(rtcp->remote_lost, 17);
    CHECK_IS(rtcp->remote_jitter, 40);
    CHECK_IS(rtcp->expected_loss, 25);
    write32(report + 12, 0x00fffffe); /* negative: they saw duplicates */
    stage_datagram(stage, 0, CHANNEL_RTCP, &from, report, sizeof report);
    CHECK_IS(rtcp->remote_lost, -2);
    CHECK_IS(rtcp->expected_loss, 18); /* none since: believed bit by bit */
    for (int i = 0; i < 12; i++)
        stage_datagram(stage, 0, CHANNEL_RTCP, &from, report, sizeof report);
    CHECK_IS(rtcp->expected_loss, 0);
    struct addr stranger = stage_addr("198.51.100.66", 4001);
    stage_datagram(stage, 0, CHANNEL_RTCP, &stranger, report, sizeof report);
    CHECK_IS(stage->core.drops[DROP_rtcp_elsewhere], 1);
    CHECK(addr_same(&rtcp->remote, &from));
    stage_free(stage);
}

void test_malformed_reports(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0);
    static const uint8_t bad[][12] = {
        {0x81, 201, 0, 7, 1, 2, 3, 4},        /* longer than the datagram */
        {0x80, 201, 0, 1, 1, 2, 3, 4, 0x80},  /* something behind it that is no packet */
        {0x80, 201, 0, 0},                    /* too short for a source */
        {0x80, 201, 0, 1, 1, 2, 3, 4, 1, 1, 0, 0}, /* the second has another version */
    };
    static const size_t lengths[] = {8, 9, 4, 12};
    for (int i = 0; i < 4; i++)
        stage_datagram(stage, 0, CHANNEL_RTCP, &a.remote, bad[i], lengths[i]);
    CHECK_IS(stage->core.drops[DROP_rtcp_malformed], 4);
    stage_free(stage);
}

void test_silence_is_told_once_and_not_on_hold(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0);
    struct source from_a = source_of(&a);
    a.silence_ms = 10000;
    stage_plan(stage, 0, &a);
    talk(stage, 0, &from_a, stage->now + 60 * SECOND);
    CHECK_IS(stage_reported(stage, EVENT_SILENT), 0);
    uint64_t last = stage->now - 20 * MS;
    stage_run_until(stage, stage->now + 60 * SECOND);
    CHECK_IS(stage_reported(stage, EVENT_SILENT), 1);
    CHECK_IS(stage->events[stage->reports - 1].at - last, 10 * SECOND);
    talk(stage, 0, &from_a, stage->now + SECOND);
    CHECK_IS(stage_reported(stage, EVENT_RESUMED), 1);
    a.receives = false;
    stage_plan(stage, 0, &a);
    stage_run_until(stage, stage->now + 600 * SECOND);
    CHECK_IS(stage_reported(stage, EVENT_SILENT), 1);
    a.receives = true;
    stage_plan(stage, 0, &a);
    uint64_t resumed = stage->now;
    stage_run_until(stage, stage->now + 60 * SECOND);
    CHECK_IS(stage_reported(stage, EVENT_SILENT), 2);
    CHECK_IS(stage->events[stage->reports - 1].at - resumed, 10 * SECOND);
    a.sends = false; /* the far side holds: it says sendonly, and is quiet */
    stage_plan(stage, 0, &a);
    stage_run_until(stage, stage->now + 60 * SECOND);
    CHECK_IS(stage_reported(stage, EVENT_SILENT), 3);
    a.sends = true;
    stage_plan(stage, 0, &a);
    resumed = stage->now;
    stage_run_until(stage, stage->now + 60 * SECOND);
    CHECK_IS(stage_reported(stage, EVENT_SILENT), 4);
    CHECK_IS(stage->events[stage->reports - 1].at - resumed, 10 * SECOND);
    stage_free(stage);
}

void test_loss_over_the_wrap(void) {
    struct receiver r = {.clock = 8000};
    struct rtp rtp = {.ssrc = 1, .length = 160};
    struct loss loss;
    uint64_t now = SECOND;
    for (uint32_t i = 0; i < 200000; i++, now += 20 * MS) {
        rtp.seq = (uint16_t)(i + 60000);
        rtp.timestamp = i * 160;
        if (i % 10 != 3)
            receiver_count(&r, &rtp, true, now);
    }
    CHECK_IS(receiver_expected(&r), 200000);
    CHECK_IS(receiver_lost(&r), 20000);
    receiver_report(&r, &loss);
    CHECK_IS(loss.lost, 20000);
    CHECK_IS(loss.fraction, 25);
    CHECK_IS(loss.highest, 60000 + 199999);
    CHECK_IS(r.jitter >> 4, 0);
    rtp.ssrc = 2; /* the next source counts on */
    rtp.seq = 5;
    receiver_count(&r, &rtp, true, now);
    rtp.seq = 8;
    receiver_count(&r, &rtp, true, now);
    CHECK_IS(receiver_lost(&r), 20002);
    receiver_report(&r, &loss);
    CHECK_IS(loss.lost, 2);
}

void test_bursts_of_loss(void) {
    static const struct {
        uint16_t seq, bursts, longest;
    } steps[] = {
        {65533, 0, 0}, {65534, 0, 0}, {0, 1, 1}, /* 65535 is lost */
        {1, 1, 1}, {5, 2, 3},                    /* 2, 3 and 4 */
        {3, 2, 2}, {6, 2, 2},                    /* but for 3, which was late */
        {8, 3, 2}, {7, 2, 2},                    /* two changed places: no loss */
        {9, 2, 2}, {20, 3, 10}, {1, 3, 10},      /* one that is far too late changes nothing */
    };
    struct receiver r = {.clock = 8000};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct rtp rtp = {.ssrc = 1, .length = 160, .seq = steps[i].seq, .timestamp = (uint32_t)i * 160};
        receiver_count(&r, &rtp, true, SECOND + i * 20 * MS);
        CHECK_IS(receiver_bursts(&r), steps[i].bursts);
        CHECK_IS(receiver_longest_burst(&r), steps[i].longest);
    }
    struct rtp other = {.ssrc = 2, .length = 160, .seq = 900};
    receiver_count(&r, &other, true, SECOND);
    CHECK_IS(receiver_bursts(&r), 3); /* the next source counts on */
    other.seq = 902;
    receiver_count(&r, &other, true, SECOND);
    CHECK_IS(receiver_bursts(&r), 4);
}

void test_jitter_as_in_rfc_3550(void) {
    struct receiver r = {.clock = 8000};
    struct rtp rtp = {.ssrc = 1, .length = 160};
    double jitter = 0;
    uint32_t random = 3;
    int64_t transit = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        random = random * 1103515245 + 12345;
        uint64_t now = SECOND + i * 20 * MS + (random >> 16) % 15 * MS;
        rtp.seq = (uint16_t)i;
        rtp.timestamp = i * 160;
        receiver_count(&r, &rtp, true, now);
        int64_t here = (int64_t)(now / 125000) - (int64_t)rtp.timestamp;
        if (i)
            jitter += ((double)llabs(here - transit) - jitter) / 16;
        transit = here;
    }
    CHECK(jitter > 10 && abs((int)(r.jitter >> 4) - (int)jitter) <= 1);
}

void test_a_report_of_another_source_is_not_answered(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0);
    stage_mode(stage, 0, MODE_ECHO, 0);
    struct source from_a = source_of(&a);
    struct addr from = a.remote;
    uint8_t report[28] = {0x80, 200, 0, 6};
    for (int ours = 0; ours < 2; ours++) {
        talk(stage, 0, &from_a, stage->now + 100 * MS);
        write32(report + 4, from_a.ssrc + !ours); /* somebody else's, then its own */
        write32(report + 8, 0x1234);
        write32(report + 12, 0x56780000);
        stage_datagram(stage, 0, CHANNEL_RTCP, &from, report, sizeof report);
        size_t before = stage->rtcp_emissions;
        while (stage->rtcp_emissions == before)
            talk(stage, 0, &from_a, stage->now + 20 * MS);
        CHECK_IS(read32(stage->rtcp.data + 28), from_a.ssrc);
        CHECK_IS(read32(stage->rtcp.data + 44), ours ? 0x12345678 : 0); /* last report, delay since: RFC 3550 §6.4.1 */
        CHECK_IS(read32(stage->rtcp.data + 48) != 0, ours);
    }
    stage_free(stage);
}
