/* A bounded set of banned addresses: open addressing with a secret, so that nobody can make its rows long. */
#ifndef PBXD_WIRE_BANS_H
#define PBXD_WIRE_BANS_H

#include "addr.h"

enum { BANS_MAX = 8192, BAN_SLOTS = 2 * BANS_MAX };

struct bans {
    uint64_t secret;
    uint32_t count;
    uint8_t slots[BAN_SLOTS][16]; /* all zeros: free; `::` is no source */
};

void bans_init(struct bans *bans, uint64_t secret);
bool bans_hold(const struct bans *bans, const struct addr *ip);
bool bans_add(struct bans *bans, const struct addr *ip); /* false: no room */
void bans_remove(struct bans *bans, const struct addr *ip);

#endif
