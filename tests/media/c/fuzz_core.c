/* The input is a script: commands, time and datagrams for a core with a few legs and a guard. Whatever it says, nothing
 * may leave its bounds, every packet sent is one the far end negotiated, and the clock never stands still.
 *
 * libFuzzer drives it where clang has it; else main() below does, with bytes and mutations of its own. */
#include <stdlib.h>

#include "far.h"
#include "guard.h"
#include "stage.h"

enum { LEGS = 4 };

struct script {
    const uint8_t *at, *end;
};

static uint8_t next(struct script *s) {
    return s->at < s->end ? *s->at++ : 0;
}

static uint16_t next16(struct script *s) {
    uint16_t high = next(s);
    return (uint16_t)(high << 8 | next(s));
}

static struct leg legs[LEGS];
static struct core core;
static struct guard guard;
static struct tap *taps[LEGS];
static uint64_t now;

static void emit(void *shell, uint32_t leg, enum channel channel, const uint8_t *data, size_t length,
                 const struct addr *to) {
    (void)shell;
    volatile uint8_t sum = 0;
    CHECK(leg < LEGS && channel <= CHANNEL_RTCP && length >= 8 && to && to->set);
    CHECK(length <= RTP_LENGTH_MAX + (core.srtp[leg].send ? SRTP_TRAILER_MAX : 0));
    for (size_t i = 0; i < length; i++) /* touches every byte, for the sanitizer */
        sum = (uint8_t)(sum + data[i]);
    CHECK_IS(data[0] >> 6, 2);
    if (rtp_demultiplex(data, length) == PROTOCOL_RTCP)
        return;
    const struct plan *plan = &legs[leg].plan;
    uint8_t type = data[1] & 0x7f;
    CHECK(plan->sends && length > RTP_HEADER);
    CHECK(type == plan->payload_type || type == plan->dtmf_send || (type == PT_COMFORT_NOISE && plan->cn));
    CHECK_IS(read32(data + 8), legs[leg].sender.ssrc);
}

static void report(void *shell, const struct event *event) {
    (void)shell;
    CHECK(event->leg < LEGS && event->kind < EVENT_COUNT && event->generation);
}

static void retire(void *shell, struct retired *retired) {
    (void)shell;
    if (retired->kind == RETIRED_ROOM)
        room_free((struct room *)retired);
    else if (retired->kind == RETIRED_VOICE)
        voice_free((struct voice *)retired);
    else if (retired->kind == RETIRED_PLAYER)
        player_free((struct player *)retired);
    else if (retired->kind == RETIRED_SRTP)
        srtp_way_free((struct srtp_way *)retired);
    else
        tap_release((struct tap *)retired);
}

/* Of each leg: what the phone there seals with, once its leg is secured. */
static struct srtp far[LEGS];

static void secure(struct script *s, uint32_t leg) {
    uint8_t how = next(s);
    struct srtp_change change = {.secured = how & 1};
    struct srtp_key key = far_key((enum srtp_suite)(1 + (how >> 1 & 3)), how >> 3 & 3);
    if (change.secured && (how & 0x20 || !core.srtp[leg].send))
        change.send = srtp_way_new(&key, true, legs[leg].sender.ssrc);
    if (change.secured && (how & 0x40 || !core.srtp[leg].receive)) {
        change.receive = srtp_way_new(&key, false, legs[leg].receiver.ssrc);
        srtp_way_free(far[leg].send);
        far[leg].send = srtp_way_new(&key, true, 0);
    }
    core_secure(&core, leg, &change, now);
}

/* Mostly as the phone would seal it, and sometimes changed then. */
static size_t seal(struct script *s, uint32_t leg, uint8_t *data, size_t length) {
    uint8_t how = next(s);
    if (core.srtp[leg].receive && far[leg].send && how & 7)
        srtp_seal(&far[leg], false, data, &length);
    if ((how & 0xf8) == 8)
        data[next(s) % length] ^= 1;
    return (how & 0xf8) == 16 ? length - length / 4 : length;
}

static struct addr next_addr(struct script *s) {
    uint8_t byte = next(s);
    struct addr a = stage_addr(byte & 0x80 ? "2001:db8::1" : "192.0.2.1", (uint16_t)(4000 + (byte >> 4 & 7)));
    a.ip[15] = byte & 3;
    return a;
}

