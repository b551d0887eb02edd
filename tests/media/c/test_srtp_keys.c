/* What lasts under SRTP: the roll-over counter over wraps, modes and keys, and keys that take over from each other. */
#include "far.h"
#include "band.h"
#include "tests.h"

void test_the_counter_over_two_wraps(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
    stage_mode(stage, 0, MODE_ECHO, 0);
    for (uint32_t i = 0; i < 2 * 65536 + 40000; i++) {
        if (i % 100 == 50)
            source_skip(&a.source, 160); /* lost */
        far_say(stage, &a);
        far_check_heard(stage, &a, &a.source, 1);
        stage_run_until(stage, stage->now + 20 * MS);
    }
    CHECK_IS(stage->core.drops[DROP_srtp_auth], 0);
    CHECK_IS(stage->core.drops[DROP_srtp_replay], 0);
    far_close(&a);
    stage_free(stage);
}

/* The line of the leg goes on whoever feeds it, so its counter does. */
void test_the_counter_from_mode_to_mode(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
    struct plan b = stage_open(stage, 1);
    struct source from_b = source_of(&b);
    struct rtp rtp;
    size_t opened = 0, seen = 0;
    uint32_t last = 0;
    for (int turn = 0; turn < 40; turn++) {
        if (turn % 4 == 0)
            stage_bridge(stage, 0, 1);
        else if (turn % 4 == 1)
            stage_mode(stage, 0, MODE_ECHO, 0);
        else if (turn % 4 == 2)
            stage_mode(stage, 0, MODE_IDLE, 0);
        else
            band_join(stage, band_room(stage, 0, 0), 0, member_of(1, 1));
        for (int i = 0; i < 3300; i++) {
            size_t before = stage->emissions;
            far_say(stage, &a);
            source_say(stage, 1, &from_b, 160);
            stage_run_until(stage, stage->now + 20 * MS);
            for (; before < stage->emissions; before++) {
                size_t back = stage->emissions - 1 - before;
                if (stage_back(stage, back)->leg != 0)
                    continue;
                seen++;
                opened += far_open_heard(stage, &a, back, &rtp) == DROP_COUNT;
                CHECK(seen == 1 || rtp.seq == (uint16_t)(last + 1));
                last = rtp.seq;
            }
        }
        if (turn % 4 == 3)
            stage_mode(stage, 0, MODE_IDLE, 0);
    }
    CHECK(seen > 90000); /* more than a wrap */
    CHECK_IS(opened, seen);
    far_close(&a);
    stage_free(stage);
}

void test_a_new_key_takes_over_between_two_packets(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
    uint8_t late[3][RTP_LENGTH_MAX];
    size_t length = 0;
    stage_mode(stage, 0, MODE_ECHO, 0);
    for (int i = 0; i < 10; i++)
        far_say(stage, &a);
    far_check_heard(stage, &a, &a.source, 1);
    for (int i = 0; i < 3; i++)
        length = far_packet(&a, late[i]); /* under way while the key changes */
    struct srtp_key send = far_key(SRTP_AEAD_AES_128_GCM, 7), receive = far_key(SRTP_AEAD_AES_128_GCM, 8);
    far_agree(stage, 0, &send, &receive);
    srtp_way_free(a.srtp.receive);
    a.srtp.receive = srtp_way_new(&receive, false, 0);
    far_send(stage, &a, late[0], length);
    far_check_heard(stage, &a, &a.source, 3); /* opened under the old key, sealed under the new */
    far_take_send_key(&a, &send);
    far_say(stage, &a);
    far_check_heard(stage, &a, &a.source, 1);
    stage_run_until(stage, stage->now + 900 * MS);
    far_send(stage, &a, late[1], length);
    CHECK_IS(stage->emissions, 13);
    far_send(stage, &a, late[1], length);
    CHECK_IS(stage->core.drops[DROP_srtp_replay], 1); /* the old list counts as long as the old key does */
    stage_run_until(stage, stage->now + 200 * MS);
    CHECK(!stage->core.srtp[0].before); /* freed and overwritten, though no packet came */
    far_send(stage, &a, late[2], length);
    CHECK_IS(stage->core.drops[DROP_srtp_auth], 1);
    far_agree(stage, 0, &a.send, NULL); /* a third key within the grace of none */
    CHECK(stage->core.srtp[0].before);
    core_close(&stage->core, 0, stage->now);
    CHECK(!stage->core.srtp[0].before && !stage->core.srtp[0].send && !stage->core.srtp[0].receive);
    far_close(&a);
    stage_free(stage);
}

/* RFC 3711 §3.3.1 has the counter go on with a new key; many begin at nought. */
void test_a_new_key_after_a_wrap(void) {
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        struct stage *stage = stage_new();
        struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
        stage_mode(stage, 0, MODE_ECHO, 0);
        for (uint32_t i = 0; i < 70000; i++) {
            far_say(stage, &a);
            far_check_heard(stage, &a, &a.source, 1);
        }
        struct srtp_key send = far_key(SRTP_AES_CM_128_HMAC_SHA1_80, 7);
        struct srtp_key receive = far_key(SRTP_AES_CM_128_HMAC_SHA1_80, 8);
        far_agree(stage, 0, &send, &receive);
        struct srtp_way *before = a.srtp.send, *next = srtp_way_new(&send, true, a.source.ssrc);
        if (goes_on)
            srtp_way_follow(next, before);
        srtp_way_free(before);
        a.srtp.send = next;
        struct srtp_way *heard = srtp_way_new(&receive, false, stage->legs[0].sender.ssrc);
        srtp_way_follow(heard, a.srtp.receive);
        srtp_way_free(a.srtp.receive);
        a.srtp.receive = heard;
        for (uint32_t i = 0; i < 70000; i++) { /* over another wrap */
            far_say(stage, &a);
            far_check_heard(stage, &a, &a.source, 1);
        }
        CHECK_IS(stage->core.drops[DROP_srtp_auth], 0);
        far_close(&a);
        stage_free(stage);
    }
}

/* A key stream that began anew under the same key would be used twice. */
void test_a_key_that_stays_keeps_its_context(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
    stage_mode(stage, 0, MODE_ECHO, 0);
    for (uint32_t i = 0; i < 66000; i++) {
        far_say(stage, &a);
        far_check_heard(stage, &a, &a.source, 1);
    }
    const struct srtp_way *send = stage->core.srtp[0].send;
    struct srtp_key key = far_key(SRTP_AES_CM_128_HMAC_SHA1_80, 7);
    far_agree(stage, 0, &key, NULL);
    CHECK(stage->core.srtp[0].send == send);
    far_take_send_key(&a, &key);
    far_say(stage, &a);
    far_check_heard(stage, &a, &a.source, 1);
    core_secure(&stage->core, 0, &(struct srtp_change){.secured = true}, stage->now);
    CHECK(stage->core.srtp[0].send == send && stage->core.srtp[0].receive);
    core_secure(&stage->core, 0, &(struct srtp_change){.secured = false}, stage->now);
    CHECK(!stage->core.srtp[0].send && !stage->core.srtp[0].receive);
    struct source plain = a.source;
    source_say(stage, 0, &plain, 160);
    CHECK_IS(stage_newest(stage)->rtp.length, 160);
    far_close(&a);
    stage_free(stage);
}
