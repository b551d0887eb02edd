/* Rooms as Python handles them: memory is taken and given back here, then everything goes by command. */
#include "fax.h"
#include "shell.h"

#include <errno.h>
#include <stdlib.h>

static const double GAIN_MAX = 16; /* 24 dB */

/* ---- what comes back */

void rooms_retire(void *shell, struct retired *retired) {
    struct wire *wire = shell;
    struct retired *first = atomic_load_explicit(&wire->retired, memory_order_relaxed);
    do
        retired->next = first;
    while (!atomic_compare_exchange_weak_explicit(&wire->retired, &first, retired, memory_order_release,
                                                  memory_order_relaxed));
}

static void give_back(struct wire *wire, struct retired *retired) {
    switch (retired->kind) {
    case RETIRED_ROOM:
        wire->room_used[((struct room *)retired)->index] = false;
        wire->rooms_open--;
        room_free((struct room *)retired);
        break;
    case RETIRED_VOICE:
        voice_free((struct voice *)retired);
        break;
    case RETIRED_PLAYER:
        player_free((struct player *)retired);
        break;
    case RETIRED_FAX:
        fax_port_release((struct fax_port *)retired);
        break;
    case RETIRED_SRTP:
        srtp_way_free((struct srtp_way *)retired);
        break;
    default:
        tap_release((struct tap *)retired);
    }
}

void rooms_reap(struct wire *wire) {
    struct retired *retired = atomic_exchange_explicit(&wire->retired, NULL, memory_order_acquire);
    while (retired) {
        struct retired *next = retired->next;
        give_back(wire, retired);
        retired = next;
    }
}

/* ---- in the wire thread */

static struct room *room_of(struct wire *wire, const struct command *command) {
    struct room *room = wire->core.rooms[command->in.room];
    return room && room->generation == command->in.room_generation ? room : NULL;
}

static bool leg_lives(const struct wire *wire, const struct command *command) {
    return wire->core.legs[command->index].generation == command->generation;
}

/* The leg's voice, in this room. */
static struct voice *voice_in(struct wire *wire, const struct command *command, const struct room *room) {
    struct voice *voice = leg_lives(wire, command) ? wire->core.voices[command->index] : NULL;
    return voice && voice->room == room ? voice : NULL;
}

static void join(struct wire *wire, const struct command *command, uint64_t now) {
    struct room *room = room_of(wire, command);
    if (room && leg_lives(wire, command) && room->count < ROOM_MEMBERS_MAX) {
        room_join(&wire->core, room, command->index, command->in.join.voice, &command->in.join.membership, now);
        return;
    }
    tally(&wire->core.drops[DROP_stale_command]);
    rooms_retire(wire, &command->in.join.voice->retired);
}

static void play(struct wire *wire, const struct command *command, uint64_t now) {
    struct room *room = room_of(wire, command);
    struct player *player = command->in.player;
    struct voice *to = room && command->in.of_leg ? voice_in(wire, command, room) : NULL;
    if (room && (to || !command->in.of_leg)) {
        room_play(&wire->core, room, to, player, now);
        return;
    }
    struct event event = {.leg = command->in.room, .generation = command->in.room_generation, .kind = EVENT_PLAYED};
    event.a = player->id;
    event.b = room ? PLAYED_LEG_GONE : PLAYED_ROOM_GONE;
    event.at = now;
    wire->core.report(wire, &event);
    rooms_retire(wire, &player->retired);
}

static void tap(struct wire *wire, const struct command *command, uint64_t now) {
    struct room *room = room_of(wire, command);
    struct voice *of = room && command->in.of_leg ? voice_in(wire, command, room) : NULL;
    if (room && (of || !command->in.of_leg)) {
        room_tap(&wire->core, room, of, command->in.tap, now);
        return;
    }
    atomic_store(&command->in.tap->closed, true);
    rooms_retire(wire, &command->in.tap->retired);
}

static void apply_to_voice(struct wire *wire, const struct command *command) {
    struct voice *voice = leg_lives(wire, command) ? wire->core.voices[command->index] : NULL;
    if (!voice)
        tally(&wire->core.drops[DROP_stale_command]);
    else if (command->kind == COMMAND_ROOM_SET)
        voice->membership = command->in.join.membership;
    else if (!digits_say(&voice->digits, (uint8_t)command->in.digit.code, command->in.digit.duration_ms))
        core_drop(&wire->core, voice_leg(&wire->core, voice), DROP_digit_overflow);
}

static void apply_to_room(struct wire *wire, const struct command *command, uint64_t now) {
    struct room *room = room_of(wire, command);
    if (!room)
        tally(&wire->core.drops[DROP_stale_command]);
    else if (command->kind == COMMAND_ROOM_CLOSE)
        room_close(&wire->core, room, now);
    else if (command->kind == COMMAND_ROOM_STOP)
        room_stop(room, command->in.change.id, command->in.change.fade_ms);
    else if (command->kind == COMMAND_ROOM_GAIN)
        room_change_gain(room, command->in.change.id, command->in.change.gain, command->in.change.fade_ms);
    else
        room_untap(&wire->core, room, command->in.change.id);
}

