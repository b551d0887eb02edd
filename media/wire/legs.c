/* Legs as Python handles them: sockets are opened here, then everything goes by command. */
#define _GNU_SOURCE
#include "shell.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "mode.h"

enum { PTIME_MAX_MS = 120, HEADER_TRIES = 4 };
static const struct socket_options media_options = {.traffic_class = 0xb8 /* EF, RFC 4594 §4.1 */};


static int claim_slot(struct wire *wire, uint32_t *index) {
    for (uint32_t slot = 0; slot < wire->table.capacity; slot++) { /* the lowest: its memory is in use already */
        if (!atomic_load(&wire->leg_used[slot])) {
            *index = slot;
            return 0;
        }
    }
    return ENOSPC;
}

static uint32_t next_generation(struct wire *wire) {
    if (++wire->generations == 0)
        wire->generations = 1;
    return wire->generations;
}

static int open_pair(const char *ip, uint16_t rtp_port, uint16_t rtcp_port, struct wire_leg *leg, int fds[2]) {
    int error = socket_open(ip, rtp_port, media_options, &fds[CHANNEL_RTP], &leg->rtp_port);
    if (error)
        return error;
    error = socket_open(ip, rtcp_port, media_options, &fds[CHANNEL_RTCP], &leg->rtcp_port);
    if (error)
        close(fds[CHANNEL_RTP]);
    return error;
}

int wire_leg_open(struct wire *wire, const char *ip, uint16_t rtp_port, uint16_t rtcp_port, struct wire_leg *leg) {
    int fds[2];
    struct command command = {.kind = COMMAND_LEG_OPEN};
    int error = claim_slot(wire, &leg->index);
    if (!error)
        error = open_pair(ip, rtp_port, rtcp_port, leg, fds);
    if (error)
        return error;
    while (getrandom(&command.open.random, sizeof command.open.random, 0) != sizeof command.open.random)
        ;
    leg->generation = next_generation(wire);
    leg->ssrc = (uint32_t)(command.open.random >> 32); /* as sender_init has it */
    command.index = leg->index;
    command.generation = leg->generation;
    command.open.rtp = fds[CHANNEL_RTP];
    command.open.rtcp = fds[CHANNEL_RTCP];
    atomic_store(&wire->leg_used[leg->index], true);
    atomic_fetch_add(&wire->legs_open, 1);
    error = shell_register(wire, fds[CHANNEL_RTP]);
    if (!error)
        error = shell_register(wire, fds[CHANNEL_RTCP]);
    if (!error)
        error = shell_submit(wire, &command);
    if (error) {
        close(fds[CHANNEL_RTP]);
        close(fds[CHANNEL_RTCP]);
        atomic_store(&wire->leg_used[leg->index], false);
        atomic_fetch_sub(&wire->legs_open, 1);
    }
    return error;
}

static struct command command_for(enum command_kind kind, const struct wire_leg *leg) {
    return (struct command){.kind = kind, .index = leg->index, .generation = leg->generation};
}

static bool parse_optional(struct addr *to, const char *ip, uint16_t port) {
    return !ip[0] || addr_parse(to, ip, port);
}

static bool plan_from(struct plan *to, const struct wire_plan *from) {
    if (!parse_optional(&to->remote, from->remote_ip, from->remote_port) ||
        !parse_optional(&to->remote_rtcp, from->rtcp_ip, from->rtcp_port))
        return false;
    for (int i = 0; i < LATCH_SOURCES_MAX; i++) {
        if (!from->latch_from[i][0])
            continue;
        if (!addr_parse(&to->latch_from[to->latch_count++], from->latch_from[i], 0))
            return false;
    }
    to->silence_ms = from->silence_ms;
    to->ptime_ms = from->ptime_ms;
    to->jitter_min_ms = from->jitter_min_ms;
    to->jitter_max_ms = from->jitter_max_ms;
    to->jitter_start_ms = from->jitter_start_ms;
    to->codec = from->codec;
    to->payload_type = from->payload_type;
    to->receive_payload_type = from->receive_payload_type;
    to->other_payload_type = from->other_payload_type;
    to->dtmf_send = from->dtmf_send;
    to->dtmf_receive = from->dtmf_receive;
    to->dtmf_clock = from->dtmf_clock;
    to->settings = (struct codec_settings){
        .bitrate = from->bitrate,
        .complexity = from->complexity,
        .fec = from->fec != 0,
        .dtx = from->dtx != 0,
        .expected_loss = from->expected_loss,
    };
    to->cn = from->cn != 0;
    to->sends = from->sends != 0;
    to->receives = from->receives != 0;
    to->rtcp_mux = from->rtcp_mux != 0;
    return from->codec < CODEC_COUNT && from->ptime_ms <= PTIME_MAX_MS && from->payload_type < 128 &&
           from->receive_payload_type < 128 && from->dtmf_clock <= CODEC_CLOCK_MAX && from->complexity <= 10 &&
           (from->other_payload_type == PT_NONE || g711_is((enum codec)from->codec));
}

