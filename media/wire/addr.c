#include "addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

uint64_t addr_hash(const uint8_t ip[16], uint64_t secret) {
    uint64_t high, low;
    memcpy(&high, ip, 8);
    memcpy(&low, ip + 8, 8);
    return mix(mix(high ^ secret) + low * secret);
}

bool addr_is_ipv4(const struct addr *a) {
    return memcmp(a->ip, mapped_prefix, sizeof mapped_prefix) == 0;
}

bool addr_is_loopback(const struct addr *a) {
    static const uint8_t v6_loopback[16] = {[15] = 1};
    return addr_is_ipv4(a) ? a->ip[12] == 127 : memcmp(a->ip, v6_loopback, sizeof v6_loopback) == 0;
}

static uint32_t scope_of(const char *name) {
    uint32_t scope = if_nametoindex(name);
    return scope ? scope : (uint32_t)strtoul(name, NULL, 10);
}

bool addr_parse(struct addr *a, const char *ip, uint16_t port) {
    char text[ADDR_TEXT_MAX];
    struct addr parsed = {.port = port, .set = 1};
    if (strnlen(ip, sizeof text) == sizeof text)
        return false;
    strcpy(text, ip);
    char *percent = strchr(text, '%');
    if (percent) {
        *percent = 0;
        parsed.scope = scope_of(percent + 1);
    }
    if (inet_pton(AF_INET, text, parsed.ip + 12) == 1)
        memcpy(parsed.ip, mapped_prefix, sizeof mapped_prefix);
    else if (inet_pton(AF_INET6, text, parsed.ip) != 1)
        return false;
    *a = parsed;
    return true;
}

void addr_format(const struct addr *a, char text[ADDR_TEXT_MAX]) {
    if (addr_is_ipv4(a)) {
        inet_ntop(AF_INET, a->ip + 12, text, ADDR_TEXT_MAX);
        return;
    }
    inet_ntop(AF_INET6, a->ip, text, ADDR_TEXT_MAX);
    if (a->scope) {
        size_t used = strlen(text);
        snprintf(text + used, ADDR_TEXT_MAX - used, "%%%u", a->scope);
    }
}

void addr_from_sockaddr(struct addr *a, const struct sockaddr_storage *from) {
    a->set = 1;
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        memcpy(a->ip, mapped_prefix, sizeof mapped_prefix);
        memcpy(a->ip + 12, &v4->sin_addr, 4);
        a->port = ntohs(v4->sin_port);
        a->scope = 0;
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
        memcpy(a->ip, &v6->sin6_addr, sizeof a->ip);
        a->port = ntohs(v6->sin6_port);
        a->scope = v6->sin6_scope_id;
    }
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *to) {
    if (addr_is_ipv4(a)) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)to;
        memset(v4, 0, sizeof *v4);
        v4->sin_family = AF_INET;
        v4->sin_port = htons(a->port);
        memcpy(&v4->sin_addr, a->ip + 12, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    memset(v6, 0, sizeof *v6);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(a->port);
    v6->sin6_scope_id = a->scope;
    memcpy(&v6->sin6_addr, a->ip, sizeof a->ip);
    return sizeof *v6;
}
