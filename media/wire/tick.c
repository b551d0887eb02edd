/* What a room does every 20 ms: hear all, choose, mix, say. */
#include "room.h"

#include <string.h>

#include "line.h"

static const uint64_t TICK = TICK_MS * 1000000ull;
static const uint64_t CATCH_UP = 3 * TICK_MS * 1000000ull; /* beyond it, time is lost */

struct wanted {
    bool rate[2]; /* narrow, wide */
};

static struct wanted rates_of(const struct room *room) {
    struct wanted wanted = {{false, false}};
    for (uint32_t i = 0; i < room->count; i++)
        wanted.rate[voice_wide(room->members[i])] = true;
    for (const struct tap *tap = room->taps; tap; tap = tap->next)
        if (!tap->voice)
            wanted.rate[tap->rate == WIDE_RATE] = true;
    return wanted;
}

static void hear_member(struct core *core, struct room *room, struct voice *voice, uint64_t now) {
    bool gag = room_gags(core, room, voice);
    struct detected detected = voice_hear(core, voice, gag, now);
    if (!detected.ended)
        return;
    core_report(core, voice_leg(core, voice), EVENT_DTMF, detected.code, detected.ms, now);
    if (gag)
        room_pass_digit(core, voice, detected.code, detected.ms);
}

/* Who was heard a moment ago stays before who is but a little louder. */
static uint32_t rank(const struct voice *voice) {
    return voice->was_chosen ? 2 * voice->level : voice->level;
}

/* The loudest of those who are to be heard. */
static void choose(struct room *room) {
    struct voice *chosen[ROOM_SPEAKERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < room->count; i++) {
        struct voice *voice = room->members[i];
        if (!voice->sounds || (room->flags & ROOM_GATED && !voice->spoken))
            continue;
        uint32_t place = count < ROOM_SPEAKERS_MAX ? count++ : ROOM_SPEAKERS_MAX;
        for (; place && rank(chosen[place - 1]) < rank(voice); place--)
            if (place < ROOM_SPEAKERS_MAX)
                chosen[place] = chosen[place - 1];
        if (place < ROOM_SPEAKERS_MAX)
            chosen[place] = voice;
    }
    for (uint32_t i = 0; i < count; i++)
        chosen[i]->chosen = true;
}

static void add_members(struct core *core, const struct room *room, const struct wanted *wanted) {
    bool both = wanted->rate[0] && wanted->rate[1], fades = room->flags & ROOM_GATED;
    for (uint32_t i = 0; i < room->count; i++) {
        struct voice *voice = room->members[i];
        if (!voice->chosen && !(voice->was_chosen && voice->sounds && fades)) {
            voice->converted = false;
            continue;
        }
        bool wide = voice_wide(voice);
        voice_offer(voice, fades, both || !wanted->rate[wide]);
        struct mix_source source = {{voice_sound(voice, false), voice_sound(voice, true)}, voice->membership.speaks, voice};
        mixer_add(core->mixer, &source);
    }
}

static void step_player(struct core *core, const struct room *room, struct player *player,
                        const struct wanted *wanted, uint64_t now) {
    enum player_tick tick = player_step(player, wanted->rate[0], wanted->rate[1]);
    player->ended = tick == PLAYER_ENDED;
    if (tick == PLAYER_LOW)
        room_report(core, room, EVENT_STREAM_LOW, player->id, supply_fill(player->supply), 0, now);
}

/* Not before their last sound has been used. */
static void take_out_ended(struct core *core, const struct room *room, struct player **list, uint64_t now) {
    for (struct player **at = list; *at;) {
        struct player *player = *at;
        if (!player->ended) {
            at = &player->next;
            continue;
        }
        *at = player->next;
        room_end_player(core, room, player, player->stopping ? PLAYED_STOPPED : PLAYED_WHOLE, now);
    }
}

static void add_players(struct core *core, const struct room *room, const struct wanted *wanted, uint64_t now) {
    for (struct player *player = room->players; player; player = player->next) {
        step_player(core, room, player, wanted, now);
        struct mix_source source = {{player_sound(player, false), player_sound(player, true)}, player->speaks, player};
        mixer_add(core->mixer, &source);
    }
}

