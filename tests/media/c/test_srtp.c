/* SRTP at the edge of legs: known packets, both ways, and everything that may be wrong with a packet. */
#include "far.h"
#include "tests.h"

static size_t unhex(uint8_t *to, const char *text) {
    size_t length = strlen(text) / 2;
    for (size_t i = 0; i < length; i++) {
        unsigned octet;
        CHECK_IS(sscanf(text + 2 * i, "%2x", &octet), 1);
        to[i] = (uint8_t)octet;
    }
    return length;
}

/* The master keys are those of RFC 3711 §B.3 and RFC 6188 §7.1, and for GCM one that counts. The packets were made by
 * another implementation, which derives the very session keys that those sections print. */
void test_known_packets_of_every_suite(void) {
    static const struct {
        enum srtp_suite suite;
        const char *key, *sealed;
    } known[] = {
        {SRTP_AES_CM_128_HMAC_SHA1_80, "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6",
         "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"},
        {SRTP_AES_CM_128_HMAC_SHA1_32, "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6",
         "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc"},
        {SRTP_AES_256_CM_HMAC_SHA1_80,
         "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2",
         "800f1234decafbadcafebabef1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b"},
        {SRTP_AEAD_AES_128_GCM, "000102030405060708090a0b0c0d0e0fa0a1a2a3a4a5a6a7a8a9aaab",
         "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        _Alignas(8) uint8_t packet[128];
        uint8_t plain[64], sealed[64];
        struct srtp_key key = {.suite = (uint8_t)known[i].suite};
        CHECK_IS(unhex(key.octets, known[i].key), srtp_key_length(known[i].suite));
        size_t length = unhex(plain, "800f1234decafbadcafebabeabababababababababababababababab");
        size_t whole = unhex(sealed, known[i].sealed), got = length;
        struct srtp srtp = {.send = srtp_way_new(&key, true, 0xcafebabe), .receive = srtp_way_new(&key, false, 0)};
        memcpy(packet, plain, length);
        CHECK_IS(srtp_seal(&srtp, false, packet, &got), DROP_COUNT);
        CHECK_IS(got, whole);
        CHECK_IS(memcmp(packet, sealed, whole), 0);
        CHECK_IS(srtp_open(&srtp, false, packet, &got, 0), DROP_COUNT);
        CHECK_IS(got, length);
        CHECK_IS(memcmp(packet, plain, length), 0);
        srtp_way_free(srtp.send);
        srtp_way_free(srtp.receive);
    }
}

void test_both_ways_under_every_suite(void) {
    for (int suite = SRTP_NONE + 1; suite < SRTP_SUITES; suite++) {
        struct stage *stage = stage_new();
        struct far a = far_open(stage, 0, (enum srtp_suite)suite);
        struct far b = far_open(stage, 1, (enum srtp_suite)(suite + 1 < SRTP_SUITES ? suite + 1 : 1));
        stage_bridge(stage, 0, 1);
        for (int round = 0; round < 50; round++) {
            far_say(stage, &a);
            far_check_heard(stage, &b, &a.source, 1);
            far_say(stage, &b);
            far_check_heard(stage, &a, &b.source, 1);
            stage_run_until(stage, stage->now + 20 * MS);
        }
        CHECK_IS(stage->emissions, 100);
        far_close(&a);
        far_close(&b);
        stage_free(stage);
    }
}

void test_a_secured_leg_and_a_plain_one(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
    struct plan b = stage_open(stage, 1);
    struct source from_b = source_of(&b);
    stage_bridge(stage, 0, 1);
    for (int round = 0; round < 100; round++) {
        far_say(stage, &a);
        const struct emitted *heard = stage_newest(stage);
        CHECK_IS(heard->leg, 1);
        CHECK_IS(heard->rtp.length, 160);
        CHECK_IS(heard->rtp.payload[7], sound(a.source.sample - 160 + 7));
        source_say(stage, 1, &from_b, 160);
        CHECK_IS(stage_newest(stage)->length, RTP_HEADER + 160 + 10);
        far_check_heard(stage, &a, &from_b, 1);
        stage_run_until(stage, stage->now + 20 * MS);
    }
    far_close(&a);
    stage_free(stage);
}

void test_reports_are_sealed(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_32);
    struct rtcp far_side;
    struct sender far_sender;
    struct receiver far_receiver = {0};
    _Alignas(8) uint8_t report[RTCP_COMPOUND_MAX + SRTP_TRAILER_MAX];
    stage_mode(stage, 0, MODE_ECHO, 0);
    while (!stage->rtcp_emissions) {
        far_say(stage, &a);
        stage_run_until(stage, stage->now + 20 * MS);
    }
    size_t length = stage->rtcp.length;
    CHECK_IS(srtp_open(&a.srtp, true, stage->rtcp.data, &length, stage->now), DROP_COUNT);
    CHECK_IS(stage->rtcp.length - length, 14); /* its index, and 80 bits even under this suite */
    rtcp_init(&far_side, 5);
    CHECK(rtcp_read(&far_side, stage->rtcp.data, length, &far_sender, stage->now, 0));
    struct addr rtcp = a.source.from;
    rtcp.port++;
    sender_init(&far_sender, (uint64_t)a.source.ssrc << 32);
    length = rtcp_write(&far_side, report, &far_sender, &far_receiver, stage->now, 0, true);
    stage_datagram(stage, 0, CHANNEL_RTCP, &rtcp, report, length); /* plain */
    CHECK_IS(stage->core.drops[DROP_srtp_auth], 1);
    CHECK(!stage->legs[0].rtcp.goodbye);
    CHECK_IS(srtp_seal(&a.srtp, true, report, &length), DROP_COUNT);
    stage_datagram(stage, 0, CHANNEL_RTCP, &rtcp, report, length);
    CHECK(stage->legs[0].rtcp.goodbye);
    stage_datagram(stage, 0, CHANNEL_RTCP, &rtcp, report, length);
    CHECK_IS(stage->core.drops[DROP_srtp_replay], 1);
    CHECK_IS(stage->core.drops[DROP_rtcp_malformed], 0);
    far_close(&a);
    stage_free(stage);
}