static struct srtp_way *way_from(uint8_t suite, const uint8_t *octets, uint8_t mki_length, const uint8_t *mki,
                                 bool sends, uint32_t ssrc) {
    struct srtp_key key = {.suite = suite, .mki_length = mki_length};
    memcpy(key.octets, octets, sizeof key.octets);
    if (mki_length && mki_length <= sizeof key.mki)
        memcpy(key.mki, mki, mki_length);
    struct srtp_way *way = srtp_way_new(&key, sends, ssrc);
    explicit_bzero(&key, sizeof key);
    return way;
}

static void free_change(struct srtp_change *change) {
    srtp_way_free(change->send);
    srtp_way_free(change->receive);
}

static bool change_from(struct wire *wire, const struct wire_leg *leg, struct srtp_change *to,
                        const struct wire_srtp *from) {
    struct leg copy;
    uint32_t remote_ssrc = shell_copy_leg(wire, leg, &copy) ? copy.receiver.ssrc : 0;
    to->secured = true;
    if (from->send_suite)
        to->send = way_from(from->send_suite, from->send, 0, NULL, true, leg->ssrc);
    if (from->receive_suite)
        to->receive = way_from(from->receive_suite, from->receive, from->mki_length, from->mki, false, remote_ssrc);
    return (to->send || !from->send_suite) && (to->receive || !from->receive_suite);
}

int wire_leg_plan(struct wire *wire, const struct wire_leg *leg, const struct wire_plan *plan,
                  const struct wire_srtp *srtp) {
    struct command command = command_for(COMMAND_LEG_PLAN, leg);
    memset(&command.plan, 0, sizeof command.plan); /* padding, too: plans are compared as bytes */
    rooms_reap(wire);
    if (leg->index >= wire->table.capacity || !plan_from(&command.plan, plan))
        return EINVAL;
    int error = srtp && !change_from(wire, leg, &command.srtp, srtp) ? ENOMEM : shell_submit(wire, &command);
    if (error)
        free_change(&command.srtp);
    return error;
}

int wire_leg_mode(struct wire *wire, const struct wire_leg *leg, uint32_t mode, const struct wire_leg *peer) {
    struct command command = command_for(COMMAND_LEG_MODE, leg);
    if (!mode_settable(mode) || mode >= MODE_MIX) /* which are for wire_room_join and wire_leg_fax to set */
        return ENOTSUP;
    if (leg->index >= wire->table.capacity || (mode == MODE_RELAY && (!peer || peer->index >= wire->table.capacity)))
        return EINVAL;
    command.mode.mode = mode;
    if (mode == MODE_RELAY) {
        command.mode.peer = peer->index;
        command.mode.peer_generation = peer->generation;
    }
    return shell_submit(wire, &command);
}

int wire_leg_close(struct wire *wire, const struct wire_leg *leg) {
    struct command command = command_for(COMMAND_LEG_CLOSE, leg);
    return leg->index < wire->table.capacity ? shell_submit(wire, &command) : EINVAL;
}

uint32_t wire_legs_open(const struct wire *wire) {
    return atomic_load(&wire->legs_open);
}

/* What a voice holds is freed by this thread alone, so that it may be looked at here whatever the wire thread does. */
static void fill_hearing(const struct wire *wire, uint32_t index, struct wire_statistics *out) {
    struct hearing_statistics heard;
    const struct voice *voice = __atomic_load_n(&wire->core.voices[index], __ATOMIC_ACQUIRE);
    if (!voice)
        return;
    shell_copy_words((uint64_t *)&heard, (const uint64_t *)&voice->statistics,
                     sizeof heard / sizeof(uint64_t));
    out->in_room = 1;
    out->late = heard.late;
    out->early = heard.early;
    out->duplicate = heard.duplicate;
    out->reordered = heard.reordered;
    out->concealed = heard.concealed;
    out->stretched = heard.stretched;
    out->compressed = heard.compressed;
    out->resets = heard.resets;
    out->delay_ms = heard.delay_ms;
    out->malformed = heard.malformed;
    out->strange = heard.strange;
    out->target_ms = heard.target_ms;
    out->delay_min_ms = heard.delay_min_ms;
    out->delay_max_ms = heard.delay_max_ms;
    out->level = heard.level;
}

