/* What SRTP costs: for each suite the microseconds of sealing and of opening 20 ms of G.711, and those of relaying it
 * through the core from one secured leg to another; the first line is a relay without protection. No system calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core.h"

enum { PACKETS = 20000, SAMPLES = 160, LENGTH = RTP_HEADER + SAMPLES, ROOM = LENGTH + SRTP_TRAILER_MAX };

static const char *const names[SRTP_SUITES] = {
    "none", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM"};
static struct leg legs[2];
static struct core core;
static size_t emitted;

static double thread_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec * 1e-3;
}

static void emit(void *shell, uint32_t leg, enum channel channel, const uint8_t *data, size_t length,
                 const struct addr *to) {
    (void)shell, (void)leg, (void)data, (void)length, (void)to;
    emitted += channel == CHANNEL_RTP;
}

static void report(void *shell, const struct event *event) {
    (void)shell, (void)event;
}

static void retire(void *shell, struct retired *retired) {
    (void)shell;
    srtp_way_free((struct srtp_way *)retired);
}

static struct srtp_key key_of(enum srtp_suite suite) {
    struct srtp_key key = {.suite = (uint8_t)suite};
    for (size_t i = 0; i < srtp_key_length(suite); i++)
        key.octets[i] = (uint8_t)(i * 7 + 1);
    return key;
}

static void open_legs(enum srtp_suite suite, uint32_t ssrc, const struct addr *from) {
    struct srtp_key key = key_of(suite);
    for (uint32_t leg = 0; leg < 2; leg++) {
        struct plan plan;
        memset(&plan, 0, sizeof plan);
        plan.remote = *from;
        plan.ptime_ms = 20;
        plan.sends = plan.receives = true;
        plan.other_payload_type = plan.dtmf_send = plan.dtmf_receive = PT_NONE;
        core_open(&core, leg, leg + 1, 0x123456789abcdef1ull * (leg + 1), 1);
        core_plan(&core, leg, &plan, 1);
        struct srtp_change change = {.secured = suite != SRTP_NONE};
        if (change.secured) {
            change.send = srtp_way_new(&key, true, legs[leg].sender.ssrc);
            change.receive = srtp_way_new(&key, false, ssrc);
        }
        core_secure(&core, leg, &change, 1);
    }
    core_mode(&core, 0, MODE_RELAY, 1, 2, 1);
    core_mode(&core, 1, MODE_RELAY, 0, 1, 1);
}

static void measure(enum srtp_suite suite) {
    static _Alignas(8) uint8_t packets[PACKETS][(ROOM + 7) / 8 * 8], copies[PACKETS][(ROOM + 7) / 8 * 8];
    static size_t lengths[PACKETS];
    static const uint32_t ssrc = 0xfeed;
    struct srtp_key key = key_of(suite);
    struct srtp far = {0};
    struct addr from;
    if (suite) {
        far.send = srtp_way_new(&key, true, ssrc);
        far.receive = srtp_way_new(&key, false, 0);
    }
    for (uint32_t i = 0; i < PACKETS; i++) {
        memset(packets[i], (int)i, LENGTH);
        rtp_write_header(packets[i], 0, false, (uint16_t)i, i * SAMPLES, ssrc);
        lengths[i] = LENGTH;
    }
    double begun = thread_us();
    for (uint32_t i = 0; suite && i < PACKETS; i++)
        if (srtp_seal(&far, false, packets[i], &lengths[i]) != DROP_COUNT)
            exit(1);
    double sealed = thread_us() - begun;
    memcpy(copies, packets, sizeof packets);
    begun = thread_us();
    for (uint32_t i = 0; suite && i < PACKETS; i++) {
        size_t length = lengths[i];
        if (srtp_open(&far, false, copies[i], &length, 0) != DROP_COUNT)
            exit(1);
    }
    double opened = thread_us() - begun;
    addr_parse(&from, "192.0.2.1", 4000);
    open_legs(suite, ssrc, &from);
    emitted = 0;
    begun = thread_us();
    for (uint32_t i = 0; i < PACKETS; i++)
        core_receive(&core, 0, CHANNEL_RTP, packets[i], lengths[i], &from, 1 + i * 20000000ull);
    double relayed = thread_us() - begun;
    if (emitted != PACKETS)
        exit(1);
    printf("%s %.3f %.3f %.3f\n", names[suite], sealed / PACKETS, opened / PACKETS, relayed / PACKETS);
    core_close(&core, 0, 1);
    core_close(&core, 1, 1);
    srtp_way_free(far.send);
    srtp_way_free(far.receive);
}

int main(void) {
    if (!core_init(&core, legs, 2))
        return 1;
    core.emit = emit;
    core.report = report;
    core.retire = retire;
    for (int suite = SRTP_NONE; suite < SRTP_SUITES; suite++)
        measure((enum srtp_suite)suite);
    return 0;
}