void rooms_apply(struct wire *wire, const struct command *command, uint64_t now) {
    switch (command->kind) {
    case COMMAND_ROOM_OPEN:
        room_open(&wire->core, command->in.opened, now);
        break;
    case COMMAND_ROOM_JOIN:
        join(wire, command, now);
        break;
    case COMMAND_ROOM_PLAY:
        play(wire, command, now);
        break;
    case COMMAND_ROOM_TAP:
        tap(wire, command, now);
        break;
    case COMMAND_ROOM_SET:
    case COMMAND_ROOM_DIGIT:
        apply_to_voice(wire, command);
        break;
    default:
        apply_to_room(wire, command, now);
    }
}

/* ---- from Python */

static struct command command_for(enum command_kind kind, const struct wire_room *room, const struct wire_leg *leg) {
    struct command command = {.kind = kind};
    if (leg) {
        command.index = leg->index;
        command.generation = leg->generation;
    }
    if (room) {
        command.in.room = room->index;
        command.in.room_generation = room->generation;
    }
    command.in.of_leg = leg;
    return command;
}

static bool within(const struct wire *wire, const struct wire_room *room, const struct wire_leg *leg) {
    return (!room || room->index < wire->table.capacity) && (!leg || leg->index < wire->table.capacity);
}

static uint32_t next_id(struct wire *wire) {
    if (++wire->ids == 0)
        wire->ids = 1;
    return wire->ids;
}

static int32_t gain_of(double gain) {
    return (int32_t)(gain * FULL_GAIN + 0.5);
}

static bool gain_valid(double gain) {
    return gain >= 0 && gain <= GAIN_MAX;
}

int wire_room_open(struct wire *wire, uint32_t flags, struct wire_room *out) {
    rooms_reap(wire);
    uint32_t index = 0;
    while (index < wire->table.capacity && wire->room_used[index])
        index++;
    if (index == wire->table.capacity)
        return ENOSPC;
    struct room *room = flags & ~(uint32_t)ROOM_FLAGS ? NULL : room_new(flags);
    if (!room)
        return flags & ~(uint32_t)ROOM_FLAGS ? EINVAL : ENOMEM;
    room->index = out->index = index;
    room->generation = out->generation = next_id(wire);
    struct command command = command_for(COMMAND_ROOM_OPEN, out, NULL);
    command.in.opened = room;
    int error = shell_submit(wire, &command);
    if (error) {
        room_free(room);
        return error;
    }
    wire->room_used[index] = true;
    wire->rooms_open++;
    return 0;
}

int wire_room_close(struct wire *wire, const struct wire_room *room) {
    struct command command = command_for(COMMAND_ROOM_CLOSE, room, NULL);
    return within(wire, room, NULL) ? shell_submit(wire, &command) : EINVAL;
}

uint32_t wire_rooms_open(const struct wire *wire) {
    return wire->rooms_open;
}

static bool membership_from(struct membership *to, const struct wire_membership *from) {
    to->speaks = from->speaks;
    to->hears = from->hears;
    to->gain = gain_of(from->gain);
    to->muted = from->muted != 0;
    to->detect = from->detect;
    to->keeps_digits = from->keeps_digits != 0;
    return gain_valid(from->gain) && from->detect <= DETECT_NEEDED;
}

int wire_room_join(struct wire *wire, const struct wire_room *room, const struct wire_leg *leg,
                   const struct wire_membership *membership) {
    struct command command = command_for(COMMAND_ROOM_JOIN, room, leg);
    if (!within(wire, room, leg) || !membership_from(&command.in.join.membership, membership))
        return EINVAL;
    rooms_reap(wire);
    command.in.join.voice = voice_new();
    if (!command.in.join.voice)
        return ENOMEM;
    int error = shell_submit(wire, &command);
    if (error)
        voice_free(command.in.join.voice);
    return error;
}

int wire_room_set(struct wire *wire, const struct wire_leg *leg, const struct wire_membership *membership) {
    struct command command = command_for(COMMAND_ROOM_SET, NULL, leg);
    bool valid = within(wire, NULL, leg) && membership_from(&command.in.join.membership, membership);
    return valid ? shell_submit(wire, &command) : EINVAL;
}

int wire_room_digit(struct wire *wire, const struct wire_leg *leg, uint32_t code, uint32_t duration_ms) {
    struct command command = command_for(COMMAND_ROOM_DIGIT, NULL, leg);
    command.in.digit.code = code;
    command.in.digit.duration_ms = duration_ms;
    return within(wire, NULL, leg) && code < DTMF_CODES ? shell_submit(wire, &command) : EINVAL;
}

/* ---- sound to play */

static bool rate_valid(uint32_t rate) {
    return rate == NARROW_RATE || rate == WIDE_RATE;
}

struct clip *wire_clip_new(const int16_t *samples, uint32_t count, uint32_t rate) {
    return rate_valid(rate) ? clip_new(samples, count, rate) : NULL;
}

void wire_clip_release(struct clip *clip) {
    clip_release(clip);
}

