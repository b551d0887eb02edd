/* The whole of wire with its thread, under the thread sanitizer: Python's side does everything it can while packets and
 * datagrams fly. Says how many packets came back. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stage.h"
#include "wire.h"

enum { LEGS = 8, ROUNDS = 400, SAMPLES = 160, ROOMS = 5 };

static struct wire *wire;
static int listened;
static struct wire_leg legs[LEGS];
static struct wire_room rooms[ROOMS];
static struct tap *taps[ROOMS];
static int phone;
static uint16_t phone_port;
static uint32_t turns;

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static void open_phone(void) {
    struct sockaddr_in name = loopback(0);
    socklen_t length = sizeof name;
    phone = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    CHECK(phone >= 0 && bind(phone, (struct sockaddr *)&name, length) == 0);
    CHECK(getsockname(phone, (struct sockaddr *)&name, &length) == 0);
    phone_port = ntohs(name.sin_port);
}

static void say(uint16_t port, uint16_t seq) {
    uint8_t packet[RTP_HEADER + SAMPLES] = {0};
    struct sockaddr_in to = loopback(port);
    rtp_write_header(packet, 0, false, seq, seq * SAMPLES, 7);
    sendto(phone, packet, sizeof packet, 0, (struct sockaddr *)&to, sizeof to);
}

static void open_leg(int number) {
    struct wire_plan plan = {.remote_ip = "127.0.0.1", .remote_port = phone_port, .ptime_ms = 20, .silence_ms = 1};
    plan.other_payload_type = plan.dtmf_send = plan.dtmf_receive = PT_NONE;
    plan.sends = plan.receives = true;
    struct wire_srtp keys = {.send_suite = (uint8_t)(1 + turns++ % 4), .receive_suite = 1};
    CHECK_IS(wire_leg_open(wire, "127.0.0.1", 0, 0, &legs[number]), 0);
    CHECK_IS(wire_leg_plan(wire, &legs[number], &plan, number % 3 ? NULL : &keys), 0);
    CHECK_IS(wire_leg_mode(wire, &legs[number], number % 2 ? MODE_RELAY : MODE_ECHO, &legs[number ^ 1]), 0);
}

static void look(int number) {
    struct wire_statistics statistics;
    uint32_t drops[DROP_COUNT];
    if (wire_leg_statistics(wire, &legs[number], &statistics) == 0)
        CHECK(statistics.lost <= statistics.expected && statistics.received <= statistics.expected);
    wire_leg_drops(wire, &legs[number], drops, DROP_COUNT);
    uint64_t last;
    static uint8_t headers[WIRE_HEADER_RECORDS * WIRE_HEADER_SIZE];
    wire_leg_headers(wire, &legs[number], headers, &last);
    for (uint32_t drop = 0; drop < wire_drop_count(); drop++)
        CHECK(wire_drops(wire, drop) < UINT32_MAX);
    CHECK(wire_lateness(wire, 0) < UINT32_MAX && wire_packets_sent(wire) < UINT32_MAX);
}

static void listen_in(int round) {
    struct wire_tapped tapped;
    CHECK_IS(wire_leg_tap(wire, &legs[round * 3 % LEGS], round % 4 != 0), 0);
    while (wire_tap_next(wire, &tapped)) {
        CHECK_IS(((const uint8_t *)tapped.data)[0], 0x80);
        CHECK(tapped.leg < 2 * LEGS && tapped.length == RTP_HEADER + SAMPLES);
        listened++;
    }
}

static void collect(void) {
    struct wire_event event;
    struct wire_datagram datagram;
    wire_events_begin(wire);
    while (wire_event_next(wire, &event))
        CHECK(event.kind < EVENT_COUNT);
    wire_events_end(wire);
    wire_sip_begin(wire);
    while (wire_sip_next(wire, &datagram)) {
        CHECK_IS(memcmp(datagram.data, "OPTIONS", 7), 0);
        CHECK_IS(strcmp(datagram.local_ip, "127.0.0.1"), 0);
        CHECK_IS(wire_sip_send(wire, datagram.socket, "200", 3, datagram.ip, datagram.port, datagram.local_ip), 0);
    }
    wire_sip_end(wire);
}

static int drain(void) {
    uint8_t packet[RTP_LENGTH_MAX];
    int count = 0;
    while (recv(phone, packet, sizeof packet, 0) > 0)
        count++;
    return count;
}

/* Everything about rooms in a row, some of it for what is gone meanwhile. */
static void gather(int round) {
    static const int16_t sound[4000];
    struct wire_membership membership = {.speaks = 1, .hears = UINT32_MAX, .gain = 1, .detect = (uint8_t)(round % 3)};
    struct wire_play how = {.speaks = UINT32_MAX, .gain = 1, .repeats = round % 2 ? UINT32_MAX : 0, .fade_ms = 40};
    struct clip *clips[] = {wire_clip_new(sound, 100, 8000), wire_clip_new(sound, 4000, 8000)};
    struct supply *supply = wire_stream_new(16000, 100, 40);
    struct wire_leg *first = &legs[round % LEGS], *second = &legs[(round + 3) % LEGS];
    struct wire_room *room = &rooms[round % ROOMS];
    uint32_t one, all, streamed;
    if (room->generation)
        CHECK_IS(wire_room_close(wire, room), 0);
    CHECK_IS(wire_room_open(wire, (uint32_t)round % 4, room), 0);
    CHECK_IS(wire_room_join(wire, room, first, &membership), 0);
    CHECK_IS(wire_room_join(wire, room, second, &membership), 0);
    CHECK_IS(wire_play(wire, room, first, clips, 2, NULL, &how, &one), 0);
    CHECK_IS(wire_play(wire, room, NULL, clips, 1, NULL, &how, &all), 0);
    CHECK_IS(wire_play(wire, room, second, NULL, 0, supply, &how, &streamed), 0);
    wire_clip_release(clips[0]);
    wire_clip_release(clips[1]);
    wire_stream_write(supply, sound, 1000);
    CHECK_IS(wire_play_gain(wire, room, all, 0.5, 100), 0);
    CHECK_IS(wire_play_stop(wire, room, one, 20), 0);
    CHECK_IS(wire_room_set(wire, second, &membership), 0);
    CHECK_IS(wire_room_digit(wire, first, (uint32_t)round % 16, 60), 0);
    if (taps[round % ROOMS])
        wire_tap_release(taps[round % ROOMS]);
    CHECK_IS(wire_tap_open(wire, room, round % 2 ? first : NULL, round % 2 ? (uint32_t)round / 2 % 2 : 2, 8000, 1,
                           &taps[round % ROOMS]),
             0);
    if (round % 5 == 0)
        CHECK_IS(wire_tap_close(wire, room, taps[round % ROOMS]), 0);
    if (round % 4 == 0)
        wire_stream_finish(supply);
    CHECK(wire_stream_fill(supply) <= 2048 && wire_stream_underruns(supply) < UINT32_MAX);
    wire_stream_release(supply);
}

