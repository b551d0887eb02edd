#include "sender.h"

#include "codec.h"

enum { FLOOR_PACKETS = 200, DEFAULT_SPAN_MS = 20 };

void sender_init(struct sender *s, uint64_t random) {
    *s = (struct sender){
        .ssrc = (uint32_t)(random >> 32),
        .timestamp = (uint32_t)random,
        .highest = (uint16_t)(random >> 24) & 0x7fff, /* far from its wrap, which a receiver of SRTP must not miss */
        .clock = NARROW_RATE,
        .span = DEFAULT_SPAN_MS * SAMPLES_PER_MS,
    };
}

void sender_release(struct sender *s) {
    s->feed = 0;
}

static uint32_t ticks_since(const struct sender *s, uint64_t then, uint64_t now) {
    return ticks_of(now - then, s->clock);
}

void sender_set_clock(struct sender *s, uint32_t clock, uint64_t now) {
    if (s->clock == clock)
        return;
    s->timestamp = sender_clock(s, now);
    s->clock_at = now;
    s->span = (uint32_t)((uint64_t)s->span * clock / s->clock);
    s->clock = clock;
}

/* The timestamp that comes next on the line: the time that passed, at least the newest packet's own length. */
static uint32_t next_timestamp(const struct sender *s, uint64_t now) {
    if (!s->sent)
        return s->timestamp;
    uint32_t passed = ticks_since(s, s->clock_at, now);
    return s->timestamp + (passed > s->span ? passed : s->span);
}

static void anchor(struct sender *s, uint64_t feed, const struct rtp *rtp, uint64_t now) {
    s->feed = feed;
    s->floor = (uint16_t)(s->highest + 1);
    s->near_floor = FLOOR_PACKETS;
    s->seq_offset = (uint16_t)(s->floor - rtp->seq);
    s->ts_offset = next_timestamp(s, now) - rtp->timestamp;
    s->in_highest = rtp->seq;
    s->in_audio = s->in_event = false;
    s->marker_due = true;
}

/* A source that set its clock back, or far ahead, without a new SSRC: only the timestamp is anchored again. */
static void follow_clock(struct sender *s, const struct rtp *rtp, uint64_t now) {
    int32_t step = ts_ahead(rtp->timestamp, s->in_audio_ts);
    uint64_t passed = ticks_since(s, s->in_audio_at, now);
    if (step >= 0 && (uint64_t)step <= passed + s->clock) /* a second ahead of the time that passed: set, not counted */
        return;
    s->ts_offset = next_timestamp(s, now) - rtp->timestamp;
    s->marker_due = true;
}

static uint32_t event_timestamp(struct sender *s, const struct rtp *rtp) {
    if (!s->in_event || s->in_event_ts != rtp->timestamp) {
        s->in_event = true;
        s->in_event_ts = rtp->timestamp;
        s->out_event_ts = rtp->timestamp + s->ts_offset;
    }
    return s->out_event_ts;
}

static bool before_floor(struct sender *s, uint16_t seq) {
    if (!s->near_floor)
        return false;
    s->near_floor--;
    return seq_ahead(seq, s->floor) < 0;
}

void sender_place(struct sender *s, uint64_t feed, const struct rtp *rtp, bool event, uint64_t now,
                  struct stamp *stamp) {
    stamp->anchored = s->feed != feed;
    if (stamp->anchored)
        anchor(s, feed, rtp, now);
    bool newest = seq_ahead(rtp->seq, s->in_highest) >= 0;
    if (newest && !event) {
        if (s->in_audio)
            follow_clock(s, rtp, now);
        s->in_audio = true;
        s->in_audio_ts = rtp->timestamp;
        s->in_audio_at = now;
    }
    if (newest)
        s->in_highest = rtp->seq;
    stamp->seq = (uint16_t)(rtp->seq + s->seq_offset);
    stamp->timestamp = event ? event_timestamp(s, rtp) : rtp->timestamp + s->ts_offset;
    stamp->marker = rtp->marker || (s->marker_due && !event);
    stamp->late = before_floor(s, stamp->seq);
}

uint32_t sender_take(struct sender *s, uint64_t feed, uint64_t now) {
    s->feed = feed;
    s->in_audio = s->in_event = false;
    s->near_floor = 0;
    s->marker_due = true;
    return next_timestamp(s, now);
}

struct stamp sender_next(const struct sender *s, uint32_t timestamp) {
    return (struct stamp){.timestamp = timestamp, .seq = (uint16_t)(s->highest + 1), .marker = s->marker_due};
}

void sender_sent(struct sender *s, const struct stamp *stamp, uint32_t span, uint32_t octets, uint64_t now) {
    s->packets++;
    s->octets += octets;
    if (span)
        s->marker_due = false;
    bool first = !s->sent;
    if (!first && seq_ahead(stamp->seq, s->highest) < 0)
        return;
    s->highest = stamp->seq;
    s->sent = now;
    if (!first && ts_ahead(stamp->timestamp, s->timestamp) <= 0)
        return; /* all packets of an event carry its beginning: the clock went on from there */
    s->timestamp = stamp->timestamp;
    s->clock_at = now;
    if (span)
        s->span = span;
}

void sender_realign(struct sender *s, uint16_t in_seq) {
    s->seq_offset = (uint16_t)(s->highest + 1 - in_seq);
    s->floor = (uint16_t)(s->highest + 1);
    s->near_floor = FLOOR_PACKETS;
}

uint32_t sender_clock(const struct sender *s, uint64_t now) {
    return s->sent ? s->timestamp + ticks_since(s, s->clock_at, now) : s->timestamp;
}