static void plan(struct script *s, uint32_t leg) {
    struct plan plan;
    static const uint8_t ptimes[] = {20, 0, 10, 30, 40, 60, 120, 1};
    memset(&plan, 0, sizeof plan);
    uint8_t flags = next(s), more = next(s);
    if (flags & 1)
        plan.remote = next_addr(s);
    if (flags & 2)
        plan.remote_rtcp = next_addr(s);
    if (flags & 4)
        plan.latch_from[plan.latch_count++] = next_addr(s);
    plan.sends = flags >> 3 & 1;
    plan.receives = flags >> 4 & 1;
    plan.cn = flags >> 5 & 1;
    plan.rtcp_mux = flags >> 6 & 1;
    plan.codec = flags >> 7 ? 1 + (more >> 5 & 3) : 0;
    plan.payload_type = plan.receive_payload_type = plan.codec ? 8 : 0;
    plan.other_payload_type = more & 4 && g711_is((enum codec)plan.codec) ? 8 : PT_NONE;
    plan.dtmf_clock = more & 8 ? 8000 : 0;
    plan.dtmf_send = more & 1 ? 101 : PT_NONE;
    plan.dtmf_receive = more & 2 ? 96 : PT_NONE;
    plan.ptime_ms = ptimes[more >> 2 & 7];
    plan.silence_ms = more & 0x80 ? 700 : 0;
    core_plan(&core, leg, &plan, now);
}

static void datagram(struct script *s, uint32_t leg) {
    struct addr from = next_addr(s);
    enum channel channel = next(s) & 1;
    size_t length = next16(s) % (RTP_LENGTH_MAX + 20), given = (size_t)(s->end - s->at);
    if (length > given)
        length = given;
    uint8_t *data = malloc(length ? length : 1);
    memcpy(data, s->at, length);
    s->at += length;
    core_receive(&core, leg, channel, data, length, &from, now);
    free(data);
}

/* A packet that is nearly right, so that the script gets past the first checks. */
static void speech(struct script *s, uint32_t leg) {
    static const uint8_t types[] = {0, 8, 96, 13};
    _Alignas(8) uint8_t data[RTP_HEADER + 640 + SRTP_TRAILER_MAX];
    struct addr from = next_addr(s);
    uint8_t kind = next(s);
    uint16_t seq = (uint16_t)(legs[leg].receiver.highest + (int8_t)next(s));
    uint32_t timestamp = legs[leg].sender.in_audio_ts + 80u * next(s) - 160;
    memset(data, next(s), sizeof data);
    rtp_write_header(data, types[kind & 3], kind >> 2 & 1, seq, timestamp, kind >> 3 & 1);
    size_t length = seal(s, leg, data, RTP_HEADER + 80u * (kind >> 4 & 7) + (kind >> 7) * 4u);
    core_receive(&core, leg, CHANNEL_RTP, data, length, &from, now);
}

static void advance(uint64_t by) {
    uint64_t until = now + by;
    while (core_due(&core) <= until) {
        if (core_due(&core) > now)
            now = core_due(&core);
        core_step(&core, now);
        CHECK(core_due(&core) > now);
    }
    now = until;
}

static void guard_turn(struct script *s) {
    struct addr from = next_addr(s);
    uint8_t what = next(s);
    guard.rate = what & 15;
    guard.burst = what >> 4;
    struct network network = network_of(&from, next(s) % (BAN_HOST + 1));
    struct bans *bans = what & 4 ? &guard.bans : &guard.slowed;
    guard.slow_rate = guard.slow_burst = what & 15;
    if (what & 1)
        bans_add(bans, &network, next16(s) % BANS_MAX);
    else if (what & 2)
        bans_remove(bans, &network);
    else if (what & 8)
        guard_trust(&guard, &from, network.prefix, what & 16);
    if (guard.trusted_count == GUARD_TRUSTED_MAX)
        guard_distrust_all(&guard);
    CHECK(guard_judge(&guard, &from, now) <= GUARD_RATE);
    CHECK(guard.bans.count <= BANS_MAX);
}

static void play(struct script *s, struct room *room, struct voice *to) {
    int16_t samples[256] = {0};
    uint8_t what = next(s);
    struct clip *clip = clip_new(samples, what, what & 1 ? WIDE_RATE : NARROW_RATE);
    struct supply *supply = what & 2 ? supply_new(NARROW_RATE, 100, 20) : NULL;
    struct player *player = player_new(&clip, supply ? 0 : 1, supply);
    clip_release(clip);
    if (supply) {
        supply_write(supply, samples, what);
        atomic_store(&supply->finished, what & 4);
        supply_release(supply);
    }
    player->id = what >> 6;
    player->speaks = UINT32_MAX;
    player->repeats = what & 8 ? UINT32_MAX : 1;
    room_play(&core, room, to, player, now);
}

