/* The pure heart of wire: packets, commands and `now` in; packets and events out. It holds no socket and reads no
 * clock, so hours of audio run in virtual time. Nothing is allocated after core_init. */
#ifndef PBXD_WIRE_CORE_H
#define PBXD_WIRE_CORE_H

#include "headers.h"
#include "heap.h"
#include "leg.h"
#include "retired.h"
#include "srtp.h"

enum channel { CHANNEL_RTP, CHANNEL_RTCP };

enum event_kind {
    EVENT_LATCHED,      /* locked to its first source: `address` */
    EVENT_RELATCHED,    /* moved to another */
    EVENT_FIRST_PACKET, /* the first valid packet of this leg */
    EVENT_SILENT,       /* nothing came for the plan's silence time */
    EVENT_RESUMED,      /* packets came again after EVENT_SILENT */
    EVENT_DTMF,         /* `a`: event code (RFC 4733 §3.2), `b`: duration in ms */
    EVENT_TALKING,      /* of a leg in a room: `a` is 1 when it began to talk, 0 when it paused */
    EVENT_PLAYED,       /* of a room: player `a` is gone, because of `b` (enum played), after `c` ms */
    EVENT_STREAM_LOW,   /* of a room: the stream of player `a` holds only `b` samples */
    EVENT_SRTP_FAILED,  /* `a` packets in a row could not be opened; `b`: 1 when they look like plain RTP. Once a key */
    EVENT_COUNT
};

struct event {
    uint32_t leg, generation; /* or room, for its own events */
    uint32_t kind, a, b, c;
    struct addr address;
    uint64_t at;
};

struct voice;
struct room;
struct mixer;
struct fax_port;

struct core {
    struct leg *legs;
    uint32_t capacity;
    uint64_t wall; /* wall clock minus `now`, ns */
    void (*emit)(void *shell, uint32_t leg, enum channel channel, const uint8_t *data, size_t length,
                 const struct addr *to);
    void (*report)(void *shell, const struct event *event);
    bool (*tap)(void *shell, uint32_t leg, bool outward, const uint8_t *data, size_t length, uint64_t now);
    void (*retire)(void *shell, struct retired *retired); /* hands back what Python allocated */
    void *shell;
    struct voice **voices; /* by leg; NULL: it is in no room */
    struct room **rooms;   /* as many as legs at most */
    struct fax_port **faxes; /* by leg; NULL: it carries none */
    struct srtp *srtp;     /* by leg: keys have no place in the table of legs, which may be a file */
    struct mixer *mixer;
    struct heap timers, room_timers;
    struct header_ring *headers; /* by leg; NULL: none are kept */
    uint64_t drops[DROP_COUNT];
    uint64_t received, sent; /* RTP packets */
};

/* Counts one. Only the thread that steps the core does; others may read the counter at any time. */
static inline void tally(uint64_t *counter) {
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

bool core_init(struct core *core, struct leg *legs, uint32_t capacity);
void core_free(struct core *core);

/* `random` seeds SSRC, sequence and timestamp of the leg. The slot must be free. */
void core_open(struct core *core, uint32_t leg, uint32_t generation, uint64_t random, uint64_t now);
void core_plan(struct core *core, uint32_t leg, const struct plan *plan, uint64_t now);
/* Changes how the leg is protected, between two packets; the ways are the core's from here on. */
void core_secure(struct core *core, uint32_t leg, const struct srtp_change *change, uint64_t now);
/* The mode must be one that mode_settable() knows; `peer` counts for MODE_RELAY only. */
void core_mode(struct core *core, uint32_t leg, enum mode mode, uint32_t peer, uint32_t peer_generation,
               uint64_t now);
void core_tap(struct core *core, uint32_t leg, bool on);
void core_close(struct core *core, uint32_t leg, uint64_t now); /* says BYE and frees the slot */

/* One datagram for an open leg. `data` may be changed and must have room for RTP_LENGTH_MAX; `length` is its true
 * length on the wire, which may be more. */
void core_receive(struct core *core, uint32_t leg, enum channel channel, uint8_t *data, size_t length,
                  const struct addr *from, uint64_t now);

uint64_t core_due(const struct core *core); /* when core_step wants to run; UINT64_MAX: never */
void core_step(struct core *core, uint64_t now);

/* For modes and the core itself. */
void core_drop(struct core *core, struct leg *leg, enum drop why);
void core_report(struct core *core, const struct leg *leg, enum event_kind kind, uint32_t a, uint32_t b, uint64_t now);
void core_schedule(struct core *core, uint32_t leg); /* after a deadline of the leg changed */
void core_send(struct core *core, uint32_t leg, const uint8_t *data, size_t length, uint64_t now);

struct leg *core_peer(struct core *core, const struct leg *leg); /* of a relay; NULL: it is gone */

static inline uint32_t core_index(const struct core *core, const struct leg *leg) {
    return (uint32_t)(leg - core->legs);
}

#endif
