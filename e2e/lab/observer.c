/* Sees who holds an address, in two independent ways: what the nodes' kernels say, and who answers on the wire.
 * And the priority in every node's adverts, which says what the election knows and no status does.
 *
 * usage: observer FILE FABRIC NODE=NETNS...   NODE = the number records carry, NETNS and FABRIC = paths of namespaces
 * Commands on standard input, a line each:    watch ADDRESS SPACING_US
 * The first time, the next number is that address's index; later it only changes the spacing (0 = do not ask).
 *
 * It asks by ARP and neighbour solicitation from a port of its own: answers to the client would repair the very
 * cache whose repair by gratuitous ARP is under test. It must never touch a node's state, only read it.
 */
#define _GNU_SOURCE
#include "record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { NODES = 16, WATCHED = 512, VRRP = 112 };

struct watched {
    int family;
    uint8_t address[16];
    int64_t due_ns, spacing_ns, asked_ns;
    uint8_t held[NODES]; /* on how many interfaces of that node */
};

static struct watched watched[WATCHED];
static int watched_count, node_count, wire_fd, adverts_fd, device;
static uint16_t last_priority[256][256]; /* by the last octet of the sender's MAC, and VRID */
static struct { int number, fd; } nodes[NODES];
static uint8_t our_mac[6], our_v4[4], our_v6[16];

static size_t width(int family) { return family == AF_INET ? 4 : 16; }

static int find(int family, const void *address)
{
    for (int i = 0; i < watched_count; i++)
        if (watched[i].family == family && !memcmp(watched[i].address, address, width(family)))
            return i;
    return -1;
}

/* A socket that lives in another namespace while we stay in ours. */
static int socket_in(const char *path, int family, int protocol)
{
    int home = open("/proc/self/ns/net", O_RDONLY), there = open(path, O_RDONLY);
    if (there < 0 || setns(there, CLONE_NEWNET)) {
        perror(path);
        exit(1);
    }
    int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (fd < 0 || setns(home, CLONE_NEWNET)) {
        perror("observer: socket");
        exit(1);
    }
    close(home);
    close(there);
    return fd;
}

static int kernel_socket(const char *path)
{
    int size = 4 << 20, fd = socket_in(path, AF_NETLINK, NETLINK_ROUTE);
    struct sockaddr_nl groups = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (bind(fd, (void *)&groups, sizeof groups)) {
        perror("observer: netlink");
        exit(1);
    }
    return fd;
}

/* Sees frames on every port of the fabric, VRRP only: the rest is a hundred times as many. */
static int adverts_socket(const char *fabric)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IP, 0, 2),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VRRP, 3, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IPV6, 0, 3),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VRRP, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 256),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    int fd = socket_in(fabric, AF_PACKET, htons(ETH_P_ALL));
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter)) {
        perror("observer: filter");
        exit(1);
    }
    return fd;
}

static void adverts_news(void)
{
    uint8_t frame[256];
    struct sockaddr_ll from;
    socklen_t size = sizeof from;
    ssize_t got;
    while ((got = recvfrom(adverts_fd, frame, sizeof frame, 0, (void *)&from, &size)) > 0) {
        size_t skip = sizeof(struct ether_header);
        skip += frame[13] == (ETHERTYPE_IP & 0xff) ? (frame[skip] & 15) * 4 : 40;
        if (from.sll_pkttype == PACKET_OUTGOING || got < (ssize_t)skip + 3)
            continue; /* each frame passes two ports; it counts where it comes in */
        uint8_t sender = frame[11], vrid = frame[skip + 1], priority = frame[skip + 2];
        if (last_priority[sender][vrid] == priority + 1)
            continue;
        last_priority[sender][vrid] = priority + 1; /* 0 = none so far; 255 cannot be ours */
        write_record((struct record){
            .at_ns = now_ns(), .stream = vrid, .node = sender, .outcome = ADVERT, .detail = priority});
    }
}

static void dump(int fd)
{
    struct { struct nlmsghdr header; struct ifaddrmsg body; } ask = {
        {sizeof ask, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {0}};
    send(fd, &ask, sizeof ask, 0);
}

static void address_event(int index, struct nlmsghdr *message)
{
    struct ifaddrmsg *body = NLMSG_DATA(message);
    int left = IFA_PAYLOAD(message), at = -1;
    for (struct rtattr *a = IFA_RTA(body); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == IFA_LOCAL || (a->rta_type == IFA_ADDRESS && body->ifa_family == AF_INET6))
            at = find(body->ifa_family, RTA_DATA(a));
    if (at < 0)
        return;
    int appeared = message->nlmsg_type == RTM_NEWADDR;
    if (watched[at].held[index] == appeared)
        return; /* a lifetime was renewed */
    watched[at].held[index] = appeared;
    write_record((struct record){.at_ns = now_ns(), .stream = at, .node = nodes[index].number,
                                 .outcome = appeared ? HELD : GONE});
}

static void kernel_news(int index)
{
    static uint8_t buffer[1 << 16] __attribute__((aligned(8)));
    ssize_t got;
    while ((got = recv(nodes[index].fd, buffer, sizeof buffer, 0)) > 0 || (got < 0 && errno == ENOBUFS)) {
        if (got < 0) { /* news were lost: what is missing now can only be guessed, so the run is void */
            fprintf(stderr, "observer: netlink overrun\n");
            exit(3);
        }
        for (struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, got); m = NLMSG_NEXT(m, got))
            if (m->nlmsg_type == RTM_NEWADDR || m->nlmsg_type == RTM_DELADDR)
                address_event(index, m);
    }
}