struct supply *wire_stream_new(uint32_t rate, uint32_t capacity_ms, uint32_t low_ms) {
    enum { LONGEST_MS = 600000 };
    bool valid = rate_valid(rate) && capacity_ms && capacity_ms <= LONGEST_MS && low_ms <= capacity_ms;
    return valid ? supply_new(rate, capacity_ms, low_ms) : NULL;
}

uint32_t wire_stream_write(struct supply *supply, const int16_t *samples, uint32_t count) {
    return supply_write(supply, samples, count);
}

void wire_stream_finish(struct supply *supply) {
    atomic_store(&supply->finished, true);
}

uint32_t wire_stream_fill(const struct supply *supply) {
    return supply_fill(supply);
}

uint32_t wire_stream_underruns(const struct supply *supply) {
    return atomic_load(&supply->underruns);
}

void wire_stream_release(struct supply *supply) {
    supply_release(supply);
}

static bool playable(struct clip *const *clips, uint32_t count, const struct supply *supply) {
    for (uint32_t i = 1; i < count; i++)
        if (clips[i]->rate != clips[0]->rate)
            return false;
    return (count > 0) != (supply != NULL);
}

static struct player *player_for(struct clip *const *clips, uint32_t count, struct supply *supply,
                                 const struct wire_play *how) {
    struct player *player = player_new(clips, count, supply);
    if (!player)
        return NULL;
    player->speaks = how->speaks;
    player->repeats = how->repeats;
    player->position = (uint32_t)((uint64_t)how->start_ms * player->rate / 1000);
    player->gain = player->target = gain_of(how->gain);
    if (how->fade_ms >= TICK_MS) {
        player->fade = player->target / (int32_t)(how->fade_ms / TICK_MS) + 1;
        player->gain = 0;
    }
    return player;
}

int wire_play(struct wire *wire, const struct wire_room *room, const struct wire_leg *leg, struct clip *const *clips,
              uint32_t count, struct supply *supply, const struct wire_play *how, uint32_t *id) {
    struct command command = command_for(COMMAND_ROOM_PLAY, room, leg);
    if (!within(wire, room, leg) || !playable(clips, count, supply) || !gain_valid(how->gain))
        return EINVAL;
    struct player *player = player_for(clips, count, supply, how);
    if (!player)
        return ENOMEM;
    player->id = *id = next_id(wire);
    command.in.player = player;
    int error = shell_submit(wire, &command);
    if (error)
        player_free(player);
    return error;
}

static int change(struct wire *wire, enum command_kind kind, const struct wire_room *room, uint32_t id,
                  uint32_t fade_ms, int32_t gain) {
    struct command command = command_for(kind, room, NULL);
    command.in.change.id = id;
    command.in.change.fade_ms = fade_ms;
    command.in.change.gain = gain;
    return within(wire, room, NULL) ? shell_submit(wire, &command) : EINVAL;
}

int wire_play_stop(struct wire *wire, const struct wire_room *room, uint32_t id, uint32_t fade_ms) {
    return change(wire, COMMAND_ROOM_STOP, room, id, fade_ms, 0);
}

int wire_play_gain(struct wire *wire, const struct wire_room *room, uint32_t id, double gain, uint32_t fade_ms) {
    return gain_valid(gain) ? change(wire, COMMAND_ROOM_GAIN, room, id, fade_ms, gain_of(gain)) : EINVAL;
}

/* ---- sound to take */

int wire_tap_open(struct wire *wire, const struct wire_room *room, const struct wire_leg *leg, uint32_t kind,
                  uint32_t rate, uint32_t seconds, struct tap **out) {
    enum { LONGEST_S = 600 };
    struct command command = command_for(COMMAND_ROOM_TAP, room, leg);
    if (!within(wire, room, leg) || kind > TAP_MIX || (kind == TAP_MIX) != !leg || !rate_valid(rate) || !seconds ||
        seconds > LONGEST_S)
        return EINVAL;
    struct tap *tap = tap_new(kind, rate, seconds);
    if (!tap)
        return ENOMEM;
    tap->id = next_id(wire);
    command.in.tap = *out = tap;
    int error = shell_submit(wire, &command);
    if (error) {
        tap_release(tap);
        tap_release(tap);
    }
    return error;
}

int wire_tap_close(struct wire *wire, const struct wire_room *room, const struct tap *tap) {
    return change(wire, COMMAND_ROOM_UNTAP, room, tap->id, 0, 0);
}

uint32_t wire_tap_read(struct tap *tap, int16_t *samples, uint64_t *ticks, uint32_t frames) {
    uint32_t count = 0, length = tap->rate / 1000 * TICK_MS;
    struct tap_frame frame;
    while (count < frames && ring_pop(&tap->ring, &frame)) {
        memcpy(samples + count * length, frame.samples, length * sizeof *samples);
        ticks[count++] = frame.tick;
    }
    return count;
}

uint32_t wire_tap_overruns(const struct tap *tap) {
    return atomic_load(&tap->overruns);
}

int wire_tap_closed(const struct tap *tap) {
    return atomic_load(&tap->closed);
}

void wire_tap_release(struct tap *tap) {
    tap_release(tap);
}
