/* The outgoing line of a leg: one SSRC, continuous sequence and timestamp, whoever feeds it. */
#include "tests.h"

static void say_for(struct stage *stage, uint32_t leg, struct source *source, int packets) {
    for (int i = 0; i < packets; i++) {
        source_say(stage, leg, source, 160);
        stage_run_until(stage, stage->now + 20 * MS);
    }
}

/* Every packet since `from` follows the one before by one number and, within 20 ms, by the time between them. */
static void check_continuous(const struct stage *stage, size_t from, size_t marked) {
    size_t marks = 0;
    CHECK(stage->emissions - from <= KEPT);
    for (size_t back = stage->emissions - from - 1; back > 0; back--) {
        const struct emitted *before = stage_back(stage, back), *after = stage_back(stage, back - 1);
        CHECK_IS(seq_ahead(after->rtp.seq, before->rtp.seq), 1);
        int32_t step = ts_ahead(after->rtp.timestamp, before->rtp.timestamp);
        int32_t passed = (int32_t)((after->at - before->at) / 125000);
        CHECK(step >= 160 && abs(step - passed) <= 160);
        marks += after->rtp.marker;
    }
    CHECK_IS(marks, marked);
}

void test_relay_keeps_one_line(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0), b = stage_open(stage, 1), c = stage_open(stage, 2);
    struct source from_b = source_of(&b), from_c = source_of(&c);
    stage_bridge(stage, 0, 1);
    say_for(stage, 1, &from_b, 50);
    CHECK(stage_back(stage, 49)->rtp.marker); /* the very first packet begins a talkspurt */
    CHECK(addr_same(&stage_newest(stage)->to, &a.remote));
    from_b.ssrc ^= 0x5555; /* the phone starts a new stream */
    from_b.seq = 7;
    from_b.timestamp = 99;
    say_for(stage, 1, &from_b, 50);
    stage_run_until(stage, stage->now + 3 * SECOND); /* nobody speaks, then another leg does */
    stage_mode(stage, 1, MODE_IDLE, 0);
    stage_bridge(stage, 0, 2);
    say_for(stage, 2, &from_c, 50);
    stage_bridge(stage, 0, 1); /* and back */
    say_for(stage, 1, &from_b, 50);
    check_continuous(stage, 0, 3);
    stage_free(stage);
}

void test_hold_leaves_no_hole(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0), b = stage_open(stage, 1);
    struct source from_b = source_of(&b);
    stage_bridge(stage, 0, 1);
    say_for(stage, 1, &from_b, 50);
    a.sends = false; /* A holds; B speaks on */
    stage_plan(stage, 0, &a);
    say_for(stage, 1, &from_b, 100);
    CHECK_IS(stage->emissions, 50);
    CHECK_IS(stage->core.drops[DROP_not_sending], 100);
    a.sends = true;
    stage_plan(stage, 0, &a);
    say_for(stage, 1, &from_b, 50);
    check_continuous(stage, 0, 1);
    stage_free(stage);
}

void test_a_repeated_plan_changes_nothing(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0), b = stage_open(stage, 1);
    struct source from_b = source_of(&b);
    stage_bridge(stage, 0, 1);
    for (int i = 0; i < 100; i++) {
        say_for(stage, 1, &from_b, 1);
        stage_plan(stage, 0, &a);
        stage_plan(stage, 1, &b);
        stage_bridge(stage, 0, 1);
    }
    check_continuous(stage, 0, 0);
    CHECK_IS(stage_reported(stage, EVENT_LATCHED), 1);
    stage_free(stage);
}

void test_the_true_picture_of_loss_and_disorder(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct plan b = stage_open(stage, 1);
    stage_bridge(stage, 0, 1);
    uint32_t random = 1;
    uint16_t seq_shift = 0;
    uint32_t ts_shift = 0;
    uint8_t payload[160] = {0};
    for (uint32_t i = 0; i < 200000; i++) { /* over an hour, three turns of the sequence */
        random = random * 1103515245 + 12345;
        uint32_t index = i;
        if (random >> 28 == 0)
            continue; /* one in sixteen is lost */
        if (i > 300 && random >> 28 == 1)
            index = i - 3; /* comes late, or twice */
        stage_say(stage, 1, &b.remote, 0, false, (uint16_t)index, index * 160, 42, payload, sizeof payload);
        const struct rtp *out = &stage_newest(stage)->rtp;
        if (stage->emissions == 1) {
            seq_shift = (uint16_t)(out->seq - index);
            ts_shift = out->timestamp - index * 160;
        }
        CHECK_IS((uint16_t)(out->seq - index), seq_shift);
        CHECK_IS(out->timestamp - index * 160, ts_shift);
        stage_run_until(stage, stage->now + 20 * MS);
    }
    CHECK_IS(stage->core.received, stage->emissions);
    stage_free(stage);
}

void test_a_clock_that_is_set_does_not_reach_the_other_side(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct plan b = stage_open(stage, 1);
    struct source from_b = source_of(&b);
    stage_bridge(stage, 0, 1);
    say_for(stage, 1, &from_b, 50);
    from_b.timestamp -= 900000; /* back */
    say_for(stage, 1, &from_b, 50);
    from_b.timestamp += 900000; /* and far ahead */
    say_for(stage, 1, &from_b, 50);
    check_continuous(stage, 0, 2);
    stage_free(stage);
}

void test_stragglers_of_an_old_source_stay_out(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct plan b = stage_open(stage, 1);
    struct source old = source_of(&b), fresh = source_of(&b);
    fresh.ssrc ^= 1;
    stage_bridge(stage, 0, 1);
    say_for(stage, 1, &old, 10);
    struct source straggler = old;
    say_for(stage, 1, &fresh, 1);
    source_say(stage, 1, &straggler, 160);
    CHECK_IS(stage->core.drops[DROP_old_source], 1);
    say_for(stage, 1, &fresh, 10);
    check_continuous(stage, 0, 1);
    stage_free(stage);
}

