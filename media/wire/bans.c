#include "bans.h"

static const uint8_t nobody[16];

void bans_init(struct bans *bans, uint64_t secret) {
    memset(bans, 0, sizeof *bans);
    bans->secret = secret | 1;
}

static bool is_free(const struct bans *bans, uint32_t slot) {
    return memcmp(bans->slots[slot], nobody, 16) == 0;
}

/* Where `ip` lies, or the free slot where it would. */
static uint32_t slot_of(const struct bans *bans, const uint8_t ip[16]) {
    uint32_t slot = (uint32_t)(addr_hash(ip, bans->secret) % BAN_SLOTS);
    while (!is_free(bans, slot) && memcmp(bans->slots[slot], ip, 16) != 0)
        slot = (slot + 1) % BAN_SLOTS;
    return slot;
}

bool bans_hold(const struct bans *bans, const struct addr *ip) {
    return bans->count && !is_free(bans, slot_of(bans, ip->ip));
}

bool bans_add(struct bans *bans, const struct addr *ip) {
    uint32_t slot = slot_of(bans, ip->ip);
    if (!is_free(bans, slot) || memcmp(ip->ip, nobody, 16) == 0)
        return true;
    if (bans->count == BANS_MAX)
        return false;
    memcpy(bans->slots[slot], ip->ip, 16);
    bans->count++;
    return true;
}

void bans_remove(struct bans *bans, const struct addr *ip) {
    uint32_t slot = slot_of(bans, ip->ip);
    if (is_free(bans, slot))
        return;
    memset(bans->slots[slot], 0, 16);
    bans->count--;
    /* those behind it in the row may have been pushed there by it: put them where they are found now */
    for (uint32_t next = (slot + 1) % BAN_SLOTS; !is_free(bans, next); next = (next + 1) % BAN_SLOTS) {
        uint8_t moved[16];
        memcpy(moved, bans->slots[next], 16);
        memset(bans->slots[next], 0, 16);
        memcpy(bans->slots[slot_of(bans, moved)], moved, 16);
    }
}
