/* So many people that call: both ends of the calls that a PBX bridges, over UDP, at a steady rate.
 *
 * usage: sip_load PBX_PORT CALLER_PORT CALLEE_PORT CALLS A_SECOND HOLD_MS RTP_FIRST MEDIA_FIRST
 * Callers on 127.0.0.1:CALLER_PORT call 8000 to 8999 through the PBX; whom it reaches on CALLEE_PORT rings and answers at
 * once. Each caller hangs up after HOLD_MS. With -1 calls stay up: "up" is printed when all are, and the standard input's
 * end (or a line) hangs them up.
 * A run that goes on beside another one has CALLEE_PORT 0 and leaves the answering to that one.
 * Media: the PBX is expected to take its ports two by two from RTP_FIRST on, in the order of the calls. Its leg i is told
 * that the far end listens on MEDIA_FIRST+i (the caller's leg of call n is 2n, the callee's 2n+1); a leg elsewhere counts
 * as misplaced. With MEDIA_FIRST 0, and beyond the CALLS of this run, media goes to a port where nobody reads.
 * The kernel's receive stamp ends the time from INVITE to 200. Nothing is sent twice: what gets lost shows. Prints one
 * line of JSON. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DATAGRAM = 4096, FIELD = 192, BUFFER = 8 << 20, CALLER = 0, CALLEE = 1, CONTROL = 2 };
static const int64_t SECOND = 1000000000, PATIENCE = 5000000000;

enum state { WAITING, CALLING, TALKING, LEAVING, DONE, FAILED };

struct call {
    enum state state;
    int64_t called_at, answered_at, took, bye_at, bye_took;
    char to[FIELD], target[FIELD];
};

static struct call *calls;
static int pbx_port, ports[2], fds[2], total, rate, hold_ms, rtp_first, media_first, sink_port;
static int *answered, answered_count, left, done, failed, misplaced, repeated, first_failure;
static unsigned run; /* makes the identifiers of this run unlike those of any other */

static int64_t clock_ns(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* ---- sockets */

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static int open_socket(int port) {
    struct sockaddr_in name = loopback(port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1, size = BUFFER;
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) != 0) {
        perror("sip_load");
        exit(1);
    }
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return fd;
}

static void open_sink(void) {
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    getsockname(open_socket(0), (struct sockaddr *)&name, &size);
    sink_port = ntohs(name.sin_port);
}

static void send_to_pbx(int side, const char *text, int length) {
    struct sockaddr_in to = loopback(pbx_port);
    if (length >= DATAGRAM || sendto(fds[side], text, (size_t)length, 0, (struct sockaddr *)&to, sizeof to) != length)
        perror("sip_load: send");
}

static int64_t receive(int side, char *text) {
    struct iovec vector = {text, DATAGRAM - 1};
    char control[128];
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(fds[side], &message, 0);
    if (length < 0)
        return 0;
    text[length] = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(c), sizeof at);
            return (int64_t)at.tv_sec * SECOND + at.tv_nsec;
        }
    return clock_ns(CLOCK_REALTIME);
}

/* ---- reading */

/* The value of the first header of that name, as "\r\nTo: "; its end is the end of the line. */
static const char *header(const char *text, const char *name, int *length) {
    const char *at = strstr(text, name);
    if (!at)
        return *length = 0, "";
    at += strlen(name);
    return *length = (int)strcspn(at, "\r"), at;
}

static void copy_header(char *field, const char *text, const char *name) {
    int length;
    const char *value = header(text, name, &length);
    snprintf(field, FIELD, "%.*s", length, value);
}

static int audio_port(const char *text) {
    const char *at = strstr(text, "\r\nm=audio ");
    return at ? atoi(at + 10) : 0;
}

static int call_number(const char *text) {
    int length, number;
    unsigned of_run;
    const char *value = header(text, "\r\nCall-ID: ", &length);
    return sscanf(value, "%d-%x@", &number, &of_run) == 2 && of_run == run && number < total ? number : -1;
}

/* ---- writing */

static int write_sdp(char *text, int port) {
    static int session; /* no two are alike, as with real phones */
    return snprintf(text, DATAGRAM,
                    "v=0\r\no=- %d 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                    "m=audio %d RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
                    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n",
                    ++session, port);
}

