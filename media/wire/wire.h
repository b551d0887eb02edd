/* What Python sees of wire. Every function here is for one thread, the interpreter's; the wire thread runs beside it,
 * and the two share only rings. Functions that can fail return 0 or a positive errno. */
#ifndef PBXD_WIRE_WIRE_H
#define PBXD_WIRE_WIRE_H

#include <stddef.h>
#include <stdint.h>

struct wire;

/* ---- life */

int wire_new(struct wire **wire, const char *legs_path, uint32_t legs, uint32_t sip_ring_size);
int wire_start(struct wire *wire);
void wire_stop(struct wire *wire); /* closes every leg and socket */
void wire_free(struct wire *wire);
double wire_now(void); /* CLOCK_MONOTONIC, s: the clock of all times here */
void wire_hold(struct wire *wire);    /* from here on commands do not wake the thread; it takes them with any packet */
uint64_t wire_pulse(struct wire *wire); /* the turns its thread has made; wakes it for another */
void wire_release(struct wire *wire); /* wakes it once for all that were given meanwhile */
int wire_event_fd(const struct wire *wire); /* readable when datagrams or events wait */
int wire_media_fd(const struct wire *wire); /* readable when events wait */

/* ---- SIP */

struct wire_datagram {
    const uint8_t *data; /* valid until the next call */
    uint32_t length, socket;
    uint64_t arrival; /* CLOCK_MONOTONIC, ns */
    uint16_t port;
    char ip[64];
    char local_ip[64]; /* which of our addresses it was sent to; empty when the socket is bound to one */
};

int wire_sip_open(struct wire *wire, const char *ip, uint16_t port, uint32_t *index, uint16_t *bound_port);
int wire_sip_close(struct wire *wire, uint32_t index);
/* `from` is our address that it leaves from, for a socket bound to all of them; NULL: the system's choice. */
int wire_sip_send(struct wire *wire, uint32_t index, const void *data, size_t length, const char *ip, uint16_t port,
                  const char *from);
void wire_sip_begin(struct wire *wire); /* takes the signal off wire_event_fd */
int wire_sip_next(struct wire *wire, struct wire_datagram *datagram); /* 1: there is one, 0: none left */
void wire_sip_end(struct wire *wire);   /* signals again when some are left */

/* ---- guard */

int wire_guard_bucket(struct wire *wire, double rate, double burst);
int wire_guard_loopback(struct wire *wire, int exempt);
int wire_guard_slow_bucket(struct wire *wire, double rate, double burst);
/* A prefix counts in the family of `ip`. Limited: beyond bans, not beyond the bucket. */
int wire_guard_trust(struct wire *wire, const char *ip, uint32_t prefix, int limited);
int wire_guard_distrust_all(struct wire *wire);
/* ENOSPC: as many are banned, or slowed, as there is room for; EINVAL: that is no network, or all of them */
int wire_guard_ban(struct wire *wire, const char *ip, uint32_t prefix);
int wire_guard_unban(struct wire *wire, const char *ip, uint32_t prefix);
int wire_guard_slow(struct wire *wire, const char *ip, uint32_t prefix);
int wire_guard_unslow(struct wire *wire, const char *ip, uint32_t prefix);
uint64_t wire_guard_hits(const struct wire *wire, const char *ip, uint32_t prefix); /* datagrams a ban has dropped */

/* ---- legs */

struct wire_plan {
    char remote_ip[64], rtcp_ip[64]; /* empty: none */
    char latch_from[4][64];
    uint16_t remote_port, rtcp_port, ptime_ms;
    uint16_t jitter_min_ms, jitter_max_ms, jitter_start_ms; /* of the delay of what is heard in a room */
    uint32_t silence_ms, dtmf_clock, bitrate;
    uint8_t complexity, fec, dtx, expected_loss;
    uint8_t codec, payload_type, receive_payload_type, other_payload_type;
    uint8_t dtmf_send, dtmf_receive, cn, sends, receives, rtcp_mux;
};

struct wire_srtp { /* suites: enum srtp_suite; 0 keeps that way's key */
    uint8_t send_suite, receive_suite, mki_length; /* the MKI is of what is received */
    uint8_t send[46], receive[46], mki[128];
};

struct wire_leg {
    uint32_t index, generation, ssrc;
    uint16_t rtp_port, rtcp_port; /* as bound */
};

