/* A phone under SRTP, for the stage: it says sealed packets and opens what it is sent. */
#ifndef FAR_H
#define FAR_H

#include "stage.h"

struct far {
    uint32_t leg;
    struct source source;
    struct srtp srtp;
    struct srtp_key send, receive; /* from its own side */
};

struct srtp_key far_key(enum srtp_suite suite, uint8_t number);
/* Opens the leg and agrees on keys; the leg is left idle. */
struct far far_open(struct stage *stage, uint32_t leg, enum srtp_suite suite);
void far_close(struct far *far);
/* The house takes up keys: NULL leaves that way as it is. Both are from the side of the phone. */
void far_agree(struct stage *stage, uint32_t leg, const struct srtp_key *send, const struct srtp_key *receive);
/* The phone works under another key from now on, with a context of its own. */
void far_take_send_key(struct far *far, const struct srtp_key *key);

/* The next packet, sealed but not sent; its length. `to` has room for RTP_LENGTH_MAX. */
size_t far_packet(struct far *far, uint8_t *to);
void far_send(struct stage *stage, const struct far *far, const uint8_t *packet, size_t length);
void far_say(struct stage *stage, struct far *far);
/* Opens what the house sent `back` packets ago, in place. */
enum drop far_open_heard(struct stage *stage, struct far *far, size_t back, struct rtp *rtp);
/* The newest that was sent is the very sound of `source`, `ago` packets before its next. */
void far_check_heard(struct stage *stage, struct far *far, const struct source *source, uint32_t ago);

#endif
