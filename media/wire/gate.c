#define _GNU_SOURCE
#include "shell.h"

#include <errno.h>
#include <string.h>

/* What Python orders of the guard. It keeps the same sets as the guard does, so that a refusal can be told at once and
 * the wire thread is never asked. */

int wire_guard_bucket(struct wire *wire, double rate, double burst) {
    return shell_submit(wire, &(struct command){.kind = COMMAND_BUCKET, .bucket = {rate, burst}});
}

int wire_guard_slow_bucket(struct wire *wire, double rate, double burst) {
    return shell_submit(wire, &(struct command){.kind = COMMAND_SLOW_BUCKET, .bucket = {rate, burst}});
}

int wire_guard_loopback(struct wire *wire, int exempt) {
    return shell_submit(wire, &(struct command){.kind = COMMAND_LOOPBACK, .flag = exempt});
}

/* A prefix of the text's family as one of the mapped form; above BAN_HOST when it is none. */
static unsigned mapped_prefix(const char *ip, const struct addr *parsed, uint32_t prefix) {
    bool ipv4 = addr_is_ipv4(parsed) && !strchr(ip, ':');
    return prefix > BAN_HOST ? prefix : prefix + (ipv4 ? BAN_IPV4 : 0);
}

static bool parse_network(struct network *network, const char *ip, uint32_t prefix) {
    struct addr parsed;
    if (!addr_parse(&parsed, ip, 0))
        return false;
    unsigned mapped = mapped_prefix(ip, &parsed, prefix);
    if (!mapped || mapped > BAN_HOST)
        return false;
    *network = network_of(&parsed, mapped);
    return true;
}

int wire_guard_trust(struct wire *wire, const char *ip, uint32_t prefix, int limited) {
    struct command command = {.kind = COMMAND_TRUST, .trust = {.limited = limited}};
    if (!addr_parse(&command.trust.ip, ip, 0))
        return EINVAL;
    command.trust.prefix = mapped_prefix(ip, &command.trust.ip, prefix);
    if (command.trust.prefix > BAN_HOST)
        return EINVAL;
    if (wire->trusted == GUARD_TRUSTED_MAX)
        return ENOSPC;
    int error = shell_submit(wire, &command);
    wire->trusted += !error;
    return error;
}

int wire_guard_distrust_all(struct wire *wire) {
    wire->trusted = 0;
    return shell_submit(wire, &(struct command){.kind = COMMAND_DISTRUST_ALL});
}

static int add(struct wire *wire, enum command_kind kind, struct bans *mirror, uint16_t number, const char *ip,
               uint32_t prefix) {
    struct command command = {.kind = kind, .ban = {.number = number}};
    if (!parse_network(&command.ban.network, ip, prefix))
        return EINVAL;
    if (bans_number(mirror, &command.ban.network) >= 0)
        return 0;
    if (!bans_add(mirror, &command.ban.network, number))
        return ENOSPC;
    int error = shell_submit(wire, &command);
    if (error)
        bans_remove(mirror, &command.ban.network);
    return error;
}

static int remove_from(struct wire *wire, enum command_kind kind, struct bans *mirror, const char *ip, uint32_t prefix) {
    struct command command = {.kind = kind};
    if (!parse_network(&command.ban.network, ip, prefix))
        return EINVAL;
    int error = shell_submit(wire, &command);
    if (!error)
        bans_remove(mirror, &command.ban.network);
    return error;
}

int wire_guard_ban(struct wire *wire, const char *ip, uint32_t prefix) {
    uint32_t left = BANS_MAX - wire->bans.count;
    return add(wire, COMMAND_BAN, &wire->bans, left ? wire->free_numbers[left - 1] : 0, ip, prefix);
}

int wire_guard_unban(struct wire *wire, const char *ip, uint32_t prefix) {
    struct network network;
    int number = parse_network(&network, ip, prefix) ? bans_number(&wire->bans, &network) : -1;
    int error = remove_from(wire, COMMAND_UNBAN, &wire->bans, ip, prefix);
    if (!error && number >= 0)
        wire->free_numbers[BANS_MAX - wire->bans.count - 1] = (uint16_t)number;
    return error;
}

int wire_guard_slow(struct wire *wire, const char *ip, uint32_t prefix) {
    return add(wire, COMMAND_SLOW, &wire->slowed, 0, ip, prefix);
}

int wire_guard_unslow(struct wire *wire, const char *ip, uint32_t prefix) {
    return remove_from(wire, COMMAND_UNSLOW, &wire->slowed, ip, prefix);
}

uint64_t wire_guard_hits(const struct wire *wire, const char *ip, uint32_t prefix) {
    struct network network;
    int number = parse_network(&network, ip, prefix) ? bans_number(&wire->bans, &network) : -1;
    return number < 0 ? 0 : __atomic_load_n(&wire->guard.hits[number], __ATOMIC_RELAXED);
}
