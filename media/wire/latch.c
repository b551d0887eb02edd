#include "latch.h"

enum { TAKEOVER_PACKETS = 3, TALKS = 10 };
static const uint64_t TAKEOVER_SILENCE = 3000000000u;
static const uint64_t FALSE_START_SILENCE = 200000000u;

static bool is_exact(const struct plan *plan, const struct addr *source) {
    return plan->remote.set && addr_same(&plan->remote, source);
}

bool latch_allows(const struct plan *plan, const struct addr *source) {
    if (is_exact(plan, source))
        return true;
    for (int i = 0; i < plan->latch_count; i++)
        if (addr_same_ip(&plan->latch_from[i], source))
            return true;
    return false;
}

static enum latch_verdict lock_to(struct latch *latch, const struct plan *plan, const struct addr *source,
                                  uint64_t now) {
    bool moved = latch->moved_before && !addr_same(&latch->source, source);
    bool talked = latch->lock != LOCK_NONE && latch->talked >= TALKS;
    bool returns = latch->previous.set && addr_same(&latch->previous, source);
    latch->previous = latch->source;
    latch->previous.set = talked && !returns && !is_exact(plan, source);
    latch->talked = 1;
    latch->source = *source;
    latch->lock = is_exact(plan, source) ? LOCK_STRONG : LOCK_WEAK;
    latch->heard = now;
    latch->candidate_count = 0;
    latch->moved_before = true;
    return moved ? LATCH_MOVED : LATCH_LOCKED;
}

/* Counts the packets in a row of one newcomer; true when it may take over. */
static bool takes_over(struct latch *latch, const struct addr *source, uint32_t ssrc) {
    bool same = latch->candidate_count && addr_same(&latch->candidate, source) && latch->candidate_ssrc == ssrc;
    if (!same) {
        latch->candidate = *source;
        latch->candidate_ssrc = ssrc;
        latch->candidate_count = 0;
    }
    return ++latch->candidate_count >= TAKEOVER_PACKETS;
}

/* Whether the locked source has been silent for so long that `source` may try. */
static bool may_try(const struct latch *latch, const struct addr *source, uint64_t now) {
    uint64_t patience = latch->talked >= TALKS ? TAKEOVER_SILENCE : FALSE_START_SILENCE;
    return now - latch->heard >= patience || (latch->previous.set && addr_same(&latch->previous, source));
}

static void hear(struct latch *latch, uint64_t now) {
    latch->heard = now;
    if (latch->talked < TALKS)
        latch->talked++;
    if (!latch->previous.set || !addr_same(&latch->previous, &latch->candidate))
        latch->candidate_count = 0;
}

enum latch_verdict latch_judge(struct latch *latch, const struct plan *plan, const struct addr *source, uint32_t ssrc,
                               uint64_t now) {
    if (latch->lock != LOCK_NONE && addr_same(&latch->source, source)) {
        hear(latch, now);
        return LATCH_ACCEPT;
    }
    if (!latch_allows(plan, source))
        return LATCH_REFUSE;
    if (latch->lock == LOCK_NONE || (latch->lock == LOCK_WEAK && is_exact(plan, source)))
        return lock_to(latch, plan, source, now);
    if (may_try(latch, source, now) && takes_over(latch, source, ssrc))
        return lock_to(latch, plan, source, now);
    return LATCH_REFUSE;
}

void latch_replan(struct latch *latch, const struct plan *before, const struct plan *next) {
    bool same_remote = before->remote.set == next->remote.set && addr_same(&before->remote, &next->remote);
    if (latch->lock == LOCK_NONE || (same_remote && latch_allows(next, &latch->source)))
        return;
    latch->lock = LOCK_NONE;
    latch->candidate_count = 0;
    latch->previous.set = 0;
}
