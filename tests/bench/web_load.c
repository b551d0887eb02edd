/* Asks a web server at a steady rate, whether it answers or not, over connections that stay open.
 *
 * usage: web_load PORT A_SECOND CONNECTIONS FILE
 * FILE holds whole requests, each behind its length (uint32). Each is due at its time and goes out on a connection that
 * is free, or as soon as one is: the time that it waits for one counts, as it would for whoever asked. Prints one line
 * of JSON; times are in microseconds from when a request was due to the end of its answer. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64, ANSWER = 65536, MOST = 1 << 20 };
static const uint64_t SECOND = 1000000000, PATIENCE = 10000000000;

struct connection {
    int fd, busy;
    uint64_t due;
    size_t got, wanted;
    char answer[ANSWER + 1];
};

struct request {
    const char *text;
    uint32_t length;
};

static uint32_t times[MOST];
static size_t answered, refused;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static void die(const char *why) {
    fprintf(stderr, "web_load: %s\n", why);
    exit(1);
}

static struct request *read_requests(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    if (!file) die("there is no such file");
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *all = malloc((size_t)size);
    if (fread(all, 1, (size_t)size, file) != (size_t)size) die("the file cannot be read");
    fclose(file);
    struct request *requests = calloc(MOST, sizeof *requests);
    for (long at = 0; at + 4 <= size && *count < MOST; (*count)++) {
        memcpy(&requests[*count].length, all + at, 4);
        requests[*count].text = all + at + 4;
        at += 4 + requests[*count].length;
    }
    return requests;
}

static void open_connection(struct connection *one, int port, int epoll, int number) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(one->fd, (struct sockaddr *)&name, sizeof name) != 0) die("nobody listens there");
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)number};
    epoll_ctl(epoll, EPOLL_CTL_ADD, one->fd, &event);
}

static void begin(struct connection *one, const struct request *request, uint64_t due) {
    if (write(one->fd, request->text, request->length) != (ssize_t)request->length) die("a request cannot be sent");
    one->busy = 1, one->due = due, one->got = one->wanted = 0;
}

static void take(struct connection *one) {
    ssize_t size = read(one->fd, one->answer + one->got, ANSWER - one->got);
    if (size <= 0) die("a connection was closed");
    one->got += (size_t)size;
    one->answer[one->got] = 0;
    if (!one->wanted) {
        char *end = strstr(one->answer, "\r\n\r\n"), *length = strcasestr(one->answer, "\r\nContent-Length:");
        if (!end) return;
        one->wanted = (size_t)(end + 4 - one->answer) + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
    }
    if (one->got < one->wanted) return;
    if (strncmp(one->answer, "HTTP/1.1 200", 12)) {
        if (!refused++) fprintf(stderr, "web_load: %.*s\n", (int)one->got, one->answer);
    }
    times[answered++] = (uint32_t)((now_ns() - one->due) / 1000);
    one->busy = 0;
}

static int by_size(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
    if (argc != 5) die("usage: web_load PORT A_SECOND CONNECTIONS FILE");
    int port = atoi(argv[1]), many = atoi(argv[3]), epoll = epoll_create1(0);
    double rate = atof(argv[2]);
    size_t count = 0, sent = 0;
    struct request *requests = read_requests(argv[4], &count);
    struct connection *all = calloc((size_t)many, sizeof *all);
    for (int i = 0; i < many; i++) open_connection(&all[i], port, epoll, i);
    uint64_t began = now_ns(), last = began;
    while (answered < count) {
        uint64_t now = now_ns();
        for (int i = 0; i < many && sent < count; i++) {
            uint64_t due = began + (uint64_t)((double)sent * (double)SECOND / rate);
            if (due > now) break;
            if (!all[i].busy) begin(&all[i], &requests[sent++], due), last = now;
        }
        if (now - last > PATIENCE) die("no answer comes");
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, 1);
        for (int i = 0; i < ready; i++) take(&all[events[i].data.u32]);
    }
    double seconds = (double)(now_ns() - began) / (double)SECOND;
    qsort(times, answered, sizeof *times, by_size);
    printf("{\"answered\": %zu, \"refused\": %zu, \"a_second\": %.1f, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u}\n",
           answered, refused, (double)answered / seconds, times[answered / 2], times[answered * 99 / 100],
           times[answered - 1]);
    return 0;
}
