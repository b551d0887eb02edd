/* Legs that carry a fax: its sound frame by frame, its datagrams as they are. */
#include "fax.h"
#include "g711.h"
#include "tests.h"

static struct fax_port *attach(struct stage *stage, uint32_t leg, enum mode mode) {
    struct fax_port *port = fax_port_new();
    CHECK(port);
    atomic_fetch_add(&port->references, 1);
    core_fax(&stage->core, leg, mode, port, stage->now);
    return port;
}

static void let(struct stage *stage, uint64_t ms) {
    stage_run_until(stage, stage->now + ms * MS);
}

/* The frames that were heard, each with `first` taken for the sample number of its first sample. */
static uint32_t check_frames(struct fax_port *port, uint32_t first, uint32_t lost_from, uint32_t lost_to) {
    struct fax_frame frame, last = {0};
    uint32_t count = 0;
    for (; ring_pop(&port->heard, &frame); count++) {
        uint32_t at = first + count * FAX_SAMPLES;
        bool lost = count >= lost_from && count < lost_to;
        CHECK_IS(frame.lost, lost);
        for (uint32_t i = 0; i < FAX_SAMPLES; i++)
            CHECK_IS(frame.samples[i], lost ? last.samples[i] : g711_decode(CODEC_PCMU, sound(at + i)));
        last = frame;
    }
    return count;
}

static void skip_silence(struct fax_port *port, uint32_t frames) {
    struct fax_frame frame;
    while (frames--) {
        CHECK(ring_pop(&port->heard, &frame));
        CHECK_IS(frame.lost, 1);
    }
}

void test_a_modem_hears_all_after_a_fixed_time(void) {
    struct stage *stage = stage_new();
    struct plan plan = stage_open(stage, 0);
    struct source source = source_of(&plan);
    struct fax_port *port = attach(stage, 0, MODE_MODEM);
    for (int packet = 0; packet < 40; packet++) {
        source_say(stage, 0, &source, 160);
        let(stage, 20);
    }
    let(stage, 80);
    skip_silence(port, FAX_DELAY / FAX_SAMPLES);
    CHECK_IS(check_frames(port, 0, 99, 99), 40);
    stage_free(stage);
    CHECK(atomic_load(&port->closed));
    fax_port_release(port);
}

void test_a_modem_hears_the_last_frame_again_for_a_lost_one(void) {
    struct stage *stage = stage_new();
    struct plan plan = stage_open(stage, 0);
    struct source source = source_of(&plan);
    struct fax_port *port = attach(stage, 0, MODE_MODEM);
    for (int packet = 0; packet < 20; packet++) {
        if (packet == 10)
            source_skip(&source, 160);
        else
            source_say(stage, 0, &source, 160);
        let(stage, 20);
    }
    let(stage, 80);
    skip_silence(port, FAX_DELAY / FAX_SAMPLES);
    CHECK_IS(check_frames(port, 0, 10, 11), 20);
    stage_free(stage);
    fax_port_release(port);
}

/* The thread was kept from running: what came meanwhile is in the socket, and is read a packet at a time. */
void test_a_modem_loses_nothing_to_a_stall_of_ours(void) {
    struct stage *stage = stage_new();
    struct plan plan = stage_open(stage, 0);
    struct source source = source_of(&plan);
    struct fax_port *port = attach(stage, 0, MODE_MODEM);
    struct fax_frame frame = {0};
    for (int packet = 0; packet < 10; packet++) {
        source_say(stage, 0, &source, 160);
        let(stage, 20);
    }
    while (ring_push(&port->said, &frame))
        ;
    stage->now += 600 * MS;
    size_t said = stage->emissions;
    core_step(&stage->core, stage->now);
    for (int packet = 0; packet < 33; packet++) { /* those of the stall, and of the time that this takes */
        source_say(stage, 0, &source, 160);
        let(stage, 2);
    }
    for (int packet = 0; packet < 10; packet++) {
        source_say(stage, 0, &source, 160);
        let(stage, 20);
    }
    let(stage, 80);
    skip_silence(port, FAX_DELAY / FAX_SAMPLES);
    CHECK_IS(check_frames(port, 0, 99, 99), 53);
    CHECK_IS(atomic_load(&port->underruns), 10); /* before there was anything to say */
    CHECK_IS(stage->emissions - said, 47);
    CHECK_IS(stage->core.drops[DROP_late], 0);
    stage_free(stage);
    fax_port_release(port);
}