static void invite(int n) {
    char text[DATAGRAM], sdp[DATAGRAM];
    int body = write_sdp(sdp, media_first ? media_first + 2 * n : sink_port);
    int length = snprintf(text, sizeof text,
                          "INVITE sip:8%03d@127.0.0.1:%d SIP/2.0\r\n"
                          "Via: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%x-%d-i;rport\r\n"
                          "Max-Forwards: 70\r\nFrom: \"bench\" <sip:bench@127.0.0.1>;tag=%d\r\n"
                          "To: <sip:8%03d@127.0.0.1>\r\nCall-ID: %d-%x@127.0.0.1\r\nCSeq: 1 INVITE\r\n"
                          "Contact: <sip:bench@127.0.0.1:%d>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n"
                          "User-Agent: bench\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
                          n % 1000, pbx_port, ports[CALLER], run, n, n, n % 1000, n, run, ports[CALLER], body, sdp);
    calls[n].state = CALLING;
    calls[n].called_at = clock_ns(CLOCK_REALTIME);
    send_to_pbx(CALLER, text, length);
}

static void request(int n, const char *method, int seq, char branch) {
    char text[DATAGRAM];
    int length = snprintf(text, sizeof text,
                          "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%x-%d-%c;rport\r\n"
                          "Max-Forwards: 70\r\nFrom: \"bench\" <sip:bench@127.0.0.1>;tag=%d\r\nTo: %s\r\n"
                          "Call-ID: %d-%x@127.0.0.1\r\nCSeq: %d %s\r\nContent-Length: 0\r\n\r\n",
                          method, calls[n].target, ports[CALLER], run, n, branch, n, calls[n].to, n, run, seq, method);
    send_to_pbx(CALLER, text, length);
}

static void respond(const char *to_what, const char *status, const char *tag, const char *body_head, const char *body) {
    char text[DATAGRAM];
    int lengths[5];
    const char *via = header(to_what, "\r\nVia: ", &lengths[0]), *from = header(to_what, "\r\nFrom: ", &lengths[1]);
    const char *to = header(to_what, "\r\nTo: ", &lengths[2]), *id = header(to_what, "\r\nCall-ID: ", &lengths[3]);
    const char *seq = header(to_what, "\r\nCSeq: ", &lengths[4]);
    int length = snprintf(text, sizeof text,
                          "SIP/2.0 %s\r\nVia: %.*s\r\nFrom: %.*s\r\nTo: %.*s%s\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n"
                          "Contact: <sip:callee@127.0.0.1:%d>\r\n%sContent-Length: %d\r\n\r\n%s",
                          status, lengths[0], via, lengths[1], from, lengths[2], to, tag, lengths[3], id, lengths[4],
                          seq, ports[CALLEE], body_head, (int)strlen(body), body);
    send_to_pbx(CALLEE, text, length);
}

/* ---- the callers */

static void fail(int n, int status) {
    calls[n].state = FAILED;
    if (!failed++)
        first_failure = status;
}

static void hear_answer(int n, const char *text, int status, int64_t at) {
    struct call *call = &calls[n];
    if (status < 200)
        return;
    copy_header(call->to, text, "\r\nTo: ");
    if (status >= 300) {
        snprintf(call->target, FIELD, "sip:8%03d@127.0.0.1:%d", n % 1000, pbx_port);
        request(n, "ACK", 1, 'i');
        if (call->state == CALLING)
            fail(n, status);
        return;
    }
    if (call->state == CALLING) {
        char contact[FIELD];
        copy_header(contact, text, "\r\nContact: <");
        snprintf(call->target, FIELD, "%.*s", (int)strcspn(contact, ">"), contact);
        call->state = TALKING;
        call->took = at - call->called_at;
        call->answered_at = clock_ns(CLOCK_MONOTONIC);
        answered[answered_count++] = n;
        misplaced += media_first && audio_port(text) != rtp_first + 4 * n;
    } else {
        repeated++;
    }
    request(n, "ACK", 1, 'a');
}

static void hear_caller_side(const char *text, int64_t at) {
    int length, n = call_number(text);
    if (n < 0 || strncmp(text, "SIP/2.0 ", 8) != 0)
        return;
    int status = atoi(text + 8);
    const char *seq = header(text, "\r\nCSeq: ", &length);
    if (atoi(seq) == 1) {
        hear_answer(n, text, status, at);
    } else if (calls[n].state == LEAVING && status >= 200) {
        if (status >= 300) {
            fail(n, status);
        } else {
            calls[n].state = DONE;
            calls[n].bye_took = at - calls[n].bye_at;
            done++;
        }
    }
}

static void hang_up_next(void) {
    int n = answered[left++];
    calls[n].state = LEAVING;
    calls[n].bye_at = clock_ns(CLOCK_REALTIME);
    request(n, "BYE", 2, 'b');
}

/* ---- those who are called: they remember nothing, so a request that comes twice is answered twice */

