#include "stream.h"

enum {
    SEQ_BEHIND = 100, SEQ_AHEAD = 3000, /* RFC 3550 §A.1 */
    HISTORY = 64,
    PATIENCE = 2, PATIENCE_MOST = 64,
};

void stream_init(struct stream *s, uint32_t clock, uint32_t rate) {
    *s = (struct stream){.clock = clock, .rate = rate, .patience = PATIENCE};
}

static uint64_t extended(const struct stream *s, uint32_t timestamp) {
    return s->line + (uint64_t)(int64_t)ts_ahead(timestamp, s->timestamp);
}

static int64_t place(const struct stream *s, uint64_t line) {
    return (int64_t)(line * s->rate / s->clock);
}

/* Whether it lies near the stream's line: within a second of the newest packet's, as the clock says. */
static bool near(const struct stream *s, const struct rtp *rtp, bool event, int64_t when) {
    int ahead = seq_ahead(rtp->seq, s->highest);
    if (rtp->ssrc != s->ssrc || ahead < -SEQ_BEHIND || ahead > SEQ_AHEAD)
        return false;
    int64_t moved = when - place(s, extended(s, rtp->timestamp)) - s->transit;
    return event || (moved < (int64_t)s->rate && moved > -(int64_t)s->rate);
}

static void begin(struct stream *s, const struct rtp *rtp, int64_t when) {
    if (s->began) {
        bool often = when - s->replaced < 10 * (int64_t)s->rate;
        s->patience = (uint8_t)(!often ? PATIENCE : s->patience < PATIENCE_MOST ? s->patience * 2 : PATIENCE_MOST);
        s->replaced = when;
    } else {
        s->replaced = when - 10 * (int64_t)s->rate;
    }
    s->began = true;
    s->ssrc = rtp->ssrc;
    s->timestamp = rtp->timestamp;
    s->line = (uint64_t)1 << 34; /* so that what lies before the first packet lies on the line as well */
    s->highest = rtp->seq;
    s->seen = 1;
    s->transit = when - place(s, s->line);
    s->heard = when;
    s->confirmed = 0;
    s->disordered = false;
}

/* One that is not the stream's: is it the next of another? */
static bool believed(struct stream *s, const struct rtp *rtp, int64_t when) {
    int32_t later = ts_ahead(rtp->timestamp, s->candidate_timestamp);
    bool next = s->confirmed && rtp->ssrc == s->candidate && (uint16_t)(rtp->seq - s->candidate_seq - 1) < 3 &&
                later >= 0 && later <= (int32_t)s->clock;
    s->confirmed = (uint8_t)(next ? s->confirmed + 1 : 1);
    s->candidate = rtp->ssrc;
    s->candidate_seq = rtp->seq;
    s->candidate_timestamp = rtp->timestamp;
    bool gone = next && when - s->heard >= (int64_t)s->rate;
    return gone || s->confirmed >= s->patience;
}

static enum judgement count(struct stream *s, uint16_t seq) {
    int ahead = seq_ahead(seq, s->highest);
    s->disordered = ahead < 0;
    if (ahead > 0) {
        s->seen = ahead < HISTORY ? s->seen << ahead | 1 : 1;
        s->highest = seq;
        return STREAM_GOES_ON;
    }
    uint64_t bit = -ahead < HISTORY ? (uint64_t)1 << -ahead : 0;
    if (s->seen & bit)
        return STREAM_DUPLICATE;
    s->seen |= bit;
    return STREAM_GOES_ON;
}

enum judgement stream_judge(struct stream *s, const struct rtp *rtp, bool event, int64_t when, int64_t *at) {
    if (!s->began || !near(s, rtp, event, when)) {
        if (event && s->began && rtp->ssrc == s->ssrc)
            return STREAM_STRANGE; /* says nothing about the line */
        if (s->began && !believed(s, rtp, when))
            return STREAM_STRANGE;
        begin(s, rtp, when);
        *at = place(s, s->line);
        return STREAM_BEGINS;
    }
    uint64_t line = extended(s, rtp->timestamp);
    *at = place(s, line);
    s->confirmed = 0;
    s->heard = when;
    if (!event) {
        s->transit = when - *at;
        s->timestamp = rtp->timestamp;
        s->line = line;
    }
    return count(s, rtp->seq);
}
