#include "rtcp.h"

enum { PT_SR = 200, PT_RR = 201, PT_SDES = 202, PT_BYE = 203, SDES_CNAME = 1, REPORT_BLOCK = 24, SENDER_INFO = 20 };
static const uint64_t INTERVAL = 5000000000u;
static const uint64_t SECOND = 1000000000u;

static uint64_t next_random(struct rtcp *c) { /* xorshift64: spreads reports, guards nothing */
    uint64_t x = c->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return c->random = x;
}

void rtcp_init(struct rtcp *c, uint64_t random) {
    *c = (struct rtcp){.random = random | 1};
    uint64_t name = next_random(c);
    for (int i = 0; i < CNAME_LENGTH; i++, name >>= 4) /* RFC 7022 §4.2: random, for this session only */
        c->cname[i] = "0123456789abcdef"[name & 15];
}

uint64_t rtcp_next_due(struct rtcp *c, uint64_t now, bool first) {
    uint64_t base = first ? INTERVAL / 2 : INTERVAL;
    uint64_t spread = base / 2 + base * (next_random(c) >> 44) / (1u << 20); /* 0.5 to 1.5 */
    return now + spread * 100000 / 121828;
}

static uint64_t ntp(uint64_t now, uint64_t wall) {
    uint64_t ns = now + wall;
    return (ns / SECOND) << 32 | ((ns % SECOND) << 32) / SECOND;
}

static uint8_t *write_block(uint8_t *p, const struct rtcp *c, struct receiver *r, uint64_t now) {
    struct loss loss;
    receiver_report(r, &loss);
    write32(p, r->ssrc);
    write32(p + 4, (uint32_t)loss.fraction << 24 | ((uint32_t)loss.lost & 0xffffff));
    write32(p + 8, loss.highest);
    write32(p + 12, r->jitter >> 4);
    bool reported = c->sr_at && c->sr_ssrc == r->ssrc;
    write32(p + 16, reported ? c->sr_middle : 0);
    write32(p + 20, reported ? (uint32_t)(((now - c->sr_at) << 16) / SECOND) : 0);
    return p + REPORT_BLOCK;
}

static uint8_t *write_sender_info(uint8_t *p, const struct sender *s, uint64_t now, uint64_t wall) {
    uint64_t time = ntp(now, wall);
    write32(p, (uint32_t)(time >> 32));
    write32(p + 4, (uint32_t)time);
    write32(p + 8, sender_clock(s, now));
    write32(p + 12, (uint32_t)s->packets);
    write32(p + 16, (uint32_t)s->octets);
    return p + SENDER_INFO;
}

static void close_packet(uint8_t *start, const uint8_t *end, unsigned count, unsigned type) {
    start[0] = (uint8_t)(0x80 | count);
    start[1] = (uint8_t)type;
    write16(start + 2, (uint16_t)((end - start) / 4 - 1));
}

static uint8_t *write_cname(uint8_t *p, const struct rtcp *c, uint32_t ssrc) {
    uint8_t *start = p;
    write32(p + 4, ssrc);
    p[8] = SDES_CNAME;
    p[9] = CNAME_LENGTH;
    memcpy(p + 10, c->cname, CNAME_LENGTH);
    p += 10 + CNAME_LENGTH;
    do
        *p++ = 0; /* the list ends with a zero, the chunk on a word */
    while ((p - start) % 4);
    close_packet(start, p, 1, PT_SDES);
    return p;
}

size_t rtcp_write(struct rtcp *c, uint8_t *to, const struct sender *s, struct receiver *r, uint64_t now, uint64_t wall,
                  bool goodbye) {
    uint8_t *p = to + 8;
    bool sending = s->packets != c->sent_packets;
    bool heard = r->started && r->heard;
    c->sent_packets = s->packets;
    write32(to + 4, s->ssrc);
    if (sending)
        p = write_sender_info(p, s, now, wall);
    if (heard)
        p = write_block(p, c, r, now);
    close_packet(to, p, heard, sending ? PT_SR : PT_RR);
    p = write_cname(p, c, s->ssrc);
    if (goodbye) {
        write32(p + 4, s->ssrc);
        close_packet(p, p + 8, 1, PT_BYE);
        p += 8;
    }
    return (size_t)(p - to);
}

static void read_block(struct rtcp *c, const uint8_t *p, const struct sender *s, uint64_t now, uint64_t wall) {
    if (read32(p) != s->ssrc)
        return;
    c->remote_fraction = p[4];
    c->remote_lost = (int32_t)(read32(p + 4) << 8) >> 8;
    c->remote_jitter = read32(p + 12);
    c->remote_reports++;
    unsigned loss = (p[4] * 100u + 255) / 256;
    c->expected_loss = (uint8_t)(loss > c->expected_loss ? loss : (3u * c->expected_loss + loss) / 4);
    uint32_t last = read32(p + 16);
    if (!last)
        return;
    uint32_t round_trip = (uint32_t)(ntp(now, wall) >> 16) - last - read32(p + 20);
    if (round_trip > 60u << 16)
        return; /* their clock and ours disagree: no measurement */
    c->round_trip = round_trip ? round_trip : 1;
    if (c->round_trip > c->round_trip_max)
        c->round_trip_max = c->round_trip;
}

static void read_report(struct rtcp *c, const uint8_t *p, size_t length, const struct sender *s, uint64_t now,
                        uint64_t wall) {
    size_t at = 8;
    if (p[1] == PT_SR) {
        if (length < at + SENDER_INFO)
            return;
        c->sr_ssrc = read32(p + 4);
        c->sr_middle = read32(p + 8) << 16 | read32(p + 12) >> 16;
        c->sr_at = now;
        at += SENDER_INFO;
    }
    for (unsigned blocks = p[0] & 31; blocks && at + REPORT_BLOCK <= length; blocks--, at += REPORT_BLOCK)
        read_block(c, p + at, s, now, wall);
}

static bool is_compound(const uint8_t *data, size_t length) {
    /* §A.2, but also a lone reduced-size packet (RFC 5506): some phones send them unasked */
    for (size_t at = 0; at < length;) {
        if (length - at < 4 || data[at] >> 6 != 2)
            return false;
        size_t size = 4u * (read16(data + at + 2) + 1u);
        if (size > length - at)
            return false;
        at += size;
    }
    return length >= 8;
}

bool rtcp_read(struct rtcp *c, const uint8_t *data, size_t length, const struct sender *s, uint64_t now,
               uint64_t wall) {
    if (!is_compound(data, length))
        return false;
    for (size_t at = 0; at < length;) {
        const uint8_t *p = data + at;
        size_t size = 4u * (read16(p + 2) + 1u);
        if ((p[1] == PT_SR || p[1] == PT_RR) && size >= 8)
            read_report(c, p, size, s, now, wall);
        else if (p[1] == PT_BYE)
            c->goodbye = 1;
        at += size;
    }
    return true;
}