void test_loss_disorder_and_repetition_under_srtp(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AEAD_AES_128_GCM);
    struct far b = far_open(stage, 1, SRTP_AES_256_CM_HMAC_SHA1_80);
    uint8_t held[RTP_LENGTH_MAX], packet[RTP_LENGTH_MAX];
    size_t kept = 0, opened = 0, said = 0;
    struct rtp rtp;
    stage_bridge(stage, 0, 1);
    for (int round = 0; round < 1000; round++) {
        size_t before = stage->emissions, length = far_packet(&a, packet);
        stage_run_until(stage, stage->now + 20 * MS);
        if (round % 10 == 3)
            continue; /* lost */
        said++;
        if (round % 10 == 6) { /* it comes after the next */
            memcpy(held, packet, kept = length);
            continue;
        }
        far_send(stage, &a, packet, length);
        if (round % 10 == 5)
            far_send(stage, &a, packet, length); /* twice */
        if (kept)
            far_send(stage, &a, held, kept);
        kept = 0;
        for (; before < stage->emissions; before++)
            opened += far_open_heard(stage, &b, stage->emissions - 1 - before, &rtp) == DROP_COUNT;
    }
    CHECK_IS(opened, said);
    CHECK_IS(stage->core.drops[DROP_srtp_replay], 100);
    CHECK_IS(stage->core.drops[DROP_srtp_auth], 0);
    far_close(&a);
    far_close(&b);
    stage_free(stage);
}

