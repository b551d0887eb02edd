#include "rtp.h"

enum protocol rtp_demultiplex(const uint8_t *data, size_t length) {
    uint8_t first = data[0];
    if (first >= 128 && first <= 191) {
        /* RTCP packet types 192-223 look like RTP payload types 64-95 with the marker set */
        bool rtcp = length >= 2 && data[1] >= 192 && data[1] <= 223;
        return rtcp ? PROTOCOL_RTCP : PROTOCOL_RTP;
    }
    if (first <= 3)
        return PROTOCOL_STUN;
    if (first >= 20 && first <= 63)
        return PROTOCOL_DTLS;
    return PROTOCOL_UNKNOWN;
}

/*  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * |V=2|P|X|  CC   |M|     PT      |       sequence number         |
 * |                           timestamp                           |
 * |                             SSRC                              | */
bool rtp_parse(struct rtp *rtp, uint8_t *data, size_t length) {
    size_t header = RTP_HEADER + 4u * (data[0] & 15);
    if (data[0] & 0x10) {
        if (header + 4 > length)
            return false;
        header += 4 + 4u * read16(data + header + 2);
    }
    if (header > length)
        return false;
    size_t padding = 0;
    if (data[0] & 0x20) {
        padding = data[length - 1];
        if (padding == 0 || header + padding > length)
            return false;
    }
    rtp->payload = data + header;
    rtp->length = (uint16_t)(length - header - padding);
    rtp->marker = data[1] >> 7;
    rtp->payload_type = data[1] & 0x7f;
    rtp->seq = read16(data + 2);
    rtp->timestamp = read32(data + 4);
    rtp->ssrc = read32(data + 8);
    return true;
}

void rtp_write_header(uint8_t *header, uint8_t payload_type, bool marker, uint16_t seq, uint32_t timestamp,
                      uint32_t ssrc) {
    header[0] = 0x80;
    header[1] = (uint8_t)(marker << 7 | payload_type);
    write16(header + 2, seq);
    write32(header + 4, timestamp);
    write32(header + 8, ssrc);
}
