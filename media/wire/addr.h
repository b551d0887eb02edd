/* An IP address with a port: one shape for IPv4 and IPv6. IPv4 is kept in its IPv4-mapped form (RFC 4291 §2.5.5.2),
 * so two spellings of one source always compare equal. */
#ifndef PBXD_WIRE_ADDR_H
#define PBXD_WIRE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

struct addr {
    uint8_t ip[16];
    uint32_t scope; /* interface of a link-local IPv6 address; not part of the identity */
    uint16_t port;
    uint16_t set; /* 0: no address here */
};

enum { ADDR_TEXT_MAX = 64 };

static inline bool addr_same_ip(const struct addr *a, const struct addr *b) {
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

static inline bool addr_same(const struct addr *a, const struct addr *b) {
    return a->port == b->port && addr_same_ip(a, b);
}

uint64_t addr_hash(const uint8_t ip[16], uint64_t secret); /* `secret` is odd */

bool addr_is_ipv4(const struct addr *a);
bool addr_is_loopback(const struct addr *a); /* 127.0.0.0/8 or ::1 */

/* From an IP literal ("192.0.2.1", "2001:db8::1", "fe80::1%eth0"). False when it is not one. */
bool addr_parse(struct addr *a, const char *ip, uint16_t port);
void addr_format(const struct addr *a, char text[ADDR_TEXT_MAX]); /* the IP alone, IPv4-mapped written as IPv4 */

void addr_from_sockaddr(struct addr *a, const struct sockaddr_storage *from);
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *to);

#endif
