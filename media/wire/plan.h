/* What negotiation decided about one leg: all that signalling ever tells wire. */
#ifndef PBXD_WIRE_PLAN_H
#define PBXD_WIRE_PLAN_H

#include "addr.h"
#include "codec.h"
#include "rtp.h"

enum { LATCH_SOURCES_MAX = 4 };

struct plan {
    struct addr remote, remote_rtcp;              /* where SDP says to send; `set` is 0 when it says nowhere */
    struct addr latch_from[LATCH_SOURCES_MAX];    /* the IPs its packets may come from; ports are not looked at */
    struct codec_settings settings;               /* of our encoder */
    uint32_t dtmf_clock;                          /* of the durations of RFC 4733; 0: that of the codec */
    uint32_t silence_ms;                          /* report when nothing came for so long; 0: never */
    uint16_t jitter_min_ms, jitter_max_ms, jitter_start_ms; /* see struct hearing_settings */
    uint16_t ptime_ms;                            /* packet time we send; 0: as the packets come */
    uint8_t latch_count;
    uint8_t codec;                                /* enum codec, both ways */
    uint8_t payload_type, receive_payload_type;   /* of that codec: what we send, what we expect */
    uint8_t other_payload_type;                   /* under which the other G.711 law may come too, or PT_NONE */
    uint8_t dtmf_send, dtmf_receive;              /* RFC 4733, PT_NONE when not negotiated */
    uint8_t cn;                                   /* comfort noise, RFC 3389 */
    uint8_t sends, receives;                      /* from our side */
    uint8_t rtcp_mux;                             /* RFC 5761 */
};

static inline uint32_t plan_dtmf_clock(const struct plan *plan) {
    return plan->dtmf_clock ? plan->dtmf_clock : codec_operations((enum codec)plan->codec)->clock;
}

#endif
