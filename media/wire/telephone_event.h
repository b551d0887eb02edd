/* Named telephone events heard on a leg (RFC 4733 §2.3): one press is reported once, whatever of it is lost, repeated,
 * out of order or without its marker. */
#ifndef PBXD_WIRE_TELEPHONE_EVENT_H
#define PBXD_WIRE_TELEPHONE_EVENT_H

#include "rtp.h"

struct telephone_event {
    uint64_t heard;     /* when its newest packet came */
    uint32_t ssrc;
    uint32_t timestamp; /* names the event that is going on */
    uint32_t before;    /* samples of its earlier segments (§2.5.1.3) */
    uint16_t duration;  /* samples of this one */
    uint8_t code;
    bool known, reported;
    uint64_t due;       /* when to report it although its end was never heard; 0: nothing to report */
};

struct heard_event {
    uint8_t code;
    uint32_t duration;
    bool report;
};

/* Takes one event packet. `heard.report` is set when an event is complete: its end came, or the next one began. */
struct heard_event telephone_event_hear(struct telephone_event *e, const struct rtp *rtp, uint64_t now);

/* Reports an event whose end packets were all lost, when `due` has come. */
struct heard_event telephone_event_expire(struct telephone_event *e);

#endif
