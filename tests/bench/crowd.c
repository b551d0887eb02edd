/* Phones in rooms: some talk, the others are silent, and all send RTP each 20 ms, evenly spread; what comes back is
 * counted and its pace measured.
 *
 * usage: crowd PHONES FIRST_PORT PEER_PORT SECONDS ROOM TALKERS
 * Phone i is bound to 127.0.0.1:FIRST_PORT+i and sends to 127.0.0.1:PEER_PORT+2i; of each ROOM phones the first TALKERS
 * talk. The first second is not measured. Prints one line of JSON: packets sent and received, and by how many
 * microseconds the gaps between the packets of a phone are off 20 ms. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, SAMPLES = 160, HEADER = 12, BUCKETS = 100000 /* of a microsecond */, SILENCE = 0xff };
static const uint64_t PERIOD = 20000000, SECOND = 1000000000, TURN = 100000;

struct phone {
    int fd;
    int talks;
    uint16_t seq;
    uint32_t timestamp;
    uint64_t heard;
};

static uint32_t histogram[BUCKETS];
static uint64_t sent, received, gaps, measured_from;

static uint64_t clock_ns(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static struct phone *open_phones(int count, int first_port, int epoll, int room, int talkers) {
    struct phone *phones = calloc((size_t)count, sizeof *phones);
    for (int i = 0; i < count; i++) {
        struct sockaddr_in name = loopback(first_port + i);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = i};
        int on = 1;
        phones[i].talks = i % room < talkers;
        phones[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (phones[i].fd < 0 || bind(phones[i].fd, (struct sockaddr *)&name, sizeof name) != 0) {
            perror("crowd");
            exit(1);
        }
        setsockopt(phones[i].fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        epoll_ctl(epoll, EPOLL_CTL_ADD, phones[i].fd, &event);
    }
    return phones;
}

static uint8_t mu_law(double sample) {
    double magnitude = fmin(fabs(sample), 32000) / 4 + 33;
    int segment = 0;
    while (segment < 7 && magnitude >= 64 << segment)
        segment++;
    int step = (int)magnitude >> (segment + 1) & 15;
    return (uint8_t) ~((sample < 0 ? 0x80 : 0) | segment << 4 | step);
}

/* A voice of sorts: harmonics of a pitch of its own, in syllables. */
static void sing(const struct phone *phone, int index, uint8_t *payload) {
    double pitch = 100 + index % 60 * 3;
    for (int i = 0; i < SAMPLES; i++) {
        double at = (phone->timestamp + (uint32_t)i) / 8000.0, sum = 0;
        for (int harmonic = 1; harmonic <= 6; harmonic++)
            sum += sin(6.283185307 * pitch * harmonic * at) / harmonic;
        payload[i] = mu_law(5000 * sum * (0.6 + 0.4 * sin(6.283185307 * 4 * at)));
    }
}

static void say(struct phone *phone, int index, int peer_port) {
    uint8_t packet[HEADER + SAMPLES] = {0x80, 0, (uint8_t)(phone->seq >> 8), (uint8_t)phone->seq};
    uint32_t fields[] = {htonl(phone->timestamp), htonl((uint32_t)index + 1)};
    struct sockaddr_in to = loopback(peer_port + 2 * index);
    memcpy(packet + 4, fields, sizeof fields);
    memset(packet + HEADER, SILENCE, SAMPLES);
    if (phone->talks)
        sing(phone, index, packet + HEADER);
    phone->seq++;
    phone->timestamp += SAMPLES;
    sendto(phone->fd, packet, sizeof packet, 0, (struct sockaddr *)&to, sizeof to);
    sent += clock_ns(CLOCK_REALTIME) >= measured_from;
}

static uint64_t stamp_of(struct msghdr *message) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(c), sizeof at);
            return (uint64_t)at.tv_sec * SECOND + (uint64_t)at.tv_nsec;
        }
    return clock_ns(CLOCK_REALTIME);
}

static void hear(struct phone *phone) {
    uint8_t packet[2048], control[128];
    struct iovec vector = {packet, sizeof packet};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(phone->fd, &message, 0) != HEADER + SAMPLES)
        return; /* RTCP, at most */
    uint64_t at = stamp_of(&message), before = phone->heard;
    phone->heard = at;
    if (at < measured_from)
        return;
    received++;
    if (before < measured_from)
        return;
    uint64_t gap = at - before, off = gap > PERIOD ? gap - PERIOD : PERIOD - gap;
    gaps++;
    histogram[off / 1000 < BUCKETS ? off / 1000 : BUCKETS - 1]++;
}

static unsigned quantile(double share) {
    uint64_t left = (uint64_t)((double)gaps * share);
    for (unsigned us = 0; us < BUCKETS; us++) {
        if (histogram[us] > left)
            return us;
        left -= histogram[us];
    }
    return BUCKETS;
}

static void hear_all(struct phone *phones, int epoll, struct epoll_event *events) {
    int ready;
    do {
        ready = epoll_wait(epoll, events, EVENTS, 0);
        for (int i = 0; i < ready; i++)
            hear(&phones[events[i].data.fd]);
    } while (ready == EVENTS);
}

int main(int count, char **words) {
    if (count != 7)
        return 2;
    int number = atoi(words[1]), peer_port = atoi(words[3]), epoll = epoll_create1(0);
    struct phone *phones = open_phones(number, atoi(words[2]), epoll, atoi(words[5]), atoi(words[6]));
    struct epoll_event events[EVENTS];
    uint64_t start = clock_ns(CLOCK_MONOTONIC), said = 0, end = (uint64_t)atoi(words[4]) * SECOND, passed = 0;
    measured_from = clock_ns(CLOCK_REALTIME) + SECOND;
    for (uint64_t turn = 1; passed < end; turn++) {
        struct timespec at = {(time_t)((start + turn * TURN) / SECOND), (long)((start + turn * TURN) % SECOND)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        passed = clock_ns(CLOCK_MONOTONIC) - start;
        uint64_t due = (passed < end ? passed : end) * (uint64_t)number / PERIOD;
        for (; said < due; said++)
            say(&phones[said % (uint64_t)number], (int)(said % (uint64_t)number), peer_port);
        hear_all(phones, epoll, events);
    }
    printf("{\"sent\": %llu, \"received\": %llu, \"p50_us\": %u, \"p99_us\": %u}\n", (unsigned long long)sent,
           (unsigned long long)received, quantile(0.5), quantile(0.99));
    return 0;
}
