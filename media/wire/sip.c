#define _GNU_SOURCE
#include "shell.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONTROL_SIZE = 64 };
static const struct socket_options sip_options = {
    .receive_buffer = 4 << 20,
    .traffic_class = 0x60, /* CS3, RFC 4594 §2.3 */
    .tell_local = true,
};

struct sip_batch {
    struct mmsghdr messages[SIP_BATCH];
    struct iovec vectors[SIP_BATCH];
    struct sockaddr_storage from[SIP_BATCH];
    _Alignas(8) uint8_t control[SIP_BATCH][CONTROL_SIZE];
    uint8_t data[SIP_BATCH][SIP_DATAGRAM_MAX];
};

/* ---- the wire thread */

struct sip_batch *sip_batch_new(void) { /* mapped: only pages that datagrams ever reached are used */
    struct sip_batch *batch =
        mmap(NULL, sizeof *batch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (batch == MAP_FAILED)
        return NULL;
    for (int i = 0; i < SIP_BATCH; i++) {
        batch->vectors[i] = (struct iovec){batch->data[i], SIP_DATAGRAM_MAX};
        batch->messages[i].msg_hdr.msg_iov = &batch->vectors[i];
        batch->messages[i].msg_hdr.msg_iovlen = 1;
        batch->messages[i].msg_hdr.msg_name = &batch->from[i];
    }
    return batch;
}

void sip_batch_free(struct sip_batch *batch) {
    if (batch)
        munmap(batch, sizeof *batch);
}

static void pass_on(struct wire *wire, uint32_t index, struct mmsghdr *message, uint64_t now) {
    static const enum drop refusals[] = {[GUARD_BANNED] = DROP_sip_banned, [GUARD_RATE] = DROP_sip_rate};
    const uint8_t *data = message->msg_hdr.msg_iov->iov_base;
    uint32_t length = message->msg_len;
    struct datagram_head head = {.arrival = now, .socket = index, .length = length};
    addr_from_sockaddr(&head.from, message->msg_hdr.msg_name);
    enum guard_verdict verdict = guard_judge(&wire->guard, &head.from, now);
    if (verdict == GUARD_PASS && wire->sip_wildcard[index])
        socket_local(&head.local, &message->msg_hdr);
    if (verdict != GUARD_PASS)
        tally(&wire->core.drops[refusals[verdict]]);
    else if (!length)
        tally(&wire->core.drops[DROP_sip_empty]);
    else if (!byte_ring_push(&wire->datagrams, &head, sizeof head, data, length))
        tally(&wire->core.drops[DROP_sip_overflow]);
    else
        wire->woke_sip = true;
}

void sip_read(struct wire *wire, uint32_t index, uint64_t now) {
    struct sip_batch *batch = wire->batch;
    if (wire->sip_fds[index] < 0)
        return;
    size_t control_size = wire->sip_wildcard[index] ? CONTROL_SIZE : 0;
    for (int i = 0; i < SIP_BATCH; i++) {
        batch->messages[i].msg_hdr.msg_namelen = sizeof batch->from[i];
        batch->messages[i].msg_hdr.msg_control = batch->control[i];
        batch->messages[i].msg_hdr.msg_controllen = control_size;
    }
    int count = recvmmsg(wire->sip_fds[index], batch->messages, SIP_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        pass_on(wire, index, &batch->messages[i], now);
    wire->pressed |= count == SIP_BATCH;
}

/* ---- Python's thread */

int wire_sip_open(struct wire *wire, const char *ip, uint16_t port, uint32_t *index, uint16_t *bound_port) {
    uint32_t free_index = 1;
    while (free_index < SIP_SOCKETS_MAX && wire->sip_send_fds[free_index] >= 0)
        free_index++;
    if (free_index == SIP_SOCKETS_MAX)
        return EMFILE;
    int fd;
    int error = socket_open(ip, port, sip_options, &fd, bound_port);
    if (error)
        return error;
    /* each thread has a descriptor of its own, so that neither can find the other's number reused */
    int reader = dup(fd);
    error = reader < 0 ? errno : 0;
    if (!error)
        error = shell_register(wire, reader);
    if (!error) {
        struct command command = {.kind = COMMAND_SIP_OPEN, .index = free_index};
        command.sip.fd = reader;
        command.sip.wildcard = socket_is_wildcard(ip);
        error = shell_submit(wire, &command);
    }
    if (error) {
        close(fd);
        if (reader >= 0)
            close(reader);
        return error;
    }
    wire->sip_send_fds[free_index] = fd;
    *index = free_index;
    return 0;
}

int wire_sip_close(struct wire *wire, uint32_t index) {
    if (index >= SIP_SOCKETS_MAX || wire->sip_send_fds[index] < 0)
        return EBADF;
    close(wire->sip_send_fds[index]);
    wire->sip_send_fds[index] = -1;
    return shell_submit(wire, &(struct command){.kind = COMMAND_SIP_CLOSE, .index = index});
}

int wire_sip_send(struct wire *wire, uint32_t index, const void *data, size_t length, const char *ip, uint16_t port,
                  const char *from) {
    struct addr to, source;
    struct sockaddr_storage name;
    if (index >= SIP_SOCKETS_MAX || wire->sip_send_fds[index] < 0)
        return EBADF;
    if (!addr_parse(&to, ip, port))
        return EINVAL;
    if (from && (!addr_parse(&source, from, 0) || addr_is_ipv4(&source) != addr_is_ipv4(&to)))
        return EINVAL;
    if (from)
        return socket_send_from(wire->sip_send_fds[index], data, length, &to, &source);
    socklen_t name_length = addr_to_sockaddr(&to, &name);
    ssize_t sent = sendto(wire->sip_send_fds[index], data, length, MSG_DONTWAIT | MSG_NOSIGNAL,
                          (struct sockaddr *)&name, name_length);
    return sent < 0 ? errno : 0;
}

static void release_held(struct wire *wire) {
    if (wire->datagram_held)
        byte_ring_pop(&wire->datagrams);
    wire->datagram_held = false;
}

void wire_sip_begin(struct wire *wire) {
    uint64_t count;
    (void)!read(wire->event_fd, &count, sizeof count);
    atomic_exchange(&wire->notified, false); /* reads what tell_python wrote: all it told of is seen from here on */
}

int wire_sip_next(struct wire *wire, struct wire_datagram *datagram) {
    struct datagram_head head;
    size_t size;
    release_held(wire);
    const uint8_t *record = byte_ring_peek(&wire->datagrams, &size);
    if (!record)
        return 0;
    wire->datagram_held = true;
    memcpy(&head, record, sizeof head);
    datagram->data = record + sizeof head;
    datagram->length = head.length;
    datagram->socket = head.socket;
    datagram->arrival = head.arrival;
    datagram->port = head.from.port;
    addr_format(&head.from, datagram->ip);
    datagram->local_ip[0] = 0;
    if (head.local.set)
        addr_format(&head.local, datagram->local_ip);
    return 1;
}

void wire_sip_end(struct wire *wire) {
    release_held(wire);
    if (!byte_ring_empty(&wire->datagrams) && !atomic_exchange(&wire->notified, true))
        (void)!write(wire->event_fd, &(uint64_t){1}, sizeof(uint64_t));
}
