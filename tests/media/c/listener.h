/* A hearing with a phone before it, in virtual time. */
#ifndef LISTENER_H
#define LISTENER_H

#include "hearing.h"
#include "stage.h"

enum { FRAME = 160, TICK_PHASE = 7 };

struct listener {
    struct hearing *hearing;
    uint64_t now;           /* of the next tick */
    int16_t pcm[FRAME];     /* of the last one */
    int flags;
    uint16_t seq;           /* of the next packet */
    uint32_t timestamp, ssrc;
    uint32_t sample;        /* of the tone */
    int loudest;            /* sample, since listener_forget */
    int steepest;           /* step from one sample to the next */
    int16_t last;
};

struct listener *listener_new(uint16_t min_ms, uint16_t max_ms, uint16_t start_ms, bool fixed);
void listener_free(struct listener *l);
void listener_forget(struct listener *l);
/* The tone's next packet, `late_ms` after the coming tick's packet is due; or its loss. */
void listener_hear(struct listener *l);
void listener_skip(struct listener *l, int packets);
void listener_put(struct listener *l, enum packet_kind kind, uint16_t seq, uint32_t timestamp, uint32_t ssrc,
                  const uint8_t *payload, size_t length);
void listener_tick(struct listener *l);
/* So many ticks, each with a packet before it. */
void listener_run(struct listener *l, int ticks);
void listener_wait(struct listener *l, int ticks);
struct hearing_statistics listener_statistics(const struct listener *l);
int16_t tone(uint32_t sample); /* 400 Hz, of 10000 */

#endif