void test_what_was_recorded_and_played_again(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
    uint8_t packets[300][200];
    size_t length = 0;
    stage_mode(stage, 0, MODE_ECHO, 0);
    for (int i = 0; i < 300; i++) {
        length = far_packet(&a, packets[i]);
        far_send(stage, &a, packets[i], length);
    }
    size_t emitted = stage->emissions;
    for (int i = 0; i < 300; i++)
        far_send(stage, &a, packets[i], length);
    CHECK_IS(stage->emissions, emitted);
    CHECK_IS(stage->core.drops[DROP_srtp_replay], 300);
    CHECK_IS(stage->legs[0].drops[DROP_srtp_replay], 300);
    CHECK_IS(stage_reported(stage, EVENT_SRTP_FAILED), 0); /* the key is right */
    far_close(&a);
    stage_free(stage);
}

void test_what_was_changed_on_the_way(void) {
    for (int suite = SRTP_NONE + 1; suite < SRTP_SUITES; suite++) {
        struct stage *stage = stage_new();
        struct far a = far_open(stage, 0, (enum srtp_suite)suite);
        uint8_t packet[RTP_LENGTH_MAX];
        stage_mode(stage, 0, MODE_ECHO, 0);
        far_say(stage, &a);
        uint64_t dropped = 0;
        for (size_t at = 1; at < RTP_HEADER + 160; at += 3) { /* one bit each; the first octet would not be RTP any more */
            size_t length = far_packet(&a, packet);
            packet[at] ^= 0x01;
            far_send(stage, &a, packet, length);
            dropped++;
        }
        for (size_t cut = 1; cut < 60; cut++) {
            size_t length = far_packet(&a, packet);
            far_send(stage, &a, packet, length - cut);
            dropped++;
        }
        for (size_t left = 1; left < RTP_HEADER + 4; left++) {
            far_packet(&a, packet);
            far_send(stage, &a, packet, left);
            dropped++;
        }
        CHECK_IS(stage->emissions, 1);
        const uint64_t *drops = stage->core.drops;
        CHECK_IS(drops[DROP_srtp_auth] + drops[DROP_too_short] + drops[DROP_srtp_missing] + drops[DROP_not_rtp] +
                     drops[DROP_srtp_replay], dropped);
        CHECK(drops[DROP_srtp_auth] > 100);
        far_say(stage, &a);
        CHECK_IS(stage->emissions, 2);
        far_close(&a);
        stage_free(stage);
    }
}

void test_the_wrong_key_is_silence(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
    struct far b = far_open(stage, 1, SRTP_AES_CM_128_HMAC_SHA1_80);
    struct far c = far_open(stage, 2, SRTP_AES_CM_128_HMAC_SHA1_80); /* another call */
    struct srtp_key wrong = far_key(SRTP_AES_CM_128_HMAC_SHA1_80, 99);
    far_take_send_key(&a, &wrong);
    stage_bridge(stage, 0, 1);
    stage_mode(stage, 2, MODE_ECHO, 0);
    for (int i = 0; i < 500; i++) {
        far_say(stage, &a);
        far_say(stage, &c);
        far_check_heard(stage, &c, &c.source, 1);
        stage_run_until(stage, stage->now + 20 * MS);
    }
    CHECK_IS(stage->emissions, 500); /* the other call's, and not one of b's */
    CHECK_IS(stage->legs[0].drops[DROP_srtp_auth], 500);
    CHECK_IS(stage->legs[0].receiver.packets, 0);
    CHECK_IS(stage->legs[0].latch.lock, LOCK_NONE); /* who has no key takes nobody's place */
    CHECK_IS(stage_reported(stage, EVENT_SRTP_FAILED), 1);
    for (size_t i = 0; i < stage->reports; i++)
        if (stage->events[i].kind == EVENT_SRTP_FAILED)
            CHECK(stage->events[i].leg == 0 && stage->events[i].a == SRTP_FAILURES_TOLD && stage->events[i].b == 0);
    far_close(&a);
    far_close(&b);
    far_close(&c);
    stage_free(stage);
}

