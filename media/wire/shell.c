#define _GNU_SOURCE
#include "shell.h"

#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mode.h"

enum {
    TURN_EVENTS = 256,
    TURN_COMMANDS = 64, /* of a thousand legs that are closed at once, those that are left must not hear it */
    TURN_PATIENCE = 64,
    COPY_ATTEMPTS = 200,
    REALTIME_PRIORITY = 2,
    NICE = -15,
    PACKET_BUFFER = 2048,
};
static const uint64_t NS_PER_SECOND = 1000000000u;
static const uint64_t WINDOW = 10000000;  /* over which the rate is looked at */
static const uint32_t BUSY_PACKETS = 60;  /* in a window: from 6,000 a second on, gathering saves more than it costs */
static const uint32_t PATIENT_PACKETS = 10; /* when they are for rooms, from 1,000 on */
static const uint64_t GATHER = 1000000;    /* how long packets gather then: far below what an ear or a phone notices */
static const uint64_t PATIENT_GATHER = 5000000; /* a quarter of a tick: rooms ask for it then, and a waking costs as much as a packet */
static const uint64_t PRESSED_GATHER = 100000; /* under a flood: what a turn takes must keep up with it */

uint64_t shell_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* ---- lateness */

static const uint32_t bounds_us[WIRE_LATENESS_BUCKETS] = {50,   100,   200,   500,   1000,   2000,
                                                          5000, 10000, 20000, 50000, 100000, UINT32_MAX};

uint32_t wire_lateness_bound_us(uint32_t bucket) {
    return bounds_us[bucket < WIRE_LATENESS_BUCKETS ? bucket : WIRE_LATENESS_BUCKETS - 1];
}

static void note_lateness(struct wire *wire, uint64_t due, uint64_t now) {
    uint64_t us = now > due ? (now - due) / 1000 : 0;
    uint32_t bucket = 0;
    while (us >= bounds_us[bucket] && bucket < WIRE_LATENESS_BUCKETS - 1)
        bucket++;
    atomic_fetch_add_explicit(&wire->lateness[bucket], 1, memory_order_relaxed);
}

/* ---- commands */

static void kick(struct wire *wire) {
    (void)!write(wire->kick_fd, &(uint64_t){1}, sizeof(uint64_t));
}

int shell_submit(struct wire *wire, const struct command *command) {
    for (int attempt = 0; !ring_push(&wire->commands, command); attempt++) {
        if (!wire->running || attempt == 1000)
            return EAGAIN;
        kick(wire);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    wire->held_back = true;
    if (!wire->holding)
        wire_release(wire);
    return 0;
}

void wire_hold(struct wire *wire) {
    wire->holding = true;
}

void wire_release(struct wire *wire) {
    wire->holding = false;
    if (!wire->held_back)
        return;
    wire->held_back = false;
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&wire->sleeping))
        kick(wire);
}

int shell_register(struct wire *wire, int fd) {
    struct epoll_event event = {.data.u64 = (uint64_t)WATCH_KICK << 32};
    return epoll_ctl(wire->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void shell_watch(struct wire *wire, int fd, uint32_t kind, uint32_t index) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | index};
    epoll_ctl(wire->epoll, EPOLL_CTL_MOD, fd, &event); /* needs no memory: it cannot fail */
}

/* ---- what the interpreter reads beside us */

