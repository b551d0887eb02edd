/* Whose packets a leg takes, and where it sends. */
#include <netinet/in.h>

#include "tests.h"

static void knock(struct stage *stage, const char *ip, uint16_t port, uint32_t ssrc, uint16_t seq) {
    uint8_t payload[160] = {0};
    struct addr from = stage_addr(ip, port);
    stage_say(stage, 0, &from, 0, false, seq, seq * 160u, ssrc, payload, sizeof payload);
}

/* `count` packets, one each 20 ms. */
static void talk(struct stage *stage, const char *ip, uint16_t port, uint32_t ssrc, int count) {
    static uint16_t seq;
    for (int i = 0; i < count; i++) {
        stage_run_until(stage, stage->now + 20 * MS);
        knock(stage, ip, port, ssrc, seq++);
    }
}

static bool locked_to(const struct stage *stage, const char *ip, uint16_t port, enum lock lock) {
    const struct latch *latch = &stage->legs[0].latch;
    struct addr source = stage_addr(ip, port);
    return latch->lock == lock && addr_same(&latch->source, &source);
}

static struct stage *new_stage(struct plan *plan) {
    struct stage *stage = stage_new();
    *plan = stage_open(stage, 0);
    plan->latch_from[1] = stage_addr("203.0.113.9", 0); /* where its signalling comes from */
    plan->latch_count = 2;
    stage_plan(stage, 0, plan);
    stage_mode(stage, 0, MODE_ECHO, 0);
    return stage;
}

void test_a_stranger_never_latches(void) {
    struct plan plan;
    struct stage *stage = new_stage(&plan);
    knock(stage, "198.51.100.66", 4000, 1, 1);
    CHECK_IS(stage->core.drops[DROP_elsewhere], 1);
    CHECK_IS(stage->legs[0].latch.lock, LOCK_NONE);
    knock(stage, "192.0.2.1", 4000, 2, 1);
    CHECK(locked_to(stage, "192.0.2.1", 4000, LOCK_STRONG));
    for (int i = 0; i < 5000; i++) { /* mid-call, the owner silent for long */
        stage_run_until(stage, stage->now + 20 * MS);
        knock(stage, "198.51.100.66", 4000, 1, (uint16_t)i);
    }
    CHECK_IS(stage->core.drops[DROP_elsewhere], 5001);
    CHECK(locked_to(stage, "192.0.2.1", 4000, LOCK_STRONG));
    CHECK_IS(stage->legs[0].receiver.packets, 1);
    stage_free(stage);
}

void test_the_sdp_address_beats_another_port_of_its_ip(void) {
    struct plan plan;
    struct stage *stage = new_stage(&plan);
    knock(stage, "192.0.2.1", 61000, 1, 1); /* a NAT changed the port: that will do */
    CHECK(locked_to(stage, "192.0.2.1", 61000, LOCK_WEAK));
    CHECK_IS(stage_newest(stage)->to.port, 61000);
    knock(stage, "192.0.2.1", 61002, 1, 2);
    CHECK(locked_to(stage, "192.0.2.1", 61000, LOCK_WEAK));
    knock(stage, "192.0.2.1", 4000, 1, 3); /* the very address is better */
    CHECK(locked_to(stage, "192.0.2.1", 4000, LOCK_STRONG));
    CHECK_IS(stage_newest(stage)->to.port, 4000);
    knock(stage, "192.0.2.1", 61000, 1, 4);
    CHECK(locked_to(stage, "192.0.2.1", 4000, LOCK_STRONG));
    CHECK_IS(stage->core.drops[DROP_elsewhere], 2);
    CHECK_IS(stage_reported(stage, EVENT_LATCHED), 1);
    CHECK_IS(stage_reported(stage, EVENT_RELATCHED), 1);
    stage_free(stage);
}

void test_takeover_needs_silence_and_persistence(void) {
    struct plan plan;
    struct stage *stage = new_stage(&plan);
    talk(stage, "192.0.2.1", 4000, 1, 20);
    stage_run_until(stage, stage->now + 2900 * MS);
    for (uint16_t i = 0; i < 10; i++)
        knock(stage, "203.0.113.9", 5000, 2, i);
    CHECK(locked_to(stage, "192.0.2.1", 4000, LOCK_STRONG)); /* not silent for long enough */
    stage_run_until(stage, stage->now + 200 * MS);
    stage->legs[0].latch.candidate_count = 0;
    knock(stage, "203.0.113.9", 5000, 2, 20);
    knock(stage, "203.0.113.9", 5000, 3, 21); /* another stream: counts anew */
    knock(stage, "203.0.113.9", 5000, 3, 22);
    CHECK(locked_to(stage, "192.0.2.1", 4000, LOCK_STRONG));
    knock(stage, "203.0.113.9", 5000, 3, 23);
    CHECK(locked_to(stage, "203.0.113.9", 5000, LOCK_WEAK));
    CHECK(addr_same(&stage_newest(stage)->to, &stage->legs[0].latch.source));
    knock(stage, "192.0.2.1", 4000, 1, 2); /* the SDP address may come back at once */
    CHECK(locked_to(stage, "192.0.2.1", 4000, LOCK_STRONG));
    stage_free(stage);
}

