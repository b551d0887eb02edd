/* So many phones that talk: sends RTP on every stream each 20 ms, evenly spread, and measures what comes back.
 *
 * usage: load STREAMS FIRST_PORT PEER_PORT SECONDS
 * Stream i is bound to 127.0.0.1:FIRST_PORT+i and sends to 127.0.0.1:PEER_PORT+2i. Each packet carries the time it was
 * sent; the kernel's receive stamp ends the measurement, so that this program's own delays do not count. The first
 * second is not measured. Prints one line of JSON. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, PACKET = 172, HEADER = 12, BUCKETS = 100000 /* of a microsecond */ };
static const uint64_t PERIOD = 20000000, SECOND = 1000000000, TURN = 100000;

struct stream {
    int fd;
    uint16_t seq;
    uint32_t timestamp, sent, received;
};

static uint32_t histogram[BUCKETS];
static uint64_t sent, received, slowest, measured_from;

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

static struct stream *open_streams(int streams, int first_port, int epoll) {
    struct stream *all = calloc((size_t)streams, sizeof *all);
    for (int i = 0; i < streams; i++) {
        struct sockaddr_in name = loopback(first_port + i);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = i};
        int on = 1;
        all[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (all[i].fd < 0 || bind(all[i].fd, (struct sockaddr *)&name, sizeof name) != 0) {
            perror("load");
            exit(1);
        }
        setsockopt(all[i].fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event);
    }
    return all;
}

static void say(struct stream *stream, int index, int peer_port) {
    uint8_t packet[PACKET] = {0x80, 0, (uint8_t)(stream->seq >> 8), (uint8_t)stream->seq};
    uint32_t fields[] = {htonl(stream->timestamp), htonl((uint32_t)index + 1)};
    struct sockaddr_in to = loopback(peer_port + 2 * index);
    memcpy(packet + 4, fields, sizeof fields);
    stream->seq++;
    stream->timestamp += 160;
    uint64_t now = clock_ns(CLOCK_REALTIME);
    memcpy(packet + HEADER, &now, sizeof now);
    sendto(stream->fd, packet, sizeof packet, 0, (struct sockaddr *)&to, sizeof to);
    sent += now >= measured_from;
    stream->sent += now >= measured_from;
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

static void hear(struct stream *stream) {
    uint8_t packet[2048], control[128];
    struct iovec vector = {packet, sizeof packet};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    uint64_t said;
    if (recvmsg(stream->fd, &message, 0) != PACKET)
        return; /* RTCP, at most */
    memcpy(&said, packet + HEADER, sizeof said);
    if (said < measured_from)
        return;
    uint64_t at = stamp_of(&message), took = at > said ? at - said : 0;
    uint64_t us = took / 1000;
    received++;
    stream->received++;
    histogram[us < BUCKETS ? us : BUCKETS - 1]++;
    if (took > slowest)
        slowest = took;
}

static unsigned quantile(double share) {
    uint64_t left = (uint64_t)((double)received * share);
    for (unsigned us = 0; us < BUCKETS; us++) {
        if (histogram[us] > left)
            return us;
        left -= histogram[us];
    }
    return BUCKETS;
}

static void hear_all(struct stream *all, int epoll, struct epoll_event *events) {
    int ready;
    do {
        ready = epoll_wait(epoll, events, EVENTS, 0);
        for (int i = 0; i < ready; i++)
            hear(&all[events[i].data.fd]);
    } while (ready == EVENTS);
}

int main(int count, char **words) {
    if (count != 5)
        return 2;
    int streams = atoi(words[1]), peer_port = atoi(words[3]), epoll = epoll_create1(0);
    struct stream *all = open_streams(streams, atoi(words[2]), epoll);
    struct epoll_event events[EVENTS];
    uint64_t start = clock_ns(CLOCK_MONOTONIC), said = 0, end = (uint64_t)atoi(words[4]) * SECOND, passed = 0;
    measured_from = clock_ns(CLOCK_REALTIME) + SECOND;
    for (uint64_t turn = 1; passed < end + SECOND / 5; turn++) {
        struct timespec at = {(time_t)((start + turn * TURN) / SECOND), (long)((start + turn * TURN) % SECOND)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        passed = clock_ns(CLOCK_MONOTONIC) - start;
        uint64_t due = (passed < end ? passed : end) * (uint64_t)streams / PERIOD;
        for (; said < due; said++)
            say(&all[said % (uint64_t)streams], (int)(said % (uint64_t)streams), peer_port);
        hear_all(all, epoll, events);
    }
    /* what stream i says is heard by its partner; each counts what is missing of what the other said */
    uint32_t worst = 0;
    for (int i = 0; i < streams; i++) {
        uint32_t said_to = all[i ^ 1].sent, heard = all[i].received;
        if ((i ^ 1) < streams && said_to > heard && said_to - heard > worst)
            worst = said_to - heard;
    }
    printf("{\"sent\": %llu, \"received\": %llu, \"worst_lost\": %u, \"each_sent\": %u, \"p50_us\": %u, "
           "\"p99_us\": %u, \"max_us\": %llu}\n",
           (unsigned long long)sent, (unsigned long long)received, worst, all[0].sent, quantile(0.5), quantile(0.99),
           (unsigned long long)(slowest / 1000));
    return 0;
}
