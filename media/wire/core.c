#include "core.h"

#include <stdlib.h>

#include "edge.h"
#include "fax.h"
#include "g711.h"
#include "line.h"
#include "mode.h"
#include "room.h"
#include "tone.h"

static const uint64_t NS_PER_MS = 1000000;

bool core_init(struct core *core, struct leg *legs, uint32_t capacity) {
    *core = (struct core){.legs = legs, .capacity = capacity};
    g711_init();
    tone_tables();
    core->voices = calloc(capacity, sizeof *core->voices);
    core->rooms = calloc(capacity, sizeof *core->rooms);
    core->faxes = calloc(capacity, sizeof *core->faxes);
    core->srtp = calloc(capacity, sizeof *core->srtp);
    core->mixer = calloc(1, sizeof *core->mixer);
    return core->voices && core->rooms && core->faxes && core->srtp && core->mixer && heap_init(&core->timers, capacity) &&
           heap_init(&core->room_timers, capacity);
}

void core_free(struct core *core) {
    heap_free(&core->timers);
    heap_free(&core->room_timers);
    free(core->voices);
    free(core->rooms);
    free(core->faxes);
    free(core->srtp);
    free(core->mixer);
}

void core_drop(struct core *core, struct leg *leg, enum drop why) {
    tally(&core->drops[why]);
    leg->drops[why]++;
}

void core_report(struct core *core, const struct leg *leg, enum event_kind kind, uint32_t a, uint32_t b,
                 uint64_t now) {
    struct event event = {
        .leg = core_index(core, leg),
        .generation = leg->generation,
        .kind = kind,
        .a = a,
        .b = b,
        .address = leg->latch.source,
        .at = now,
    };
    core->report(core->shell, &event);
}

static void report_dtmf(struct core *core, const struct leg *leg, struct heard_event heard, uint64_t now) {
    if (!heard.report)
        return;
    uint32_t ms = (uint32_t)((uint64_t)heard.duration * 1000 / plan_dtmf_clock(&leg->plan));
    core_report(core, leg, EVENT_DTMF, heard.code, ms, now);
    const struct voice *voice = core->voices[core_index(core, leg)];
    if (voice)
        room_pass_digit(core, voice, heard.code, ms);
}

/* What is kept of each packet: its header, and all of it where somebody listens in. */
static void note(struct core *core, struct leg *leg, const uint8_t *data, size_t length, size_t payload, bool outward,
                 uint64_t now) {
    if (core->headers)
        headers_note(&core->headers[core_index(core, leg)], &leg->headers, data, payload, outward, now);
    if (leg->tapped && !core->tap(core->shell, core_index(core, leg), outward, data, length, now))
        core_drop(core, leg, DROP_tap_overflow);
}

/* ---- where it sends */

void core_send(struct core *core, uint32_t index, const uint8_t *data, size_t length, uint64_t now) {
    struct leg *leg = &core->legs[index];
    tally(&core->sent);
    note(core, leg, data, length, length - RTP_HEADER, true, now);
    edge_emit(core, index, CHANNEL_RTP, false, data, length, latch_target(&leg->latch, &leg->plan));
}

/* RTCP goes where RTCP came from, else where SDP said, else to the port above the media's (RFC 3550 §11). */
static bool rtcp_target(const struct leg *leg, struct addr *to) {
    const struct addr *media = latch_target(&leg->latch, &leg->plan);
    if (!media)
        return false;
    *to = *media;
    if (leg->plan.rtcp_mux)
        return true;
    if (leg->rtcp.remote.set)
        *to = leg->rtcp.remote;
    else if (leg->plan.remote_rtcp.set && leg->latch.lock != LOCK_WEAK)
        *to = leg->plan.remote_rtcp;
    else
        to->port++;
    return true;
}

static void send_rtcp(struct core *core, uint32_t index, uint64_t now, bool goodbye) {
    struct leg *leg = &core->legs[index];
    uint8_t compound[RTCP_COMPOUND_MAX];
    struct addr to;
    bool active = leg->sender.packets != leg->rtcp.sent_packets || leg->receiver.packets;
    if (!leg->planned || !active || leg->mode == MODE_T38 || !rtcp_target(leg, &to))
        return;
    size_t length = rtcp_write(&leg->rtcp, compound, &leg->sender, &leg->receiver, now, core->wall, goodbye);
    edge_emit(core, index, leg->plan.rtcp_mux ? CHANNEL_RTP : CHANNEL_RTCP, true, compound, length, &to);
}

