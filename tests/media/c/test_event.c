/* Telephone events (RFC 4733) and comfort noise (RFC 3389) on their way through. */
#include "tests.h"

struct dialing {
    struct addr from;
    uint32_t ssrc, timestamp;
    uint16_t seq;
    uint8_t payload_type;
};

/* One digit as phones send it: every 20 ms while it lasts, then the end three times. */
static void dial(struct stage *stage, uint32_t leg, struct dialing *d, uint8_t digit, int updates, bool with_end) {
    for (int i = 1; i <= updates + (with_end ? 3 : 0); i++) {
        int step = i < updates ? i : updates;
        uint8_t payload[4] = {digit, (uint8_t)(i > updates ? 0x8a : 0x0a)};
        write16(payload + 2, (uint16_t)(step * 160));
        stage_say(stage, leg, &d->from, d->payload_type, i == 1, d->seq++, d->timestamp, d->ssrc, payload, 4);
        stage_run_until(stage, stage->now + 20 * MS);
    }
    d->timestamp += 8000;
}

static struct dialing phone(const struct plan *plan) {
    return (struct dialing){plan->remote, 5, 1000000, 9000, plan->dtmf_receive};
}

void test_events_pass_with_their_type_translated(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0), b = stage_open(stage, 1);
    a.dtmf_send = 97;
    b.dtmf_receive = 110;
    stage_plan(stage, 0, &a);
    stage_plan(stage, 1, &b);
    stage_bridge(stage, 0, 1);
    struct dialing d = phone(&b);
    dial(stage, 1, &d, 11, 5, true);
    CHECK_IS(stage->emissions, 8);
    for (size_t back = 0; back < 8; back++) {
        const struct rtp *out = &stage_back(stage, back)->rtp;
        CHECK_IS(out->payload_type, 97);
        CHECK_IS(out->timestamp, stage_newest(stage)->rtp.timestamp);
        CHECK_IS(out->marker, back == 7);
        CHECK_IS(out->length, 4);
    }
    CHECK_IS(stage_reported(stage, EVENT_DTMF), 1);
    const struct event *event = &stage->events[stage->reports - 1];
    CHECK_IS(event->a, 11);
    CHECK_IS(event->b, 100);
    stage_free(stage);
}

void test_audio_beside_an_event_keeps_its_clock(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct plan b = stage_open(stage, 1);
    stage_bridge(stage, 0, 1);
    uint8_t audio[160] = {0}, event[4] = {1, 10, 0, 160};
    uint16_t seq = 0;
    uint32_t event_ts = 0, audio_ts = 0;
    for (uint32_t i = 0; i < 50; i++) { /* an event of 200 ms with audio going on, as some phones do */
        stage_say(stage, 1, &b.remote, 0, false, seq++, i * 160, 5, audio, sizeof audio);
        if (i) 
            CHECK_IS(stage_newest(stage)->rtp.timestamp - audio_ts, 160);
        audio_ts = stage_newest(stage)->rtp.timestamp;
        if (i >= 20 && i < 30) {
            stage_say(stage, 1, &b.remote, 101, i == 20, seq++, 20 * 160, 5, event, sizeof event);
            if (i > 20)
                CHECK_IS(stage_newest(stage)->rtp.timestamp, event_ts);
            event_ts = stage_newest(stage)->rtp.timestamp;
        }
        stage_run_until(stage, stage->now + 20 * MS);
    }
    CHECK_IS(event_ts - stage_back(stage, 0)->rtp.timestamp, (uint32_t)(-29 * 160));
    stage_free(stage);
}