struct wire_statistics {
    uint64_t received, received_octets, sent, sent_octets, expected, lost;
    uint32_t bursts, longest_burst;           /* of lost packets in a row; the longest in packets */
    uint32_t jitter, jitter_max;              /* µs */
    uint32_t round_trip, round_trip_max;      /* 1/65536 s, 0: unknown */
    uint32_t remote_jitter, remote_reports;   /* µs; how many */
    int32_t remote_lost;
    uint32_t remote_fraction;                 /* of 256 */
    uint32_t ssrc, remote_ssrc;
    double since_heard;                       /* s; negative: never */
    uint32_t latched;                         /* 0 no, 1 weak, 2 the SDP address */
    uint16_t source_port;
    char source_ip[64];
    uint32_t in_room;                         /* the rest is of a leg that is in one */
    uint64_t late, early, duplicate, reordered, malformed, strange; /* packets */
    uint64_t concealed, stretched, compressed; /* samples of its sound: made up, put in, left out */
    uint32_t resets;                           /* how often the stream began anew */
    uint32_t delay_ms, delay_min_ms, delay_max_ms, target_ms;
    uint32_t level;                            /* -dBov */
};

int wire_leg_open(struct wire *wire, const char *ip, uint16_t rtp_port, uint16_t rtcp_port, struct wire_leg *leg);
/* `srtp`: NULL is plain RTP. The caller overwrites its keys; ENOMEM: no context could be made of them. */
int wire_leg_plan(struct wire *wire, const struct wire_leg *leg, const struct wire_plan *plan,
                  const struct wire_srtp *srtp);
int wire_leg_mode(struct wire *wire, const struct wire_leg *leg, uint32_t mode, const struct wire_leg *peer);
int wire_leg_close(struct wire *wire, const struct wire_leg *leg);
int wire_leg_statistics(struct wire *wire, const struct wire_leg *leg, struct wire_statistics *statistics);
uint32_t wire_leg_drops(struct wire *wire, const struct wire_leg *leg, uint32_t *counts, uint32_t size);
/* The headers of its last RTP packets into `records` of 16 bytes each, WIRE_HEADER_RECORDS at most; gives how many, and
 * in `last` when the newest one was, CLOCK_MONOTONIC in ns. */
enum { WIRE_HEADER_RECORDS = 1024, WIRE_HEADER_SIZE = 16 };
uint32_t wire_leg_headers(struct wire *wire, const struct wire_leg *leg, void *records, uint64_t *last);
/* Copies of a leg's packets, both ways, from now on. */
int wire_leg_tap(struct wire *wire, const struct wire_leg *leg, int on);
struct wire_tapped {
    uint64_t at; /* CLOCK_MONOTONIC, ns */
    uint32_t leg, generation, outward, length;
    const void *data; /* valid until the next call */
};
int wire_tap_next(struct wire *wire, struct wire_tapped *tapped); /* 0: no more */
uint32_t wire_legs_open(const struct wire *wire);
const char *wire_mode_name(uint32_t mode); /* NULL: this build cannot set it */

/* ---- rooms */

struct clip;
struct supply;
struct tap;

struct wire_room {
    uint32_t index, generation;
};

struct wire_membership {
    uint32_t speaks, hears; /* masks */
    double gain;            /* of what it says; 1: as it is */
    uint8_t muted;
    uint8_t detect;         /* enum detection */
    uint8_t keeps_digits;   /* the others neither hear nor get its digits */
};

struct wire_play {
    uint32_t speaks;  /* who hears it, when it plays to the room */
    uint32_t repeats; /* UINT32_MAX: for ever */
    uint32_t start_ms, fade_ms;
    double gain;
};

int wire_room_open(struct wire *wire, uint32_t flags, struct wire_room *room); /* ENOSPC: no place */
int wire_room_close(struct wire *wire, const struct wire_room *room);          /* its members are idle then */
int wire_room_join(struct wire *wire, const struct wire_room *room, const struct wire_leg *leg,
                   const struct wire_membership *membership); /* it leaves by wire_leg_mode */
int wire_room_set(struct wire *wire, const struct wire_leg *leg, const struct wire_membership *membership);
int wire_room_digit(struct wire *wire, const struct wire_leg *leg, uint32_t code, uint32_t duration_ms);
uint32_t wire_rooms_open(const struct wire *wire);

