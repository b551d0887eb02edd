#include "telephone_event.h"

enum { END = 0x80, BEHIND_MAX = 96000 /* farther back is a clock that was set, not a packet on its way */ };
static const uint64_t LOST_END = 500000000u;
static const uint64_t STRAGGLER = 1000000000u; /* nothing is on its way for longer */

static struct heard_event report(struct telephone_event *e) {
    struct heard_event heard = {.code = e->code, .duration = e->before + e->duration};
    heard.report = e->known && !e->reported;
    e->reported = true;
    e->due = 0;
    return heard;
}

/* A packet of an event that another one followed already. */
static bool is_straggler(const struct telephone_event *e, const struct rtp *rtp, uint64_t now) {
    int32_t ahead = ts_ahead(rtp->timestamp, e->timestamp);
    return e->known && rtp->ssrc == e->ssrc && ahead < 0 && ahead > -BEHIND_MAX && now - e->heard < STRAGGLER;
}

/* The next segment of an event that outlasted the field of its duration. */
static bool continues(const struct telephone_event *e, const struct rtp *rtp) {
    return e->known && !e->reported && rtp->payload[0] == e->code && rtp->ssrc == e->ssrc &&
           e->duration == UINT16_MAX && rtp->timestamp == e->timestamp + UINT16_MAX;
}

static void begin(struct telephone_event *e, const struct rtp *rtp) {
    *e = (struct telephone_event){
        .ssrc = rtp->ssrc, .timestamp = rtp->timestamp, .code = rtp->payload[0], .known = true};
}

/*  0                   1                   2                   3
 * |     event     |E|R| volume    |          duration             | */
struct heard_event telephone_event_hear(struct telephone_event *e, const struct rtp *rtp, uint64_t now) {
    struct heard_event heard = {0};
    if (rtp->length < 4 || is_straggler(e, rtp, now))
        return heard;
    bool same = e->known && e->ssrc == rtp->ssrc && e->timestamp == rtp->timestamp && e->code == rtp->payload[0];
    if (!same && continues(e, rtp)) {
        e->before += e->duration;
        e->duration = 0;
        e->timestamp = rtp->timestamp;
    } else if (!same) {
        heard = report(e);
        begin(e, rtp);
    }
    e->heard = now;
    uint16_t duration = read16(rtp->payload + 2);
    if (duration > e->duration)
        e->duration = duration;
    if (e->reported)
        return heard;
    e->due = now + LOST_END;
    return rtp->payload[1] & END && !heard.report ? report(e) : heard;
}

struct heard_event telephone_event_expire(struct telephone_event *e) {
    return report(e);
}
