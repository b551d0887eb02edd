/* Symmetric RTP (RFC 4961) behind NAT: whose packets a leg takes, and where it therefore sends.
 *
 *   unlocked --a source of an allowed IP--> weak --the exact SDP address--> strong
 *       \------------------the exact SDP address-------------------------->/
 *
 * Once locked only that ip:port is taken. Another allowed source may take over when the locked one has been silent
 * for 3 s and the newcomer sent 3 packets of one synchronisation source in a row. A plan that changes the remote unlocks.
 *
 * Allowed are whole IPs, and behind one there may be many hosts. Against those who throw packets at every port: a lock
 * holds 3 s of silence only when its source has shown that it talks; before that 200 ms. And who was silent while another
 * took over (a phone that sends nothing in pauses) has its place back after 3 packets, whatever the other does, once. */
#ifndef PBXD_WIRE_LATCH_H
#define PBXD_WIRE_LATCH_H

#include "plan.h"

enum lock { LOCK_NONE, LOCK_WEAK, LOCK_STRONG };

enum latch_verdict { LATCH_ACCEPT, LATCH_LOCKED, LATCH_MOVED, LATCH_REFUSE };

struct latch {
    struct addr source;    /* who we are locked to */
    struct addr candidate; /* who tries to take over */
    struct addr previous;  /* who talked before another took over; `set` is 0 when nobody did */
    uint64_t heard;        /* when the locked source last sent, ns */
    uint32_t candidate_ssrc;
    uint8_t candidate_count;
    uint8_t lock;          /* enum lock */
    uint8_t talked;        /* packets of the locked source, as far as it matters */
    uint8_t moved_before;  /* it was locked once: the next lock is a move */
};

bool latch_allows(const struct plan *plan, const struct addr *source); /* by IP, or the exact SDP address */

/* Judges the source of one valid RTP packet. LOCKED and MOVED accept it too. */
enum latch_verdict latch_judge(struct latch *latch, const struct plan *plan, const struct addr *source, uint32_t ssrc,
                               uint64_t now);

/* Unlocks when `next` names another remote, or no longer allows the locked source. */
void latch_replan(struct latch *latch, const struct plan *before, const struct plan *next);

/* Where to send: the locked source, else what SDP said. NULL when neither is known. */
static inline const struct addr *latch_target(const struct latch *latch, const struct plan *plan) {
    if (!plan->remote.set)
        return NULL;
    return latch->lock != LOCK_NONE ? &latch->source : &plan->remote;
}

#endif
