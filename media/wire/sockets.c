#define _GNU_SOURCE
#include "shell.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

union packet_info { /* the control message that names the local address of a datagram (RFC 3542 §6.1, ip(7)) */
    struct cmsghdr head;
    char v4[CMSG_SPACE(sizeof(struct in_pktinfo))];
    char v6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static const struct addr any_v4 = {.ip = {[10] = 0xff, [11] = 0xff}}, any_v6;

static bool is_wildcard(const struct addr *a) {
    return addr_same_ip(a, &any_v4) || addr_same_ip(a, &any_v6);
}

bool socket_is_wildcard(const char *ip) {
    struct addr local;
    return addr_parse(&local, ip, 0) && is_wildcard(&local);
}

static int set_options(int fd, int family, const struct socket_options *options) {
    int on = 1, size = options->receive_buffer;
    bool v6 = family == AF_INET6;
    if (v6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &options->traffic_class, sizeof options->traffic_class);
    } else {
        setsockopt(fd, IPPROTO_IP, IP_TOS, &options->traffic_class, sizeof options->traffic_class);
    }
    if (size && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (options->tell_local && setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on,
                                          sizeof on) != 0)
        return errno;
    return 0;
}

static int bind_to(int fd, const struct sockaddr_storage *name, socklen_t length, uint16_t *port) {
    struct sockaddr_storage bound;
    struct addr local;
    socklen_t bound_length = sizeof bound;
    if (bind(fd, (const struct sockaddr *)name, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &bound_length) != 0)
        return errno;
    addr_from_sockaddr(&local, &bound);
    *port = local.port;
    return 0;
}

int socket_open(const char *ip, uint16_t port, struct socket_options options, int *fd, uint16_t *bound_port) {
    struct addr local;
    struct sockaddr_storage name;
    if (!addr_parse(&local, ip, port))
        return EINVAL;
    socklen_t length = addr_to_sockaddr(&local, &name);
    int opened = socket(name.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (opened < 0)
        return errno;
    options.tell_local = options.tell_local && is_wildcard(&local);
    int error = set_options(opened, name.ss_family, &options);
    if (!error)
        error = bind_to(opened, &name, length, bound_port);
    if (error)
        close(opened);
    else
        *fd = opened;
    return error;
}

void socket_local(struct addr *local, struct msghdr *message) {
    memset(local, 0, sizeof *local);
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_PKTINFO) {
            const struct in_pktinfo *info = (const struct in_pktinfo *)CMSG_DATA(head);
            *local = any_v4;
            memcpy(local->ip + 12, &info->ipi_spec_dst, 4); /* for a broadcast, too, an address of ours */
            local->set = 1;
        } else if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_PKTINFO) {
            const struct in6_pktinfo *info = (const struct in6_pktinfo *)CMSG_DATA(head);
            if (IN6_IS_ADDR_MULTICAST(&info->ipi6_addr))
                continue;
            memcpy(local->ip, &info->ipi6_addr, sizeof local->ip);
            local->scope = IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr) ? info->ipi6_ifindex : 0;
            local->set = 1;
        }
    }
}

static void name_source(struct msghdr *message, union packet_info *control, const struct addr *from) {
    memset(control, 0, sizeof *control);
    message->msg_control = control;
    if (addr_is_ipv4(from)) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, from->ip + 12, 4);
        control->head = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(&control->head), &info, sizeof info);
        message->msg_controllen = sizeof control->v4;
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = from->scope};
        memcpy(&info.ipi6_addr, from->ip, sizeof from->ip);
        control->head = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IPV6, IPV6_PKTINFO};
        memcpy(CMSG_DATA(&control->head), &info, sizeof info);
        message->msg_controllen = sizeof control->v6;
    }
}

int socket_send_from(int fd, const void *data, size_t length, const struct addr *to, const struct addr *from) {
    struct sockaddr_storage name;
    union packet_info control;
    struct iovec vector = {(void *)data, length};
    struct msghdr message = {.msg_name = &name, .msg_iov = &vector, .msg_iovlen = 1};
    message.msg_namelen = addr_to_sockaddr(to, &name);
    name_source(&message, &control, from);
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}
