/* Hearing and time: jitter, drift, the bounds of the delay. Hours of it, in seconds. */
#include "listener.h"
#include "tests.h"
#include "vad.h"

enum { HOUR_TICKS = 3600 * 50 };

static uint32_t random_below(uint64_t *state, uint32_t limit) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32) % limit;
}

/* A second of voice, then one of hum. */
static uint8_t *words(uint32_t sample) {
    static uint8_t payloads[100][FRAME];
    if (!payloads[0][0])
        for (uint32_t i = 0; i < 100 * FRAME; i++)
            payloads[i / FRAME][i % FRAME] = g711_encode(CODEC_PCMU, (int16_t)(tone(i) / (i / 8000 ? 300 : 1)));
    return payloads[sample / FRAME % 100];
}

static void speak(struct listener *l, uint64_t at) {
    struct rtp rtp = {.payload = words(l->sample), .length = FRAME, .seq = l->seq, .timestamp = l->timestamp, .ssrc = l->ssrc};
    hearing_put(l->hearing, &rtp, PACKET_AUDIO, at);
    listener_skip(l, 1);
}

/* `ticks` of ours, while the phone's clock is `ppm` faster and its packets come up to `jitter_ms` late. */
static void run(struct listener *l, uint64_t *random, int ticks, double ppm, uint32_t jitter_ms) {
    double period = 20.0 * MS / (1 + ppm / 1e6), next = (double)l->now - TICK_PHASE * MS;
    uint64_t arrival = 0, ends = l->now + (uint64_t)ticks * 20 * MS;
    while (l->now < ends) {
        uint64_t due = (uint64_t)next + (jitter_ms ? random_below(random, jitter_ms * 1000) * 1000ull : 0);
        arrival = due > arrival ? due : arrival; /* the network keeps the order */
        while (l->now < arrival && l->now < ends)
            listener_tick(l);
        speak(l, arrival);
        next += period;
    }
}

static void drift(double ppm, uint32_t jitter_ms) {
    struct listener *l = listener_new(20, 200, 40, false);
    uint64_t random = 88172645463325252ull;
    run(l, &random, 1000, ppm, jitter_ms);
    struct hearing_statistics before = listener_statistics(l);
    run(l, &random, 3 * HOUR_TICKS, ppm, jitter_ms);
    struct hearing_statistics s = listener_statistics(l);
    int64_t changed = (int64_t)(s.compressed - before.compressed) - (int64_t)(s.stretched - before.stretched);
    int64_t drifted = (int64_t)(3.0 * 3600 * 8000 * ppm / 1e6);
    CHECK_IS(s.late - before.late + s.early + s.resets + s.strange, 0);
    CHECK(s.concealed - before.concealed <= (jitter_ms ? 50 * FRAME : 0));
    CHECK(llabs(changed - drifted) <= 8 * 60);
    CHECK(s.delay_max_ms <= 80 + jitter_ms);
    CHECK(s.delay_ms >= 10 && s.delay_ms <= 60 + jitter_ms);
    listener_free(l);
}

void test_hearing_three_hours_of_a_slow_clock(void) {
    drift(-200, 0);
}

void test_hearing_three_hours_of_a_fast_clock(void) {
    drift(200, 0);
}

void test_hearing_three_hours_of_drift_and_jitter(void) {
    drift(200, 15);
    drift(-200, 15);
}

void test_hearing_follows_jitter_up_at_once_and_down_slowly(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    uint64_t random = 1;
    run(l, &random, 1000, 0, 0);
    struct hearing_statistics s = listener_statistics(l);
    CHECK(s.target_ms == 20 && s.delay_ms <= 42);
    run(l, &random, 75, 0, 80); /* a second and a half */
    s = listener_statistics(l);
    CHECK(s.target_ms >= 75 && s.target_ms <= 100);
    CHECK(s.delay_ms >= 60);
    uint64_t concealed = s.concealed;
    run(l, &random, 1000, 0, 80);
    s = listener_statistics(l);
    CHECK(s.concealed - concealed <= 5 * FRAME);
    CHECK(s.delay_ms >= 75 && s.delay_ms <= 120);
    run(l, &random, 300, 0, 0);
    CHECK(listener_statistics(l).target_ms >= 75); /* six seconds later it still remembers */
    run(l, &random, 1000, 0, 0);
    s = listener_statistics(l);
    CHECK(s.target_ms == 20 && s.delay_ms <= 42);
    listener_free(l);
}

void test_hearing_the_delay_stays_within_its_bounds(void) {
    struct listener *l = listener_new(50, 80, 60, false);
    uint64_t random = 2;
    run(l, &random, 1000, 0, 0);
    struct hearing_statistics s = listener_statistics(l);
    CHECK(s.delay_ms >= 45 && s.delay_ms <= 65);
    run(l, &random, 2000, 0, 150);
    s = listener_statistics(l);
    CHECK_IS(s.target_ms, 80);
    CHECK(s.delay_max_ms <= 120); /* a fast packet may show that it was more than it seemed; then it is cut at once */
    CHECK(s.late > 0);
    listener_free(l);
}

void test_hearing_a_fixed_delay_is_fixed(void) {
    struct listener *l = listener_new(20, 200, 60, true);
    uint64_t random = 3;
    run(l, &random, 2000, 0, 100);
    struct hearing_statistics s = listener_statistics(l);
    CHECK_IS(s.stretched + s.compressed + s.resets, 0);
    CHECK(s.late > 0 && s.concealed > 0);
    CHECK_IS(s.target_ms, 60);
    listener_free(l);
}

void test_hearing_a_way_that_gets_longer_for_good(void) {
    struct listener *l = listener_new(20, 100, 40, false);
    uint64_t random = 4;
    run(l, &random, 500, 0, 0);
    listener_wait(l, 20); /* 400 ms more than before, and more than the greatest delay */
    run(l, &random, 50, 0, 0);
    CHECK(l->flags & HEARD_VOICE || l->sample / 8000 % 2);
    struct hearing_statistics s = listener_statistics(l);
    CHECK(s.late <= 6);
    CHECK(s.delay_ms <= 60);
    listener_free(l);
}

void test_hearing_a_heap_of_packets_at_once(void) {
    struct listener *l = listener_new(20, 100, 40, false);
    uint64_t random = 5;
    run(l, &random, 500, 0, 0);
    for (int i = 0; i < 10; i++) {
        listener_wait(l, 10); /* the network holds 200 ms back, and lets them go */
        for (int k = 0; k < 10; k++)
            speak(l, l->now - MS);
        run(l, &random, 50, 0, 0);
    }
    struct hearing_statistics s = listener_statistics(l);
    CHECK(s.delay_max_ms <= 120);
    CHECK(s.delay_ms <= 120);
    listener_free(l);
}