struct clip *wire_clip_new(const int16_t *samples, uint32_t count, uint32_t rate);
void wire_clip_release(struct clip *clip);
struct supply *wire_stream_new(uint32_t rate, uint32_t capacity_ms, uint32_t low_ms);
uint32_t wire_stream_write(struct supply *supply, const int16_t *samples, uint32_t count); /* how many found room */
void wire_stream_finish(struct supply *supply); /* what is in it is played, then the player ends */
uint32_t wire_stream_fill(const struct supply *supply);
uint32_t wire_stream_underruns(const struct supply *supply);
void wire_stream_release(struct supply *supply);

/* Clips in a row, all of one rate, or a supply; to `leg`, or to all when it is NULL. EVENT_PLAYED names `id`. */
int wire_play(struct wire *wire, const struct wire_room *room, const struct wire_leg *leg, struct clip *const *clips,
              uint32_t count, struct supply *supply, const struct wire_play *how, uint32_t *id);
int wire_play_stop(struct wire *wire, const struct wire_room *room, uint32_t id, uint32_t fade_ms);
int wire_play_gain(struct wire *wire, const struct wire_room *room, uint32_t id, double gain, uint32_t fade_ms);

/* kind: enum tap_kind; `leg` is NULL for the mix of all. The handle is released by wire_tap_release. */
int wire_tap_open(struct wire *wire, const struct wire_room *room, const struct wire_leg *leg, uint32_t kind,
                  uint32_t rate, uint32_t seconds, struct tap **tap);
int wire_tap_close(struct wire *wire, const struct wire_room *room, const struct tap *tap);
/* Up to `frames` of 20 ms, with the number of each: how many there were. By one thread at a time, which may be any. */
uint32_t wire_tap_read(struct tap *tap, int16_t *samples, uint64_t *ticks, uint32_t frames);
uint32_t wire_tap_overruns(const struct tap *tap);
int wire_tap_closed(const struct tap *tap); /* nothing is added any more; what is there can be read */
void wire_tap_release(struct tap *tap);

/* ---- faxes */

struct fax_port; /* the functions on one are for one thread, which may be any */

struct fax_port *wire_fax_new(void); /* NULL: no memory. The handle is released by wire_fax_release */
int wire_leg_fax(struct wire *wire, const struct wire_leg *leg, uint32_t mode,
                 struct fax_port *port); /* the leg leaves by wire_leg_mode; a port is given once */
/* Up to `frames` of 160 samples, and for each whether it was lost: how many there were. */
uint32_t wire_fax_hear(struct fax_port *port, int16_t *samples, uint8_t *lost, uint32_t frames);
int wire_fax_say(struct fax_port *port, const int16_t *samples);              /* 160 of them; 0: no room */
uint32_t wire_fax_take(struct fax_port *port, void *data, uint32_t size);     /* a datagram's length; 0: there is none */
int wire_fax_send(struct fax_port *port, const void *data, uint32_t length);  /* 0: no room, or too long */
void wire_fax_numbers(const struct fax_port *port, uint32_t *underruns, uint32_t *overruns);
int wire_fax_closed(const struct fax_port *port); /* no leg has it any more */
void wire_fax_release(struct fax_port *port);

/* ---- events */

struct wire_event {
    uint32_t leg, generation, kind, a, b, c;
    uint64_t at;
    uint16_t port;
    char ip[64];
};

void wire_events_begin(struct wire *wire); /* takes the signal off wire_media_fd */
int wire_event_next(struct wire *wire, struct wire_event *event);
void wire_events_end(struct wire *wire);

/* ---- counters */

enum { WIRE_LATENESS_BUCKETS = 12 };

uint32_t wire_drop_count(void);
const char *wire_drop_name(uint32_t drop);
uint64_t wire_drops(const struct wire *wire, uint32_t drop);
uint64_t wire_packets_received(const struct wire *wire);
uint64_t wire_packets_sent(const struct wire *wire);
uint32_t wire_lateness_bound_us(uint32_t bucket); /* upper; the last has none: UINT32_MAX */
uint64_t wire_lateness(const struct wire *wire, uint32_t bucket);
uint64_t wire_thread_cpu_ns(const struct wire *wire);
int wire_realtime(const struct wire *wire); /* 1: the system granted real-time scheduling */

#endif
