/* The thread around the core: it reads the clock and the sockets and decides nothing. */
#ifndef PBXD_WIRE_SHELL_H
#define PBXD_WIRE_SHELL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bans.h"
#include "core.h"
#include "guard.h"
#include "ring.h"
#include "room.h"
#include "wire.h"

enum { SIP_SOCKETS_MAX = 64, COMMAND_RING = 1024, EVENT_RING = 4096, SIP_BATCH = 32, SIP_DATAGRAM_MAX = 65536 };
enum { TAP_RING = 1 << 22 /* bytes; 200 legs for a second */ };

enum command_kind {
    COMMAND_LEG_OPEN,
    COMMAND_LEG_PLAN,
    COMMAND_LEG_MODE,
    COMMAND_LEG_TAP,
    COMMAND_LEG_CLOSE,
    COMMAND_LEG_FAX,
    COMMAND_SIP_OPEN,
    COMMAND_SIP_CLOSE,
    COMMAND_BUCKET,
    COMMAND_LOOPBACK,
    COMMAND_TRUST,
    COMMAND_DISTRUST_ALL,
    COMMAND_BAN,
    COMMAND_UNBAN,
    COMMAND_SLOW,
    COMMAND_UNSLOW,
    COMMAND_SLOW_BUCKET,
    COMMAND_ROOM_OPEN, /* from here on of rooms: rooms.c */
    COMMAND_ROOM_CLOSE,
    COMMAND_ROOM_JOIN,
    COMMAND_ROOM_SET,
    COMMAND_ROOM_DIGIT,
    COMMAND_ROOM_PLAY,
    COMMAND_ROOM_STOP,
    COMMAND_ROOM_GAIN,
    COMMAND_ROOM_TAP,
    COMMAND_ROOM_UNTAP,
};

struct command {
    uint32_t kind, index, generation;
    struct srtp_change srtp; /* beside a plan */
    union {
        struct {
            int rtp, rtcp;
            uint64_t random;
        } open;
        struct plan plan;
        struct {
            uint32_t mode, peer, peer_generation;
        } mode;
        struct {
            int fd;
            bool wildcard;
        } sip;
        struct {
            double rate, burst;
        } bucket;
        struct {
            struct addr ip;
            uint32_t prefix;
            bool limited;
        } trust;
        struct {
            struct network network;
            uint16_t number;
        } ban;
        int flag;
        struct {
            uint32_t mode;
            struct fax_port *port;
        } fax;
        struct {
            uint32_t room, room_generation; /* `index` and `generation` are of the leg */
            bool of_leg;                    /* else of the whole room */
            union {
                struct room *opened;
                struct {
                    struct voice *voice;
                    struct membership membership;
                } join;
                struct player *player;
                struct tap *tap;
                struct {
                    uint32_t code, duration_ms;
                } digit;
                struct {
                    uint32_t id, fade_ms;
                    int32_t gain;
                } change;
            };
        } in;
    };
};

struct leg_sockets {
    int fd[2]; /* by enum channel */
};

struct datagram_head { /* before each datagram in the ring to Python */
    struct addr from, local;
    uint64_t arrival;
    uint32_t socket, length;
};

struct tap_head { /* before each packet in the ring of those who listen in */
    uint64_t at;
    uint32_t leg, generation, outward, length;
};

struct sip_batch; /* sip.c */

struct wire {
    /* the wire thread's own */
    struct core core;
    struct guard guard;
    struct leg_sockets *sockets;
    struct header_ring *headers; /* by leg */
    int sip_fds[SIP_SOCKETS_MAX];
    bool sip_wildcard[SIP_SOCKETS_MAX];
    struct sip_batch *batch;
    int epoll;
    uint64_t window_start;
    uint32_t window_packets;
    uint32_t window_urgent;   /* of these, those that are passed on at once */
    bool busy;                /* so many packets that it pays to let them gather */
    bool patient;             /* and nobody waits for them but rooms, at their ticks */
    bool pressed;             /* a socket held more than one turn takes from it: somebody floods us */
    uint32_t patience;        /* how many useless packets this turn still takes off the sockets of legs */
    bool woke_sip, woke_media; /* Python is to be told at the end of this turn */
    _Atomic uint64_t lateness[WIRE_LATENESS_BUCKETS];

