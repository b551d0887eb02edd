/* One leg: plain values without pointers, so that the table of legs can lie in a mapped file and a new process can take
 * it up. Sockets are the process's own and lie elsewhere. */
#ifndef PBXD_WIRE_LEG_H
#define PBXD_WIRE_LEG_H

#include "addr.h"
#include "drops.h"
#include "g711.h"
#include "latch.h"
#include "plan.h"
#include "receiver.h"
#include "repack.h"
#include "rtcp.h"
#include "sender.h"
#include "headers.h"
#include "telephone_event.h"

/* What feeds a leg. The names are for good; which of them this build can set is for mode.c to say. */
enum mode { MODE_IDLE, MODE_ECHO, MODE_RELAY, MODE_RING, MODE_MIX, MODE_MODEM, MODE_T38, MODE_COUNT };

struct leg {
    uint32_t generation; /* of this use of the slot; 0: free */
    uint32_t peer;       /* MODE_RELAY: who gets what this leg hears */
    uint32_t peer_generation;
    uint8_t mode;
    uint8_t planned;     /* a plan was applied */
    uint8_t silent;      /* silence was reported */
    uint8_t tapped;      /* somebody listens in: packets both ways are copied */
    uint64_t listening;  /* since when packets are expected, ns */
    struct header_mark headers;
    struct plan plan; /* from here to the receiver: what every packet touches, close together */
    struct latch latch;
    struct sender sender;
    struct receiver receiver;
    struct telephone_event event;
    struct rtcp rtcp;
    uint32_t drops[DROP_sip_empty]; /* by name: those that concern a leg come first */
    struct repack repack;
};

_Static_assert(sizeof(struct leg) <= 2048, "800 calls should not need more than 4 MB of legs");
_Static_assert(offsetof(struct leg, repack) % sizeof(uint64_t) == 0, "statistics are copied word by word");

struct leg_table {
    struct leg *legs;
    uint32_t capacity;
    void *map;
    size_t size;
    int lock; /* of the file; -1 when it has no name */
};

/* Maps the file at `path`, or anonymous memory when it is NULL; what it held is forgotten. 0 or errno: EWOULDBLOCK when
 * another process has it, ENOSPC when its file system has no room (later that would be a fault amid a call). */
int leg_table_open(struct leg_table *table, const char *path, uint32_t capacity);
void leg_table_close(struct leg_table *table);

#endif
