/* Echo and relay: what one leg hears goes out on another (or on itself), on that leg's own line.
 *
 * Packets of the right length are passed as they come, numbered by offset. Others are cut to the other leg's packet
 * time, numbered one by one and paced. */
#include "g711.h"
#include "mode.h"

#include <string.h>

static const uint64_t NS_PER_SAMPLE = 125000;   /* of the codecs that can be cut */
static const uint64_t ON_TIME = 2000000;        /* a paced packet this late keeps its grid; later ones set a new one */
static const uint64_t TAIL_PATIENCE = 60000000; /* beyond the packets due, for the jitter of the source's network */

static uint64_t feed_of(const struct core *core, const struct leg *from) {
    return (uint64_t)(core_index(core, from) + 1) << 32 | from->receiver.epoch;
}

static size_t frame_of(const struct leg *to) {
    return codec_cuttable((enum codec)to->plan.codec) ? (size_t)to->plan.ptime_ms * SAMPLES_PER_MS : 0;
}

static uint8_t payload_type(const struct plan *plan, enum packet_kind kind) {
    switch (kind) {
    case PACKET_EVENT:
        return plan->dtmf_send;
    case PACKET_COMFORT_NOISE:
        return PT_COMFORT_NOISE;
    default:
        return plan->payload_type;
    }
}

/* What the packet takes on the line's clock; 0 for one that is not audio. */
static uint32_t span_of(const struct leg *to, enum packet_kind kind, const uint8_t *payload, size_t length) {
    if (kind != PACKET_AUDIO)
        return 0;
    uint32_t ticks = codec_ticks((enum codec)to->plan.codec, payload, length);
    return ticks ? ticks : to->sender.span; /* malformed: the far end will see */
}

/* Writes the header before `payload` and sends. */
static void send_stamped(struct core *core, struct leg *to, enum packet_kind kind, uint8_t *payload, size_t length,
                         const struct stamp *stamp, uint64_t now) {
    rtp_write_header(payload - RTP_HEADER, payload_type(&to->plan, kind), stamp->marker, stamp->seq, stamp->timestamp,
                     to->sender.ssrc);
    core_send(core, core_index(core, to), payload - RTP_HEADER, length + RTP_HEADER);
    sender_sent(&to->sender, stamp, span_of(to, kind, payload, length), (uint32_t)length, now);
}

static void send_frame(struct core *core, struct leg *to, size_t samples, uint64_t now) {
    uint8_t packet[RTP_HEADER + REPACK_CAPACITY];
    struct repack *repack = &to->repack;
    struct stamp stamp = {
        .timestamp = repack->timestamp,
        .seq = (uint16_t)(to->sender.highest + 1),
        .marker = repack->marker,
    };
    repack->marker = false;
    size_t length = repack_pull(repack, packet + RTP_HEADER, samples);
    send_stamped(core, to, PACKET_AUDIO, packet + RTP_HEADER, length, &stamp, now);
}

/* Everything that waits, at once: before an event, a gap, or another way of sending. */
static void flush(struct core *core, struct leg *to, uint64_t now) {
    size_t frame = frame_of(to);
    while (to->repack.fill)
        send_frame(core, to, frame && frame < to->repack.fill ? frame : to->repack.fill, now);
    to->repack.due = 0;
}

void relay_release(struct core *core, struct leg *to, uint64_t now) {
    if (to->repack.fill && to->plan.sends && latch_target(&to->latch, &to->plan))
        flush(core, to, now);
    repack_start(&to->repack, 0);
    to->repack.active = false;
    to->repack.odd = 0;
    sender_release(&to->sender);
}

void relay_pace(struct core *core, struct leg *to, uint64_t now) {
    struct repack *repack = &to->repack;
    size_t frame = frame_of(to);
    uint64_t period = frame * NS_PER_SAMPLE;
    while (repack->fill >= frame && now >= repack->last + period) {
        uint64_t ideal = repack->last + period;
        repack->last = now - ideal <= ON_TIME ? ideal : now;
        send_frame(core, to, frame, now);
    }
    if (repack->fill && repack->fill < frame && now >= repack->tail)
        flush(core, to, now);
    repack->due = repack->fill >= frame ? repack->last + period : repack->fill ? repack->tail : 0;
}

/* Puts the packet's samples behind those that wait; sends at once what finds no room. */
static void append(struct core *core, struct leg *to, const struct rtp *rtp, uint64_t now) {
    size_t frame = frame_of(to), rest = rtp->length;
    const uint8_t *from = rtp->payload;
    for (;;) {
        size_t taken = repack_push(&to->repack, from, rest);
        from += taken;
        rest -= taken;
        if (!rest)
            return;
        send_frame(core, to, frame, now);
    }
}

/* Cuts one packet, the `step`-th after the newest so far, into the other leg's packet time. */
static void cut(struct core *core, struct leg *to, const struct rtp *rtp, const struct stamp *stamp, int step,
                uint64_t now) {
    struct repack *repack = &to->repack;
    size_t frame = frame_of(to), length = rtp->length;
    bool whole = length % frame == 0 || frame % length == 0;
    if (repack->fill && repack_end(repack) != stamp->timestamp)
        flush(core, to, now);
    if (!repack->fill)
        repack_start(repack, stamp->timestamp);
    if (step > 1) { /* lost before us: leave the room that the far end would have seen empty */
        size_t missing = (size_t)(step - 1) * length / frame;
        to->sender.highest = (uint16_t)(to->sender.highest + (missing ? missing : 1));
    }
    if (whole && repack->fill < frame)
        repack->last = now - frame * NS_PER_SAMPLE; /* lengths that divide follow the arrivals, not a grid of our own */
    repack->marker |= stamp->marker;
    append(core, to, rtp, now);
    while (repack->fill >= frame && repack->fill > length + (whole ? 0 : frame))
        send_frame(core, to, frame, now); /* the source runs ahead of our pace */
    repack->tail = now + (2 * length + frame) * NS_PER_SAMPLE + TAIL_PATIENCE;
    relay_pace(core, to, now);
    core_schedule(core, core_index(core, to));
}