/* ---- time */

static uint64_t silence_due(const struct leg *leg) {
    if (!leg->planned || !leg->plan.receives || !leg->plan.silence_ms || leg->silent)
        return UINT64_MAX;
    uint64_t since = leg->receiver.heard > leg->listening ? leg->receiver.heard : leg->listening;
    return since + leg->plan.silence_ms * NS_PER_MS;
}

static uint64_t earlier(uint64_t a, uint64_t b) { /* of two deadlines, where 0 is none */
    return b && b < a ? b : a;
}

void core_schedule(struct core *core, uint32_t index) {
    const struct leg *leg = &core->legs[index];
    uint64_t due = silence_due(leg);
    due = earlier(due, leg->rtcp.due);
    due = earlier(due, leg->repack.due);
    due = earlier(due, leg->event.due);
    due = earlier(due, core->srtp[index].before_until);
    if (core->voices[index])
        due = earlier(due, core->voices[index]->line.due);
    if (core->faxes[index])
        due = earlier(due, core->faxes[index]->due);
    heap_set(&core->timers, index, due == UINT64_MAX ? 0 : due);
}

static void step_leg(struct core *core, uint32_t index, uint64_t now) {
    struct leg *leg = &core->legs[index];
    struct voice *voice = core->voices[index];
    if (leg->repack.due && now >= leg->repack.due)
        relay_pace(core, leg, now);
    if (voice && voice->line.due && now >= voice->line.due)
        line_pace(core, voice, now);
    if (core->faxes[index] && now >= core->faxes[index]->due)
        fax_step(core, index, now);
    if (leg->event.due && now >= leg->event.due)
        report_dtmf(core, leg, telephone_event_expire(&leg->event), now);
    if (leg->rtcp.due && now >= leg->rtcp.due) {
        send_rtcp(core, index, now, false);
        leg->rtcp.due = rtcp_next_due(&leg->rtcp, now, false);
    }
    edge_step(core, index, now);
    if (now >= silence_due(leg)) {
        leg->silent = true;
        core_report(core, leg, EVENT_SILENT, 0, 0, now);
    }
    core_schedule(core, index);
}

uint64_t core_due(const struct core *core) {
    uint64_t leg = heap_next(&core->timers), room = heap_next(&core->room_timers);
    return leg < room ? leg : room;
}

void core_step(struct core *core, uint64_t now) {
    while (heap_next(&core->timers) <= now)
        step_leg(core, core->timers.legs[0], now);
    while (heap_next(&core->room_timers) <= now)
        room_step(core, core->rooms[core->room_timers.legs[0]], now);
}

/* ---- commands */

void core_open(struct core *core, uint32_t index, uint32_t generation, uint64_t random, uint64_t now) {
    struct leg *leg = &core->legs[index];
    memset(leg, 0, sizeof *leg);
    leg->generation = generation;
    leg->mode = MODE_IDLE;
    leg->listening = now;
    sender_init(&leg->sender, random);
    receiver_set_clock(&leg->receiver, NARROW_RATE);
    rtcp_init(&leg->rtcp, random * 0x9e3779b97f4a7c15u);
}

void core_plan(struct core *core, uint32_t index, const struct plan *plan, uint64_t now) {
    struct leg *leg = &core->legs[index];
    if (leg->planned && memcmp(&leg->plan, plan, sizeof *plan) == 0)
        return;
    if (leg->planned) {
        relay_release(core, leg, now);
        latch_replan(&leg->latch, &leg->plan, plan);
        if (!addr_same(&leg->plan.remote, &plan->remote))
            leg->rtcp.remote.set = 0;
    }
    if (!leg->planned || !leg->plan.receives || leg->plan.sends != plan->sends)
        leg->listening = now; /* a far side that held us need not have talked: its time begins anew */
    if (!leg->planned)
        leg->rtcp.due = rtcp_next_due(&leg->rtcp, now, true);
    leg->plan = *plan;
    leg->planned = true;
    uint32_t clock = codec_operations((enum codec)plan->codec)->clock;
    sender_set_clock(&leg->sender, clock, now);
    receiver_set_clock(&leg->receiver, clock);
    leg->silent = false;
    if (core->voices[index])
        voice_settle(core, core->voices[index], false, now);
    core_schedule(core, index);
}

