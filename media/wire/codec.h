/* The codecs of wire behind one table: from payload to sound and back. */
#ifndef PBXD_WIRE_CODEC_H
#define PBXD_WIRE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec { CODEC_PCMU, CODEC_PCMA, CODEC_G722, CODEC_OPUS, CODEC_L16, CODEC_L16_WIDE, CODEC_COUNT };

enum {
    NARROW_RATE = 8000, /* the two rates of sound inside */
    WIDE_RATE = 16000,
    SAMPLES_PER_MS = NARROW_RATE / 1000,
    CODEC_CLOCK_MAX = 48000,
    CODEC_FOLLOW = 32,   /* samples behind a gap that a decoder's filters still fill from what was before it, at most */
    CODEC_SAMPLES_MAX = WIDE_RATE / 1000 * 120, /* in the longest packet (RFC 6716 §2.1.4) */
};

/* How an Opus encoder works; the others have nothing to set. */
struct codec_settings {
    uint32_t bitrate;      /* bit/s; 0: libopus chooses */
    uint8_t complexity;    /* 0 to 10 */
    uint8_t fec, dtx;      /* in-band error correction; silence is not sent */
    uint8_t expected_loss; /* per cent */
};

/* State is plain octets without pointers outside itself: it may be copied, and needs no destroying. It lies on an
 * address aligned as malloc does. Samples count at `rate`, mono. */
struct codec_operations {
    const char *name;       /* as in SDP */
    uint32_t clock;         /* RTP timestamps a second: of G.722 half its rate (RFC 3551 §4.5.2), of Opus 48000 */
    uint32_t rate;          /* of its sound: NARROW_RATE or WIDE_RATE */
    size_t decoder_size, encoder_size; /* of the state; 0: there is none, and the inits are NULL */
    void (*decoder_init)(void *decoder);
    void (*encoder_init)(void *encoder, const struct codec_settings *settings);
    void (*encoder_adapt)(void *encoder, uint8_t expected_loss); /* per cent: rtcp.expected_loss; NULL: no use for it */
    /* Samples; -1: malformed, or more than `capacity`. */
    int (*decode)(void *decoder, const uint8_t *payload, size_t length, int16_t *pcm, size_t capacity);
    /* Stands for `samples` that were lost, before the payload `next` if that is there: it may know what they were.
     * `samples` is a multiple of 2.5 ms up to 120 ms. Samples, or -1. NULL: the codec knows no better than anybody. */
    int (*conceal)(void *decoder, const uint8_t *next, size_t next_length, int16_t *pcm, size_t samples);
    /* Hears `samples`, an even number, that were made up for what was lost: what comes next is decoded on their ground.
     * CODEC_FOLLOW samples more lie before `pcm`, and as many behind; the first so many of what comes next are not to be
     * believed. NULL: a packet is decoded the same whatever was before it, or conceal sees to it. */
    void (*follow)(void *decoder, const int16_t *pcm, size_t samples);
    /* Octets; 0: silence, nothing to send; -1: no such length, or no room. Every codec takes 10, 20, 40 and 60 ms, all
     * but Opus any even number of samples. */
    int (*encode)(void *encoder, const int16_t *pcm, size_t samples, uint8_t *payload, size_t capacity);
    int (*samples)(const uint8_t *payload, size_t length); /* in the payload; -1: malformed */
};

const struct codec_operations *codec_operations(enum codec codec);

/* What the payload's sound takes on the RTP clock; 0: malformed. */
uint32_t codec_ticks(enum codec codec, const uint8_t *payload, size_t length);

/* Whether a payload is a row of octets that may be cut anywhere, one for each tick of an 8000 Hz clock. */
static inline bool codec_cuttable(enum codec codec) {
    return codec == CODEC_PCMU || codec == CODEC_PCMA || codec == CODEC_G722;
}

#endif
