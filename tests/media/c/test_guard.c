/* Who may speak to the SIP sockets: bans of addresses and networks, buckets, trust. */
#include "guard.h"
#include "tests.h"

static struct guard *new_guard(void) {
    struct guard *guard = malloc(sizeof *guard);
    guard_init(guard, 42);
    return guard;
}

static struct network host(const struct addr *ip) {
    return network_of(ip, BAN_HOST);
}

void test_bans_against_a_plain_set(void) {
    enum { HOSTS = 600, NETWORKS = HOSTS / 16 };
    struct guard *guard = new_guard();
    bool banned[HOSTS] = {false}, whole[NETWORKS + 1] = {false};
    uint32_t random = 5;
    guard->bans.secret = 1; /* few bits of secret: long rows in the table */
    for (int i = 0; i < 40000; i++) {
        random = random * 1103515245 + 12345;
        uint32_t number = (random >> 16) % HOSTS;
        struct addr ip = stage_addr("10.0.0.0", 0);
        write16(ip.ip + 14, (uint16_t)number);
        bool ban = random >> 31, wide = (random >> 27 & 7) == 0;
        struct network network = network_of(&ip, wide ? 124 : BAN_HOST); /* an IPv4 /28, or one address */
        if (ban)
            CHECK(bans_add(&guard->bans, &network, (uint16_t)(wide ? HOSTS + number / 16 : number)));
        else
            bans_remove(&guard->bans, &network);
        *(wide ? &whole[number / 16] : &banned[number]) = ban;
        number = random % HOSTS;
        write16(ip.ip + 14, (uint16_t)number);
        uint64_t hits = guard->hits[number] + guard->hits[HOSTS + number / 16];
        bool refused = banned[number] || whole[number / 16];
        CHECK_IS(guard_judge(guard, &ip, SECOND), refused ? GUARD_BANNED : GUARD_PASS);
        CHECK_IS(guard->hits[number] + guard->hits[HOSTS + number / 16], hits + refused); /* under its own number */
    }
    free(guard);
}

void test_the_ban_table_is_bounded(void) {
    struct guard *guard = new_guard();
    struct addr ip = stage_addr("10.0.0.0", 0);
    struct network network;
    for (uint32_t number = 1; number <= BANS_MAX; number++) {
        write16(ip.ip + 14, (uint16_t)number);
        network = host(&ip);
        CHECK(bans_add(&guard->bans, &network, 0));
    }
    CHECK(bans_add(&guard->bans, &network, 0)); /* again: it is banned already */
    ip = stage_addr("10.9.9.9", 0);
    network = host(&ip);
    CHECK(!bans_add(&guard->bans, &network, 0));
    CHECK_IS(guard_judge(guard, &ip, SECOND), GUARD_PASS);
    CHECK(!bans_add(&guard->bans, &(struct network){{0}, 0}, 0)); /* all of IPv6 is nobody's ban */
    free(guard);
}

static void ban(struct guard *guard, const char *ip, unsigned prefix, uint16_t number) {
    struct addr parsed = stage_addr(ip, 0);
    struct network network = network_of(&parsed, prefix);
    guard_ban(guard, &network, number);
}

static int passed(struct guard *guard, const char *ip, int datagrams, uint64_t now) {
    struct addr from = stage_addr(ip, 5060);
    int count = 0;
    for (int i = 0; i < datagrams; i++)
        count += guard_judge(guard, &from, now) == GUARD_PASS;
    return count;
}

void test_buckets(void) {
    struct guard *guard = new_guard();
    guard->rate = 10;
    guard->burst = 25;
    CHECK_IS(passed(guard, "192.0.2.1", 100, SECOND), 25);
    CHECK_IS(passed(guard, "192.0.2.2", 100, SECOND), 25); /* everybody has one */
    CHECK_IS(passed(guard, "192.0.2.1", 100, 2 * SECOND), 10);
    CHECK_IS(passed(guard, "192.0.2.1", 100, 60 * SECOND), 25);
    CHECK_IS(passed(guard, "2001:db8:0:1::1", 100, SECOND), 25);
    CHECK_IS(passed(guard, "2001:db8:0:1::2", 100, SECOND), 0); /* one /64, one bucket */
    CHECK_IS(passed(guard, "127.0.0.1", 100, SECOND), 100);
    CHECK_IS(passed(guard, "::1", 100, SECOND), 100);
    guard->loopback_exempt = false;
    CHECK_IS(passed(guard, "127.0.0.1", 100, SECOND), 25);
    struct addr network = stage_addr("192.0.2.0", 0);
    CHECK(guard_trust(guard, &network, 96 + 25, false));
    CHECK_IS(passed(guard, "192.0.2.1", 100, 60 * SECOND), 100);
    CHECK_IS(passed(guard, "192.0.2.127", 100, SECOND), 100);
    CHECK_IS(passed(guard, "192.0.2.128", 100, SECOND), 25);
    guard_distrust_all(guard);
    CHECK_IS(passed(guard, "192.0.2.127", 100, SECOND), 25);
    free(guard);
}