static uint32_t microseconds(uint32_t ticks, uint32_t clock) {
    uint64_t value = (uint64_t)ticks * 1000000 / clock;
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

int wire_leg_statistics(struct wire *wire, const struct wire_leg *leg, struct wire_statistics *out) {
    struct leg copy;
    if (!shell_copy_leg(wire, leg, &copy))
        return ESTALE;
    uint64_t now = shell_clock();
    *out = (struct wire_statistics){
        .received = copy.receiver.packets,
        .received_octets = copy.receiver.octets,
        .sent = copy.sender.packets,
        .sent_octets = copy.sender.octets,
        .expected = receiver_expected(&copy.receiver),
        .lost = receiver_lost(&copy.receiver),
        .bursts = receiver_bursts(&copy.receiver),
        .longest_burst = receiver_longest_burst(&copy.receiver),
        .jitter = microseconds(copy.receiver.jitter, 16 * copy.receiver.clock),
        .jitter_max = microseconds(copy.receiver.jitter_max, 16 * copy.receiver.clock),
        .round_trip = copy.rtcp.round_trip,
        .round_trip_max = copy.rtcp.round_trip_max,
        .remote_jitter = microseconds(copy.rtcp.remote_jitter, copy.sender.clock),
        .remote_reports = copy.rtcp.remote_reports,
        .remote_lost = copy.rtcp.remote_lost,
        .remote_fraction = copy.rtcp.remote_fraction,
        .ssrc = copy.sender.ssrc,
        .remote_ssrc = copy.receiver.ssrc,
        .since_heard = copy.receiver.heard ? (double)(int64_t)(now - copy.receiver.heard) * 1e-9 : -1.0,
        .latched = copy.latch.lock,
        .source_port = copy.latch.source.port,
    };
    if (copy.latch.source.set)
        addr_format(&copy.latch.source, out->source_ip);
    fill_hearing(wire, leg->index, out);
    return 0;
}

uint32_t wire_leg_drops(struct wire *wire, const struct wire_leg *leg, uint32_t *counts, uint32_t size) {
    struct leg copy;
    if (!shell_copy_leg(wire, leg, &copy))
        return 0;
    uint32_t names = sizeof copy.drops / sizeof *copy.drops;
    if (size < names)
        names = size;
    memcpy(counts, copy.drops, names * sizeof *counts);
    return names;
}

uint32_t wire_leg_headers(struct wire *wire, const struct wire_leg *leg, void *records, uint64_t *last) {
    struct leg before, after;
    struct header_record *to = records;
    uint32_t kept = 0;
    for (int tried = 0; tried < HEADER_TRIES; tried++) {
        if (!shell_copy_leg(wire, leg, &before))
            return 0;
        uint32_t held = headers_copy(&wire->headers[leg->index], before.headers.count, to);
        if (!shell_copy_leg(wire, leg, &after))
            return 0;
        uint64_t moved = after.headers.count - before.headers.count;
        *last = before.headers.last;
        kept = moved < held ? held - (uint32_t)moved : 0;
        if (moved == 0)
            return held;
        memmove(to, to + (held - kept), kept * sizeof *to); /* the last time without those that may be written over */
    }
    return kept;
}

_Static_assert((int)WIRE_HEADER_RECORDS == (int)HEADER_RECORDS && WIRE_HEADER_SIZE == sizeof(struct header_record), "one truth");

/* ---- listening in */

int wire_leg_tap(struct wire *wire, const struct wire_leg *leg, int on) {
    struct command command = command_for(COMMAND_LEG_TAP, leg);
    command.flag = on;
    return leg->index < wire->table.capacity ? shell_submit(wire, &command) : EINVAL;
}

int wire_tap_next(struct wire *wire, struct wire_tapped *tapped) {
    struct tap_head head;
    size_t size;
    if (wire->tap_held)
        byte_ring_pop(&wire->taps);
    const uint8_t *record = byte_ring_peek(&wire->taps, &size);
    wire->tap_held = record;
    if (!record)
        return 0;
    memcpy(&head, record, sizeof head);
    *tapped = (struct wire_tapped){head.at, head.leg, head.generation, head.outward, head.length, record + sizeof head};
    return 1;
}

/* ---- events */

void wire_events_begin(struct wire *wire) {
    uint64_t count;
    rooms_reap(wire);
    (void)!read(wire->media_fd, &count, sizeof count);
    atomic_exchange(&wire->media_notified, false); /* as in wire_sip_begin */
}

int wire_event_next(struct wire *wire, struct wire_event *out) {
    struct event event;
    if (!ring_pop(&wire->events, &event))
        return 0;
    *out = (struct wire_event){
        .leg = event.leg,
        .generation = event.generation,
        .kind = event.kind,
        .a = event.a,
        .b = event.b,
        .c = event.c,
        .at = event.at,
        .port = event.address.port,
    };
    if (event.address.set)
        addr_format(&event.address, out->ip);
    return 1;
}

void wire_events_end(struct wire *wire) {
    if (!ring_empty(&wire->events) && !atomic_exchange(&wire->media_notified, true))
        (void)!write(wire->media_fd, &(uint64_t){1}, sizeof(uint64_t));
}