/* What may happen to a room, each place of the script's one. */
static void room_turn(struct script *s, uint32_t leg, uint32_t place) {
    struct room *room = core.rooms[place];
    uint8_t what = next(s);
    if (!room) {
        room = room_new(what % (ROOM_FLAGS + 1));
        room->index = place;
        room->generation = 1;
        room_open(&core, room, now);
        return;
    }
    struct voice *voice = legs[leg].generation ? core.voices[leg] : NULL;
    struct membership membership = {next(s), next(s), FULL_GAIN, what >> 7, what % 3, what >> 6 & 1};
    switch (what & 7) {
    case 0:
        room_close(&core, room, now);
        break;
    case 1:
    case 2:
        if (legs[leg].generation)
            room_join(&core, room, leg, voice_new(), &membership, now);
        break;
    case 3:
        play(s, room, voice && voice->room == room ? voice : NULL);
        break;
    case 4:
        room_stop(room, what >> 6, what);
        break;
    case 5:
        if (taps[place])
            tap_release(taps[place]);
        taps[place] = tap_new(voice && voice->room == room ? what >> 3 & 1 : TAP_MIX, what & 16 ? 8000 : 16000, 1);
        room_tap(&core, room, taps[place]->kind == TAP_MIX ? NULL : voice, taps[place], now);
        break;
    case 6:
        room_untap(&core, room, 0);
        break;
    default:
        if (voice)
            digits_say(&voice->digits, what >> 4, what);
    }
}

static void turn(struct script *s) {
    static uint32_t generation;
    uint8_t what = next(s);
    uint32_t leg = what >> 6, peer = next(s) % LEGS;
    bool open = legs[leg].generation;
    switch (what & 15) {
    case 0:
        if (open)
            core_close(&core, leg, now);
        break;
    case 1:
        if (!open)
            core_open(&core, leg, ++generation | 1u, next16(s) * 0x9e3779b97f4a7c15u, now);
        break;
    case 2:
    case 3:
        if (open)
            plan(s, leg);
        break;
    case 4:
    case 5:
        if (open)
            core_mode(&core, leg, (enum mode)(next(s) % (MODE_RELAY + 1)), peer, legs[peer].generation, now);
        break;
    case 6:
        advance(next16(s) * 50000ull);
        break;
    case 7:
        guard_turn(s);
        break;
    case 11:
        if (open)
            secure(s, leg);
        break;
    case 8:
        if (open)
            datagram(s, leg);
        break;
    case 9:
    case 10:
        room_turn(s, leg, peer);
        break;
    default:
        if (open)
            speech(s, leg);
    }
}

static void clear_keys(void) {
    for (uint32_t leg = 0; leg < LEGS && core.srtp; leg++) {
        core_secure(&core, leg, &(struct srtp_change){.secured = false}, now);
        srtp_way_free(far[leg].send);
        far[leg].send = NULL;
    }
}

static void clear_stage(void) {
    for (uint32_t place = 0; place < LEGS; place++) {
        if (core.rooms && core.rooms[place])
            room_close(&core, core.rooms[place], now);
        if (taps[place])
            tap_release(taps[place]);
        taps[place] = NULL;
    }
    clear_keys();
    core_free(&core);
}

static void set_stage(void) {
    clear_stage();
    CHECK(core_init(&core, legs, LEGS));
    memset(legs, 0, sizeof legs);
    core.emit = emit;
    core.report = report;
    core.retire = retire;
    now = SECOND;
    guard_init(&guard, 1);
    static const uint8_t flags = 0x1d, more = 0x83;
    for (uint32_t leg = 0; leg < LEGS; leg++) {
        uint8_t bytes[] = {flags, more, (uint8_t)leg, (uint8_t)leg};
        struct script opening = {bytes, bytes + sizeof bytes};
        core_open(&core, leg, leg + 1, leg * 0x9e3779b97f4a7c15u, now);
        plan(&opening, leg);
        core_mode(&core, leg, leg & 1 ? MODE_RELAY : MODE_ECHO, leg ^ 1, (leg ^ 1) + 1, now);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct script script = {data, data + size};
    set_stage();
    while (script.at < script.end)
        turn(&script);
    advance(10 * SECOND);
    return 0;
}

#ifdef FUZZ_MAIN /* usage: fuzz RUNS SEED */
enum { SCRIPT_MAX = 2000 };

int main(int count, char **words) {
    uint32_t runs = count > 1 ? (uint32_t)strtoul(words[1], NULL, 10) : 1000;
    uint64_t random = count > 2 ? strtoull(words[2], NULL, 10) | 1 : 1;
    uint8_t script[SCRIPT_MAX];
    for (uint32_t run = 0; run < runs; run++) {
        size_t size = random % SCRIPT_MAX;
        for (size_t i = 0; i < size; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            script[i] = (uint8_t)(random >> 32);
        }
        LLVMFuzzerTestOneInput(script, size);
    }
    clear_stage();
    printf("%u scripts\n", runs);
    return 0;
}
#endif