static void hear_callee_side(const char *text) {
    static int heard;
    char sdp[DATAGRAM], tag[32];
    if (strncmp(text, "INVITE ", 7) == 0) {
        int leg = (audio_port(text) - rtp_first) / 2;
        write_sdp(sdp, media_first && leg >= 0 && leg < 2 * total ? media_first + leg : sink_port);
        snprintf(tag, sizeof tag, ";tag=c%x-%d", run, heard++);
        respond(text, "180 Ringing", tag, "", "");
        respond(text, "200 OK", tag, "Content-Type: application/sdp\r\n", sdp);
    } else if (strncmp(text, "BYE ", 4) == 0) {
        respond(text, "200 OK", "", "", "");
    }
}

/* ---- the run */

static int compare(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static void report(void) {
    int64_t *setups = calloc((size_t)total + 1, sizeof *setups), *byes = calloc((size_t)total + 1, sizeof *byes);
    int set_up = 0, torn_down = 0;
    for (int n = 0; n < total; n++) {
        if (calls[n].took)
            setups[set_up++] = calls[n].took;
        if (calls[n].bye_took)
            byes[torn_down++] = calls[n].bye_took;
    }
    qsort(setups, (size_t)set_up, sizeof *setups, compare);
    qsort(byes, (size_t)torn_down, sizeof *byes, compare);
    printf("{\"calls\": %d, \"answered\": %d, \"ended\": %d, \"failed\": %d, \"first_failure\": %d, \"misplaced\": %d, "
           "\"repeated\": %d, \"p50_us\": %lld, \"p99_us\": %lld, \"max_us\": %lld, \"bye_p99_us\": %lld, "
           "\"cpu_us\": %.1f}\n",
           total, answered_count, done, failed, first_failure, misplaced, repeated, (long long)setups[set_up / 2] / 1000,
           (long long)setups[(int)(0.99 * set_up)] / 1000, (long long)(set_up ? setups[set_up - 1] / 1000 : 0),
           (long long)byes[(int)(0.99 * torn_down)] / 1000,
           (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000 / total);
}

static void hear_all(int side) {
    char text[DATAGRAM];
    int64_t at;
    while ((at = receive(side, text)))
        side == CALLER ? hear_caller_side(text, at) : hear_callee_side(text);
}

static void run_calls(void) {
    struct pollfd watched[] = {{fds[CALLER], POLLIN, 0}, {fds[CALLEE], POLLIN, 0}, {-1, POLLIN, 0}};
    int64_t start = clock_ns(CLOCK_MONOTONIC), period = SECOND / rate, heard_at = start, hang_up_at = 0;
    bool staying = hold_ms < 0, said_up = false;
    int begun = 0;
    if (staying)
        watched[CONTROL].fd = STDIN_FILENO;
    while (done + failed < total) {
        int64_t now = clock_ns(CLOCK_MONOTONIC), due = now + SECOND;
        while (begun < total && start + begun * period <= now)
            invite(begun++);
        if (begun < total)
            due = start + begun * period;
        while (left < answered_count && !staying) {
            int64_t at = calls[answered[left]].answered_at + (int64_t)hold_ms * 1000000;
            if (hold_ms < 0)
                at = hang_up_at + left * period;
            if (at > now) {
                due = at < due ? at : due;
                break;
            }
            hang_up_next();
        }
        if (staying && !said_up && answered_count + failed == total) {
            said_up = true;
            puts("up");
            fflush(stdout);
        }
        struct timespec wait = {(due - now) / SECOND, (due - now) % SECOND};
        if (ppoll(watched, 3, due > now ? &wait : &(struct timespec){0}, NULL) > 0)
            heard_at = now;
        else if (now - heard_at > PATIENCE + (int64_t)(hold_ms > 0 ? hold_ms : 0) * 1000000 && !said_up)
            break;
        if (watched[CONTROL].revents) {
            staying = said_up = false;
            watched[CONTROL].fd = -1;
            watched[CONTROL].revents = 0;
            hang_up_at = heard_at = clock_ns(CLOCK_MONOTONIC);
        }
        for (int side = CALLER; side <= CALLEE; side++)
            if (watched[side].revents)
                hear_all(side);
    }
}

int main(int count, char **words) {
    if (count != 9)
        return 2;
    pbx_port = atoi(words[1]);
    total = atoi(words[4]);
    rate = atoi(words[5]);
    hold_ms = atoi(words[6]);
    rtp_first = atoi(words[7]);
    media_first = atoi(words[8]);
    run = (unsigned)clock_ns(CLOCK_REALTIME) ^ (unsigned)getpid() << 16;
    calls = calloc((size_t)total, sizeof *calls);
    answered = calloc((size_t)total, sizeof *answered);
    for (int side = CALLER; side <= CALLEE; side++) {
        ports[side] = atoi(words[2 + side]);
        fds[side] = ports[side] ? open_socket(ports[side]) : -1;
    }
    open_sink();
    run_calls();
    report();
    return 0;
}