struct leg *core_peer(struct core *core, const struct leg *leg) {
    struct leg *peer = &core->legs[leg->peer];
    return peer->generation && peer->generation == leg->peer_generation ? peer : NULL;
}

/* Whom this leg feeds now; NULL: nobody. */
static struct leg *fed_by(struct core *core, const struct leg *leg) {
    if (leg->mode == MODE_ECHO)
        return &core->legs[core_index(core, leg)];
    return leg->mode == MODE_RELAY ? core_peer(core, leg) : NULL;
}

static void stop_feeding(struct core *core, const struct leg *leg, uint64_t now) {
    struct leg *to = fed_by(core, leg);
    if (to && to->sender.feed >> 32 == core_index(core, leg) + 1) {
        relay_release(core, to, now);
        core_schedule(core, core_index(core, to));
    }
}

void core_mode(struct core *core, uint32_t index, enum mode mode, uint32_t peer, uint32_t peer_generation,
               uint64_t now) {
    struct leg *leg = &core->legs[index];
    if (leg->mode == mode && (mode != MODE_RELAY || (leg->peer == peer && leg->peer_generation == peer_generation)))
        return;
    stop_feeding(core, leg, now);
    if (core->voices[index])
        room_leave(core, index, now);
    fax_leave(core, index);
    leg->mode = (uint8_t)mode;
    leg->peer = peer;
    leg->peer_generation = peer_generation;
}

void core_tap(struct core *core, uint32_t index, bool on) {
    core->legs[index].tapped = on && core->tap;
}

void core_close(struct core *core, uint32_t index, uint64_t now) {
    struct leg *leg = &core->legs[index];
    stop_feeding(core, leg, now);
    if (core->voices[index])
        room_leave(core, index, now);
    fax_leave(core, index);
    relay_release(core, leg, now);
    send_rtcp(core, index, now, true);
    edge_clear(core, index);
    heap_set(&core->timers, index, 0);
    leg->generation = 0;
}

/* ---- packets */

static void receive_rtcp(struct core *core, struct leg *leg, enum channel channel, const uint8_t *data, size_t length,
                         const struct addr *from, uint64_t now) {
    if (channel == CHANNEL_RTP && !leg->plan.rtcp_mux) {
        core_drop(core, leg, DROP_rtcp_not_mux);
        return;
    }
    bool locked = leg->latch.lock != LOCK_NONE;
    bool known = locked && addr_same_ip(&leg->latch.source, from);
    bool named = leg->plan.remote_rtcp.set && addr_same(&leg->plan.remote_rtcp, from);
    if (!known && !named && (locked || !latch_allows(&leg->plan, from))) {
        core_drop(core, leg, DROP_rtcp_elsewhere);
        return;
    }
    if (!rtcp_read(&leg->rtcp, data, length, &leg->sender, now, core->wall)) {
        core_drop(core, leg, DROP_rtcp_malformed);
        return;
    }
    if (channel == CHANNEL_RTCP)
        leg->rtcp.remote = *from;
}

static bool kind_of(const struct leg *leg, const struct rtp *rtp, enum packet_kind *kind) {
    uint8_t type = rtp->payload_type;
    if (type == leg->plan.receive_payload_type || type == leg->plan.other_payload_type)
        *kind = PACKET_AUDIO;
    else if (type == leg->plan.dtmf_receive)
        *kind = PACKET_EVENT;
    else if (type == PT_COMFORT_NOISE) /* static (RFC 3551): phones send it unasked; who takes it decides the relay */
        *kind = PACKET_COMFORT_NOISE;
    else
        return false;
    return true;
}

static bool judge_source(struct core *core, struct leg *leg, const struct addr *from, uint32_t ssrc, uint64_t now) {
    switch (latch_judge(&leg->latch, &leg->plan, from, ssrc, now)) {
    case LATCH_ACCEPT:
        return true;
    case LATCH_LOCKED:
        core_report(core, leg, EVENT_LATCHED, 0, 0, now);
        return true;
    case LATCH_MOVED:
        core_report(core, leg, EVENT_RELATCHED, 0, 0, now);
        return true;
    default:
        core_drop(core, leg, DROP_elsewhere);
        return false;
    }
}