static void begin_change(struct wire *wire) {
    uint32_t changes = atomic_load_explicit(&wire->changes, memory_order_relaxed);
    atomic_store_explicit(&wire->changes, changes + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void end_change(struct wire *wire) {
    uint32_t changes = atomic_load_explicit(&wire->changes, memory_order_relaxed);
    atomic_store_explicit(&wire->changes, changes + 1, memory_order_release);
}

/* Word by word, beside a writer: each number is whole. The race is meant; `changes` tells when it was lost. */
__attribute__((no_sanitize("thread"))) void shell_copy_words(uint64_t *to, const uint64_t *from, size_t words) {
    for (size_t i = 0; i < words; i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

bool shell_copy_leg(const struct wire *wire, const struct wire_leg *leg, struct leg *copy) {
    if (leg->index >= wire->table.capacity)
        return false;
    const struct leg *original = &wire->table.legs[leg->index];
    for (int attempt = 0; attempt < COPY_ATTEMPTS; attempt++) {
        uint32_t before = atomic_load_explicit(&wire->changes, memory_order_acquire);
        shell_copy_words((uint64_t *)copy, (const uint64_t *)original, offsetof(struct leg, repack) / sizeof(uint64_t));
        atomic_thread_fence(memory_order_acquire);
        if (before % 2 == 0 && atomic_load_explicit(&wire->changes, memory_order_relaxed) == before)
            break;
        sched_yield(); /* at worst the copy is of two moments, one packet apart */
    }
    return copy->generation == leg->generation;
}

static void open_leg(struct wire *wire, const struct command *command, uint64_t now) {
    wire->sockets[command->index] = (struct leg_sockets){{command->open.rtp, command->open.rtcp}};
    core_open(&wire->core, command->index, command->generation, command->open.random, now);
    shell_watch(wire, command->open.rtp, WATCH_RTP, command->index);
    shell_watch(wire, command->open.rtcp, WATCH_RTCP, command->index);
}

static void close_leg(struct wire *wire, uint32_t index, uint64_t now) {
    core_close(&wire->core, index, now);
    if (wire->core.legs[index].headers.count)
        headers_forget(&wire->headers[index]);
    close(wire->sockets[index].fd[CHANNEL_RTP]); /* closing takes them out of the epoll set, too */
    close(wire->sockets[index].fd[CHANNEL_RTCP]);
    wire->sockets[index] = (struct leg_sockets){{-1, -1}}; /* an event of this turn may still name them */
    atomic_fetch_sub(&wire->legs_open, 1);
    atomic_store(&wire->leg_used[index], false);
}

static void drop_stale(struct wire *wire, const struct command *command) {
    tally(&wire->core.drops[DROP_stale_command]);
    if (command->srtp.send)
        rooms_retire(wire, &command->srtp.send->retired);
    if (command->srtp.receive)
        rooms_retire(wire, &command->srtp.receive->retired);
}

/* First what waits goes out as it was agreed for it, then the keys change. */
static void apply_plan(struct wire *wire, const struct command *command, uint64_t now) {
    core_plan(&wire->core, command->index, &command->plan, now);
    core_secure(&wire->core, command->index, &command->srtp, now);
}

static void apply_to_leg(struct wire *wire, const struct command *command, uint64_t now) {
    if (command->kind == COMMAND_LEG_OPEN)
        open_leg(wire, command, now);
    else if (wire->core.legs[command->index].generation != command->generation)
        drop_stale(wire, command);
    else if (command->kind == COMMAND_LEG_PLAN)
        apply_plan(wire, command, now);
    else if (command->kind == COMMAND_LEG_MODE)
        core_mode(&wire->core, command->index, command->mode.mode, command->mode.peer, command->mode.peer_generation,
                  now);
    else if (command->kind == COMMAND_LEG_TAP)
        core_tap(&wire->core, command->index, command->flag);
    else
        close_leg(wire, command->index, now);
}

static void set_sip_socket(struct wire *wire, uint32_t index, int fd, bool wildcard) {
    if (wire->sip_fds[index] >= 0)
        close(wire->sip_fds[index]);
    wire->sip_fds[index] = fd;
    wire->sip_wildcard[index] = wildcard;
    if (fd >= 0)
        shell_watch(wire, fd, WATCH_SIP, index);
}

void shell_apply(struct wire *wire, const struct command *command, uint64_t now) {
    switch (command->kind) {
    case COMMAND_SIP_OPEN:
        set_sip_socket(wire, command->index, command->sip.fd, command->sip.wildcard);
        break;
    case COMMAND_SIP_CLOSE:
        set_sip_socket(wire, command->index, -1, false);
        break;
    case COMMAND_BUCKET:
        wire->guard.rate = command->bucket.rate;
        wire->guard.burst = command->bucket.burst;
        break;
    case COMMAND_SLOW_BUCKET:
        wire->guard.slow_rate = command->bucket.rate;
        wire->guard.slow_burst = command->bucket.burst;
        break;
    case COMMAND_LOOPBACK:
        wire->guard.loopback_exempt = command->flag;
        break;
    case COMMAND_TRUST:
        guard_trust(&wire->guard, &command->trust.ip, command->trust.prefix, command->trust.limited);
        break;
    case COMMAND_DISTRUST_ALL:
        guard_distrust_all(&wire->guard);
        break;
    case COMMAND_BAN:
        guard_ban(&wire->guard, &command->ban.network, command->ban.number);
        break;
    case COMMAND_UNBAN:
        bans_remove(&wire->guard.bans, &command->ban.network);
        break;
    case COMMAND_SLOW:
        bans_add(&wire->guard.slowed, &command->ban.network, 0);
        break;
    case COMMAND_UNSLOW:
        bans_remove(&wire->guard.slowed, &command->ban.network);
        break;
    case COMMAND_LEG_FAX:
        faxes_apply(wire, command, now);
        break;
    default:
        if (command->kind >= COMMAND_ROOM_OPEN)
            rooms_apply(wire, command, now);
        else
            apply_to_leg(wire, command, now);
    }
}

static void apply_commands(struct wire *wire, uint32_t limit, uint64_t now) {
    struct command command;
    while (limit-- && ring_pop(&wire->commands, &command)) {
        begin_change(wire);
        shell_apply(wire, &command, now);
        end_change(wire);
    }
}

/* ---- packets */

/* One packet; false: there was none. */
static bool read_packet(struct wire *wire, uint32_t index, enum channel channel, uint64_t now) {
    _Alignas(8) uint8_t data[PACKET_BUFFER];
    struct sockaddr_storage name;
    struct addr from;
    socklen_t name_length = sizeof name;
    long length = system_recvfrom(wire->sockets[index].fd[channel], data, sizeof data, MSG_DONTWAIT | MSG_TRUNC, &name,
                                  &name_length);
    if (length < 0)
        return false;
    addr_from_sockaddr(&from, &name);
    begin_change(wire);
    core_receive(&wire->core, index, channel, data, (size_t)length, &from, now);
    end_change(wire);
    return true;
}

/* One packet that is of use: what is thrown at the port beside it must not make it wait in the socket. */
static void read_leg(struct wire *wire, uint32_t index, enum channel channel, uint64_t now) {
    uint64_t used = wire->core.received;
    while (read_packet(wire, index, channel, now) && wire->core.received == used) {
        if (!wire->patience) {
            wire->pressed = true;
            return;
        }
        wire->patience--;
    }
}

static void handle(struct wire *wire, uint64_t watched) {
    uint32_t kind = (uint32_t)(watched >> 32), index = (uint32_t)watched;
    uint64_t count, now = shell_clock();
    switch (kind) {
    case WATCH_KICK:
        (void)!read(wire->kick_fd, &count, sizeof count);
        break;
    case WATCH_SIP:
        sip_read(wire, index, now);
        break;
    default:
        wire->window_urgent += wire->core.legs[index].mode != MODE_MIX;
        read_leg(wire, index, kind, now);
    }
}

static void fetch_leg(const struct leg *leg) {
    for (size_t line = 0; line < offsetof(struct leg, event); line += 64)
        __builtin_prefetch((const char *)leg + line);
}

static void fetch_header(const struct wire *wire, uint32_t index) {
    uint64_t count = wire->core.legs[index].headers.count;
    __builtin_prefetch(&wire->headers[index].records[count % HEADER_RECORDS], 1);
}

/* Brings what the packets after this one will touch into the cache while this one is in the kernel: first the leg that
 * hears it, a packet later the one that it is relayed to; and where their headers will be kept, a packet later each. */
static void foresee(const struct wire *wire, const struct epoll_event *events, int left) {
    const struct leg *legs = wire->core.legs;
    if (left > 2 && events[2].data.u64 >> 32 == WATCH_RTP)
        fetch_leg(&legs[(uint32_t)events[2].data.u64]);
    if (left > 1 && events[1].data.u64 >> 32 == WATCH_RTP) {
        fetch_header(wire, (uint32_t)events[1].data.u64);
        fetch_leg(&legs[legs[(uint32_t)events[1].data.u64].peer]);
    }
    if (events[0].data.u64 >> 32 == WATCH_RTP)
        fetch_header(wire, legs[(uint32_t)events[0].data.u64].peer);
}

static void tell_python(struct wire *wire) {
    bool media = wire->woke_media, any = media || wire->woke_sip;
    wire->woke_media = wire->woke_sip = false;
    if (media && !atomic_exchange(&wire->media_notified, true))
        (void)!write(wire->media_fd, &(uint64_t){1}, sizeof(uint64_t));
    if (any && !atomic_exchange(&wire->notified, true))
        (void)!write(wire->event_fd, &(uint64_t){1}, sizeof(uint64_t));
}

/* ---- waiting */

static void measure_rate(struct wire *wire, uint32_t packets, uint64_t now) {
    wire->window_packets += packets;
    if (now - wire->window_start < WINDOW)
        return;
    bool timely = now - wire->window_start < 2 * WINDOW;
    wire->busy = wire->window_packets >= BUSY_PACKETS && timely;
    wire->patient = wire->window_packets >= PATIENT_PACKETS && !wire->window_urgent && timely;
    wire->window_start = now;
    wire->window_packets = wire->window_urgent = 0;
}

static struct timespec to_timespec(uint64_t ns) {
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_SECOND), .tv_nsec = (long)(ns % NS_PER_SECOND)};
}

/* Until a moment of the grid that rooms tick on, so that packets and ticks share a waking. */
static void gather(struct wire *wire, uint64_t now) {
    uint64_t pause = wire->pressed ? PRESSED_GATHER : wire->patient ? PATIENT_GATHER : GATHER;
    uint64_t due = core_due(&wire->core), next = (now / pause + 1) * pause, until = next < due ? next : due;
    if (until <= now)
        return;
    struct timespec at = to_timespec(until);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    note_lateness(wire, until, shell_clock());
}

/* Blocks until a socket is readable or the core's next deadline. */
static int wait_events(struct wire *wire, struct epoll_event *events) {
    atomic_store(&wire->sleeping, true);
    uint64_t now = shell_clock(), due = core_due(&wire->core);
    bool hurry = !ring_empty(&wire->commands) || due <= now || atomic_load(&wire->stopping);
    struct timespec timeout = to_timespec(hurry ? 0 : due - now);
    int count = epoll_pwait2(wire->epoll, events, TURN_EVENTS, due == UINT64_MAX && !hurry ? NULL : &timeout, NULL);
    if (count < 0 && errno == ENOSYS) /* Linux before 5.11: whole milliseconds */
        count = epoll_wait(wire->epoll, events, TURN_EVENTS,
                           hurry ? 0 : due - now < NS_PER_SECOND ? (int)((due - now + 999999) / 1000000) : 1000);
    atomic_store(&wire->sleeping, false);
    return count > 0 ? count : 0;
}

static void claim_priority(struct wire *wire) {
    struct sched_param parameter = {.sched_priority = REALTIME_PRIORITY};
    prctl(PR_SET_NAME, "wire");
    prctl(PR_SET_TIMERSLACK, 1000ul);
    if (pthread_setschedparam(pthread_self(), SCHED_RR, &parameter) == 0)
        atomic_store(&wire->realtime, true);
    else
        setpriority(PRIO_PROCESS, 0, NICE); /* refused as well: then we run as everybody does */
}

void shell_finish(struct wire *wire) {
    uint64_t now = shell_clock();
    apply_commands(wire, COMMAND_RING, now); /* what is opened by them must be closed */
    begin_change(wire);
    for (uint32_t index = 0; index < wire->core.capacity; index++)
        if (wire->core.legs[index].generation)
            close_leg(wire, index, now);
    for (uint32_t index = 0; index < wire->core.capacity; index++)
        if (wire->core.rooms[index])
            room_close(&wire->core, wire->core.rooms[index], now);
    end_change(wire);
    for (uint32_t index = 0; index < SIP_SOCKETS_MAX; index++)
        set_sip_socket(wire, index, -1, false);
}

void *shell_run(void *argument) {
    struct wire *wire = argument;
    struct epoll_event events[TURN_EVENTS];
    claim_priority(wire);
    while (!atomic_load(&wire->stopping)) {
        int count = wait_events(wire, events);
        uint64_t now = shell_clock(), due = core_due(&wire->core);
        atomic_fetch_add_explicit(&wire->turns, 1, memory_order_relaxed);
        apply_commands(wire, TURN_COMMANDS, now); /* first: what was ordered before a packet came is in force for it */
        wire->pressed = false;
        wire->patience = TURN_PATIENCE;
        for (int i = 0; i < count; i++) {
            foresee(wire, events + i, count - i);
            handle(wire, events[i].data.u64);
        }
        if (due <= now) {
            note_lateness(wire, due, now);
            begin_change(wire);
            core_step(&wire->core, now);
            end_change(wire);
        }
        tell_python(wire);
        measure_rate(wire, (uint32_t)count, now);
        if (wire->busy || wire->patient || wire->pressed)
            gather(wire, shell_clock());
    }
    shell_finish(wire);
    return NULL;
}