/* All that was emitted is one source that counts on; the time it says is within 20 ms of the time that passed. */
static void check_one_line(const struct stage *stage) {
    for (size_t back = stage->emissions - 1; back > 0; back--) {
        const struct emitted *before = stage_back(stage, back), *after = stage_back(stage, back - 1);
        CHECK_IS(after->rtp.ssrc, before->rtp.ssrc);
        CHECK_IS(seq_ahead(after->rtp.seq, before->rtp.seq), 1);
        int32_t passed = (int32_t)((after->at - before->at) / 125000);
        CHECK(abs(ts_ahead(after->rtp.timestamp, before->rtp.timestamp) - passed) <= 160);
    }
}

void test_a_source_that_changes_with_each_packet_is_one_line(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct plan b = stage_open(stage, 1);
    struct source from_b = source_of(&b);
    stage_bridge(stage, 0, 1);
    for (uint32_t i = 0; i < 200; i++) {
        from_b.ssrc += 0x10001 * (i + 1);
        from_b.seq = (uint16_t)(from_b.seq + 7919 * i);
        from_b.timestamp += 104729 * i;
        say_for(stage, 1, &from_b, 1);
    }
    CHECK_IS(stage->emissions, 200);
    check_one_line(stage);
    stage_free(stage);
}

/* Both at once would be noise. */
void test_of_two_streams_at_once_one_is_heard(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct plan b = stage_open(stage, 1);
    struct source one = source_of(&b), other = source_of(&b);
    other.ssrc ^= 1;
    other.timestamp += 50000;
    stage_bridge(stage, 0, 1);
    for (int i = 0; i < 500; i++) {
        source_say(stage, 1, &one, 160);
        stage_run_until(stage, stage->now + 10 * MS);
        source_say(stage, 1, &other, 160);
        stage_run_until(stage, stage->now + 10 * MS);
    }
    CHECK_IS(stage->emissions, 501); /* the newer one, and a packet of the other before it came */
    CHECK_IS(stage->core.drops[DROP_old_source], 499);
    for (size_t back = 499; back > 0; back--)
        CHECK_IS(ts_ahead(stage_back(stage, back - 1)->rtp.timestamp, stage_back(stage, back)->rtp.timestamp), 160);
    stage_run_until(stage, stage->now + 180 * MS);
    say_for(stage, 1, &one, 50); /* the newer one has ended: the other is heard again */
    CHECK_IS(stage->emissions, 551);
    CHECK_IS(stage->core.drops[DROP_old_source], 499);
    check_one_line(stage);
    stage_free(stage);
}

void test_packets_from_before_the_anchor_stay_out(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct plan b = stage_open(stage, 1);
    struct source from_b = source_of(&b), earlier;
    stage_bridge(stage, 0, 1);
    say_for(stage, 1, &from_b, 10);
    from_b.ssrc ^= 1;
    earlier = from_b;
    source_skip(&from_b, 160);
    say_for(stage, 1, &from_b, 1); /* the first of the new source came second */
    source_say(stage, 1, &earlier, 160);
    CHECK_IS(stage->core.drops[DROP_late], 1);
    say_for(stage, 1, &from_b, 10);
    check_continuous(stage, 0, 1);
    stage_free(stage);
}

void test_echo(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0);
    struct source from_a = source_of(&a);
    stage_mode(stage, 0, MODE_ECHO, 0);
    say_for(stage, 0, &from_a, 100);
    CHECK_IS(stage->emissions, 100);
    check_continuous(stage, 0, 0);
    CHECK_IS(stage_newest(stage)->rtp.payload[5], sound(99 * 160 + 5));
    source_say(stage, 0, &from_a, 480); /* of any length */
    CHECK_IS(stage_newest(stage)->rtp.length, 480);
    stage_mode(stage, 0, MODE_IDLE, 0);
    source_say(stage, 0, &from_a, 160);
    CHECK_IS(stage->core.drops[DROP_idle], 1);
    stage_free(stage);
}

void test_a_source_that_restarts_with_its_old_name(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct plan b = stage_open(stage, 1);
    struct source from_b = source_of(&b);
    stage_bridge(stage, 0, 1);
    say_for(stage, 1, &from_b, 50);
    from_b.seq = (uint16_t)(from_b.seq + 20000);
    say_for(stage, 1, &from_b, 50);
    CHECK_IS(stage->core.drops[DROP_sequence], 1); /* RFC 3550 §A.1 wants two in a row */
    CHECK_IS(stage->emissions, 99);
    CHECK_IS(receiver_lost(&stage->legs[1].receiver), 0);
    for (size_t back = 98; back > 0; back--)
        CHECK_IS(seq_ahead(stage_back(stage, back - 1)->rtp.seq, stage_back(stage, back)->rtp.seq), 1);
    stage_free(stage);
}

void test_a_peer_that_is_gone(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct plan b = stage_open(stage, 1);
    struct source from_b = source_of(&b);
    stage_bridge(stage, 0, 1);
    say_for(stage, 1, &from_b, 1);
    core_close(&stage->core, 0, stage->now);
    say_for(stage, 1, &from_b, 1);
    CHECK_IS(stage->core.drops[DROP_no_peer], 1);
    stage_open(stage, 0); /* its slot has another leg now */
    stage->legs[0].generation = 777;
    say_for(stage, 1, &from_b, 1);
    CHECK_IS(stage->core.drops[DROP_no_peer], 2);
    stage_free(stage);
}
