/* What a leg hears, from its packets to its sound: an adaptive jitter buffer, decoding, concealment, comfort noise, and
 * the absorption of the clocks' drift. Pure on packets and `now`; plain memory, which holds no pointer.
 *
 * Packets are put as they come; 20 ms of sound are pulled at each tick of who listens, whose clock counts: sound is
 * stretched or compressed by a pitch period now and then, so that packets wait neither too short nor too long. */
#ifndef PBXD_WIRE_HEARING_H
#define PBXD_WIRE_HEARING_H

#include "codec.h"
#include "rtp.h"

struct hearing;

struct hearing_settings {
    uint16_t min_ms, max_ms; /* bounds of the delay from the fastest packets' arrival to their sound: 20 to 1000 */
    uint16_t start_ms;       /* the delay until the jitter is known, and the fixed one */
    bool fixed;              /* for modems: neither adapted nor stretched */
};

enum hearing_flags {
    HEARD_VOICE = 1,     /* somebody speaks: mix it */
    HEARD_NOTHING = 2,   /* all of `pcm` is zero. With neither of the two, it holds background or comfort noise */
    HEARD_CONCEALED = 4, /* some of it was made up for what was lost */
    HEARD_EVENT = 8,     /* a telephone event is going on (RFC 4733): nothing is heard meanwhile */
};

struct hearing_statistics {
    uint64_t packets;    /* put */
    uint64_t late;       /* came after their turn */
    uint64_t early;      /* found no room */
    uint64_t duplicate, reordered;
    uint64_t malformed;  /* a payload that the codec does not take: of the wrong size, or rubbish */
    uint64_t strange;    /* of another source, or far off the stream's line, before they were believed */
    uint64_t concealed, stretched, compressed; /* samples made up, put in, left out */
    uint32_t resets;     /* the stream began anew: another source, or its line jumped */
    uint32_t delay_ms, delay_min_ms, delay_max_ms; /* now, and the least and the greatest since hearing_init */
    uint32_t target_ms;  /* where the delay is headed */
    uint8_t level;       /* of the last frame, -dBov */
};

/* Octets of a struct hearing for this codec, its decoder's state included. */
size_t hearing_size(enum codec codec);

/* `h` is aligned as malloc aligns. A change of codec begins with hearing_init again. */
void hearing_init(struct hearing *h, enum codec codec, const struct hearing_settings *settings, uint64_t now);

/* One packet. Nothing is kept of `rtp`. */
void hearing_put(struct hearing *h, const struct rtp *rtp, enum packet_kind kind, uint64_t now);

/* Fills `pcm` with the next 20 ms: `samples` is 160 or 320 after the codec's rate. Returns enum hearing_flags. */
int hearing_pull(struct hearing *h, int16_t *pcm, size_t samples, uint64_t now);

void hearing_statistics(const struct hearing *h, struct hearing_statistics *statistics);

#endif
