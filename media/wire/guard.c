#include "guard.h"

void guard_init(struct guard *guard, uint64_t secret) {
    memset(guard, 0, sizeof *guard);
    guard->secret = secret | 1;
    bans_init(&guard->bans, secret);
    guard->newcomers.tokens = GUARD_NEWCOMERS_BURST;
    guard->loopback_exempt = true;
}

/* ---- trust */

static bool within(const struct network *network, const struct addr *source) {
    unsigned bytes = network->prefix / 8, bits = network->prefix % 8;
    if (memcmp(network->ip, source->ip, bytes) != 0 || (network->prefix < 96 && addr_is_ipv4(source)))
        return false; /* IPv4 is mapped into ::/0, but was not meant by it */
    return !bits || (network->ip[bytes] ^ source->ip[bytes]) >> (8 - bits) == 0;
}

static bool trusts(const struct guard *guard, const struct addr *source) {
    if (guard->loopback_exempt && addr_is_loopback(source))
        return true;
    for (uint32_t i = 0; i < guard->trusted_count; i++)
        if (within(&guard->trusted[i], source))
            return true;
    return false;
}

bool guard_trust(struct guard *guard, const struct addr *ip, unsigned prefix) {
    if (guard->trusted_count == GUARD_TRUSTED_MAX || prefix > 128)
        return false;
    struct network *network = &guard->trusted[guard->trusted_count++];
    memcpy(network->ip, ip->ip, 16);
    network->prefix = (uint8_t)prefix;
    return true;
}

void guard_distrust_all(struct guard *guard) {
    guard->trusted_count = 0;
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
static struct bucket *bucket_of(struct guard *guard, const uint8_t key[16], uint64_t now) {
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
    oldest->tokens = guard->burst;
    oldest->seen = now;
    return oldest;
}

static bool spend(struct guard *guard, const struct addr *source, uint64_t now) {
    uint8_t key[16];
    memcpy(key, source->ip, 16);
    if (!addr_is_ipv4(source))
        memset(key + 8, 0, 8);
    struct bucket *bucket = bucket_of(guard, key, now);
    return bucket && take(bucket, guard->rate, guard->burst, now);
}

enum guard_verdict guard_judge(struct guard *guard, const struct addr *source, uint64_t now) {
    if (trusts(guard, source))
        return GUARD_PASS;
    if (bans_hold(&guard->bans, source))
        return GUARD_BANNED;
    return guard->rate <= 0 || spend(guard, source, now) ? GUARD_PASS : GUARD_RATE;
}