/* What plays to this member alone, on top of what it hears. */
static void add_own(struct core *core, const struct room *room, struct voice *voice, int16_t *pcm, uint64_t now) {
    bool wide = voice_wide(voice);
    struct wanted wanted = {{!wide, wide}};
    for (struct player *player = voice->players; player; player = player->next) {
        step_player(core, room, player, &wanted, now);
        const int16_t *sound = player_sound(player, wide);
        for (size_t i = 0; i < voice_samples(voice); i++)
            pcm[i] = mix_limit(pcm[i] + sound[i]);
    }
    take_out_ended(core, room, &voice->players, now);
}

static void push_taps(const struct room *room, const struct voice *voice, enum tap_kind kind, const int16_t *pcm,
                      uint32_t rate) {
    for (struct tap *tap = room->taps; tap; tap = tap->next)
        if (tap->voice == voice && tap->kind == (uint32_t)kind && (voice || tap->rate == rate))
            tap_push(tap, room->tick, pcm, rate);
}

/* A digit on its way to this member, instead of anything else. True: the 20 ms are used up by it. */
static bool say_digit(struct core *core, struct voice *voice, int16_t *pcm, bool *sounded, uint64_t now) {
    struct digit_step step = digits_step(&voice->digits, !room_takes_events(core, voice));
    size_t samples = voice_samples(voice), ramp = samples / TICK_MS * 2;
    switch (step.part) {
    case DIGIT_EVENT:
        if (room_takes_events(core, voice))
            line_event(core, voice, &step, now);
        else
            line_pause(voice);
        return true;
    case DIGIT_TONE:
        if (step.first)
            tone_start(&voice->digits.tone, step.code, voice->operations->rate);
        tone_fill(&voice->digits.tone, pcm, samples, step.rise ? ramp : 0, step.fall ? ramp : 0);
        break;
    case DIGIT_PAUSE:
        memset(pcm, 0, samples * sizeof *pcm);
        break;
    case DIGIT_NONE:
        return false;
    }
    *sounded = true;
    return false;
}

static void serve(struct core *core, struct room *room, struct voice *voice, uint64_t now) {
    int16_t pcm[TICK_WIDE];
    uint64_t due = voice->line.due;
    struct sum *sum = mixer_for(core->mixer, voice, voice->membership.hears, voice_wide(voice));
    bool own = voice->players;
    if (own) {
        memcpy(pcm, sum->pcm, voice_samples(voice) * sizeof *pcm);
        add_own(core, room, voice, pcm, now);
    }
    bool ready = line_ready(core, voice, room->tick, now);
    bool used = ready && digits_busy(&voice->digits) && say_digit(core, voice, pcm, &own, now);
    const int16_t *said = own ? pcm : sum->pcm;
    if (room->taps)
        push_taps(room, voice, TAP_SAID, used ? NULL : said, voice->operations->rate);
    if (ready && !used)
        line_say(core, voice, said, own ? NULL : sum, now);
    if (voice->line.due != due)
        core_schedule(core, voice->leg);
}

static void tap_room(struct core *core, const struct room *room, const struct wanted *wanted) {
    for (uint32_t i = 0; i < room->count; i++) {
        const struct voice *voice = room->members[i];
        push_taps(room, voice, TAP_HEARD, voice->sounds ? voice->pcm : NULL, voice->operations->rate);
    }
    for (int wide = 0; wide < 2; wide++)
        if (wanted->rate[wide])
            push_taps(room, NULL, TAP_MIX, mixer_for(core->mixer, NULL, UINT32_MAX, wide)->pcm,
                      wide ? WIDE_RATE : NARROW_RATE);
}

static void tick(struct core *core, struct room *room, uint64_t now) {
    struct wanted wanted = rates_of(room);
    for (uint32_t i = 0; i < room->count; i++)
        hear_member(core, room, room->members[i], now);
    choose(room);
    mixer_begin(core->mixer);
    add_members(core, room, &wanted);
    add_players(core, room, &wanted, now);
    room_end_lost_taps(core, room);
    if (room->taps)
        tap_room(core, room, &wanted);
    for (uint32_t i = 0; i < room->count; i++)
        serve(core, room, room->members[i], now);
    take_out_ended(core, room, &room->players, now);
    room->tick++;
    room_rest_if_empty(core, room);
}

void room_step(struct core *core, struct room *room, uint64_t now) {
    uint64_t due = room->due;
    if (now - due > CATCH_UP) {
        uint64_t lost = (now - due) / TICK;
        room->tick += lost;
        due += lost * TICK;
    }
    room->due = due + TICK;
    tick(core, room, now);
    if (room->due)
        room_schedule(core, room, room->due);
}
