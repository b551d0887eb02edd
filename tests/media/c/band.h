/* A band for rooms: phones that sing, and ears that tell how loud a frequency is in what was sent to them. */
#ifndef BAND_H
#define BAND_H

#include "stage.h"

enum { EAR_SAMPLES = 1 << 19 };

struct phone {
    struct stage *stage;
    uint32_t leg;
    struct plan plan;
    struct source source;
    double hertz, amplitude; /* what it sings; 0 Hz: it says nothing */
    uint64_t due;
    uint32_t ms; /* of its packets */
};

struct room *band_room(struct stage *stage, uint32_t index, uint32_t flags);
struct membership member_of(uint32_t speaks, uint32_t hears);
void band_join(struct stage *stage, struct room *room, uint32_t leg, struct membership membership);

/* A leg of this codec with a phone that sends every 20 ms. */
struct phone phone_open(struct stage *stage, uint32_t leg, enum codec codec);
void phone_sing(struct phone *phone, double hertz, double amplitude);
void phone_say(struct phone *phone); /* its next packet, now */
void phone_dial(struct phone *phone, const int16_t *pcm); /* a packet with these samples */

/* Lets time pass; every phone with something to sing does. */
void band_play(struct stage *stage, struct phone **phones, size_t count, uint64_t ms);

/* What was sent to a leg since `from` emissions, as sound; returns the samples. */
size_t ear_listen(const struct stage *stage, uint32_t leg, size_t from, int16_t *pcm, size_t capacity);
double ear_amplitude(const int16_t *pcm, size_t samples, double hertz, uint32_t rate);
/* The amplitude of `hertz` in the last `ms` that were sent to the leg. */
double ear_hears(const struct stage *stage, uint32_t leg, double hertz, uint32_t ms);

struct clip *clip_of_tone(double hertz, double amplitude, uint32_t samples, uint32_t rate);
struct player *player_of(uint32_t id, struct clip *clip); /* and gives the reference to the clip away */

#endif
