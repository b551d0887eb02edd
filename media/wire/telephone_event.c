#include "telephone_event.h"

static const uint64_t LOST_END = 500000000u;

static struct heard_event report(struct telephone_event *e) {
    struct heard_event heard = {.code = e->code, .duration = e->duration, .report = e->known && !e->reported};
    e->reported = true;
    e->due = 0;
    return heard;
}

/*  0                   1                   2                   3
 * |     event     |E|R| volume    |          duration             | */
struct heard_event telephone_event_hear(struct telephone_event *e, const struct rtp *rtp, uint64_t now) {
    struct heard_event heard = {0};
    if (rtp->length < 4)
        return heard;
    bool end = rtp->payload[1] & 0x80;
    bool same = e->known && e->timestamp == rtp->timestamp && e->code == rtp->payload[0];
    if (!same && e->known && ts_ahead(rtp->timestamp, e->timestamp) < 0 && now < e->due)
        return heard; /* a straggler of the event before */
    if (!same) {
        heard = report(e);
        *e = (struct telephone_event){.timestamp = rtp->timestamp, .code = rtp->payload[0], .known = true};
    }
    uint16_t duration = read16(rtp->payload + 2);
    if (duration > e->duration)
        e->duration = duration;
    if (e->reported)
        return heard;
    e->due = now + LOST_END;
    return end && !heard.report ? report(e) : heard;
}

struct heard_event telephone_event_expire(struct telephone_event *e) {
    return report(e);
}
