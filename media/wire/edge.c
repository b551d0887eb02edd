#include "edge.h"

#include <string.h>

enum { PLAIN_SAMPLES = 80 };
static const uint64_t KEY_GRACE = 1000000000; /* ns: how long packets under the key before are still opened */

/* ---- keys */

static void retire_way(struct core *core, struct srtp_way **way) {
    if (*way)
        core->retire(core->shell, &(*way)->retired);
    *way = NULL;
}

static void forget_before(struct core *core, struct srtp *srtp) {
    retire_way(core, &srtp->before);
    srtp->before_until = 0;
}

static void unsecure(struct core *core, struct srtp *srtp) {
    retire_way(core, &srtp->send);
    retire_way(core, &srtp->receive);
    forget_before(core, srtp);
    *srtp = (struct srtp){0};
}

static void take_key(struct core *core, struct srtp *srtp, struct srtp_way *receive, uint64_t now) {
    srtp_way_follow(receive, srtp->receive);
    forget_before(core, srtp);
    srtp->before = srtp->receive;
    srtp->before_until = srtp->before ? now + KEY_GRACE : 0;
    srtp->receive = receive;
    srtp->failures = 0;
    srtp->told = false;
}

void core_secure(struct core *core, uint32_t index, const struct srtp_change *change, uint64_t now) {
    struct srtp *srtp = &core->srtp[index];
    if (!change->secured)
        unsecure(core, srtp);
    if (change->receive)
        take_key(core, srtp, change->receive, now);
    if (change->send) {
        srtp_way_follow(change->send, srtp->send);
        retire_way(core, &srtp->send);
        srtp->send = change->send;
    }
    core_schedule(core, index);
}

void edge_clear(struct core *core, uint32_t index) {
    unsecure(core, &core->srtp[index]);
}

void edge_step(struct core *core, uint32_t index, uint64_t now) {
    struct srtp *srtp = &core->srtp[index];
    if (srtp->before && now >= srtp->before_until)
        forget_before(core, srtp);
}

/* ---- packets */

void edge_emit(struct core *core, uint32_t index, enum channel channel, bool control, const uint8_t *data,
               size_t length, const struct addr *to) {
    _Alignas(8) uint8_t sealed[RTP_LENGTH_MAX + SRTP_TRAILER_MAX];
    if (core->srtp[index].send) {
        memcpy(sealed, data, length);
        enum drop why = srtp_seal(&core->srtp[index], control, sealed, &length);
        if (why != DROP_COUNT) {
            core_drop(core, &core->legs[index], why);
            return;
        }
        data = sealed;
    }
    core->emit(core->shell, index, channel, data, length, to);
}

/* Sample-based sound of whole 10 ms is what SRTP, with its tag, never looks like. */
static bool looks_plain(const struct leg *leg, uint8_t *data, size_t length) {
    struct rtp rtp;
    return codec_cuttable((enum codec)leg->plan.codec) && rtp_parse(&rtp, data, length) &&
           rtp.payload_type == leg->plan.receive_payload_type && rtp.length && rtp.length % PLAIN_SAMPLES == 0;
}

/* Whether an address has anything to do with this leg: of others nothing is worth a cipher. */
static bool may_come(const struct leg *leg, bool control, const struct addr *from) {
    bool known = leg->latch.lock != LOCK_NONE && addr_same_ip(&leg->latch.source, from);
    bool named = control && leg->plan.remote_rtcp.set && addr_same(&leg->plan.remote_rtcp, from);
    return known || named || latch_allows(&leg->plan, from);
}

bool edge_open(struct core *core, struct leg *leg, bool control, uint8_t *data, size_t *length,
               const struct addr *from, uint64_t now) {
    struct srtp *srtp = &core->srtp[core_index(core, leg)];
    if (!srtp->receive)
        return true;
    if (!may_come(leg, control, from)) {
        core_drop(core, leg, control ? DROP_rtcp_elsewhere : DROP_elsewhere);
        return false;
    }
    enum drop why = srtp_open(srtp, control, data, length, now);
    if (why == DROP_COUNT)
        return true;
    bool plain = why == DROP_srtp_auth && !control && looks_plain(leg, data, *length);
    core_drop(core, leg, plain ? DROP_srtp_missing : why);
    if (srtp->failures >= SRTP_FAILURES_TOLD && !srtp->told) {
        srtp->told = true;
        core_report(core, leg, EVENT_SRTP_FAILED, srtp->failures, plain, now);
    }
    return false;
}
