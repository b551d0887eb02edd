/* Rubbish for a SIP port, evenly spread: random bytes, broken SIP, and REGISTERs for ever new users.
 *
 * usage: junk SOURCE PORT RATE SECONDS
 * Sends RATE datagrams a second from SOURCE to 127.0.0.1:PORT and reads no answer. Prints one line of JSON. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, SIZE = 600, KINDS = 3 };
static const uint64_t SECOND = 1000000000, TURN = 500000;

static uint64_t random_state = 88172645463325252u;

static uint64_t random_number(void) { /* xorshift */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static size_t noise(char *data) {
    size_t length = 1 + random_number() % SIZE;
    for (size_t i = 0; i < length; i++)
        data[i] = (char)random_number();
    return length;
}

static size_t broken(char *data) {
    static const char *const texts[] = {
        "INVITE sip:1001@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.67;branch=%llx\r\nCSeq: x INVITE\r\n\r\n",
        "REGISTER SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.67;branch=z9hG4bK%llx\r\nTo: <\r\n\r\n",
        "SIP/2.0 200 OK\r\nVia: %llx\r\nContent-Length: 99999999999\r\n\r\n",
        "OPTIONS sip:%llx SIP/3.0\r\nFrom: \"\r\n",
    };
    return (size_t)snprintf(data, SIZE, texts[random_number() % 4], (unsigned long long)random_number());
}

static size_t spray(char *data) {
    unsigned long long number = random_number(), user = random_number() % 1000000;
    return (size_t)snprintf(data, SIZE,
                            "REGISTER sip:127.0.0.1 SIP/2.0\r\n"
                            "Via: SIP/2.0/UDP 127.0.0.67:5060;branch=z9hG4bK%llx;rport\r\n"
                            "Max-Forwards: 70\r\nFrom: <sip:%llu@127.0.0.1>;tag=%llx\r\nTo: <sip:%llu@127.0.0.1>\r\n"
                            "Call-ID: %llx\r\nCSeq: 1 REGISTER\r\nContact: <sip:%llu@127.0.0.67>\r\n"
                            "User-Agent: Phone 2.1\r\nContent-Length: 0\r\n\r\n",
                            number, user, number, user, number, user);
}

static int open_socket(const char *source) {
    struct sockaddr_in name = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || inet_pton(AF_INET, source, &name.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&name, sizeof name) != 0) {
        perror("junk");
        exit(1);
    }
    return fd;
}

int main(int count, char **words) {
    if (count != 5)
        return 2;
    static char data[BATCH][SIZE];
    static size_t (*const kinds[KINDS])(char *) = {noise, broken, spray};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct mmsghdr messages[BATCH] = {0};
    struct iovec vectors[BATCH];
    uint64_t rate = (uint64_t)atoll(words[3]), end = (uint64_t)atoi(words[4]) * SECOND, sent = 0, refused = 0;
    int fd = open_socket(words[1]);
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){data[i], 0};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    uint64_t start = clock_ns(), passed = 0;
    for (uint64_t turn = 1; passed < end; turn++) {
        struct timespec at = {(time_t)((start + turn * TURN) / SECOND), (long)((start + turn * TURN) % SECOND)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        passed = clock_ns() - start;
        uint64_t due = passed / 1000 * rate / 1000000;
        while (sent < due) {
            int batch = due - sent < BATCH ? (int)(due - sent) : BATCH;
            for (int i = 0; i < batch; i++)
                vectors[i].iov_len = kinds[(sent + (uint64_t)i) % KINDS](data[i]);
            int taken = sendmmsg(fd, messages, (unsigned)batch, 0);
            refused += taken < 0;
            sent += taken > 0 ? (uint64_t)taken : 1;
        }
    }
    printf("{\"sent\": %llu, \"refused\": %llu, \"a_second\": %.0f}\n", (unsigned long long)sent,
           (unsigned long long)refused, (double)sent * 1e9 / (double)passed);
    return 0;
}
