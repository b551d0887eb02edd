/* Hearing: order, disorder, rubbish and time. */
#include "listener.h"
#include "tests.h"
#include "vad.h"

enum { STEEP = 3600 }; /* the tone itself rises by 3129 a sample; µ-law adds some */

static uint8_t rubbish[RTP_LENGTH_MAX];

void test_hearing_says_what_was_sent(void) {
    struct listener *l = listener_new(20, 200, 40, true);
    listener_wait(l, 3);
    CHECK_IS(l->flags, HEARD_NOTHING);
    listener_run(l, 2); /* 40 ms after the first packet's arrival: 13 ms into the next tick */
    for (uint32_t at = 0, first = 40 * 8 - TICK_PHASE * 8 - FRAME; at < 500 * FRAME; at += FRAME) {
        for (uint32_t i = 0; i < FRAME; i++)
            CHECK_IS(l->pcm[i], at + i < first ? 0 : g711_decode(CODEC_PCMU, g711_encode(CODEC_PCMU, tone(at + i - first))));
        CHECK_IS(l->flags & ~HEARD_VOICE, 0);
        listener_run(l, 1);
    }
    struct hearing_statistics s = listener_statistics(l);
    CHECK_IS(s.late + s.early + s.duplicate + s.reordered + s.malformed + s.strange + s.concealed, 0);
    CHECK_IS(s.stretched + s.compressed + s.resets, 0);
    CHECK_IS(s.delay_ms, 40);
    listener_free(l);
}

void test_hearing_every_order_of_packets(void) {
    struct listener *l = listener_new(60, 200, 60, false);
    listener_run(l, 50);
    for (int round = 0; round < 20; round++) {
        listener_skip(l, 1);
        listener_hear(l); /* the second before the first, */
        listener_tick(l);
        listener_skip(l, -2);
        listener_hear(l);
        listener_skip(l, -1);
        listener_hear(l); /* which comes twice */
        listener_skip(l, 1);
        listener_tick(l);
    }
    struct hearing_statistics s = listener_statistics(l);
    CHECK_IS(s.reordered, 20);
    CHECK_IS(s.duplicate, 20);
    CHECK_IS(s.late + s.concealed + s.early, 0);
    CHECK(l->steepest < STEEP);
    listener_skip(l, -20);
    listener_hear(l); /* came and was said long ago */
    listener_skip(l, 19);
    CHECK_IS(listener_statistics(l).duplicate, 21);
    listener_skip(l, 1);
    listener_run(l, 20);
    listener_skip(l, -21);
    listener_hear(l); /* was concealed long ago */
    listener_skip(l, 20);
    s = listener_statistics(l);
    CHECK_IS(s.late, 1);
    CHECK_IS(s.concealed, FRAME);
    listener_free(l);
}

void test_hearing_wrong_sizes_are_counted(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    memset(rubbish, 0x55, sizeof rubbish);
    listener_run(l, 10);
    listener_put(l, PACKET_AUDIO, l->seq, l->timestamp, l->ssrc, rubbish, 0);
    listener_put(l, PACKET_AUDIO, l->seq, l->timestamp, l->ssrc, rubbish, 961);
    listener_put(l, PACKET_AUDIO, l->seq, l->timestamp, l->ssrc, rubbish, RTP_LENGTH_MAX);
    listener_put(l, PACKET_EVENT, l->seq, l->timestamp, l->ssrc, rubbish, 3);
    listener_put(l, PACKET_COMFORT_NOISE, l->seq, l->timestamp, l->ssrc, rubbish, 0);
    CHECK_IS(listener_statistics(l).malformed, 5);
    listener_forget(l);
    listener_run(l, 50);
    CHECK(l->steepest < STEEP);
    CHECK_IS(listener_statistics(l).concealed, 0);
    listener_free(l);
}

