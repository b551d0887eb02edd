/* What a leg says: one SSRC, one sequence and one timestamp line for the life of the leg, whoever feeds it.
 *
 * A packet of the feed is moved by two offsets, so its loss and reordering stay visible to the far end. The offsets are
 * set anew ("anchored") when the feed changes, so that the line goes on where it was: next sequence number, timestamp
 * advanced by the time that passed, marker on the next audio. */
#ifndef PBXD_WIRE_SENDER_H
#define PBXD_WIRE_SENDER_H

#include "rtp.h"

struct sender {
    uint64_t sent;       /* when the newest packet was sent, ns; 0: never */
    uint64_t clock_at;   /* when the line's clock stood at `timestamp` */
    uint64_t octets;
    uint64_t packets;
    uint64_t feed;       /* who feeds it: leg and epoch; 0: nobody yet */
    uint32_t ssrc;
    uint32_t timestamp;  /* the highest sent */
    uint32_t clock;      /* ticks a second of its timestamps */
    uint32_t span;       /* ticks in the newest audio packet */
    uint32_t ts_offset;
    uint32_t in_audio_ts;   /* the feed's timestamp of its newest audio */
    uint64_t in_audio_at;   /* and when it came */
    uint32_t in_event_ts, out_event_ts; /* RFC 4733 §2.5.1.2: all packets of an event carry one timestamp */
    uint16_t seq_offset;
    uint16_t highest;    /* newest sequence number sent */
    uint16_t in_highest; /* the feed's */
    uint16_t floor;      /* the first sequence number of this anchor: nothing goes out before it */
    uint8_t near_floor;  /* packets for which the floor is still looked at */
    bool marker_due, in_audio, in_event;
};

struct stamp {
    uint32_t timestamp;
    uint16_t seq;
    bool marker;
    bool late;      /* it belongs before the anchor: do not send */
    bool anchored;  /* the line was anchored to a new feed by this packet */
};

void sender_init(struct sender *s, uint64_t random);

/* Another codec, another clock: from `now` on the line counts its ticks.
 * Not what RFC 7160 §4.1 says: it wants a new SSRC then; phones follow a line more surely than a new source. */
void sender_set_clock(struct sender *s, uint32_t clock, uint64_t now);

/* Forget the feed: the next packet anchors again. For mode changes, holds and new plans. */
void sender_release(struct sender *s);

/* Where `rtp`, coming from `feed`, goes on the line. */
void sender_place(struct sender *s, uint64_t feed, const struct rtp *rtp, bool event, uint64_t now,
                  struct stamp *stamp);

/* A feed that numbers for itself takes the line: its packets follow each other, marker on the first. Returns the
 * timestamp of its first sample. */
uint32_t sender_take(struct sender *s, uint64_t feed, uint64_t now);
struct stamp sender_next(const struct sender *s, uint32_t timestamp);

/* A packet was sent as stamped; `span` is its ticks, 0 for one that is not audio. */
void sender_sent(struct sender *s, const struct stamp *stamp, uint32_t span, uint32_t octets, uint64_t now);

/* Continue the offset way of numbering at the feed's `in_seq` after packets were numbered one by one. */
void sender_realign(struct sender *s, uint16_t in_seq);

/* The line's timestamp at `now`, for a sender report (RFC 3550 §6.4.1). */
uint32_t sender_clock(const struct sender *s, uint64_t now);

#endif