static void our_own_addresses(void)
{
    struct ifreq request = {.ifr_name = "eth0"};
    int plain = socket(AF_INET, SOCK_DGRAM, 0);
    ioctl(plain, SIOCGIFHWADDR, &request);
    memcpy(our_mac, request.ifr_hwaddr.sa_data, 6);
    ioctl(plain, SIOCGIFADDR, &request);
    memcpy(our_v4, &((struct sockaddr_in *)&request.ifr_addr)->sin_addr, 4);
    close(plain);
    FILE *list = fopen("/proc/net/if_inet6", "r");
    char hex[33], name[IFNAMSIZ];
    unsigned scope;
    while (list && fscanf(list, "%32s %*x %*x %x %*x %15s", hex, &scope, name) == 3)
        if (!strcmp(name, "eth0") && scope == 0)
            for (int i = 0; i < 16; i++)
                sscanf(hex + 2 * i, "%2hhx", &our_v6[i]);
    if (list)
        fclose(list);
    device = if_nametoindex("eth0");
}

static void to_wire(const uint8_t *frame, size_t size)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = device, .sll_halen = 6};
    memcpy(to.sll_addr, frame, 6);
    sendto(wire_fd, frame, size, MSG_DONTWAIT, (void *)&to, sizeof to);
}

static void ask_arp(struct watched *w)
{
    struct { struct ether_header ether; struct ether_arp arp; } __attribute__((packed)) frame = {0};
    memset(frame.ether.ether_dhost, 0xff, 6);
    memcpy(frame.ether.ether_shost, our_mac, 6);
    frame.ether.ether_type = htons(ETHERTYPE_ARP);
    frame.arp.arp_hrd = htons(ARPHRD_ETHER);
    frame.arp.arp_pro = htons(ETHERTYPE_IP);
    frame.arp.arp_hln = 6;
    frame.arp.arp_pln = 4;
    frame.arp.arp_op = htons(ARPOP_REQUEST);
    memcpy(frame.arp.arp_sha, our_mac, 6);
    memcpy(frame.arp.arp_spa, our_v4, 4);
    memcpy(frame.arp.arp_tpa, w->address, 4);
    to_wire((void *)&frame, sizeof frame);
}

static uint32_t sum16(uint32_t sum, const void *data, size_t size)
{
    const uint8_t *octets = data;
    for (size_t i = 0; i < size; i += 2)
        sum += octets[i] << 8 | octets[i + 1];
    return sum;
}

static void ask_nd(struct watched *w)
{
    struct {
        struct ether_header ether;
        struct ip6_hdr ip;
        struct nd_neighbor_solicit ask;
        struct { uint8_t type, length, mac[6]; } source;
    } __attribute__((packed)) frame = {0};
    const size_t body = sizeof frame.ask + sizeof frame.source;
    uint8_t *group = (void *)&frame.ip.ip6_dst;
    memcpy(group, "\xff\x02\0\0\0\0\0\0\0\0\0\x01\xff", 13);
    memcpy(group + 13, w->address + 13, 3);
    memcpy(frame.ether.ether_dhost, "\x33\x33", 2);
    memcpy(frame.ether.ether_dhost + 2, group + 12, 4);
    memcpy(frame.ether.ether_shost, our_mac, 6);
    frame.ether.ether_type = htons(ETHERTYPE_IPV6);
    frame.ip.ip6_flow = htonl(6U << 28);
    frame.ip.ip6_plen = htons(body);
    frame.ip.ip6_nxt = IPPROTO_ICMPV6;
    frame.ip.ip6_hlim = 255;
    memcpy(&frame.ip.ip6_src, our_v6, 16);
    frame.ask.nd_ns_type = ND_NEIGHBOR_SOLICIT;
    memcpy(&frame.ask.nd_ns_target, w->address, 16);
    frame.source.type = ND_OPT_SOURCE_LINKADDR;
    frame.source.length = 1;
    memcpy(frame.source.mac, our_mac, 6);
    uint32_t sum = sum16(body + IPPROTO_ICMPV6, &frame.ip.ip6_src, 32);
    sum = sum16(sum, &frame.ask, body);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    frame.ask.nd_ns_cksum = htons(~sum);
    to_wire((void *)&frame, sizeof frame);
}