void test_an_event_whose_end_is_lost(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct plan b = stage_open(stage, 1);
    struct dialing d = phone(&b);
    dial(stage, 1, &d, 4, 3, false);
    CHECK_IS(stage_reported(stage, EVENT_DTMF), 0);
    dial(stage, 1, &d, 5, 3, false); /* the next one tells that it ended */
    CHECK_IS(stage_reported(stage, EVENT_DTMF), 1);
    CHECK_IS(stage->events[stage->reports - 1].a, 4);
    stage_run_until(stage, stage->now + SECOND); /* or time does */
    CHECK_IS(stage_reported(stage, EVENT_DTMF), 2);
    CHECK_IS(stage->events[stage->reports - 1].a, 5);
    dial(stage, 1, &d, 5, 3, true); /* the same digit again is another event */
    CHECK_IS(stage_reported(stage, EVENT_DTMF), 3);
    stage_run_until(stage, stage->now + SECOND);
    CHECK_IS(stage_reported(stage, EVENT_DTMF), 3);
    stage_free(stage);
}

void test_events_that_the_other_side_does_not_take(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0), b = stage_open(stage, 1);
    a.dtmf_send = PT_NONE;
    stage_plan(stage, 0, &a);
    stage_bridge(stage, 0, 1);
    struct dialing d = phone(&b);
    dial(stage, 1, &d, 4, 3, true);
    CHECK_IS(stage->emissions, 0);
    CHECK_IS(stage->core.drops[DROP_event_not_negotiated], 6);
    CHECK_IS(stage_reported(stage, EVENT_DTMF), 1); /* but it was heard */
    stage_free(stage);
}

void test_events_in_a_stream_that_is_cut(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0), b = stage_open(stage, 1);
    a.ptime_ms = 30;
    stage_plan(stage, 0, &a);
    stage_bridge(stage, 0, 1);
    struct source from_b = source_of(&b);
    for (int i = 0; i < 10; i++) {
        source_say(stage, 1, &from_b, 160);
        stage_run_until(stage, stage->now + 20 * MS);
    }
    struct dialing d = {b.remote, from_b.ssrc, from_b.timestamp, from_b.seq, 101};
    size_t before = stage->emissions;
    dial(stage, 1, &d, 7, 2, true);
    CHECK_IS(stage->emissions - before, 6); /* the audio that waited, then the event */
    for (size_t back = 4; back > 0; back--)
        CHECK_IS(stage_back(stage, back - 1)->rtp.timestamp, stage_back(stage, 4)->rtp.timestamp);
    for (size_t back = stage->emissions - 1; back > 0; back--)
        CHECK_IS(seq_ahead(stage_back(stage, back - 1)->rtp.seq, stage_back(stage, back)->rtp.seq), 1);
    stage_free(stage);
}

void test_comfort_noise(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0), b = stage_open(stage, 1);
    stage_bridge(stage, 0, 1);
    uint8_t noise[1] = {60};
    stage_say(stage, 1, &b.remote, 13, false, 1, 160, 5, noise, 1);
    CHECK_IS(stage->core.drops[DROP_comfort_noise], 1);
    a.cn = true;
    stage_plan(stage, 0, &a);
    stage_say(stage, 1, &b.remote, 13, false, 2, 320, 5, noise, 1);
    CHECK_IS(stage_newest(stage)->rtp.payload_type, 13);
    CHECK_IS(stage_newest(stage)->rtp.payload[0], 60);
    stage_say(stage, 1, &b.remote, 13, false, 3, 480, 5, noise, 0);
    CHECK_IS(stage->core.drops[DROP_empty], 1);
    stage_free(stage);
}

void test_echo_keeps_events_and_noise(void) {
    struct stage *stage = stage_new();
    struct plan a = stage_open(stage, 0);
    a.cn = true;
    a.dtmf_send = 96;
    stage_plan(stage, 0, &a);
    stage_mode(stage, 0, MODE_ECHO, 0);
    struct dialing d = phone(&a);
    dial(stage, 0, &d, 3, 2, true);
    CHECK_IS(stage->emissions, 5);
    CHECK_IS(stage_newest(stage)->rtp.payload_type, 96);
    stage_say(stage, 0, &a.remote, 13, false, d.seq, d.timestamp, d.ssrc, (uint8_t[]){50}, 1);
    CHECK_IS(stage_newest(stage)->rtp.payload_type, 13);
    stage_free(stage);
}
