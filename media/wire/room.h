/* A room: legs that hear each other, mixed every 20 ms. A transcoded call is a room of two, a prompt a room of one, a
 * recorded call a room with taps, a conference a room of many; who whispers to whom is masks.
 *
 * Rooms tick at moments of their own, spread over the 20 ms, on a grid of a millisecond so that wakings are shared. */
#ifndef PBXD_WIRE_ROOM_H
#define PBXD_WIRE_ROOM_H

#include "core.h"
#include "mix.h"
#include "player.h"
#include "tap.h"
#include "voice.h"

enum { ROOM_MEMBERS_MAX = 1024, ROOM_SPEAKERS_MAX = 8 };

enum room_flags {
    ROOM_GATED = 1,         /* only who speaks is mixed: for many microphones. Else everything is, as in a call */
    ROOM_PASSES_DIGITS = 2, /* what one presses is said to the others, each in its own way */
    ROOM_FLAGS = 3,
};

struct room {
    struct retired retired;
    uint32_t index, generation;
    uint32_t flags;
    uint64_t due;  /* the next tick; 0: there is nobody */
    uint64_t tick; /* its number, counting those that were left out */
    uint32_t count;
    struct player *players; /* to all */
    struct tap *taps;
    struct voice *members[ROOM_MEMBERS_MAX];
};

struct room *room_new(uint32_t flags); /* on Python's thread; NULL: no memory */
void room_free(struct room *room);

/* All below by the thread that steps the core. What they are given they own, and retire when it has had its day. */
void room_open(struct core *core, struct room *room, uint64_t now);
void room_close(struct core *core, struct room *room, uint64_t now); /* its members are idle then */

/* A leg that is in another room moves, with what it has heard; `voice` is then not needed. */
void room_join(struct core *core, struct room *room, uint32_t leg, struct voice *voice,
               const struct membership *membership, uint64_t now);
void room_leave(struct core *core, uint32_t leg, uint64_t now); /* does not touch the mode */

void room_play(struct core *core, struct room *room, struct voice *to, struct player *player, uint64_t now);
void room_stop(struct room *room, uint32_t player, uint32_t fade_ms);
void room_change_gain(struct room *room, uint32_t player, int32_t gain, uint32_t fade_ms);
void room_tap(struct core *core, struct room *room, struct voice *of, struct tap *tap, uint64_t now);
void room_untap(struct core *core, struct room *room, uint32_t tap);

/* A digit that `from` pressed, on its way to the others. */
void room_pass_digit(struct core *core, const struct voice *from, uint8_t code, uint32_t ms);

void room_step(struct core *core, struct room *room, uint64_t now); /* when its tick is due; tick.c */

/* For the tick. */
void room_schedule(struct core *core, struct room *room, uint64_t due); /* 0: there is nothing to do */
void room_end_lost_taps(struct core *core, struct room *room); /* those that nobody can read any more */
void room_rest_if_empty(struct core *core, struct room *room);
void room_report(struct core *core, const struct room *room, enum event_kind kind, uint32_t a, uint32_t b, uint32_t c,
                 uint64_t now);
void room_end_player(struct core *core, const struct room *room, struct player *player, enum played why,
                     uint64_t now);
bool room_takes_events(const struct core *core, const struct voice *voice); /* digits as telephone events */
/* Whether tones of this member must not go on: who has them as events must not hear them as well. Where nobody takes
 * events they stay what they are. */
bool room_gags(const struct core *core, const struct room *room, const struct voice *voice);

#endif
