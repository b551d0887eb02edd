/* The yardstick: the least a relay can do. One epoll loop, one recvfrom and one sendto a packet, nothing looked at.
 *
 * usage: relay LEGS FIRST_PORT PEER_PORT
 * Leg i is bound to 127.0.0.1:FIRST_PORT+2i; what it hears leaves through leg i^1 to 127.0.0.1:PEER_PORT+(i^1).
 * "begin" on the standard input starts the measurement, "end" ends it and the program. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, CONTROL = -1 };

static double cpu_seconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static int open_leg(int port) {
    struct sockaddr_in name = loopback(port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) != 0) {
        perror("relay");
        exit(1);
    }
    return fd;
}

static int *open_legs(int legs, int first_port, int epoll) {
    int *fds = malloc((size_t)legs * sizeof *fds);
    for (int i = 0; i < legs; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = i};
        fds[i] = open_leg(first_port + 2 * i);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
    }
    return fds;
}

int main(int count, char **words) {
    if (count != 4)
        return 2;
    int legs = atoi(words[1]), peer_port = atoi(words[3]), epoll = epoll_create1(0);
    int *fds = open_legs(legs, atoi(words[2]), epoll);
    struct epoll_event events[EVENTS], control = {.events = EPOLLIN, .data.fd = CONTROL};
    uint64_t packets = 0, begun_at = 0;
    double begun = 0;
    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &control);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int leg = events[i].data.fd;
            uint8_t data[2048];
            struct sockaddr_in from, to;
            socklen_t size = sizeof from;
            if (leg == CONTROL) {
                ssize_t length = read(STDIN_FILENO, data, sizeof data);
                if (length > 0 && data[0] == 'b') {
                    begun = cpu_seconds();
                    begun_at = packets;
                    continue;
                }
                printf("{\"packets\": %llu, \"cpu\": %.6f}\n", (unsigned long long)(packets - begun_at),
                       cpu_seconds() - begun);
                return 0;
            }
            ssize_t length = recvfrom(fds[leg], data, sizeof data, 0, (struct sockaddr *)&from, &size);
            if (length < 0)
                continue;
            to = loopback(peer_port + (leg ^ 1));
            sendto(fds[leg ^ 1], data, (size_t)length, 0, (struct sockaddr *)&to, sizeof to);
            packets++;
        }
    }
}