static void listen_to_rooms(void) {
    static int16_t samples[64 * 160];
    uint64_t ticks[64];
    for (int i = 0; i < ROOMS; i++)
        if (taps[i])
            CHECK(wire_tap_read(taps[i], samples, ticks, 64) <= 64 && wire_tap_overruns(taps[i]) < UINT32_MAX &&
                  wire_tap_closed(taps[i]) <= 1);
}

static void guard(int round) {
    char ip[32];
    snprintf(ip, sizeof ip, "192.0.2.%d", round % 200);
    uint32_t prefix = round % 3 ? 32 : 30;
    CHECK_IS(wire_guard_ban(wire, ip, prefix), 0);
    CHECK_IS(wire_guard_slow(wire, ip, 24), 0);
    CHECK(wire_guard_hits(wire, ip, prefix) < UINT32_MAX);
    CHECK_IS(wire_guard_unban(wire, ip, prefix), 0);
    CHECK_IS(wire_guard_unslow(wire, ip, 24), 0);
    CHECK_IS(wire_guard_slow_bucket(wire, 5, 10), 0);
    bool banned = round % 8 == 0; /* the phone itself, now and then */
    CHECK_IS(banned ? wire_guard_ban(wire, "127.0.0.1", 32) : wire_guard_unban(wire, "127.0.0.1", 32), 0);
    CHECK(wire_guard_hits(wire, "127.0.0.1", 32) < UINT32_MAX);
    CHECK_IS(wire_guard_loopback(wire, round % 16 > 7), 0);
    CHECK_IS(wire_guard_bucket(wire, round % 2 ? 0 : 1e6, 1e6), 0);
}

int main(void) {
    uint32_t sip;
    uint16_t sip_port;
    int heard = 0;
    open_phone();
    CHECK_IS(wire_new(&wire, NULL, 16 * LEGS, 1 << 16), 0);
    CHECK_IS(wire_sip_open(wire, "0.0.0.0", 0, &sip, &sip_port), 0);
    CHECK_IS(wire_start(wire), 0);
    for (int number = 0; number < LEGS; number++)
        open_leg(number);
    struct sockaddr_in signalling = loopback(sip_port);
    for (int round = 0; round < ROUNDS; round++) {
        for (int number = 0; number < LEGS; number++) {
            say(legs[number].rtp_port, (uint16_t)round);
            look(number);
        }
        sendto(phone, "OPTIONS", 7, 0, (struct sockaddr *)&signalling, sizeof signalling);
        guard(round);
        listen_in(round);
        gather(round);
        listen_to_rooms();
        int again = round % LEGS;
        CHECK_IS(wire_leg_close(wire, &legs[again]), 0);
        open_leg(again);
        collect();
        heard += drain();
        usleep(500);
    }
    wire_free(wire);
    for (int i = 0; i < ROOMS; i++)
        wire_tap_release(taps[i]);
    close(phone);
    printf("%d heard\n", heard);
    return heard && listened ? 0 : 1;
}
