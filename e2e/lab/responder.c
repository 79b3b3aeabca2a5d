/* Says which node answered: UDP echo with the node's number written into it, TCP greeting of one octet.
 *
 * usage: responder NODE PORT      (both protocols, every address this node holds now or later, IPv4 and IPv6)
 * A UDP answer leaves from the address that was asked, or a client of a VIP would not take it.
 */
#define _GNU_SOURCE
#include "record.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static uint8_t node;

static int wildcard(int type, int port)
{
    int off = 0, on = 1;
    int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    if (fd < 0 || bind(fd, (void *)&any, sizeof any) || (type == SOCK_STREAM && listen(fd, 4096))) {
        perror("responder: bind");
        exit(1);
    }
    return fd;
}

/* Keeps of the received control data only what makes the answer leave from the address that was asked. */
static void answer_from(struct msghdr *asked, struct msghdr *answer, char *room)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(asked); c; c = CMSG_NXTHDR(asked, c)) {
        struct cmsghdr *out = (void *)room;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo seen, use = {0};
            memcpy(&seen, CMSG_DATA(c), sizeof seen);
            use.ipi_spec_dst = seen.ipi_addr;
            answer->msg_control = room;
            answer->msg_controllen = CMSG_SPACE(sizeof use);
            *out = (struct cmsghdr){CMSG_LEN(sizeof use), IPPROTO_IP, IP_PKTINFO};
            memcpy(CMSG_DATA(out), &use, sizeof use);
            return;
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo seen, use = {0};
            memcpy(&seen, CMSG_DATA(c), sizeof seen);
            if (IN6_IS_ADDR_V4MAPPED(&seen.ipi6_addr))
                continue; /* the IPv4 one follows */
            use.ipi6_addr = seen.ipi6_addr;
            answer->msg_control = room;
            answer->msg_controllen = CMSG_SPACE(sizeof use);
            *out = (struct cmsghdr){CMSG_LEN(sizeof use), IPPROTO_IPV6, IPV6_PKTINFO};
            memcpy(CMSG_DATA(out), &use, sizeof use);
            return;
        }
    }
}

static void echo(int fd)
{
    for (;;) {
        struct datagram packet;
        char control[256], room[128] __attribute__((aligned(8)));
        struct sockaddr_in6 from;
        struct iovec data = {&packet, sizeof packet};
        struct msghdr asked = {&from, sizeof from, &data, 1, control, sizeof control, 0};
        ssize_t got = recvmsg(fd, &asked, 0);
        if (got < 0)
            return;
        if (got != sizeof packet)
            continue;
        packet.node = node;
        struct msghdr answer = {&from, asked.msg_namelen, &data, 1, NULL, 0, 0};
        answer_from(&asked, &answer, room);
        sendmsg(fd, &answer, MSG_DONTWAIT);
    }
}

static void greet(int listener, int epoll)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event wait = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
        /* We end it, as most servers do: TIME_WAIT then costs nobody on the way a port. */
        if (write(fd, &node, 1) != 1 || shutdown(fd, SHUT_WR) || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wait))
            close(fd);
    }
}

static void drain(int fd)
{
    char scrap[4096];
    ssize_t got = read(fd, scrap, sizeof scrap);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        close(fd);
}

int main(int count, char **words)
{
    if (count != 3)
        return 2;
    node = atoi(words[1]);
    real_time(40);
    fcntl(0, F_SETFL, O_NONBLOCK);
    int udp = wildcard(SOCK_DGRAM, atoi(words[2])), tcp = wildcard(SOCK_STREAM, atoi(words[2]));
    int epoll = epoll_create1(EPOLL_CLOEXEC), watched[] = {0, udp, tcp};
    for (int i = 0; i < 3; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = watched[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, watched[i], &event);
    }
    if (write(1, "ready\n", 6) != 6)
        return 1;
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == 0 && lifeline_cut())
                return 0;
            if (fd == udp)
                echo(udp);
            else if (fd == tcp)
                greet(tcp, epoll);
            else if (fd != 0)
                drain(fd);
        }
    }
}
