/* Which packets belong to the stream that is heard, and where on its line. A leg has one: another source, or a jump of
 * its line, is believed only when it goes on, and the longer the more often that happened before. */
#ifndef PBXD_WIRE_STREAM_H
#define PBXD_WIRE_STREAM_H

#include <stdbool.h>

#include "rtp.h"

enum judgement {
    STREAM_GOES_ON,
    STREAM_BEGINS,    /* with this packet: forget what came before */
    STREAM_DUPLICATE,
    STREAM_STRANGE,   /* not part of it, or not yet */
};

struct stream {
    uint64_t seen;       /* bit n: the packet `n` before the highest came */
    int64_t transit;     /* of its newest packet, samples */
    int64_t heard;       /* when that came, samples */
    int64_t replaced;    /* when it began in another's place */
    uint64_t line;       /* the timestamp, extended */
    uint32_t ssrc, timestamp;
    uint32_t clock, rate;
    uint32_t candidate, candidate_timestamp;
    uint16_t highest, candidate_seq;
    uint8_t confirmed;   /* packets in a row of the candidate */
    uint8_t patience;    /* how many it takes */
    bool began, disordered;
};

void stream_init(struct stream *s, uint32_t clock, uint32_t rate);

/* Judges a packet that came at `when` (samples). `at` is where its timestamp lies on the line, in samples; `disordered`
 * says whether it came behind one that was sent later. An event's timestamp is its beginning and proves nothing. */
enum judgement stream_judge(struct stream *s, const struct rtp *rtp, bool event, int64_t when, int64_t *at);

#endif
