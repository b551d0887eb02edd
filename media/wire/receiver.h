/* What a leg hears: sequence validation, loss and jitter of its synchronisation source (RFC 3550 §A.1, §A.3, §A.8). */
#ifndef PBXD_WIRE_RECEIVER_H
#define PBXD_WIRE_RECEIVER_H

#include "rtp.h"

enum arrival { ARRIVAL_FIRST, ARRIVAL_NEXT, ARRIVAL_NEW_SOURCE, ARRIVAL_RESTARTED, ARRIVAL_STRAY, ARRIVAL_OLD_SOURCE };

struct receiver {
    uint64_t heard;             /* when the last packet came, ns; 0: never */
    uint64_t replaced;          /* when `old_ssrc` was replaced, or came all the same */
    uint64_t packets, octets;   /* of all sources */
    uint64_t expected, arrived; /* of the sources before this one, in packets */
    uint32_t ssrc, old_ssrc;
    uint32_t epoch;             /* counts sources and restarts: names the stream for whom it feeds */
    uint32_t cycles;            /* shifted left by 16 */
    uint32_t base;              /* extended sequence number of the first packet */
    uint32_t received;          /* of this source */
    uint32_t bad;               /* the sequence number that would confirm a restart */
    uint32_t clock;             /* ticks a second of its timestamps */
    uint32_t transit, jitter;   /* ticks; jitter scaled by 16 */
    uint32_t jitter_max;
    uint32_t expected_before, received_before; /* at the last report */
    uint32_t bursts;            /* gaps that stayed, the newest one apart, */
    uint32_t longest;           /* and the most packets that one of them cost */
    uint16_t gap, missing;      /* the newest: how wide it was, and what of it has not come late */
    uint16_t gap_end;           /* the packet behind it */
    uint16_t highest;
    bool started, timed;
};

/* Another codec, another clock: what was measured goes on in its ticks. */
void receiver_set_clock(struct receiver *r, uint32_t clock);

/* Counts one packet. `audio` is false for those that share a timestamp and say nothing about jitter. */
enum arrival receiver_count(struct receiver *r, const struct rtp *rtp, bool audio, uint64_t now);

struct loss {
    uint8_t fraction; /* of 256, since the last report */
    int32_t lost;     /* in all, of this source, clamped to 24 bits */
    uint32_t highest; /* extended */
};

void receiver_report(struct receiver *r, struct loss *loss);   /* RFC 3550 §A.3; starts the next interval */
uint64_t receiver_expected(const struct receiver *r);          /* of all sources */
uint64_t receiver_lost(const struct receiver *r);              /* of all sources; duplicates never make it negative */
uint32_t receiver_bursts(const struct receiver *r);            /* how often one packet or more in a row were lost */
uint32_t receiver_longest_burst(const struct receiver *r);     /* in packets */

#endif