static bool count_arrival(struct core *core, struct leg *leg, const struct rtp *rtp, bool audio, uint64_t now) {
    switch (receiver_count(&leg->receiver, rtp, audio, now)) {
    case ARRIVAL_STRAY:
        core_drop(core, leg, DROP_sequence);
        return false;
    case ARRIVAL_OLD_SOURCE:
        core_drop(core, leg, DROP_old_source);
        return false;
    case ARRIVAL_FIRST:
        core_report(core, leg, EVENT_FIRST_PACKET, 0, 0, now);
        break;
    default:
        break;
    }
    if (leg->silent) {
        leg->silent = false;
        core_report(core, leg, EVENT_RESUMED, 0, 0, now);
        core_schedule(core, core_index(core, leg));
    }
    return true;
}

static void receive_rtp(struct core *core, struct leg *leg, uint8_t *data, size_t length, const struct addr *from,
                        uint64_t now) {
    struct rtp rtp;
    enum packet_kind kind;
    if (length < RTP_HEADER) {
        core_drop(core, leg, DROP_too_short);
    } else if (!rtp_parse(&rtp, data, length)) {
        core_drop(core, leg, DROP_malformed);
    } else if (!leg->plan.receives) {
        core_drop(core, leg, DROP_not_receiving);
    } else if (!kind_of(leg, &rtp, &kind)) {
        core_drop(core, leg, DROP_payload_type);
    } else if (judge_source(core, leg, from, rtp.ssrc, now) &&
               count_arrival(core, leg, &rtp, kind == PACKET_AUDIO, now)) {
        tally(&core->received);
        note(core, leg, data, length, rtp.length, false, now);
        if (kind == PACKET_AUDIO && rtp.payload_type != leg->plan.receive_payload_type)
            g711_convert(g711_other(leg->plan.codec), leg->plan.codec, rtp.payload, rtp.length);
        if (kind == PACKET_EVENT) {
            report_dtmf(core, leg, telephone_event_hear(&leg->event, &rtp, now), now);
            core_schedule(core, core_index(core, leg));
        }
        mode_table[leg->mode]->hear(core, leg, kind, &rtp, now);
    }
}

/* UDPTL is told from RTP by nothing but what was agreed; it comes from where RTP may come from. */
static void receive_t38(struct core *core, struct leg *leg, const uint8_t *data, size_t length, const struct addr *from,
                        uint64_t now) {
    if (!leg->plan.receives) {
        core_drop(core, leg, DROP_not_receiving);
    } else if (judge_source(core, leg, from, 0, now)) {
        tally(&core->received);
        if (leg->tapped && !core->tap(core->shell, core_index(core, leg), false, data, length, now))
            core_drop(core, leg, DROP_tap_overflow);
        fax_receive(core, core_index(core, leg), data, length, now);
    }
}

void core_receive(struct core *core, uint32_t index, enum channel channel, uint8_t *data, size_t length,
                  const struct addr *from, uint64_t now) {
    struct leg *leg = &core->legs[index];
    if (length > RTP_LENGTH_MAX) {
        core_drop(core, leg, DROP_too_long);
        return;
    }
    if (length == 0) {
        core_drop(core, leg, DROP_too_short);
        return;
    }
    if (leg->mode == MODE_T38 && channel == CHANNEL_RTP && leg->planned) {
        receive_t38(core, leg, data, length, from, now);
        return;
    }
    enum protocol protocol = rtp_demultiplex(data, length);
    if (protocol == PROTOCOL_STUN)
        core_drop(core, leg, DROP_stun);
    else if (protocol == PROTOCOL_DTLS)
        core_drop(core, leg, DROP_dtls);
    else if (protocol == PROTOCOL_UNKNOWN)
        core_drop(core, leg, DROP_not_rtp);
    else if (!leg->planned)
        core_drop(core, leg, DROP_no_plan);
    else if (protocol == PROTOCOL_RTP && channel == CHANNEL_RTCP)
        core_drop(core, leg, DROP_rtp_on_rtcp);
    else if (!edge_open(core, leg, protocol == PROTOCOL_RTCP, data, &length, from, now))
        return;
    else if (protocol == PROTOCOL_RTCP)
        receive_rtcp(core, leg, channel, data, length, from, now);
    else
        receive_rtp(core, leg, data, length, from, now);
}
