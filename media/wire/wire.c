#define _GNU_SOURCE
#include "shell.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mode.h"

static void emit(void *shell, uint32_t leg, enum channel channel, const uint8_t *data, size_t length,
                 const struct addr *to) {
    struct wire *wire = shell;
    struct sockaddr_storage name;
    socklen_t name_length = addr_to_sockaddr(to, &name);
    if (system_sendto(wire->sockets[leg].fd[channel], data, length, MSG_DONTWAIT | MSG_NOSIGNAL, &name, name_length) >=
        0)
        return;
    core_drop(&wire->core, &wire->core.legs[leg], errno == EAGAIN ? DROP_send_blocked : DROP_send_failed);
}

static void report(void *shell, const struct event *event) {
    struct wire *wire = shell;
    if (ring_push(&wire->events, event))
        wire->woke_media = true;
    else
        tally(&wire->core.drops[DROP_event_overflow]);
}

/* ---- life */

static uint64_t wall_offset(void) {
    struct timespec wall;
    static const uint64_t NTP_EPOCH = 2208988800u; /* 1900 to 1970 */
    clock_gettime(CLOCK_REALTIME, &wall);
    uint64_t since_1970 = (uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec;
    return since_1970 + NTP_EPOCH * 1000000000u - shell_clock();
}

static uint64_t random_number(void) {
    uint64_t number;
    while (getrandom(&number, sizeof number, 0) != sizeof number)
        ;
    return number;
}

static bool open_descriptors(struct wire *wire) {
    wire->epoll = epoll_create1(EPOLL_CLOEXEC);
    wire->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wire->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wire->media_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return wire->epoll >= 0 && wire->kick_fd >= 0 && wire->event_fd >= 0 && wire->media_fd >= 0;
}

static int furnish(struct wire *wire, const char *legs_path, uint32_t legs, uint32_t sip_ring_size) {
    wire->epoll = wire->kick_fd = wire->event_fd = wire->media_fd = -1;
    for (int i = 0; i < SIP_SOCKETS_MAX; i++)
        wire->sip_fds[i] = wire->sip_send_fds[i] = -1;
    int error = leg_table_open(&wire->table, legs_path, legs);
    if (error)
        return error;
    if (!open_descriptors(wire))
        return errno;
    wire->sockets = calloc(legs, sizeof *wire->sockets);
    wire->leg_used = calloc(legs, sizeof *wire->leg_used);
    wire->room_used = calloc(legs, sizeof *wire->room_used);
    wire->batch = sip_batch_new();
    if (!wire->sockets || !wire->leg_used || !wire->room_used || !wire->batch || !core_init(&wire->core, wire->table.legs, legs) ||
        !ring_init(&wire->commands, COMMAND_RING, sizeof(struct command)) ||
        !ring_init(&wire->events, EVENT_RING, sizeof(struct event)) || !byte_ring_init(&wire->datagrams, sip_ring_size))
        return ENOMEM;
    wire->core.emit = emit;
    wire->core.report = report;
    wire->core.retire = rooms_retire;
    wire->core.shell = wire;
    wire->core.wall = wall_offset();
    guard_init(&wire->guard, random_number());
    bans_init(&wire->bans, random_number());
    int refused = shell_register(wire, wire->kick_fd);
    if (!refused)
        shell_watch(wire, wire->kick_fd, WATCH_KICK, 0);
    return refused;
}

int wire_new(struct wire **result, const char *legs_path, uint32_t legs, uint32_t sip_ring_size) {
    if (!legs || !sip_ring_size || sip_ring_size & (sip_ring_size - 1))
        return EINVAL;
    struct wire *wire = mmap(NULL, sizeof *wire, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wire == MAP_FAILED)
        return ENOMEM;
    int error = furnish(wire, legs_path, legs, sip_ring_size);
    if (error)
        wire_free(wire);
    else
        *result = wire;
    return error;
}

int wire_start(struct wire *wire) {
    if (wire->running)
        return EALREADY;
    sigset_t signals, before;
    sigfillset(&signals); /* they are the interpreter's; only a fault is this thread's own */
    sigdelset(&signals, SIGSEGV);
    sigdelset(&signals, SIGBUS);
    sigdelset(&signals, SIGFPE);
    sigdelset(&signals, SIGILL);
    pthread_sigmask(SIG_SETMASK, &signals, &before);
    int error = pthread_create(&wire->thread, NULL, shell_run, wire);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    wire->running = error == 0;
    return error;
}

void wire_stop(struct wire *wire) {
    if (wire->running) {
        atomic_store(&wire->stopping, true);
        (void)!write(wire->kick_fd, &(uint64_t){1}, sizeof(uint64_t));
        pthread_join(wire->thread, NULL);
        wire->running = false;
        atomic_store(&wire->stopping, false);
    } else if (wire->commands.data) {
        shell_finish(wire); /* never started: commands may still wait */
    }
    for (int i = 0; i < SIP_SOCKETS_MAX; i++) {
        if (wire->sip_send_fds[i] >= 0)
            close(wire->sip_send_fds[i]);
        wire->sip_send_fds[i] = -1;
    }
}

static void close_if_open(int fd) {
    if (fd >= 0)
        close(fd);
}

void wire_free(struct wire *wire) {
    wire_stop(wire);
    close_if_open(wire->epoll);
    close_if_open(wire->kick_fd);
    close_if_open(wire->event_fd);
    close_if_open(wire->media_fd);
    rooms_reap(wire);
    core_free(&wire->core);
    ring_free(&wire->commands);
    ring_free(&wire->events);
    byte_ring_free(&wire->datagrams);
    sip_batch_free(wire->batch);
    free((void *)wire->leg_used);
    free(wire->room_used);
    free(wire->sockets);
    leg_table_close(&wire->table);
    munmap(wire, sizeof *wire);
}

double wire_now(void) {
    return (double)shell_clock() * 1e-9;
}

int wire_event_fd(const struct wire *wire) {
    return wire->event_fd;
}

int wire_media_fd(const struct wire *wire) {
    return wire->media_fd;
}

/* ---- guard */

int wire_guard_bucket(struct wire *wire, double rate, double burst) {
    return shell_submit(wire, &(struct command){.kind = COMMAND_BUCKET, .bucket = {rate, burst}});
}

int wire_guard_loopback(struct wire *wire, int exempt) {
    return shell_submit(wire, &(struct command){.kind = COMMAND_LOOPBACK, .flag = exempt});
}

int wire_guard_trust(struct wire *wire, const char *ip, uint32_t prefix) {
    struct command command = {.kind = COMMAND_TRUST};
    if (!addr_parse(&command.network.ip, ip, 0))
        return EINVAL;
    command.network.prefix = prefix + (addr_is_ipv4(&command.network.ip) && !strchr(ip, ':') ? 96 : 0);
    if (command.network.prefix > 128)
        return EINVAL;
    if (wire->trusted == GUARD_TRUSTED_MAX)
        return ENOSPC;
    int error = shell_submit(wire, &command);
    wire->trusted += !error;
    return error;
}

int wire_guard_distrust_all(struct wire *wire) {
    wire->trusted = 0;
    return shell_submit(wire, &(struct command){.kind = COMMAND_DISTRUST_ALL});
}

int wire_guard_ban(struct wire *wire, const char *ip) {
    struct command command = {.kind = COMMAND_BAN};
    if (!addr_parse(&command.network.ip, ip, 0))
        return EINVAL;
    if (bans_hold(&wire->bans, &command.network.ip))
        return 0;
    if (!bans_add(&wire->bans, &command.network.ip))
        return ENOSPC;
    int error = shell_submit(wire, &command);
    if (error)
        bans_remove(&wire->bans, &command.network.ip);
    return error;
}

int wire_guard_unban(struct wire *wire, const char *ip) {
    struct command command = {.kind = COMMAND_UNBAN};
    if (!addr_parse(&command.network.ip, ip, 0))
        return EINVAL;
    int error = shell_submit(wire, &command);
    if (!error)
        bans_remove(&wire->bans, &command.network.ip);
    return error;
}

/* ---- counters */

static const char *const drop_names[DROP_COUNT] = {
#define X(name) #name,
    WIRE_DROPS(X)
#undef X
};

uint32_t wire_drop_count(void) {
    return DROP_COUNT;
}

const char *wire_drop_name(uint32_t drop) {
    return drop < DROP_COUNT ? drop_names[drop] : NULL;
}

/* Counters are written by the wire thread alone; a reader sees each of them whole. */
static uint64_t peek(const uint64_t *counter) {
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

uint64_t wire_drops(const struct wire *wire, uint32_t drop) {
    return drop < DROP_COUNT ? peek(&wire->core.drops[drop]) : 0;
}

uint64_t wire_packets_received(const struct wire *wire) {
    return peek(&wire->core.received);
}

uint64_t wire_packets_sent(const struct wire *wire) {
    return peek(&wire->core.sent);
}

uint64_t wire_lateness(const struct wire *wire, uint32_t bucket) {
    return bucket < WIRE_LATENESS_BUCKETS ? atomic_load(&wire->lateness[bucket]) : 0;
}

uint64_t wire_thread_cpu_ns(const struct wire *wire) {
    clockid_t clock;
    struct timespec used;
    if (!wire->running || pthread_getcpuclockid(wire->thread, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

int wire_realtime(const struct wire *wire) {
    return atomic_load(&wire->realtime);
}

const char *wire_mode_name(uint32_t mode) {
    return mode_settable(mode) ? mode_table[mode]->name : NULL;
}
