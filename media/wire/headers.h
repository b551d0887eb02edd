/* The headers of the last RTP packets of each leg, both ways: what a capture of a call shows of its sound. They lie
 * outside the legs, so that a packet touches one line of them and nothing else; a page that no call uses costs nothing. */
#ifndef PBXD_WIRE_HEADERS_H
#define PBXD_WIRE_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rtp.h"

enum { HEADER_RECORDS = 1024, HEADER_TICK_BITS = 15 /* a tick is 2^15 ns = 32.768 us */ };

/* 16 bytes, so that ten seconds of 20 ms packets both ways fit: 28 bits of ticks (CLOCK_MONOTONIC), 4 + 7 bits of the
 * payload's length with the direction between them, then the header without its first byte. */
struct header_record {
    union {
        struct {
            uint32_t ticks_length; /* ticks << 4 | length >> 7 */
            uint8_t way_length;    /* we sent it << 7 | length & 127 */
            uint8_t header[RTP_HEADER - 1];
        };
        uint64_t words[2]; /* as it is written beside a reader */
    };
};

struct header_ring {
    struct header_record records[HEADER_RECORDS];
};

struct header_mark { /* in the leg, which a packet touches anyway */
    uint64_t count;  /* written so far; the newest is count - 1 */
    uint64_t last;   /* when that was, ns */
};

_Static_assert(sizeof(struct header_record) == 16, "Python reads these");
_Static_assert(sizeof(struct header_ring) == 16384, "whole pages, at most 16 KiB a leg");

/* One ring a leg, all of them empty; NULL: no memory. */
struct header_ring *headers_new(uint32_t legs);
void headers_free(struct header_ring *rings, uint32_t legs);

void headers_note(struct header_ring *ring, struct header_mark *mark, const uint8_t *header, size_t payload,
                  bool outward, uint64_t now);
void headers_forget(struct header_ring *ring); /* gives its pages back */

/* Copies the records before `count`, oldest first, beside the thread that writes; gives how many. Those that are written
 * over meanwhile are the first ones: one for each by which the count has moved since. */
uint32_t headers_copy(const struct header_ring *ring, uint64_t count, struct header_record *records);

#endif
