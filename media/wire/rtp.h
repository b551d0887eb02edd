/* RTP as it lies on the wire (RFC 3550 §5.1), and what else may arrive on its port (RFC 7983). */
#ifndef PBXD_WIRE_RTP_H
#define PBXD_WIRE_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RTP_HEADER = 12,
    RTP_LENGTH_MAX = 1500, /* an audio packet that is longer than an Ethernet frame is none */
    PT_COMFORT_NOISE = 13, /* RFC 3389 */
    PT_NONE = 255,
};

enum packet_kind { PACKET_AUDIO, PACKET_EVENT, PACKET_COMFORT_NOISE };

enum protocol { PROTOCOL_RTP, PROTOCOL_RTCP, PROTOCOL_STUN, PROTOCOL_DTLS, PROTOCOL_UNKNOWN };

struct rtp {
    uint8_t *payload; /* inside the datagram; at least RTP_HEADER bytes lie before it */
    uint16_t length;  /* of the payload, padding taken off */
    uint16_t seq;
    uint32_t timestamp;
    uint32_t ssrc;
    uint8_t payload_type;
    bool marker;
};

static inline uint16_t read16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t read32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void write16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void write32(uint8_t *p, uint32_t value) {
    write16(p, (uint16_t)(value >> 16));
    write16(p + 2, (uint16_t)value);
}

/* How far `a` is ahead of `b` on the circle of sequence numbers or timestamps. */
static inline int seq_ahead(uint16_t a, uint16_t b) {
    return (int16_t)(uint16_t)(a - b);
}

static inline int32_t ts_ahead(uint32_t a, uint32_t b) {
    return (int32_t)(a - b);
}

/* `ns` in ticks of an RTP clock, on its circle. */
static inline uint32_t ticks_of(uint64_t ns, uint32_t clock) {
    static const uint64_t second = 1000000000;
    return (uint32_t)(ns / second * clock + ns % second * clock / second);
}

/* RFC 7983 §7 by the first byte, RFC 5761 §4 by the second. `length` is at least 1. */
enum protocol rtp_demultiplex(const uint8_t *data, size_t length);

/* `length` is at least RTP_HEADER and the first byte that of RTP. False when CSRCs, extension or padding do not fit. */
bool rtp_parse(struct rtp *rtp, uint8_t *data, size_t length);

/* Writes a plain header (no CSRC, extension or padding) into the RTP_HEADER bytes at `header`. */
void rtp_write_header(uint8_t *header, uint8_t payload_type, bool marker, uint16_t seq, uint32_t timestamp,
                      uint32_t ssrc);

#endif
