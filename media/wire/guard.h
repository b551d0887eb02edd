/* Who may speak to the SIP sockets at all: bans and one token bucket a source, before the interpreter sees a byte. */
#ifndef PBXD_WIRE_GUARD_H
#define PBXD_WIRE_GUARD_H

#include "bans.h"

enum {
    GUARD_TRUSTED_MAX = 512,
    GUARD_SETS = 2048, /* buckets lie in sets; within a set the one that rested longest makes room */
    GUARD_WAYS = 8,
    /* Sources that have no bucket share one: a second, and at once. Whoever invents a source for each datagram finds its
     * end, and does not drive those who have one out of the table. Ten thousand phones come back within seconds. */
    GUARD_NEWCOMERS_RATE = 1000,
    GUARD_NEWCOMERS_BURST = 4000,
};

enum guard_verdict { GUARD_PASS, GUARD_BANNED, GUARD_RATE };

struct bucket {
    uint8_t ip[16];
    uint64_t seen; /* ns; 0: unused */
    double tokens;
};

struct trusted {
    struct network network;
    bool limited; /* beyond bans, but its bucket counts */
};

struct guard {
    double rate, burst;           /* datagrams a second, and at once; rate 0: no limit */
    double slow_rate, slow_burst; /* the same for who is slowed */
    bool loopback_exempt;
    uint32_t trusted_count;
    uint64_t secret; /* so that nobody can aim at one set */
    struct trusted trusted[GUARD_TRUSTED_MAX];
    uint64_t hits[BANS_MAX]; /* datagrams dropped, by the number of the ban */
    struct bans bans, slowed;
    struct bucket newcomers;
    struct bucket buckets[GUARD_SETS][GUARD_WAYS];
};

void guard_init(struct guard *guard, uint64_t secret);

/* Trusted networks pass always, and are never slowed; those that are limited have a bucket all the same. An IPv6 source has its bucket by /64, which is what one customer gets. */
enum guard_verdict guard_judge(struct guard *guard, const struct addr *source, uint64_t now);

bool guard_trust(struct guard *guard, const struct addr *ip, unsigned prefix, bool limited); /* false: no room */
void guard_distrust_all(struct guard *guard);
/* `number`, below BANS_MAX, is nobody else's; its hits begin at 0. */
void guard_ban(struct guard *guard, const struct network *network, uint16_t number);

#endif