static void answered(int at, const uint8_t *mac)
{
    uint32_t tail = (uint32_t)mac[2] << 24 | mac[3] << 16 | mac[4] << 8 | mac[5];
    int64_t now = now_ns();
    write_record((struct record){now, 0, (uint32_t)((now - watched[at].asked_ns) / 1000), at, mac[5], ANSWERED, tail});
}

static void wire_news(void)
{
    uint8_t frame[2048];
    ssize_t got;
    while ((got = recv(wire_fd, frame, sizeof frame, 0)) > 0) {
        const struct ether_header *ether = (void *)frame;
        if (memcmp(ether->ether_dhost, our_mac, 6))
            continue; /* only answers to us: a gratuitous one is not an answer */
        const uint8_t *body = frame + sizeof *ether;
        if (ether->ether_type == htons(ETHERTYPE_ARP) && got >= (ssize_t)(sizeof *ether + sizeof(struct ether_arp))) {
            const struct ether_arp *arp = (void *)body;
            int at = find(AF_INET, arp->arp_spa);
            if (at >= 0 && arp->arp_op == htons(ARPOP_REPLY))
                answered(at, arp->arp_sha);
        } else if (ether->ether_type == htons(ETHERTYPE_IPV6) && got >= (ssize_t)(sizeof *ether + 64)) {
            const struct nd_neighbor_advert *advert = (void *)(body + sizeof(struct ip6_hdr));
            int at = find(AF_INET6, &advert->nd_na_target);
            if (at >= 0 && advert->nd_na_type == ND_NEIGHBOR_ADVERT)
                answered(at, ether->ether_shost);
        }
    }
}

static void command(char *line)
{
    char *word = strtok(line, " "), *address = strtok(NULL, " "), *us = strtok(NULL, " ");
    if (!us || strcmp(word, "watch") || watched_count == WATCHED) {
        fprintf(stderr, "observer: not a command, or too many addresses\n");
        exit(2);
    }
    uint8_t wanted[16];
    int family = strchr(address, ':') ? AF_INET6 : AF_INET;
    inet_pton(family, address, wanted);
    int at = find(family, wanted), fresh = at < 0;
    struct watched *w = &watched[fresh ? watched_count++ : at];
    w->family = family;
    memcpy(w->address, wanted, sizeof wanted);
    w->spacing_ns = atol(us) * 1000;
    w->due_ns = w->spacing_ns ? now_ns() : INT64_MAX;
    for (int i = 0; fresh && i < node_count; i++)
        dump(nodes[i].fd); /* it may be there already */
    if (write(1, "ok\n", 3) != 3)
        exit(1);
}

static void commands(void)
{
    static char buffer[4096];
    static size_t filled;
    ssize_t got = read(0, buffer + filled, sizeof buffer - filled);
    if (got == 0) {
        fflush(record_file);
        exit(0);
    }
    filled += got > 0 ? got : 0;
    char *end;
    while ((end = memchr(buffer, '\n', filled))) {
        size_t used = end - buffer + 1;
        *end = 0;
        command(buffer);
        memmove(buffer, buffer + used, filled - used);
        filled -= used;
    }
}

int main(int count, char **words)
{
    if (count < 3 || count - 3 > NODES)
        return 2;
    open_records(words[1]);
    fcntl(0, F_SETFL, O_NONBLOCK);
    our_own_addresses();
    wire_fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));
    adverts_fd = adverts_socket(words[2]);
    for (int i = 3; i < count; i++, node_count++) {
        char *path = strchr(words[i], '=');
        if (!path)
            return 2;
        nodes[node_count].number = atoi(words[i]);
        nodes[node_count].fd = kernel_socket(path + 1);
    }
    real_time(50);
    struct pollfd polled[NODES + 3] = {{0, POLLIN, 0}, {wire_fd, POLLIN, 0}, {adverts_fd, POLLIN, 0}};
    for (int i = 0; i < node_count; i++)
        polled[i + 3] = (struct pollfd){nodes[i].fd, POLLIN, 0};
    int64_t flush_ns = 0;
    for (;;) {
        int64_t now = now_ns(), next = now + 10000000;
        for (int i = 0; i < watched_count; i++) {
            struct watched *w = &watched[i];
            if (w->due_ns <= now) {
                w->asked_ns = now;
                (w->family == AF_INET ? ask_arp : ask_nd)(w);
                w->due_ns = now + w->spacing_ns;
            }
            if (w->due_ns < next)
                next = w->due_ns;
        }
        if (now >= flush_ns) {
            write_record((struct record){.at_ns = now, .outcome = RESOLVED});
            fflush(record_file);
            flush_ns = now + 10000000;
        }
        int64_t rest = next - now_ns();
        struct timespec wait = {0, rest > 0 ? rest : 0};
        ppoll(polled, node_count + 3, &wait, NULL);
        if (polled[0].revents)
            commands();
        if (polled[1].revents)
            wire_news();
        if (polled[2].revents)
            adverts_news();
        for (int i = 0; i < node_count; i++)
            if (polled[i + 3].revents)
                kernel_news(i);
    }
}
