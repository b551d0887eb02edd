#include "receiver.h"

enum { MAX_DROPOUT = 3000, MAX_MISORDER = 100, SEQ_MOD = 1 << 16, NO_BAD = SEQ_MOD + 1 };
static const uint64_t OLD_SOURCE_TIME = 200000000u; /* stragglers of a replaced source come within this */

static uint32_t extended(const struct receiver *r) {
    return r->cycles + r->highest;
}

static uint32_t source_expected(const struct receiver *r) {
    return r->started ? extended(r) - r->base + 1 : 0;
}

uint32_t receiver_bursts(const struct receiver *r) {
    return r->bursts + (r->missing > 0);
}

uint32_t receiver_longest_burst(const struct receiver *r) {
    return r->missing > r->longest ? r->missing : r->longest;
}

static void open_gap(struct receiver *r, uint16_t end, uint16_t width) {
    r->longest = receiver_longest_burst(r);
    r->bursts = receiver_bursts(r);
    r->gap_end = end;
    r->gap = r->missing = width;
}

static void begin(struct receiver *r, uint16_t seq) {
    open_gap(r, seq, 0);
    r->expected += source_expected(r);
    r->arrived += r->received;
    r->base = r->highest = seq;
    r->cycles = 0;
    r->bad = NO_BAD;
    r->received = 0;
    r->expected_before = r->received_before = 0;
    r->timed = false;
    r->started = true;
    r->epoch++;
}

/* RFC 3550 §A.1, without its probation: the latch and the payload type have judged the source already. */
static enum arrival follow(struct receiver *r, uint16_t seq) {
    uint16_t ahead = (uint16_t)(seq - r->highest);
    if (ahead < MAX_DROPOUT) {
        if (seq < r->highest)
            r->cycles += SEQ_MOD;
        r->highest = seq;
        if (ahead > 1)
            open_gap(r, seq, (uint16_t)(ahead - 1));
    } else if (ahead <= SEQ_MOD - MAX_MISORDER) {
        if (seq != r->bad) {
            r->bad = (uint16_t)(seq + 1);
            return ARRIVAL_STRAY;
        }
        begin(r, seq); /* two in a row: the source restarted without saying so */
        return ARRIVAL_RESTARTED;
    } else if (r->missing && (uint16_t)(r->gap_end - 1 - seq) < r->gap) {
        r->missing--; /* late, not lost */
    }
    return ARRIVAL_NEXT;
}

static enum arrival place(struct receiver *r, const struct rtp *rtp, uint64_t now) {
    if (!r->started) {
        r->ssrc = rtp->ssrc;
        begin(r, rtp->seq);
        return ARRIVAL_FIRST;
    }
    if (rtp->ssrc == r->ssrc)
        return follow(r, rtp->seq);
    if (r->replaced && rtp->ssrc == r->old_ssrc && now - r->replaced < OLD_SOURCE_TIME &&
        now - r->heard < OLD_SOURCE_TIME) {
        r->replaced = now; /* two streams at once would take turns; the newer one stays while it goes on */
        return ARRIVAL_OLD_SOURCE;
    }
    r->old_ssrc = r->ssrc;
    r->replaced = now;
    r->ssrc = rtp->ssrc;
    begin(r, rtp->seq);
    return ARRIVAL_NEW_SOURCE;
}

void receiver_set_clock(struct receiver *r, uint32_t clock) {
    if (r->clock && r->clock != clock) {
        r->jitter = (uint32_t)((uint64_t)r->jitter * clock / r->clock);
        r->jitter_max = (uint32_t)((uint64_t)r->jitter_max * clock / r->clock);
        r->timed = false;
    }
    r->clock = clock;
}

/* RFC 3550 §A.8 */
static void measure_jitter(struct receiver *r, uint32_t timestamp, uint64_t now) {
    uint32_t transit = ticks_of(now, r->clock) - timestamp;
    uint32_t change = (uint32_t)(ts_ahead(transit, r->transit) < 0 ? r->transit - transit : transit - r->transit);
    r->transit = transit;
    if (!r->timed || change > r->clock) { /* by more than a second: the source's clock was set, that is no jitter */
        r->timed = true;
        return;
    }
    r->jitter += change - ((r->jitter + 8) >> 4);
    if (r->jitter > r->jitter_max)
        r->jitter_max = r->jitter;
}

enum arrival receiver_count(struct receiver *r, const struct rtp *rtp, bool audio, uint64_t now) {
    enum arrival arrival = place(r, rtp, now);
    if (arrival == ARRIVAL_STRAY || arrival == ARRIVAL_OLD_SOURCE)
        return arrival;
    r->received++;
    r->packets++;
    r->octets += rtp->length;
    r->heard = now;
    if (audio)
        measure_jitter(r, rtp->timestamp, now);
    return arrival;
}

void receiver_report(struct receiver *r, struct loss *loss) {
    uint32_t expected = source_expected(r);
    int64_t lost = (int64_t)expected - r->received;
    uint32_t expected_interval = expected - r->expected_before;
    uint32_t received_interval = r->received - r->received_before;
    int64_t lost_interval = (int64_t)expected_interval - received_interval;
    r->expected_before = expected;
    r->received_before = r->received;
    int64_t fraction = expected_interval == 0 || lost_interval <= 0 ? 0 : (lost_interval << 8) / expected_interval;
    loss->fraction = (uint8_t)(fraction > 255 ? 255 : fraction);
    loss->lost = (int32_t)(lost > 0x7fffff ? 0x7fffff : lost < -0x800000 ? -0x800000 : lost);
    loss->highest = extended(r);
}

uint64_t receiver_expected(const struct receiver *r) {
    return r->expected + source_expected(r);
}

uint64_t receiver_lost(const struct receiver *r) {
    uint64_t expected = receiver_expected(r), arrived = r->arrived + r->received;
    return expected > arrived ? expected - arrived : 0;
}
