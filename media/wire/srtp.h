/* SRTP and SRTCP (RFC 3711) at the edge of a leg, by libsrtp2: what comes is opened before anything reads it, what goes
 * is sealed last. Each direction of a leg works under one master key; a new key takes over between two packets.
 *
 * In the wire thread no memory is taken here but what the library itself takes: a little for each new source, and for
 * each packet where it is built upon NSS, as Debian's is. */
#ifndef PBXD_WIRE_SRTP_H
#define PBXD_WIRE_SRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drops.h"
#include "retired.h"

enum srtp_suite {
    SRTP_NONE,
    SRTP_AES_CM_128_HMAC_SHA1_80, /* RFC 4568 §6.2 */
    SRTP_AES_CM_128_HMAC_SHA1_32,
    SRTP_AES_256_CM_HMAC_SHA1_80, /* RFC 6188 */
    SRTP_AEAD_AES_128_GCM,        /* RFC 7714 */
    SRTP_SUITES
};

enum {
    SRTP_KEY_MAX = 46, /* master key and master salt */
    SRTP_MKI_MAX = 128,
    SRTP_TRAILER_MAX = 20,  /* what sealing adds: a tag of 16 octets at most, and the index of SRTCP */
    SRTP_SOURCES_MAX = 64,  /* under one key: a far side that changes its SSRC for ever must not grow us */
    SRTP_FAILURES_TOLD = 25, /* packets in a row that cannot be opened, until it is said */
};

struct srtp_key {
    uint8_t suite;      /* enum srtp_suite */
    uint8_t mki_length; /* 0: its packets carry none */
    uint8_t octets[SRTP_KEY_MAX], mki[SRTP_MKI_MAX];
};

/* One direction under one key. Made and freed on Python's thread; of the wire thread in between. */
struct srtp_way {
    struct retired retired;
    struct srtp_ctx_t_ *context;
    uint32_t sources[SRTP_SOURCES_MAX]; /* whose packets were opened under it: each keeps a replay list of its own */
    uint32_t source_count;
    uint32_t count; /* the roll-over counter that the first of them goes on with, while in doubt */
    uint8_t suite;
    bool mki;
    bool doubt; /* no packet was opened yet: the far end may count on from there, or from nought */
};

/* What of a leg's protection a plan changes. With `secured`, NULL leaves a way as it is. */
struct srtp_change {
    bool secured;
    struct srtp_way *send, *receive;
};

/* Of one leg. `before` is the receiving way before the newest: packets under it may still be under way. */
struct srtp {
    struct srtp_way *send, *receive, *before;
    uint64_t before_until; /* ns; 0: there is none */
    uint32_t failures;     /* in a row */
    bool told;             /* that this key opens nothing */
};

size_t srtp_key_length(enum srtp_suite suite); /* 0: there is no such suite */

/* A way that sends as `ssrc`, or one that receives from anybody and goes on with the counter of `ssrc` (0: of nobody).
 * NULL when the key makes no sense or memory is out. */
struct srtp_way *srtp_way_new(const struct srtp_key *key, bool sends, uint32_t ssrc);
void srtp_way_free(struct srtp_way *way); /* its keys are overwritten first */

/* `next` goes on where `old` (NULL: nothing) was: RFC 3711 §3.3.1 wants the counter kept when the key changes. */
void srtp_way_follow(struct srtp_way *next, const struct srtp_way *old);

/* Opens one packet in place. DROP_COUNT, or why it is of no use. */
enum drop srtp_open(struct srtp *srtp, bool control, uint8_t *data, size_t *length, uint64_t now);

/* Seals one packet in place; there must be room for SRTP_TRAILER_MAX more, and `data` is aligned to 8. */
enum drop srtp_seal(struct srtp *srtp, bool control, uint8_t *data, size_t *length);

#endif