void test_plain_sound_where_srtp_was_agreed(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
    struct source plain = a.source;
    stage_mode(stage, 0, MODE_ECHO, 0);
    for (int i = 0; i < 100; i++)
        source_say(stage, 0, &plain, 160);
    CHECK_IS(stage->emissions, 0);
    CHECK_IS(stage->core.drops[DROP_srtp_missing], 100);
    CHECK_IS(stage->core.drops[DROP_srtp_auth], 0);
    CHECK_IS(stage_reported(stage, EVENT_SRTP_FAILED), 1);
    struct addr stranger = stage_addr("203.0.113.66", 4000); /* of whom nothing is worth a cipher */
    stage_say(stage, 0, &stranger, 0, false, 1, 1, 1, (const uint8_t[20]){0}, 20);
    CHECK_IS(stage->core.drops[DROP_elsewhere], 1);
    far_close(&a);
    stage_free(stage);
}

void test_sources_under_one_key_are_bounded(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
    stage_mode(stage, 0, MODE_ECHO, 0);
    for (uint32_t i = 0; i < SRTP_SOURCES_MAX + 50; i++) {
        a.source.ssrc++;
        far_take_send_key(&a, &a.send);
        far_say(stage, &a);
    }
    CHECK_IS(stage->core.drops[DROP_srtp_sources], 50);
    CHECK_IS(stage->core.srtp[0].receive->source_count, SRTP_SOURCES_MAX);
    far_close(&a);
    stage_free(stage);
}

void test_a_key_identifier(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AES_CM_128_HMAC_SHA1_80);
    struct srtp_key named = a.send;
    uint8_t packet[RTP_LENGTH_MAX];
    named.mki_length = 4;
    named.mki[3] = 1;
    far_agree(stage, 0, &named, NULL);
    stage_mode(stage, 0, MODE_ECHO, 0);
    for (int i = 0; i < 10; i++) { /* SRTP puts it before the tag, which does not cover it */
        size_t length = far_packet(&a, packet);
        memmove(packet + length - 10 + 4, packet + length - 10, 10);
        memcpy(packet + length - 10, named.mki, 4);
        far_send(stage, &a, packet, length + 4);
        far_check_heard(stage, &a, &a.source, 1);
    }
    stage_run_until(stage, stage->now + 2 * SECOND); /* until the key without a name is forgotten */
    size_t length = far_packet(&a, packet);
    far_send(stage, &a, packet, length);
    CHECK_IS(stage->emissions, 10);
    far_close(&a);
    stage_free(stage);
}

void test_shared_sound_is_sealed_in_a_copy(void) {
    struct stage *stage = stage_new();
    struct far a = far_open(stage, 0, SRTP_AEAD_AES_128_GCM);
    uint8_t *exact = malloc(RTP_HEADER + 160); /* nothing behind it: a tag in place would be seen */
    uint8_t before[RTP_HEADER + 160];
    memset(exact, 0x55, sizeof before);
    rtp_write_header(exact, 0, false, 1, 160, stage->legs[0].sender.ssrc);
    memcpy(before, exact, sizeof before);
    core_send(&stage->core, 0, exact, sizeof before, stage->now);
    CHECK_IS(memcmp(before, exact, sizeof before), 0);
    CHECK(memcmp(stage_newest(stage)->data + RTP_HEADER, before + RTP_HEADER, 160) != 0);
    core_send(&stage->core, 0, exact, sizeof before, stage->now); /* its number went out: the key stream is not used twice */
    CHECK_IS(stage->core.drops[DROP_srtp_unsent], 1);
    free(exact);
    far_close(&a);
    stage_free(stage);
}

void test_keys_that_make_no_sense(void) {
    struct srtp_key key = far_key(SRTP_AES_CM_128_HMAC_SHA1_80, 1);
    key.suite = SRTP_SUITES;
    CHECK(!srtp_way_new(&key, true, 1));
    key.suite = SRTP_NONE;
    CHECK(!srtp_way_new(&key, false, 0));
    key.suite = SRTP_AES_CM_128_HMAC_SHA1_80;
    key.mki_length = SRTP_MKI_MAX + 1;
    CHECK(!srtp_way_new(&key, false, 0));
}
