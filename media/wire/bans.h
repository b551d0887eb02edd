/* A bounded set of networks, a single address being the smallest: open addressing with a secret, so that nobody can make
 * its rows long. A look-up costs one probe for each prefix length in use, however many networks there are. */
#ifndef PBXD_WIRE_BANS_H
#define PBXD_WIRE_BANS_H

#include "addr.h"

enum { BANS_MAX = 8192, BAN_SLOTS = 2 * BANS_MAX, BAN_HOST = 128, BAN_IPV4 = 96 /* bits before those of IPv4 */ };

struct network {
    uint8_t ip[16];
    uint8_t prefix; /* of the 128 bits of the mapped form */
};

struct ban {
    struct network network; /* prefix 0: a free slot; `::/0` is nothing to ban */
    uint16_t number;        /* the caller's */
};

struct bans {
    uint64_t secret;
    uint32_t count, lengths;
    uint8_t length[BAN_HOST + 1]; /* the prefix lengths in use, `lengths` of them */
    uint16_t of_length[BAN_HOST + 1];
    struct ban slots[BAN_SLOTS];
};

/* The network of this address; bits behind the prefix are cleared. */
struct network network_of(const struct addr *ip, unsigned prefix);

void bans_init(struct bans *bans, uint64_t secret);
int bans_find(const struct bans *bans, const struct addr *source); /* the number of one that covers it; -1: none does */
int bans_number(const struct bans *bans, const struct network *network); /* of this very one; -1: it is not there */
bool bans_add(struct bans *bans, const struct network *network, uint16_t number); /* false: no room, or prefix 0 */
void bans_remove(struct bans *bans, const struct network *network);

#endif
