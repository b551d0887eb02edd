#define _GNU_SOURCE
#include "shell.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static void set_options(int fd, int family, int receive_buffer, int traffic_class) {
    int on = 1;
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, sizeof traffic_class);
    } else {
        setsockopt(fd, IPPROTO_IP, IP_TOS, &traffic_class, sizeof traffic_class);
    }
    if (!receive_buffer)
        return;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
}

int socket_open(const char *ip, uint16_t port, int receive_buffer, int traffic_class, int *fd, uint16_t *bound_port) {
    struct addr local;
    struct sockaddr_storage name;
    if (!addr_parse(&local, ip, port))
        return EINVAL;
    socklen_t length = addr_to_sockaddr(&local, &name);
    int family = name.ss_family;
    int opened = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (opened < 0)
        return errno;
    set_options(opened, family, receive_buffer, traffic_class);
    int error = 0;
    if (bind(opened, (struct sockaddr *)&name, length) != 0)
        error = errno;
    length = sizeof name;
    if (!error && getsockname(opened, (struct sockaddr *)&name, &length) != 0)
        error = errno;
    if (error) {
        close(opened);
        return error;
    }
    addr_from_sockaddr(&local, &name);
    *fd = opened;
    *bound_port = local.port;
    return 0;
}
