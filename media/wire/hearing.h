/* The receiving side of one leg, from RTP packets to sound. */
#ifndef PBXD_WIRE_HEARING_H
#define PBXD_WIRE_HEARING_H

#include "codec.h"
#include "mode.h"
#include "rtp.h"

enum { HEARD_VOICE = 1, HEARD_NOTHING = 2, HEARD_CONCEALED = 4, HEARD_EVENT = 8 };
enum { HEARING_PACKETS = 32, HEARING_OCTETS = 1480 };

struct hearing_settings {
    uint16_t min_ms, max_ms, start_ms;
    bool fixed;
};

struct hearing_statistics {
    uint64_t late, early, duplicate, reordered, concealed, stretched, compressed, resets;
    uint32_t delay_ms, delay_min_ms, delay_max_ms, level;
};

struct hearing {
    struct hearing_statistics statistics;
    const struct codec_operations *codec;
    uint64_t started;
    uint32_t play; /* timestamp */
    uint32_t ssrc;
    bool playing;
    uint16_t delay_ms;
    uint32_t fill;
    int16_t pcm[2 * CODEC_SAMPLES_MAX];
    struct kept {
        uint32_t timestamp;
        uint16_t length;
        bool used;
        uint8_t payload[HEARING_OCTETS];
    } kept[HEARING_PACKETS];
};

size_t hearing_size(enum codec codec);
void hearing_init(struct hearing *h, enum codec codec, const struct hearing_settings *settings, uint64_t now);
void hearing_put(struct hearing *h, const struct rtp *rtp, enum packet_kind kind, uint64_t now);
int hearing_pull(struct hearing *h, int16_t *pcm, size_t samples, uint64_t now);

#endif
