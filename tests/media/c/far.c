#include "far.h"

#include "rtp.h"

enum { SAMPLES = 160 };

struct srtp_key far_key(enum srtp_suite suite, uint8_t number) {
    struct srtp_key key = {.suite = (uint8_t)suite};
    for (size_t i = 0; i < srtp_key_length(suite); i++)
        key.octets[i] = (uint8_t)(number * 31 + i * 7 + 1);
    return key;
}

void far_agree(struct stage *stage, uint32_t leg, const struct srtp_key *send, const struct srtp_key *receive) {
    const struct leg *ours = &stage->legs[leg];
    struct srtp_change change = {.secured = true};
    if (receive)
        change.send = srtp_way_new(receive, true, ours->sender.ssrc);
    if (send)
        change.receive = srtp_way_new(send, false, ours->receiver.ssrc);
    CHECK((change.send || !receive) && (change.receive || !send));
    core_secure(&stage->core, leg, &change, stage->now);
}

struct far far_open(struct stage *stage, uint32_t leg, enum srtp_suite suite) {
    struct plan plan = stage_open(stage, leg);
    struct far far = {
        .leg = leg,
        .source = source_of(&plan),
        .send = far_key(suite, (uint8_t)(2 * leg + 1)),
        .receive = far_key(suite, (uint8_t)(2 * leg + 2)),
    };
    far.source.seq = 1000;
    far.srtp.send = srtp_way_new(&far.send, true, far.source.ssrc);
    far.srtp.receive = srtp_way_new(&far.receive, false, 0);
    CHECK(far.srtp.send && far.srtp.receive);
    far_agree(stage, leg, &far.send, &far.receive);
    return far;
}

void far_close(struct far *far) {
    srtp_way_free(far->srtp.send);
    srtp_way_free(far->srtp.receive);
}

void far_take_send_key(struct far *far, const struct srtp_key *key) {
    srtp_way_free(far->srtp.send);
    far->send = *key;
    far->srtp.send = srtp_way_new(key, true, far->source.ssrc);
    CHECK(far->srtp.send);
}

size_t far_packet(struct far *far, uint8_t *to) {
    _Alignas(8) uint8_t packet[RTP_LENGTH_MAX];
    size_t length = RTP_HEADER + SAMPLES;
    rtp_write_header(packet, far->source.payload_type, false, far->source.seq, far->source.timestamp, far->source.ssrc);
    for (uint32_t i = 0; i < SAMPLES; i++)
        packet[RTP_HEADER + i] = sound(far->source.sample + i);
    source_skip(&far->source, SAMPLES);
    CHECK_IS(srtp_seal(&far->srtp, false, packet, &length), DROP_COUNT);
    memcpy(to, packet, length);
    return length;
}

void far_send(struct stage *stage, const struct far *far, const uint8_t *packet, size_t length) {
    stage_datagram(stage, far->leg, CHANNEL_RTP, &far->source.from, packet, length);
}

void far_say(struct stage *stage, struct far *far) {
    uint8_t packet[RTP_LENGTH_MAX];
    far_send(stage, far, packet, far_packet(far, packet));
}

enum drop far_open_heard(struct stage *stage, struct far *far, size_t back, struct rtp *rtp) {
    struct emitted *heard = &stage->emitted[(stage->emissions - 1 - back) % KEPT];
    CHECK_IS(heard->leg, far->leg);
    enum drop why = srtp_open(&far->srtp, false, heard->data, &heard->length, stage->now);
    if (why == DROP_COUNT)
        CHECK(rtp_parse(rtp, heard->data, heard->length));
    return why;
}

void far_check_heard(struct stage *stage, struct far *far, const struct source *source, uint32_t ago) {
    struct rtp rtp;
    CHECK_IS(far_open_heard(stage, far, 0, &rtp), DROP_COUNT);
    CHECK_IS(rtp.length, SAMPLES);
    for (uint32_t i = 0; i < SAMPLES; i++)
        CHECK_IS(rtp.payload[i], sound(source->sample - ago * SAMPLES + i));
}
