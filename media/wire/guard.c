#include "guard.h"

void guard_init(struct guard *guard, uint64_t secret) {
    memset(guard, 0, sizeof *guard);
    guard->secret = secret | 1;
    bans_init(&guard->bans, secret);
    bans_init(&guard->slowed, secret);
    guard->newcomers.tokens = GUARD_NEWCOMERS_BURST;
    guard->loopback_exempt = true;
}

/* ---- trust */

enum trust { TRUST_NONE, TRUST_LIMITED, TRUST_FULL };

static bool within(const struct network *network, const struct addr *source) {
    unsigned bytes = network->prefix / 8, bits = network->prefix % 8;
    if (memcmp(network->ip, source->ip, bytes) != 0 || (network->prefix < BAN_IPV4 && addr_is_ipv4(source)))
        return false; /* IPv4 is mapped into ::/0, but was not meant by it */
    return !bits || (network->ip[bytes] ^ source->ip[bytes]) >> (8 - bits) == 0;
}

static enum trust trust_in(const struct guard *guard, const struct addr *source) {
    enum trust trust = guard->loopback_exempt && addr_is_loopback(source) ? TRUST_FULL : TRUST_NONE;
    for (uint32_t i = 0; i < guard->trusted_count && trust != TRUST_FULL; i++)
        if (within(&guard->trusted[i].network, source))
            trust = guard->trusted[i].limited ? TRUST_LIMITED : TRUST_FULL;
    return trust;
}

bool guard_trust(struct guard *guard, const struct addr *ip, unsigned prefix, bool limited) {
    if (guard->trusted_count == GUARD_TRUSTED_MAX || prefix > BAN_HOST)
        return false;
    guard->trusted[guard->trusted_count++] = (struct trusted){network_of(ip, prefix), limited};
    return true;
}

void guard_distrust_all(struct guard *guard) {
    guard->trusted_count = 0;
}

/* ---- bans */

void guard_ban(struct guard *guard, const struct network *network, uint16_t number) {
    __atomic_store_n(&guard->hits[number], 0, __ATOMIC_RELAXED);
    bans_add(&guard->bans, network, number);
}

/* ---- buckets */

static bool take(struct bucket *bucket, double rate, double burst, uint64_t now) {
    bucket->tokens += (double)(now - bucket->seen) * 1e-9 * rate;
    if (bucket->tokens > burst)
        bucket->tokens = burst;
    bucket->seen = now;
    if (bucket->tokens < 1)
        return false;
    bucket->tokens -= 1;
    return true;
}

/* NULL: it has none, and the newcomers have used up what they may. */
static struct bucket *bucket_of(struct guard *guard, const uint8_t key[16], double burst, uint64_t now) {
    struct bucket *set = guard->buckets[addr_hash(key, guard->secret) % GUARD_SETS];
    struct bucket *oldest = set;
    for (int way = 0; way < GUARD_WAYS; way++) {
        if (set[way].seen && memcmp(set[way].ip, key, 16) == 0)
            return &set[way];
        if (set[way].seen < oldest->seen)
            oldest = &set[way];
    }
    if (!take(&guard->newcomers, GUARD_NEWCOMERS_RATE, GUARD_NEWCOMERS_BURST, now))
        return NULL;
    memcpy(oldest->ip, key, 16);
    oldest->tokens = burst;
    oldest->seen = now;
    return oldest;
}

static bool spend(struct guard *guard, const struct addr *source, bool slowed, uint64_t now) {
    uint8_t key[16];
    double rate = slowed ? guard->slow_rate : guard->rate, burst = slowed ? guard->slow_burst : guard->burst;
    memcpy(key, source->ip, 16);
    if (!addr_is_ipv4(source))
        memset(key + 8, 0, 8);
    struct bucket *bucket = bucket_of(guard, key, burst, now);
    return bucket && take(bucket, rate, burst, now);
}

enum guard_verdict guard_judge(struct guard *guard, const struct addr *source, uint64_t now) {
    enum trust trust = trust_in(guard, source);
    bool slowed = false;
    if (trust == TRUST_FULL)
        return GUARD_PASS;
    if (trust == TRUST_NONE) {
        int number = guard->bans.count ? bans_find(&guard->bans, source) : -1;
        if (number >= 0) {
            __atomic_store_n(&guard->hits[number], guard->hits[number] + 1, __ATOMIC_RELAXED);
            return GUARD_BANNED;
        }
        slowed = guard->slowed.count && bans_find(&guard->slowed, source) >= 0;
    }
    return (guard->rate <= 0 && !slowed) || spend(guard, source, slowed, now) ? GUARD_PASS : GUARD_RATE;
}