/* Whether audio of this length must be cut. One odd packet in a stream of right ones is passed as it is. */
static bool must_cut(struct leg *to, const struct rtp *rtp, bool anchored) {
    struct repack *repack = &to->repack;
    size_t frame = frame_of(to);
    if (!frame)
        return false;
    bool fits = rtp->length == frame;
    repack->odd = (uint8_t)(fits ? 0 : repack->odd < 2 ? repack->odd + 1 : 2);
    if (repack->active)
        return !fits || repack->fill;
    return !fits && (anchored || repack->odd >= 2);
}

static void switch_cutting(struct leg *to, const struct rtp *rtp, struct stamp *stamp, int step, uint64_t now) {
    struct repack *repack = &to->repack;
    repack->active = !repack->active;
    if (repack->active) {
        repack->last = now - frame_of(to) * NS_PER_SAMPLE; /* the first one may go at once */
        return;
    }
    to->sender.highest = (uint16_t)(to->sender.highest + step - 1);
    sender_realign(&to->sender, rtp->seq);
    stamp->seq = (uint16_t)(to->sender.highest + 1);
    stamp->late = false;
}

static bool relayable(const struct plan *from, const struct plan *to) {
    return from->codec == to->codec || (g711_is((enum codec)from->codec) && g711_is((enum codec)to->codec));
}

static enum drop refusal(const struct leg *from, const struct leg *to, enum packet_kind kind, const struct rtp *rtp) {
    if (!to->planned || !to->plan.sends)
        return DROP_not_sending;
    if (!latch_target(&to->latch, &to->plan))
        return DROP_no_remote;
    if (kind == PACKET_EVENT && to->plan.dtmf_send == PT_NONE)
        return DROP_event_not_negotiated;
    if (kind == PACKET_COMFORT_NOISE && !to->plan.cn)
        return DROP_comfort_noise;
    if (kind == PACKET_AUDIO && !relayable(&from->plan, &to->plan))
        return DROP_other_codec;
    return rtp->length ? DROP_COUNT : DROP_empty;
}

/* One packet in order of a line that is cut, or of one that is not and may become so. */
static void carry(struct core *core, struct leg *to, enum packet_kind kind, struct rtp *rtp, struct stamp *stamp,
                  int step, bool may_cut, uint64_t now) {
    struct repack *repack = &to->repack;
    if (may_cut && kind == PACKET_AUDIO && step > 0 && must_cut(to, rtp, stamp->anchored) != repack->active)
        switch_cutting(to, rtp, stamp, step, now);
    if (repack->active && kind == PACKET_AUDIO) {
        cut(core, to, rtp, stamp, step, now);
        return;
    }
    if (repack->active) {
        flush(core, to, now);
        stamp->seq = (uint16_t)(to->sender.highest + step);
    }
    send_stamped(core, to, kind, rtp->payload, rtp->length, stamp, now);
}

/* The far ends may count an event's duration by different clocks. */
static void rescale_event(const struct leg *from, const struct leg *to, struct rtp *rtp) {
    uint32_t theirs = plan_dtmf_clock(&from->plan), ours = plan_dtmf_clock(&to->plan);
    if (theirs == ours || rtp->length < 4)
        return;
    uint64_t duration = (uint64_t)read16(rtp->payload + 2) * ours / theirs;
    write16(rtp->payload + 2, duration < UINT16_MAX ? (uint16_t)duration : UINT16_MAX);
}

static void forward(struct core *core, struct leg *from, struct leg *to, enum packet_kind kind, struct rtp *rtp,
                    bool may_cut, uint64_t now) {
    enum drop why = refusal(from, to, kind, rtp);
    if (why != DROP_COUNT) {
        core_drop(core, from, why);
        if (why == DROP_not_sending && to->sender.feed)
            relay_release(core, to, now); /* what is held back now is no loss */
        return;
    }
    uint64_t feed = feed_of(core, from);
    if (to->sender.feed != feed)
        relay_release(core, to, now);
    int step = seq_ahead(rtp->seq, to->sender.in_highest);
    struct stamp stamp;
    sender_place(&to->sender, feed, rtp, kind == PACKET_EVENT, now, &stamp);
    if (stamp.anchored)
        step = 1;
    if (to->repack.active ? step <= 0 : stamp.late) {
        core_drop(core, from, DROP_late);
        return;
    }
    if (kind == PACKET_AUDIO)
        g711_convert(from->plan.codec, to->plan.codec, rtp->payload, rtp->length);
    else if (kind == PACKET_EVENT)
        rescale_event(from, to, rtp);
    carry(core, to, kind, rtp, &stamp, step, may_cut, now);
}

static void echo_hear(struct core *core, struct leg *leg, enum packet_kind kind, struct rtp *rtp, uint64_t now) {
    forward(core, leg, leg, kind, rtp, false, now);
}

static void relay_hear(struct core *core, struct leg *leg, enum packet_kind kind, struct rtp *rtp, uint64_t now) {
    struct leg *to = core_peer(core, leg);
    if (to && to->mode != MODE_MIX) /* who is in a room hears the room alone */
        forward(core, leg, to, kind, rtp, true, now);
    else
        core_drop(core, leg, DROP_no_peer);
}

const struct mode_operations echo_mode = {"echo", echo_hear};
const struct mode_operations relay_mode = {"relay", relay_hear};