void test_a_modem_says_frame_by_frame_on_one_line(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct fax_port *port = attach(stage, 0, MODE_MODEM);
    for (uint32_t number = 0; number < 10; number++) {
        struct fax_frame frame = {0};
        for (uint32_t i = 0; i < FAX_SAMPLES; i++)
            frame.samples[i] = g711_decode(CODEC_PCMU, sound(number * FAX_SAMPLES + i));
        CHECK(ring_push(&port->said, &frame));
    }
    let(stage, 240);
    CHECK_IS(stage->emissions, 12);
    CHECK_IS(atomic_load(&port->underruns), 2);
    for (uint32_t number = 0; number < 12; number++) {
        const struct emitted *said = stage_back(stage, 11 - number);
        CHECK_IS(said->length, RTP_HEADER + FAX_SAMPLES);
        CHECK_IS(said->rtp.marker, number == 0);
        CHECK_IS(said->rtp.timestamp, stage_back(stage, 11)->rtp.timestamp + number * FAX_SAMPLES);
        CHECK_IS(said->rtp.seq, (uint16_t)(stage_back(stage, 11)->rtp.seq + number));
        for (uint32_t i = 0; i < FAX_SAMPLES && number < 10; i++)
            CHECK_IS(g711_decode(CODEC_PCMU, said->rtp.payload[i]),
                     g711_decode(CODEC_PCMU, sound(number * FAX_SAMPLES + i)));
    }
    stage_free(stage);
    fax_port_release(port);
}

void test_a_modem_follows_a_line_that_begins_anew(void) {
    struct stage *stage = stage_new();
    struct plan plan = stage_open(stage, 0);
    struct source source = source_of(&plan);
    struct fax_port *port = attach(stage, 0, MODE_MODEM);
    for (int packet = 0; packet < 20; packet++) {
        source_say(stage, 0, &source, 160);
        let(stage, 20);
    }
    source.timestamp += 1000000;
    for (int packet = 0; packet < 30; packet++) {
        source_say(stage, 0, &source, 160);
        let(stage, 20);
    }
    CHECK_IS(stage->core.drops[DROP_late], 2);
    struct fax_frame frame = {0};
    uint32_t heard = 0;
    while (ring_pop(&port->heard, &frame))
        heard += !frame.lost;
    CHECK(heard >= 40);
    CHECK_IS(frame.lost, 0);
    stage_free(stage);
    fax_port_release(port);
}

void test_a_modem_that_does_not_read_loses_the_newest(void) {
    struct stage *stage = stage_new();
    struct plan plan = stage_open(stage, 0);
    struct source source = source_of(&plan);
    struct fax_port *port = attach(stage, 0, MODE_MODEM);
    for (int packet = 0; packet < 100; packet++) {
        source_say(stage, 0, &source, 160);
        let(stage, 20);
    }
    CHECK(atomic_load(&port->overruns) >= 100 - FAX_FRAMES);
    CHECK_IS(stage->core.drops[DROP_fax_overflow], atomic_load(&port->overruns));
    stage_free(stage);
    fax_port_release(port);
}

void test_datagrams_of_t38_go_both_ways_as_they_are(void) {
    struct stage *stage = stage_new();
    struct plan plan = stage_open(stage, 0);
    struct fax_port *port = attach(stage, 0, MODE_T38);
    static const uint8_t udptl[] = {0, 7, 1, 6, 0, 0}, other[] = {0x80, 1, 1, 4, 0, 0};
    struct addr stranger = stage_addr("198.51.100.9", 4000);
    stage_datagram(stage, 0, CHANNEL_RTP, &plan.remote, udptl, sizeof udptl);
    stage_datagram(stage, 0, CHANNEL_RTP, &stranger, other, sizeof other);
    stage_datagram(stage, 0, CHANNEL_RTP, &plan.remote, other, sizeof other);
    CHECK_IS(stage->core.drops[DROP_elsewhere], 1);
    for (const uint8_t *wanted = udptl;; wanted = other) {
        size_t length;
        const void *found = byte_ring_peek(&port->in, &length);
        CHECK(found);
        CHECK_IS(length, sizeof udptl);
        CHECK_IS(memcmp(found, wanted, length), 0);
        byte_ring_pop(&port->in);
        if (wanted == other)
            break;
    }
    CHECK(byte_ring_empty(&port->in));
    CHECK(byte_ring_push(&port->out, udptl, sizeof udptl, udptl, 0));
    let(stage, 10);
    CHECK_IS(stage->emissions, 1);
    CHECK_IS(memcmp(stage_newest(stage)->data, udptl, sizeof udptl), 0);
    CHECK(addr_same(&stage_newest(stage)->to, &plan.remote));
    let(stage, 20000);
    CHECK_IS(stage->rtcp_emissions, 0);
    stage_free(stage);
    fax_port_release(port);
}

void test_a_leg_that_goes_on_otherwise_lets_its_fax_go(void) {
    struct stage *stage = stage_new();
    stage_open(stage, 0);
    struct fax_port *sound_port = attach(stage, 0, MODE_MODEM), *t38_port = attach(stage, 0, MODE_T38);
    CHECK(atomic_load(&sound_port->closed));
    CHECK(!atomic_load(&t38_port->closed));
    stage_mode(stage, 0, MODE_ECHO, 0);
    CHECK(atomic_load(&t38_port->closed));
    fax_port_release(sound_port);
    fax_port_release(t38_port);
    struct fax_port *last = attach(stage, 0, MODE_MODEM);
    core_close(&stage->core, 0, stage->now);
    CHECK(atomic_load(&last->closed));
    fax_port_release(last);
    stage_free(stage);
}
