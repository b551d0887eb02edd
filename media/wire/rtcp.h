/* RTCP of one leg (RFC 3550 §6): reports every five seconds or so, and what the far end's reports say about us. */
#ifndef PBXD_WIRE_RTCP_H
#define PBXD_WIRE_RTCP_H

#include "addr.h"
#include "receiver.h"
#include "sender.h"

enum { RTCP_COMPOUND_MAX = 128, CNAME_LENGTH = 16 };

struct rtcp {
    struct addr remote;      /* where it came from; `set` is 0 while nothing came */
    uint64_t due;            /* the next report; 0: none */
    uint64_t sr_at;          /* when the far end's last sender report came */
    uint64_t sent_packets;   /* the sender's count at the last report: did we send since? */
    uint64_t random;         /* state of the jitter of the interval */
    uint32_t sr_ssrc;        /* whose it was */
    uint32_t sr_middle;      /* middle 32 bits of that report's NTP time */
    uint32_t round_trip;     /* 1/65536 s; 0: not known */
    uint32_t round_trip_max;
    uint32_t remote_jitter;  /* timestamp units, as the far end measured */
    int32_t remote_lost;     /* packets, as the far end counted */
    uint32_t remote_reports;
    uint8_t remote_fraction; /* of 256 */
    uint8_t expected_loss;   /* per cent of ours, for an encoder: at once when it grows, slowly when it goes */
    uint8_t goodbye;         /* the far end said BYE */
    char cname[CNAME_LENGTH];
};

/* `wall` is added to `now` to give the NTP clock, both in ns; NTP time needs no more than to be steady (§4). */
void rtcp_init(struct rtcp *c, uint64_t random);

/* When the report after one at `now` is due: 5 s, 0.5 to 1.5 of it, with the compensation of §6.3.1. */
uint64_t rtcp_next_due(struct rtcp *c, uint64_t now, bool first);

/* Writes SR or RR, SDES with the CNAME, and BYE when asked. Returns the length. */
size_t rtcp_write(struct rtcp *c, uint8_t *to, const struct sender *s, struct receiver *r, uint64_t now, uint64_t wall,
                  bool goodbye);

/* Reads a compound (§A.2). False when it is none. */
bool rtcp_read(struct rtcp *c, const uint8_t *data, size_t length, const struct sender *s, uint64_t now,
               uint64_t wall);

#endif
