#include "stage.h"

static void keep_emission(void *shell, uint32_t leg, enum channel channel, const uint8_t *data, size_t length,
                          const struct addr *to) {
    struct stage *stage = shell;
    CHECK(to && to->set);
    CHECK(length <= RTP_LENGTH_MAX && (length >= 8 || stage->legs[leg].mode == MODE_T38));
    bool rtp = stage->legs[leg].mode != MODE_T38;
    bool control = rtp && rtp_demultiplex(data, length) == PROTOCOL_RTCP;
    struct emitted *kept = control ? &stage->rtcp : &stage->emitted[stage->emissions++ % KEPT];
    stage->rtcp_emissions += control;
    *kept = (struct emitted){.leg = leg, .channel = channel, .length = length, .to = *to, .at = stage->now};
    memcpy(kept->data, data, length);
    if (rtp && !control) {
        CHECK(rtp_parse(&kept->rtp, kept->data, length));
        CHECK_IS(kept->rtp.ssrc, stage->legs[leg].sender.ssrc);
    }
}

static void keep_report(void *shell, const struct event *event) {
    struct stage *stage = shell;
    stage->events[stage->reports++ % KEPT] = *event;
}

static void free_retired(void *shell, struct retired *retired) {
    (void)shell; /* at once, so that a sanitizer sees whoever comes too late */
    if (retired->kind == RETIRED_ROOM)
        room_free((struct room *)retired);
    else if (retired->kind == RETIRED_VOICE)
        voice_free((struct voice *)retired);
    else if (retired->kind == RETIRED_PLAYER)
        player_free((struct player *)retired);
    else if (retired->kind == RETIRED_FAX)
        fax_port_release((struct fax_port *)retired);
    else if (retired->kind == RETIRED_SRTP)
        srtp_way_free((struct srtp_way *)retired);
    else
        tap_release((struct tap *)retired);
}

struct stage *stage_new(void) {
    struct stage *stage = calloc(1, sizeof *stage);
    CHECK(stage && core_init(&stage->core, stage->legs, STAGE_LEGS));
    stage->core.emit = keep_emission;
    stage->core.report = keep_report;
    stage->core.retire = free_retired;
    stage->core.shell = stage;
    stage->core.wall = 3900000000ull * SECOND;
    stage->now = 1000 * SECOND;
    return stage;
}

void stage_free(struct stage *stage) {
    for (uint32_t room = 0; room < STAGE_LEGS; room++)
        if (stage->core.rooms[room])
            room_close(&stage->core, stage->core.rooms[room], stage->now);
    for (uint32_t leg = 0; leg < STAGE_LEGS; leg++)
        fax_leave(&stage->core, leg), core_secure(&stage->core, leg, &(struct srtp_change){.secured = false}, stage->now);
    core_free(&stage->core);
    free(stage);
}

void stage_run_until(struct stage *stage, uint64_t at) {
    while (core_due(&stage->core) <= at) {
        if (core_due(&stage->core) > stage->now)
            stage->now = core_due(&stage->core);
        core_step(&stage->core, stage->now);
    }
    stage->now = at;
}

struct addr stage_addr(const char *ip, uint16_t port) {
    struct addr a;
    CHECK(addr_parse(&a, ip, port));
    return a;
}

struct plan stage_open(struct stage *stage, uint32_t leg) {
    char ip[32];
    snprintf(ip, sizeof ip, "192.0.2.%u", leg + 1);
    struct plan plan;
    memset(&plan, 0, sizeof plan);
    plan.remote = stage_addr(ip, 4000);
    plan.latch_from[0] = stage_addr(ip, 0);
    plan.latch_count = 1;
    plan.codec = CODEC_PCMU;
    plan.other_payload_type = PT_NONE;
    plan.dtmf_send = plan.dtmf_receive = 101;
    plan.ptime_ms = 20;
    plan.jitter_min_ms = 20;
    plan.jitter_max_ms = 400;
    plan.jitter_start_ms = 40;
    plan.sends = plan.receives = true;
    core_open(&stage->core, leg, leg + 100, 0x123456789abcdef1ull * (leg + 1), stage->now);
    core_plan(&stage->core, leg, &plan, stage->now);
    return plan;
}

void stage_plan(struct stage *stage, uint32_t leg, const struct plan *plan) {
    core_plan(&stage->core, leg, plan, stage->now);
}

void stage_mode(struct stage *stage, uint32_t leg, enum mode mode, uint32_t peer) {
    CHECK(mode_settable(mode));
    core_mode(&stage->core, leg, mode, peer, stage->legs[peer].generation, stage->now);
}

void stage_bridge(struct stage *stage, uint32_t a, uint32_t b) {
    stage_mode(stage, a, MODE_RELAY, b);
    stage_mode(stage, b, MODE_RELAY, a);
}

struct source source_of(const struct plan *plan) {
    return (struct source){
        .from = plan->remote,
        .ssrc = 0xfeed0000u + plan->remote.ip[15],
        .timestamp = 0xfffff000u, /* wraps soon, as the sequence does */
        .seq = 65500,
        .payload_type = plan->receive_payload_type,
    };
}

uint8_t sound(uint32_t sample) {
    uint32_t x = sample * 2654435761u;
    return (uint8_t)(x >> 24 ^ sample);
}

void source_skip(struct source *source, uint16_t samples) {
    source->seq++;
    source->timestamp += samples;
    source->sample += samples;
}

void source_say(struct stage *stage, uint32_t leg, struct source *source, uint16_t samples) {
    uint8_t payload[RTP_LENGTH_MAX];
    for (uint16_t i = 0; i < samples; i++)
        payload[i] = sound(source->sample + i);
    stage_say(stage, leg, &source->from, source->payload_type, false, source->seq, source->timestamp, source->ssrc,
              payload, samples);
    source_skip(source, samples);
}

void stage_say(struct stage *stage, uint32_t leg, const struct addr *from, uint8_t payload_type, bool marker,
               uint16_t seq, uint32_t timestamp, uint32_t ssrc, const uint8_t *payload, size_t length) {
    uint8_t packet[RTP_LENGTH_MAX];
    rtp_write_header(packet, payload_type, marker, seq, timestamp, ssrc);
    memcpy(packet + RTP_HEADER, payload, length);
    stage_datagram(stage, leg, CHANNEL_RTP, from, packet, RTP_HEADER + length);
}

void stage_datagram(struct stage *stage, uint32_t leg, enum channel channel, const struct addr *from,
                    const uint8_t *data, size_t length) {
    uint8_t *exact = malloc(length ? length : 1); /* of the very length, so that a sanitizer sees one byte too far */
    memcpy(exact, data, length);
    core_receive(&stage->core, leg, channel, exact, length, from, stage->now);
    free(exact);
}

const struct emitted *stage_back(const struct stage *stage, size_t back) {
    CHECK(back < stage->emissions && back < KEPT);
    return &stage->emitted[(stage->emissions - 1 - back) % KEPT];
}

const struct emitted *stage_newest(const struct stage *stage) {
    return stage_back(stage, 0);
}

size_t stage_reported(const struct stage *stage, enum event_kind kind) {
    size_t count = 0;
    CHECK(stage->reports <= KEPT);
    for (size_t i = 0; i < stage->reports; i++)
        count += stage->events[i].kind == (uint32_t)kind;
    return count;
}