void test_invented_sources_find_an_end(void) {
    struct guard *guard = new_guard();
    guard->rate = 1;
    guard->burst = 5;
    struct addr from = stage_addr("10.0.0.0", 5060);
    CHECK_IS(passed(guard, "192.0.2.1", 3, SECOND), 3);
    uint32_t fresh = 0;
    for (uint32_t host = 0; host < 100000; host++) {
        write32(from.ip + 12, 0x0a000000u + host);
        fresh += guard_judge(guard, &from, SECOND + host) == GUARD_PASS;
    }
    CHECK_IS(fresh, GUARD_NEWCOMERS_BURST - 1); /* 192.0.2.1 was new once, too */
    CHECK_IS(passed(guard, "192.0.2.1", 100, SECOND + 100000), 2); /* it has its bucket yet */
    CHECK_IS(passed(guard, "192.0.2.2", 100, SECOND + 100000), 0);
    CHECK_IS(passed(guard, "192.0.2.2", 100, 2 * SECOND), 5);
    free(guard);
}

void test_trust_counts_in_its_family(void) {
    struct guard *guard = new_guard();
    struct addr all_v6 = stage_addr("::", 0), all_v4 = stage_addr("0.0.0.0", 0);
    guard->rate = 1;
    guard->burst = 1;
    CHECK(guard_trust(guard, &all_v6, 0, false));
    CHECK_IS(passed(guard, "2001:db8::1", 10, SECOND), 10);
    CHECK_IS(passed(guard, "192.0.2.1", 10, SECOND), 1);
    CHECK(guard_trust(guard, &all_v4, 96, false));
    CHECK_IS(passed(guard, "192.0.2.1", 10, SECOND), 10);
    free(guard);
}

void test_networks_are_banned_in_their_family(void) {
    struct guard *guard = new_guard();
    ban(guard, "192.0.2.77", 96 + 25, 1);
    ban(guard, "2001:db8:0:1::9", 64, 2);
    ban(guard, "8000::", 1, 3);
    CHECK_IS(passed(guard, "192.0.2.127", 10, SECOND), 0);
    CHECK_IS(passed(guard, "192.0.2.128", 10, SECOND), 10);
    CHECK_IS(passed(guard, "2001:db8:0:1:ffff::1", 10, SECOND), 0);
    CHECK_IS(passed(guard, "2001:db8:0:2::1", 10, SECOND), 10);
    CHECK_IS(passed(guard, "fe80::1", 7, SECOND), 0);
    CHECK_IS(guard->hits[1], 10);
    CHECK_IS(guard->hits[2], 10);
    CHECK_IS(guard->hits[3], 7);
    ban(guard, "::", 1, 4); /* the mapped form of IPv4 lies in it */
    CHECK_IS(passed(guard, "203.0.113.1", 10, SECOND), 10);
    ban(guard, "0.0.0.0", 96, 5);
    CHECK_IS(passed(guard, "203.0.113.1", 10, SECOND), 0);
    struct addr ip = stage_addr("203.0.113.0", 0);
    CHECK(guard_trust(guard, &ip, 96 + 24, true)); /* who is trusted is beyond the ban of a network around it */
    CHECK_IS(passed(guard, "203.0.113.1", 10, SECOND), 10);
    CHECK_IS(passed(guard, "203.0.114.1", 10, SECOND), 0);
    ban(guard, "192.0.2.77", 96 + 25, 1);
    CHECK_IS(guard->hits[1], 0); /* a number that is given anew begins at 0 */
    free(guard);
}

void test_who_is_slowed_has_a_smaller_bucket(void) {
    struct guard *guard = new_guard();
    struct addr slow = stage_addr("192.0.2.1", 0), known = stage_addr("192.0.2.2", 0);
    struct network networks[] = {host(&slow), host(&known)};
    guard->slow_rate = 2;
    guard->slow_burst = 4;
    for (int i = 0; i < 2; i++)
        CHECK(bans_add(&guard->slowed, &networks[i], 0));
    CHECK(guard_trust(guard, &known, BAN_HOST, true));
    CHECK_IS(passed(guard, "192.0.2.3", 100, SECOND), 100); /* no limit for others */
    CHECK_IS(passed(guard, "192.0.2.1", 1, SECOND), 1);
    CHECK_IS(passed(guard, "192.0.2.1", 100, 61 * SECOND), 4);
    CHECK_IS(passed(guard, "192.0.2.1", 100, 62 * SECOND), 2);
    CHECK_IS(passed(guard, "192.0.2.2", 100, 62 * SECOND), 100);
    guard->rate = 10;
    guard->burst = 20;
    CHECK_IS(passed(guard, "192.0.2.1", 100, 63 * SECOND), 2);
    CHECK_IS(passed(guard, "192.0.2.2", 100, 63 * SECOND), 20); /* known, not unlimited */
    bans_remove(&guard->slowed, &networks[0]);
    CHECK_IS(passed(guard, "192.0.2.1", 100, 70 * SECOND), 20);
    CHECK_IS(passed(guard, "192.0.2.4", 100, 70 * SECOND), 20);
    free(guard);
}
