/* What arrives on a port and is not for us: each kind has its name. */
#include "tests.h"

static struct stage *stage;
static struct plan plan;

static void expect(enum drop why, enum channel channel, const uint8_t *data, size_t length) {
    uint64_t before = stage->core.drops[why], others = 0;
    for (int i = 0; i < DROP_COUNT; i++)
        others += stage->core.drops[i];
    stage_datagram(stage, 0, channel, &plan.remote, data, length);
    CHECK_IS(stage->core.drops[why], before + 1);
    uint64_t after = 0;
    for (int i = 0; i < DROP_COUNT; i++)
        after += stage->core.drops[i];
    CHECK_IS(after, others + 1); /* under one name only */
    CHECK_IS(stage->legs[0].receiver.packets, 0);
}

void test_each_kind_of_rubbish_has_its_name(void) {
    stage = stage_new();
    plan = stage_open(stage, 0);
    uint8_t data[RTP_LENGTH_MAX + 100] = {0};
    expect(DROP_too_short, CHANNEL_RTP, data, 0);
    expect(DROP_stun, CHANNEL_RTP, data, 20);
    data[0] = 22;
    expect(DROP_dtls, CHANNEL_RTP, data, 20);
    data[0] = 70;
    expect(DROP_not_rtp, CHANNEL_RTP, data, 20);
    data[0] = 0x80;
    expect(DROP_too_short, CHANNEL_RTP, data, 11);
    expect(DROP_too_long, CHANNEL_RTP, data, RTP_LENGTH_MAX + 1);
    expect(DROP_rtp_on_rtcp, CHANNEL_RTCP, data, 172);
    data[1] = 200;
    expect(DROP_rtcp_not_mux, CHANNEL_RTP, data, 28);
    data[1] = 77;
    expect(DROP_payload_type, CHANNEL_RTP, data, 172);
    data[1] = 0;
    data[0] = 0x8f; /* fifteen CSRCs in a packet that has room for ten */
    expect(DROP_malformed, CHANNEL_RTP, data, 52);
    data[0] = 0x90; /* an extension that leaves the packet */
    data[15] = 200;
    expect(DROP_malformed, CHANNEL_RTP, data, 172);
    expect(DROP_malformed, CHANNEL_RTP, data, 14);
    data[0] = 0xa0; /* padding of more than there is, and of nothing */
    data[171] = 161;
    expect(DROP_malformed, CHANNEL_RTP, data, 172);
    data[171] = 0;
    expect(DROP_malformed, CHANNEL_RTP, data, 172);
    data[0] = 0x80;
    plan.receives = false;
    stage_plan(stage, 0, &plan);
    expect(DROP_not_receiving, CHANNEL_RTP, data, 172);
    stage_free(stage);
}

void test_a_leg_without_a_plan(void) {
    stage = stage_new();
    plan = stage_open(stage, 1);
    core_open(&stage->core, 0, 9, 1, stage->now);
    uint8_t data[172] = {0x80};
    expect(DROP_no_plan, CHANNEL_RTP, data, sizeof data);
    stage_free(stage);
}

void test_extension_csrc_and_padding_are_taken_off(void) {
    stage = stage_new();
    plan = stage_open(stage, 0);
    stage_mode(stage, 0, MODE_ECHO, 0);
    uint8_t data[RTP_HEADER + 8 + 8 + 160 + 4] = {0xb2}; /* version, padding, extension, two CSRCs */
    data[RTP_HEADER + 8 + 3] = 1;
    memset(data + RTP_HEADER + 16, 0x77, 160);
    data[sizeof data - 1] = 4;
    stage_datagram(stage, 0, CHANNEL_RTP, &plan.remote, data, sizeof data);
    const struct emitted *out = stage_newest(stage);
    CHECK_IS(out->length, RTP_HEADER + 160);
    CHECK_IS(out->data[0], 0x80);
    CHECK_IS(out->rtp.payload[0], 0x77);
    CHECK_IS(out->rtp.payload[159], 0x77);
    stage_free(stage);
}

void test_a_leg_that_knows_nowhere_to_send(void) {
    stage = stage_new();
    struct plan silent = stage_open(stage, 0);
    plan = stage_open(stage, 1);
    stage_bridge(stage, 0, 1);
    memset(&silent.remote, 0, sizeof silent.remote); /* c=0.0.0.0 */
    stage_plan(stage, 0, &silent);
    struct source from_b = source_of(&plan);
    source_say(stage, 1, &from_b, 160);
    CHECK_IS(stage->core.drops[DROP_no_remote], 1);
    CHECK_IS(stage->legs[1].drops[DROP_no_remote], 1);
    stage_run_until(stage, stage->now + 60 * SECOND);
    CHECK_IS(stage->emissions, 0);
    stage_free(stage);
}

void test_modes_that_are_not_built_cannot_be_set(void) {
    CHECK(mode_settable(MODE_IDLE) && mode_settable(MODE_ECHO) && mode_settable(MODE_RELAY));
    CHECK(mode_settable(MODE_MIX) && mode_settable(MODE_MODEM) && mode_settable(MODE_T38));
    CHECK(!mode_settable(MODE_RING) && !mode_settable(MODE_COUNT));
}