    /* between the two */
    struct ring commands, events;
    struct byte_ring datagrams, taps;
    int kick_fd, event_fd, media_fd;
    _Atomic bool stopping, sleeping, notified, media_notified;
    _Atomic uint32_t changes; /* odd while a leg is being changed; see shell_copy_leg */
    _Atomic bool *leg_used;   /* by leg: set by Python, cleared by the wire thread */
    _Atomic uint32_t legs_open;
    _Atomic(struct retired *) retired; /* the wire thread adds, Python takes all */
    _Atomic uint64_t turns;
    _Atomic bool realtime;

    /* Python's own */
    struct leg_table table;
    pthread_t thread;
    bool running;
    bool holding, held_back; /* commands are given without a kick; one was due */
    bool datagram_held, tap_held;
    int sip_send_fds[SIP_SOCKETS_MAX];
    uint32_t generations, trusted;
    struct bans bans, slowed; /* the same as the guard's */
    uint16_t free_numbers[BANS_MAX]; /* of bans; BANS_MAX - bans.count of them */
    uint32_t ids;             /* of players and taps */
    uint32_t rooms_open;
    bool *room_used;
};

uint64_t shell_clock(void);              /* CLOCK_MONOTONIC, ns */
void *shell_run(void *wire);             /* the thread */
void shell_finish(struct wire *wire);    /* closes every leg and socket; in the thread, or when there is none */
int shell_submit(struct wire *wire, const struct command *command); /* from Python; EAGAIN: the ring stays full */
void shell_apply(struct wire *wire, const struct command *command, uint64_t now);
/* Takes `fd` into the epoll set without listening yet: from Python's thread, where an errno can be told. It leaves by
 * being closed. */
int shell_register(struct wire *wire, int fd);
void shell_watch(struct wire *wire, int fd, uint32_t kind, uint32_t index); /* listens from now on */
void shell_copy_words(uint64_t *to, const uint64_t *from, size_t words);
/* From Python: the leg up to its `repack` as it was between two packets. False: it is closed, or not open yet. */
bool shell_copy_leg(const struct wire *wire, const struct wire_leg *leg, struct leg *copy);

enum { WATCH_RTP = CHANNEL_RTP, WATCH_RTCP = CHANNEL_RTCP, WATCH_SIP, WATCH_KICK };

/* sockets.c: 0 or errno */
struct socket_options {
    int receive_buffer; /* 0: the system's default */
    int traffic_class;
    bool tell_local; /* a socket bound to all addresses tells which of them each datagram was sent to */
};

int socket_open(const char *ip, uint16_t port, struct socket_options options, int *fd, uint16_t *bound_port);
bool socket_is_wildcard(const char *ip);
/* The local address among the control messages of one datagram; `set` is 0 when it is not there. */
void socket_local(struct addr *local, struct msghdr *message);
/* Sends from `from`, which is an address of ours. Returns 0 or errno. */
int socket_send_from(int fd, const void *data, size_t length, const struct addr *to, const struct addr *from);

/* recvfrom and sendto without glibc's thread cancellation around them; nobody cancels this thread. */
static inline long system_recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr_storage *from,
                                   socklen_t *from_size) {
    return syscall(SYS_recvfrom, fd, data, size, flags, from, from_size);
}

static inline long system_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr_storage *to,
                                 socklen_t to_size) {
    return syscall(SYS_sendto, fd, data, size, flags, to, to_size);
}

/* faxes.c */
void faxes_apply(struct wire *wire, const struct command *command, uint64_t now);

/* rooms.c */
void rooms_apply(struct wire *wire, const struct command *command, uint64_t now);
void rooms_retire(void *wire, struct retired *retired);
void rooms_reap(struct wire *wire); /* from Python: frees what was handed back */

/* sip.c */
struct sip_batch *sip_batch_new(void);
void sip_batch_free(struct sip_batch *batch);
void sip_read(struct wire *wire, uint32_t index, uint64_t now); /* one batch */

#endif