void test_hearing_a_source_that_changes_with_each_packet(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    for (int i = 0; i < 500; i++) {
        l->ssrc++;
        listener_run(l, 1);
        if (i == 10)
            listener_forget(l);
    }
    CHECK_IS(l->flags, HEARD_NOTHING);
    CHECK(l->loudest < 100);
    struct hearing_statistics s = listener_statistics(l);
    CHECK_IS(s.strange, 499);
    CHECK_IS(s.resets, 0);
    listener_free(l);
}

void test_hearing_another_source_takes_over(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    listener_run(l, 50);
    listener_forget(l);
    l->ssrc = 99;
    l->seq = 1000;
    l->timestamp = 5;
    listener_run(l, 50);
    CHECK(l->flags & HEARD_VOICE);
    CHECK(l->steepest < 2 * STEEP);
    struct hearing_statistics s = listener_statistics(l);
    CHECK_IS(s.resets, 1);
    CHECK_IS(s.strange, 1);
    listener_free(l);
}

void test_hearing_two_sources_at_once(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    memset(rubbish, 0x80, sizeof rubbish); /* the other says full scale */
    listener_run(l, 20);
    listener_forget(l);
    for (uint16_t i = 0; i < 500; i++) {
        listener_put(l, PACKET_AUDIO, i, i * FRAME, 1234, rubbish, FRAME);
        listener_run(l, 1);
        CHECK_IS(l->flags, HEARD_VOICE);
    }
    CHECK(l->loudest < 10500 && l->steepest < STEEP);
    CHECK_IS(listener_statistics(l).strange, 500);
    listener_free(l);
}

static void jump(struct listener *l, int seq, int32_t timestamp) {
    listener_run(l, 50);
    l->seq = (uint16_t)(l->seq + seq);
    l->timestamp += (uint32_t)timestamp;
    listener_forget(l);
    listener_run(l, 50);
    CHECK_IS(l->flags & (HEARD_VOICE | HEARD_CONCEALED), HEARD_VOICE);
    CHECK(l->loudest < 10500 && l->steepest < 2 * STEEP);
}

void test_hearing_jumps(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    jump(l, 0, 100000);
    jump(l, 0, -100000);
    jump(l, 10000, 0);
    jump(l, -10000, 0);
    jump(l, 20000, 1 << 30);
    CHECK_IS(listener_statistics(l).resets, 5);
    jump(l, 0, -4000); /* half a second, which is no other stream's */
    jump(l, 0, 4000);
    jump(l, 500, 4000);
    CHECK(listener_statistics(l).resets <= 8);
    listener_free(l);
}

void test_hearing_a_flood(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 1000; k++)
            listener_hear(l); /* 20 s of sound in each tick */
        listener_tick(l);
    }
    CHECK_IS(listener_statistics(l).packets, 100000);
    listener_forget(l);
    listener_run(l, 500);
    CHECK(l->flags & HEARD_VOICE);
    CHECK(listener_statistics(l).delay_ms <= 220);
    listener_free(l);
}

/* ---- silence, noise, events */

void test_hearing_a_burst_fades_to_noise_and_to_nothing(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    listener_run(l, 100);
    listener_forget(l);
    listener_wait(l, 3);
    CHECK(l->flags & HEARD_CONCEALED);
    listener_wait(l, 5);
    CHECK(l->steepest < STEEP);
    listener_forget(l);
    listener_wait(l, 10);
    CHECK(l->loudest < 400);
    listener_wait(l, 250);
    CHECK_IS(l->flags, HEARD_NOTHING);
    listener_skip(l, 268);
    listener_run(l, 10);
    CHECK_IS(l->flags, HEARD_VOICE);
    CHECK_IS(listener_statistics(l).resets, 0);
    listener_free(l);
}

static double level_heard(struct listener *l, int ticks) {
    double sum = 0;
    for (int i = 0; i < ticks; i++) {
        listener_tick(l);
        sum += vad_energy(l->pcm, FRAME);
        CHECK_IS(l->flags & HEARD_VOICE, 0);
    }
    return -level_of((uint32_t)(sum / ticks));
}

