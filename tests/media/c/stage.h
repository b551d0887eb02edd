/* A stage for the core: virtual time, everything it emits and reports is kept. */
#ifndef STAGE_H
#define STAGE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "fax.h"
#include "mode.h"
#include "room.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: in %s: %s does not hold\n", __FILE__, __LINE__, __func__, #condition);             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_IS(actual, expected)                                                                                     \
    do {                                                                                                               \
        long long is_ = (long long)(actual), should_ = (long long)(expected);                                          \
        if (is_ != should_) {                                                                                          \
            fprintf(stderr, "%s:%d: in %s: %s is %lld, not %lld\n", __FILE__, __LINE__, __func__, #actual, is_,        \
                    should_);                                                                                          \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define MS 1000000ull
#define SECOND 1000000000ull

enum { STAGE_LEGS = 8, KEPT = 4096 };

struct emitted {
    uint32_t leg;
    enum channel channel;
    uint8_t data[RTP_LENGTH_MAX];
    size_t length;
    struct addr to;
    uint64_t at;
    struct rtp rtp; /* parsed, for CHANNEL_RTP */
};

struct stage {
    struct leg legs[STAGE_LEGS];
    struct core core;
    uint64_t now;
    struct emitted emitted[KEPT]; /* the newest; `emissions` counts all */
    size_t emissions, rtcp_emissions;
    struct event events[KEPT];
    size_t reports;
    struct emitted rtcp; /* the newest RTCP */
};

struct source { /* a phone that talks */
    struct addr from;
    uint32_t ssrc, timestamp;
    uint16_t seq;
    uint8_t payload_type;
    uint32_t sample; /* how many were said */
};

struct stage *stage_new(void);
void stage_free(struct stage *stage);
void stage_run_until(struct stage *stage, uint64_t at); /* deadlines on the way are kept */
struct addr stage_addr(const char *ip, uint16_t port);
/* A leg that talks PCMU with 192.0.2.<leg+1>:4000; change the plan and apply it again as you like. */
struct plan stage_open(struct stage *stage, uint32_t leg);
void stage_plan(struct stage *stage, uint32_t leg, const struct plan *plan);
void stage_mode(struct stage *stage, uint32_t leg, enum mode mode, uint32_t peer);
void stage_bridge(struct stage *stage, uint32_t a, uint32_t b);

struct source source_of(const struct plan *plan);
/* What sample number `sample` of every source sounds like: never the same within a second. */
uint8_t sound(uint32_t sample);
/* The source's next packet, or its loss. */
void source_skip(struct source *source, uint16_t samples);
void source_say(struct stage *stage, uint32_t leg, struct source *source, uint16_t samples);
void stage_say(struct stage *stage, uint32_t leg, const struct addr *from, uint8_t payload_type, bool marker,
               uint16_t seq, uint32_t timestamp, uint32_t ssrc, const uint8_t *payload, size_t length);
void stage_datagram(struct stage *stage, uint32_t leg, enum channel channel, const struct addr *from,
                    const uint8_t *data, size_t length);

const struct emitted *stage_newest(const struct stage *stage);
/* RTP packets emitted, the `back`-th before the newest (0: the newest). */
const struct emitted *stage_back(const struct stage *stage, size_t back);
size_t stage_reported(const struct stage *stage, enum event_kind kind);

#endif
