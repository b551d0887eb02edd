/* The jitter buffer's two halves: the packets that wait, in order, and the estimate of how long they should. */
#ifndef PBXD_WIRE_JITTER_H
#define PBXD_WIRE_JITTER_H

#include <stdbool.h>

#include "rtp.h"

enum {
    JITTER_SLOTS = 128, /* a power of two: packets in a row that can wait */
    JITTER_CHUNK = 80,  /* octets: 10 ms of G.711 */
    JITTER_CHUNKS = 400,
    JITTER_WINDOWS = 16,
};

struct jitter_packet {
    int64_t at;       /* place of its first sample on the stream's line, in samples */
    uint16_t seq, length, samples;
    uint16_t first;   /* chunk */
    uint8_t kind;     /* enum packet_kind */
    bool held;
};

struct jitter {
    uint16_t low, high; /* sequence numbers of the first and the last that wait, when `count` */
    uint16_t count;
    uint16_t free, free_count;
    uint16_t next[JITTER_CHUNKS];
    struct jitter_packet packets[JITTER_SLOTS];
    uint8_t chunks[JITTER_CHUNKS][JITTER_CHUNK];
};

void jitter_clear(struct jitter *j);
/* Keeps a copy. False when there is no room for it, or when its number is too far from the others'. */
bool jitter_put(struct jitter *j, const struct jitter_packet *packet, const uint8_t *payload);
/* The first that waits; NULL: none. */
const struct jitter_packet *jitter_head(const struct jitter *j);
/* The one with this number; NULL: it is not here. */
const struct jitter_packet *jitter_find(const struct jitter *j, uint16_t seq);
/* Copies the payload to `to`, which has room for RTP_LENGTH_MAX. Returns its length. */
size_t jitter_copy(const struct jitter *j, const struct jitter_packet *packet, uint8_t *to);
void jitter_drop(struct jitter *j); /* the head */

/* How late packets come, over the last JITTER_WINDOWS half seconds. A transit is the time of arrival minus the place on
 * the stream's line, in samples: its zero is arbitrary, its spread is the jitter, its trend the clocks' drift. */
struct delay {
    struct {
        int64_t low, high;
    } windows[JITTER_WINDOWS];
    int64_t began;    /* the newest window */
    int64_t low;      /* of all windows */
    int64_t high;     /* of all but the worst one: a single spike in eight seconds is not worth waiting for */
    uint8_t used, newest;
};

void delay_clear(struct delay *d);
void delay_note(struct delay *d, int64_t transit, int64_t when, int32_t window);

#endif
