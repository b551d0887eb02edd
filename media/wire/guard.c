#include "guard.h"

enum { BAN_SLOTS = 2 * GUARD_BANS_MAX };
static const uint8_t nobody[16]; /* :: is no source */

void guard_init(struct guard *guard, uint64_t secret) {
    memset(guard, 0, sizeof *guard);
    guard->secret = secret | 1;
    guard->loopback_exempt = true;
}

static uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static uint64_t hash(const struct guard *guard, const uint8_t ip[16]) {
    uint64_t high, low;
    memcpy(&high, ip, 8);
    memcpy(&low, ip + 8, 8);
    return mix(mix(high ^ guard->secret) + low * guard->secret);
}

/* ---- bans */

static uint32_t ban_slot(const struct guard *guard, const uint8_t ip[16]) {
    uint32_t slot = (uint32_t)(hash(guard, ip) % BAN_SLOTS);
    while (memcmp(guard->banned[slot], ip, 16) != 0 && memcmp(guard->banned[slot], nobody, 16) != 0)
        slot = (slot + 1) % BAN_SLOTS;
    return slot;
}

static bool is_free(const struct guard *guard, uint32_t slot) {
    return memcmp(guard->banned[slot], nobody, 16) == 0;
}

bool guard_ban(struct guard *guard, const struct addr *ip) {
    uint32_t slot = ban_slot(guard, ip->ip);
    if (!is_free(guard, slot) || memcmp(ip->ip, nobody, 16) == 0)
        return true;
    if (guard->bans == GUARD_BANS_MAX)
        return false;
    memcpy(guard->banned[slot], ip->ip, 16);
    guard->bans++;
    return true;
}

void guard_unban(struct guard *guard, const struct addr *ip) {
    uint32_t slot = ban_slot(guard, ip->ip);
    if (is_free(guard, slot))
        return;
    memset(guard->banned[slot], 0, 16);
    guard->bans--;
    /* those behind it in the row may have been pushed there by it: put them where they are found now */
    for (uint32_t next = (slot + 1) % BAN_SLOTS; !is_free(guard, next); next = (next + 1) % BAN_SLOTS) {
        uint8_t moved[16];
        memcpy(moved, guard->banned[next], 16);
        memset(guard->banned[next], 0, 16);
        memcpy(guard->banned[ban_slot(guard, moved)], moved, 16);
    }
}

/* ---- trust */

static bool within(const struct network *network, const uint8_t ip[16]) {
    unsigned bytes = network->prefix / 8, bits = network->prefix % 8;
    if (memcmp(network->ip, ip, bytes) != 0)
        return false;
    return !bits || (network->ip[bytes] ^ ip[bytes]) >> (8 - bits) == 0;
}

static bool trusts(const struct guard *guard, const struct addr *source) {
    if (guard->loopback_exempt && addr_is_loopback(source))
        return true;
    for (uint32_t i = 0; i < guard->trusted_count; i++)
        if (within(&guard->trusted[i], source->ip))
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

static struct bucket *bucket_of(struct guard *guard, const uint8_t key[16]) {
    struct bucket *set = guard->buckets[hash(guard, key) % GUARD_SETS];
    struct bucket *oldest = set;
    for (int way = 0; way < GUARD_WAYS; way++) {
        if (set[way].seen && memcmp(set[way].ip, key, 16) == 0)
            return &set[way];
        if (set[way].seen < oldest->seen)
            oldest = &set[way];
    }
    memcpy(oldest->ip, key, 16);
    oldest->tokens = guard->burst;
    oldest->seen = 0;
    return oldest;
}

static bool spend(struct guard *guard, const struct addr *source, uint64_t now) {
    uint8_t key[16];
    memcpy(key, source->ip, 16);
    if (!addr_is_ipv4(source))
        memset(key + 8, 0, 8);
    struct bucket *bucket = bucket_of(guard, key);
    if (bucket->seen)
        bucket->tokens += (double)(now - bucket->seen) * 1e-9 * guard->rate;
    if (bucket->tokens > guard->burst)
        bucket->tokens = guard->burst;
    bucket->seen = now;
    if (bucket->tokens < 1)
        return false;
    bucket->tokens -= 1;
    return true;
}

enum guard_verdict guard_judge(struct guard *guard, const struct addr *source, uint64_t now) {
    if (trusts(guard, source))
        return GUARD_PASS;
    if (guard->bans && !is_free(guard, ban_slot(guard, source->ip)))
        return GUARD_BANNED;
    return guard->rate <= 0 || spend(guard, source, now) ? GUARD_PASS : GUARD_RATE;
}
