#include "room.h"

#include <sys/mman.h>

enum { PHASES = 20, PHASE_STEP = 7 /* rooms that are opened one after the other tick far from each other */ };
static const uint64_t NS_PER_MS = 1000000;
static const uint64_t TICK = TICK_MS * 1000000ull;

struct room *room_new(uint32_t flags) {
    void *map = mmap(NULL, sizeof(struct room), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    struct room *room = map;
    room->retired.kind = RETIRED_ROOM;
    room->flags = flags;
    return room;
}

void room_free(struct room *room) {
    munmap(room, sizeof *room);
}

/* ---- life */

void room_schedule(struct core *core, struct room *room, uint64_t due) {
    room->due = due;
    heap_set(&core->room_timers, room->index, due);
}

/* The first tick after `now` on the room's own moment of the 20 ms. */
static uint64_t next_tick(const struct room *room, uint64_t now) {
    uint64_t phase = room->index * PHASE_STEP % PHASES * NS_PER_MS;
    return (now - phase) / TICK * TICK + phase + TICK;
}

static void wake(struct core *core, struct room *room, uint64_t now) {
    if (!room->due)
        room_schedule(core, room, next_tick(room, now));
}

void room_rest_if_empty(struct core *core, struct room *room) {
    if (!room->count && !room->players && !room->taps)
        room_schedule(core, room, 0);
}

void room_open(struct core *core, struct room *room, uint64_t now) {
    (void)now;
    core->rooms[room->index] = room;
}

void room_report(struct core *core, const struct room *room, enum event_kind kind, uint32_t a, uint32_t b, uint32_t c,
                 uint64_t now) {
    struct event event = {
        .leg = room->index, .generation = room->generation, .kind = kind, .a = a, .b = b, .c = c, .at = now};
    core->report(core->shell, &event);
}

void room_end_player(struct core *core, const struct room *room, struct player *player, enum played why,
                     uint64_t now) {
    uint32_t ms = (uint32_t)(player->played * 1000 / player->rate);
    room_report(core, room, EVENT_PLAYED, player->id, why, ms, now);
    core->retire(core->shell, &player->retired);
}

static void end_players(struct core *core, const struct room *room, struct player **players, enum played why,
                        uint64_t now) {
    while (*players) {
        struct player *player = *players;
        *players = player->next;
        room_end_player(core, room, player, why, now);
    }
}

static void end_tap(struct core *core, struct tap **at) {
    struct tap *tap = *at;
    *at = tap->next;
    atomic_store(&tap->closed, true);
    core->retire(core->shell, &tap->retired);
}

static void end_taps_of(struct core *core, struct room *room, const struct voice *voice) {
    for (struct tap **at = &room->taps; *at;)
        if ((*at)->voice == voice)
            end_tap(core, at);
        else
            at = &(*at)->next;
}

/* Python looks at it, too, for statistics. */
static void set_voice(struct core *core, uint32_t leg, struct voice *voice) {
    __atomic_store_n(&core->voices[leg], voice, __ATOMIC_RELEASE);
}

static void take_out(struct core *core, struct voice *voice) {
    struct room *room = voice->room;
    uint32_t place = 0;
    while (room->members[place] != voice)
        place++;
    room->members[place] = room->members[--room->count];
    voice->room = NULL;
    end_taps_of(core, room, voice);
    room_rest_if_empty(core, room);
}

void room_join(struct core *core, struct room *room, uint32_t index, struct voice *voice,
               const struct membership *membership, uint64_t now) {
    struct voice *present = core->voices[index];
    if (present) {
        core->retire(core->shell, &voice->retired);
        voice = present;
        voice->membership = *membership;
        if (voice->room == room)
            return;
        take_out(core, voice);
        sender_release(&core->legs[index].sender); /* the other room ticks at another moment */
    } else {
        relay_release(core, &core->legs[index], now); /* whoever fed it does no more */
        core_mode(core, index, MODE_MIX, 0, 0, now);
        voice->leg = index;
        set_voice(core, index, voice);
        voice_settle(core, voice, true, now);
    }
    voice->room = room;
    voice->membership = *membership;
    room->members[room->count++] = voice;
    wake(core, room, now);
}

void room_leave(struct core *core, uint32_t index, uint64_t now) {
    struct voice *voice = core->voices[index];
    struct room *room = voice->room;
    set_voice(core, index, NULL);
    end_players(core, room, &voice->players, PLAYED_LEG_GONE, now);
    take_out(core, voice);
    sender_release(&core->legs[index].sender);
    core_schedule(core, index);
    core->retire(core->shell, &voice->retired);
}

void room_close(struct core *core, struct room *room, uint64_t now) {
    while (room->count)
        core_mode(core, room->members[room->count - 1]->leg, MODE_IDLE, 0, 0, now);
    end_players(core, room, &room->players, PLAYED_ROOM_GONE, now);
    while (room->taps)
        end_tap(core, &room->taps);
    room_schedule(core, room, 0);
    core->rooms[room->index] = NULL;
    core->retire(core->shell, &room->retired);
}

/* ---- players and taps */

void room_play(struct core *core, struct room *room, struct voice *to, struct player *player, uint64_t now) {
    struct player **list = to ? &to->players : &room->players;
    player->next = *list;
    *list = player;
    wake(core, room, now);
}

static struct player *find_in(struct player *player, uint32_t id) {
    while (player && player->id != id)
        player = player->next;
    return player;
}

static struct player *find_player(const struct room *room, uint32_t id) {
    struct player *found = find_in(room->players, id);
    for (uint32_t i = 0; !found && i < room->count; i++)
        found = find_in(room->members[i]->players, id);
    return found;
}

/* By how much the gain moves in a tick, so that it takes `fade_ms` from here to there. */
static int32_t fade_step(int32_t from, int32_t to, uint32_t fade_ms) {
    int32_t ticks = (int32_t)(fade_ms / TICK_MS), way = from < to ? to - from : from - to;
    return ticks > 1 ? (way + ticks - 1) / ticks : way > 1 ? way : 1;
}

void room_change_gain(struct room *room, uint32_t id, int32_t gain, uint32_t fade_ms) {
    struct player *player = find_player(room, id);
    if (!player || player->stopping)
        return;
    player->fade = fade_step(player->gain, gain, fade_ms);
    player->target = gain;
}

void room_stop(struct room *room, uint32_t id, uint32_t fade_ms) {
    struct player *player = find_player(room, id);
    if (!player)
        return;
    player->stopping = true;
    player->fade = fade_step(player->gain, 0, fade_ms);
    player->target = 0;
}

void room_tap(struct core *core, struct room *room, struct voice *of, struct tap *tap, uint64_t now) {
    tap->voice = of;
    tap->next = room->taps;
    room->taps = tap;
    wake(core, room, now);
}

void room_end_lost_taps(struct core *core, struct room *room) {
    for (struct tap **at = &room->taps; *at;)
        if (atomic_load_explicit(&(*at)->references, memory_order_acquire) == 1)
            end_tap(core, at);
        else
            at = &(*at)->next;
}

void room_untap(struct core *core, struct room *room, uint32_t id) {
    for (struct tap **at = &room->taps; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            end_tap(core, at);
            room_rest_if_empty(core, room);
            return;
        }
}

/* ---- digits */

static bool hears(const struct voice *listener, const struct voice *speaker) {
    return listener != speaker && listener->membership.hears & speaker->membership.speaks;
}

bool room_takes_events(const struct core *core, const struct voice *voice) {
    return voice_leg(core, voice)->plan.dtmf_send != PT_NONE;
}

/* Whether tones of this member must not go on: who has them as events must not hear them as well. Where nobody takes
 * events they stay what they are. */
bool room_gags(const struct core *core, const struct room *room, const struct voice *voice) {
    if (!(room->flags & ROOM_PASSES_DIGITS) || voice->membership.keeps_digits)
        return true;
    for (uint32_t i = 0; i < room->count; i++)
        if (hears(room->members[i], voice) && room_takes_events(core, room->members[i]))
            return true;
    return false;
}

void room_pass_digit(struct core *core, const struct voice *from, uint8_t code, uint32_t ms) {
    const struct room *room = from->room;
    if (!(room->flags & ROOM_PASSES_DIGITS) || code >= DTMF_CODES || from->membership.muted ||
        from->membership.keeps_digits)
        return;
    for (uint32_t i = 0; i < room->count; i++) {
        struct voice *to = room->members[i];
        if (hears(to, from) && !digits_say(&to->digits, code, ms))
            core_drop(core, voice_leg(core, to), DROP_digit_overflow);
    }
}