void test_hearing_comfort_noise(void) {
    static const uint8_t white[] = {50}, coloured[] = {40, 200, 90, 127}, wild[] = {60, 0, 255, 0, 255, 0, 255, 0};
    struct listener *l = listener_new(20, 200, 40, false);
    listener_run(l, 50);
    listener_put(l, PACKET_COMFORT_NOISE, l->seq++, l->timestamp, l->ssrc, white, sizeof white);
    listener_wait(l, 20);
    CHECK(abs((int)level_heard(l, 100) + 50) <= 1);
    listener_put(l, PACKET_COMFORT_NOISE, l->seq++, l->timestamp + 120 * FRAME, l->ssrc, coloured, sizeof coloured);
    listener_wait(l, 20);
    CHECK(abs((int)level_heard(l, 100) + 40) <= 2);
    listener_put(l, PACKET_COMFORT_NOISE, l->seq++, l->timestamp + 240 * FRAME, l->ssrc, wild, sizeof wild);
    listener_wait(l, 20);
    CHECK((int)level_heard(l, 100) < -30);
    l->timestamp += 360 * FRAME;
    listener_run(l, 10);
    CHECK_IS(l->flags, HEARD_VOICE);
    CHECK_IS(listener_statistics(l).concealed, 0);
    listener_put(l, PACKET_COMFORT_NOISE, l->seq++, l->timestamp, l->ssrc, white, sizeof white);
    listener_wait(l, 31 * 50);
    CHECK_IS(l->flags, HEARD_NOTHING); /* whoever says nothing for so long is not there */
    listener_free(l);
}

void test_hearing_silence_suppression_without_noise(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    for (int spurt = 0; spurt < 10; spurt++) {
        listener_run(l, 50);
        listener_wait(l, 30);
        l->timestamp += 30 * FRAME; /* no packet is missing */
    }
    struct hearing_statistics s = listener_statistics(l);
    CHECK_IS(s.late + s.resets + s.strange, 0);
    CHECK(s.delay_max_ms <= 60);
    listener_free(l);
}

static void press(struct listener *l, uint32_t start, uint16_t duration, bool end) {
    uint8_t payload[] = {5, (uint8_t)(end ? 0x8a : 0x0a), (uint8_t)(duration >> 8), (uint8_t)duration};
    listener_put(l, PACKET_EVENT, l->seq++, start, l->ssrc, payload, sizeof payload);
}

void test_hearing_events_mute(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    for (int lost_end = 0; lost_end < 2; lost_end++) {
        listener_run(l, 50);
        uint32_t start = l->timestamp;
        int muted = 0;
        for (int i = 1; i <= 10; i++) { /* the phone says the digit's tone as well */
            press(l, start, (uint16_t)(i * FRAME), false);
            listener_run(l, 1);
            muted += (l->flags & HEARD_EVENT) != 0;
        }
        for (int i = 0; i < 3 && !lost_end; i++)
            press(l, start, 10 * FRAME, true);
        for (int i = 0; i < 20; i++) {
            listener_run(l, 1);
            CHECK(!(l->flags & HEARD_EVENT) || !(l->flags & HEARD_VOICE));
            muted += (l->flags & HEARD_EVENT) != 0;
        }
        CHECK(lost_end ? muted >= 14 && muted <= 17 : muted >= 10 && muted <= 11);
        CHECK_IS(l->flags, HEARD_VOICE);
    }
    CHECK_IS(listener_statistics(l).concealed, 0);
    listener_free(l);
}

void test_hearing_digits_without_audio_beside_them(void) {
    struct listener *l = listener_new(20, 200, 40, false);
    listener_run(l, 50);
    for (int digit = 0; digit < 20; digit++) {
        uint32_t start = l->timestamp;
        for (int i = 1; i <= 5; i++) {
            press(l, start, (uint16_t)(i * FRAME), i == 5);
            listener_tick(l);
        }
        l->timestamp += 5 * FRAME;
        listener_run(l, 5);
    }
    struct hearing_statistics s = listener_statistics(l);
    CHECK_IS(s.late + s.resets + s.strange + s.malformed, 0);
    CHECK(l->steepest < 3 * STEEP);
    listener_free(l);
}
