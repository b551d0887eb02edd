#include "bans.h"

struct network network_of(const struct addr *ip, unsigned prefix) {
    struct network network = {.prefix = (uint8_t)prefix};
    memcpy(network.ip, ip->ip, prefix / 8);
    if (prefix % 8)
        network.ip[prefix / 8] = ip->ip[prefix / 8] & (uint8_t)(0xff00 >> prefix % 8);
    return network;
}

void bans_init(struct bans *bans, uint64_t secret) {
    memset(bans, 0, sizeof *bans);
    bans->secret = secret | 1;
}

static bool is_free(const struct bans *bans, uint32_t slot) {
    return !bans->slots[slot].network.prefix;
}

static bool same(const struct network *a, const struct network *b) {
    return a->prefix == b->prefix && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

/* Where `network` lies, or the free slot where it would. */
static uint32_t slot_of(const struct bans *bans, const struct network *network) {
    uint32_t slot = (uint32_t)((addr_hash(network->ip, bans->secret) + network->prefix) % BAN_SLOTS);
    while (!is_free(bans, slot) && !same(&bans->slots[slot].network, network))
        slot = (slot + 1) % BAN_SLOTS;
    return slot;
}

int bans_number(const struct bans *bans, const struct network *network) {
    uint32_t slot = slot_of(bans, network);
    return is_free(bans, slot) ? -1 : bans->slots[slot].number;
}

int bans_find(const struct bans *bans, const struct addr *source) {
    bool ipv4 = addr_is_ipv4(source);
    for (uint32_t i = 0; i < bans->lengths; i++) {
        if (ipv4 && bans->length[i] < BAN_IPV4)
            continue; /* IPv4 is mapped into such a network, but was not meant by it */
        struct network network = network_of(source, bans->length[i]);
        int number = bans_number(bans, &network);
        if (number >= 0)
            return number;
    }
    return -1;
}

static void count_length(struct bans *bans, unsigned prefix, int change) {
    bans->of_length[prefix] = (uint16_t)(bans->of_length[prefix] + change);
    bans->lengths = 0;
    for (unsigned length = BAN_HOST; length; length--) /* hosts first: they are the most */
        if (bans->of_length[length])
            bans->length[bans->lengths++] = (uint8_t)length;
}

bool bans_add(struct bans *bans, const struct network *network, uint16_t number) {
    uint32_t slot = slot_of(bans, network);
    if (!network->prefix || network->prefix > BAN_HOST)
        return false;
    if (!is_free(bans, slot))
        return true;
    if (bans->count == BANS_MAX)
        return false;
    bans->slots[slot] = (struct ban){*network, number};
    bans->count++;
    count_length(bans, network->prefix, 1);
    return true;
}

void bans_remove(struct bans *bans, const struct network *network) {
    uint32_t slot = slot_of(bans, network);
    if (is_free(bans, slot))
        return;
    bans->slots[slot] = (struct ban){0};
    bans->count--;
    count_length(bans, network->prefix, -1);
    /* those behind it in the row may have been pushed there by it: put them where they are found now */
    for (uint32_t next = (slot + 1) % BAN_SLOTS; !is_free(bans, next); next = (next + 1) % BAN_SLOTS) {
        struct ban moved = bans->slots[next];
        bans->slots[next] = (struct ban){0};
        bans->slots[slot_of(bans, &moved.network)] = moved;
    }
}
