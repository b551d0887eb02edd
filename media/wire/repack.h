/* Samples waiting to be cut into packets of another length. One byte is one sample in both laws. */
#ifndef PBXD_WIRE_REPACK_H
#define PBXD_WIRE_REPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REPACK_CAPACITY = 960 }; /* 60 ms in hand and 60 ms arriving */

struct repack {
    uint64_t due;       /* when it wants to be looked at; 0: not at all */
    uint64_t tail;      /* when to give up waiting for a whole packet */
    uint64_t last;      /* when its last packet was due */
    uint32_t timestamp; /* of the first sample that waits */
    uint16_t fill, first;
    uint16_t in_seq;    /* the feed's newest sequence number */
    uint8_t odd;        /* packets in a row of another length, while passing them as they come */
    bool active, marker;
    uint8_t samples[REPACK_CAPACITY];
};

static inline uint32_t repack_end(const struct repack *r) {
    return r->timestamp + r->fill;
}

static inline void repack_start(struct repack *r, uint32_t timestamp) {
    r->timestamp = timestamp;
    r->fill = r->first = 0;
    r->due = 0;
}

/* Appends what fits and returns how much that was. */
size_t repack_push(struct repack *r, const uint8_t *samples, size_t count);

/* Takes up to `count` samples out into `to`; returns how many. Their timestamp is the one before the call. */
size_t repack_pull(struct repack *r, uint8_t *to, size_t count);

#endif