void test_a_lucky_first_packet_holds_nothing(void) {
    struct plan plan;
    struct stage *stage = new_stage(&plan);
    knock(stage, "203.0.113.9", 5000, 1, 1); /* thrown at every port from behind the phone's own NAT */
    CHECK(locked_to(stage, "203.0.113.9", 5000, LOCK_WEAK));
    talk(stage, "203.0.113.9", 6000, 2, 10);
    CHECK(locked_to(stage, "203.0.113.9", 5000, LOCK_WEAK)); /* 200 ms are not over */
    talk(stage, "203.0.113.9", 6000, 2, 3);
    CHECK(locked_to(stage, "203.0.113.9", 6000, LOCK_WEAK));
    talk(stage, "203.0.113.9", 6000, 2, 10);
    for (int i = 0; i < 100; i++) { /* now it has shown that it talks: for 3 s nobody else may */
        stage_run_until(stage, stage->now + 20 * MS);
        knock(stage, "203.0.113.9", 5000, 1, (uint16_t)i);
    }
    CHECK(locked_to(stage, "203.0.113.9", 6000, LOCK_WEAK));
    stage_free(stage);
}

void test_who_was_silent_has_its_place_back_once(void) {
    struct plan plan;
    struct stage *stage = new_stage(&plan);
    talk(stage, "203.0.113.9", 6000, 1, 20);
    stage_run_until(stage, stage->now + 4 * SECOND); /* a pause without a packet */
    talk(stage, "203.0.113.9", 5000, 2, 20);
    CHECK(locked_to(stage, "203.0.113.9", 5000, LOCK_WEAK));
    for (uint16_t i = 0; i < 3; i++) { /* both talk */
        CHECK(locked_to(stage, "203.0.113.9", 5000, LOCK_WEAK));
        talk(stage, "203.0.113.9", 5000, 2, 1);
        knock(stage, "203.0.113.9", 6000, 1, (uint16_t)(100 + i));
    }
    CHECK(locked_to(stage, "203.0.113.9", 6000, LOCK_WEAK));
    for (uint16_t i = 0; i < 200; i++) {
        talk(stage, "203.0.113.9", 6000, 1, 1);
        knock(stage, "203.0.113.9", 5000, 2, i);
        knock(stage, "203.0.113.9", 5000, 2, i);
        knock(stage, "203.0.113.9", 5000, 2, i);
    }
    CHECK(locked_to(stage, "203.0.113.9", 6000, LOCK_WEAK));
    stage_free(stage);
}

void test_a_new_remote_arms_the_latch_again(void) {
    struct plan plan;
    struct stage *stage = new_stage(&plan);
    knock(stage, "203.0.113.9", 5000, 1, 1);
    CHECK(locked_to(stage, "203.0.113.9", 5000, LOCK_WEAK));
    plan.ptime_ms = 30; /* nothing about addresses: the lock stays */
    stage_plan(stage, 0, &plan);
    CHECK(locked_to(stage, "203.0.113.9", 5000, LOCK_WEAK));
    plan.remote.port = 4002;
    stage_plan(stage, 0, &plan);
    CHECK_IS(stage->legs[0].latch.lock, LOCK_NONE);
    knock(stage, "192.0.2.1", 4002, 9, 1);
    CHECK(locked_to(stage, "192.0.2.1", 4002, LOCK_STRONG));
    CHECK_IS(stage_reported(stage, EVENT_RELATCHED), 1);
    plan.latch_count = 0; /* the lock is on the SDP address: allowed without a list */
    stage_plan(stage, 0, &plan);
    CHECK(locked_to(stage, "192.0.2.1", 4002, LOCK_STRONG));
    stage_free(stage);
}

void test_a_wrong_payload_type_does_not_latch(void) {
    struct plan plan;
    struct stage *stage = new_stage(&plan);
    uint8_t payload[160] = {0};
    stage_say(stage, 0, &plan.remote, 96, false, 1, 1, 1, payload, sizeof payload);
    CHECK_IS(stage->core.drops[DROP_payload_type], 1);
    CHECK_IS(stage->legs[0].latch.lock, LOCK_NONE);
    stage_free(stage);
}

void test_mapped_and_plain_ipv4_are_one(void) {
    struct addr plain = stage_addr("192.0.2.7", 9), mapped = stage_addr("::ffff:192.0.2.7", 9), read;
    CHECK(addr_same(&plain, &mapped));
    CHECK(addr_is_ipv4(&mapped));
    struct sockaddr_storage name;
    CHECK_IS(addr_to_sockaddr(&mapped, &name), sizeof(struct sockaddr_in));
    addr_from_sockaddr(&read, &name);
    CHECK(addr_same(&plain, &read));
    char text[ADDR_TEXT_MAX];
    addr_format(&mapped, text);
    CHECK_IS(strcmp(text, "192.0.2.7"), 0);
    struct addr six = stage_addr("2001:db8::5", 70);
    addr_to_sockaddr(&six, &name);
    addr_from_sockaddr(&read, &name);
    CHECK(addr_same(&six, &read) && !addr_same_ip(&six, &plain));
    struct addr none;
    CHECK(!addr_parse(&none, "192.0.2", 1) && !addr_parse(&none, "host", 1) && !addr_parse(&none, "", 1));
}
