/* The client: asks a VIP in every way that matters and writes down each answer that came or did not.
 *
 * usage: prober FILE LIMIT_MS STREAM...        STREAM = KIND,ADDRESS,PORT,SPACING_US   KIND = icmp | udp | tcp
 * Every probe becomes one record: the oracle must be able to tell "lost" from "never sent". A prober that was
 * kept off the CPU sends nothing meanwhile and does not catch up.
 */
#define _GNU_SOURCE
#include "record.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { STREAMS = 512, RING = 4096, EVENTS = 256 };
enum kind { ICMP, UDP, TCP };

struct pending {
    int64_t sent_ns;
    uint32_t sequence;
    uint8_t waiting;
};

struct connection {
    int64_t sent_ns;
    uint32_t connect_us;
    int fd; /* -1 = already recorded */
    uint16_t stream;
    struct connection *next; /* in order of sending, so that the oldest is looked at first */
};

struct stream {
    enum kind kind;
    int family, fd;
    struct sockaddr_storage to;
    socklen_t to_size;
    int64_t due_ns, spacing_ns;
    uint32_t sequence, oldest;
    struct pending ring[RING];
    struct connection *first, *last;
};

static struct stream *streams[STREAMS];
static int stream_count, epoll_fd, icmp_fd = -1, icmp6_fd = -1;
static int64_t limit_ns;
static const uint16_t ICMP_ID = 0x4856; /* the namespace is ours alone */

static void watch(int fd, uint64_t tag, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = tag};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
        perror("epoll_ctl");
        exit(1);
    }
}

static uint32_t since_us(int64_t start, int64_t end) { return (uint32_t)((end - start) / 1000); }

static void record_probe(uint16_t stream, int64_t sent, uint32_t connect_us, uint32_t total_us, uint8_t node,
                         enum outcome outcome, uint32_t detail)
{
    write_record((struct record){sent, connect_us, total_us, stream, node, outcome, detail});
}

static void roomy(int fd)
{
    int size = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
}

static int icmp_socket(int family)
{
    int *fd = family == AF_INET ? &icmp_fd : &icmp6_fd;
    if (*fd >= 0)
        return *fd;
    *fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    if (*fd < 0) {
        perror("prober: raw socket");
        exit(1);
    }
    if (family == AF_INET) {
        struct icmp_filter pass = {~(1U << ICMP_ECHOREPLY)};
        setsockopt(*fd, SOL_RAW, ICMP_FILTER, &pass, sizeof pass);
    } else {
        struct icmp6_filter pass;
        ICMP6_FILTER_SETBLOCKALL(&pass);
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &pass);
        setsockopt(*fd, IPPROTO_ICMPV6, ICMP6_FILTER, &pass, sizeof pass);
    }
    roomy(*fd);
    watch(*fd, (uint64_t)*fd, EPOLLIN);
    return *fd;
}

static void add_stream(char *text)
{
    char *kind = strtok(text, ","), *address = strtok(NULL, ","), *port = strtok(NULL, ","), *us = strtok(NULL, ",");
    if (!us || stream_count == STREAMS) {
        fprintf(stderr, "prober: not a stream, or too many\n");
        exit(2);
    }
    struct stream *s = calloc(1, sizeof *s);
    s->kind = !strcmp(kind, "icmp") ? ICMP : !strcmp(kind, "udp") ? UDP : TCP;
    s->family = strchr(address, ':') ? AF_INET6 : AF_INET;
    uint16_t wire_port = s->kind == ICMP ? 0 : htons(atoi(port));
    if (s->family == AF_INET6) {
        struct sockaddr_in6 *to = (void *)&s->to;
        to->sin6_family = AF_INET6;
        to->sin6_port = wire_port;
        inet_pton(AF_INET6, address, &to->sin6_addr);
        s->to_size = sizeof *to;
    } else {
        struct sockaddr_in *to = (void *)&s->to;
        to->sin_family = AF_INET;
        to->sin_port = wire_port;
        inet_pton(AF_INET, address, &to->sin_addr);
        s->to_size = sizeof *to;
    }
    s->spacing_ns = atol(us) * 1000;
    s->due_ns = now_ns() + 1000000 + stream_count * 137000; /* not all in the same moment */
    if (s->kind == ICMP)
        s->fd = icmp_socket(s->family);
    if (s->kind == UDP) {
        s->fd = socket(s->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        roomy(s->fd);
        watch(s->fd, (uint64_t)s->fd, EPOLLIN);
    }
    streams[stream_count++] = s;
}

static void answered(const struct datagram *packet, int64_t now)
{
    if (packet->stream >= stream_count)
        return;
    struct pending *p = &streams[packet->stream]->ring[packet->sequence % RING];
    if (!p->waiting || p->sequence != packet->sequence)
        return; /* twice, or after the limit */
    p->waiting = 0;
    record_probe(packet->stream, p->sent_ns, 0, since_us(p->sent_ns, now), packet->node, ANSWERED, 0);
}

static void receive(int fd)
{
    uint8_t buffer[512];
    ssize_t got;
    while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0) {
        size_t skip = 0;
        if (fd == icmp_fd)
            skip = ((struct iphdr *)buffer)->ihl * 4 + sizeof(struct icmphdr);
        else if (fd == icmp6_fd)
            skip = sizeof(struct icmp6_hdr);
        struct datagram packet;
        if ((size_t)got < skip + sizeof packet)
            continue;
        memcpy(&packet, buffer + skip, sizeof packet);
        answered(&packet, now_ns());
    }
}

static uint16_t checksum(const uint8_t *data, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += data[i] << 8 | data[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons(~sum);
}

static void send_datagram(uint16_t index, struct stream *s, int64_t now)
{
    struct datagram packet = {.sent_ns = now, .sequence = s->sequence, .stream = index};
    uint8_t wire[sizeof(struct icmphdr) + sizeof packet] = {0};
    size_t skip = 0;
    struct pending *slot = &s->ring[s->sequence % RING];
    if (s->kind == ICMP) {
        struct icmphdr *header = (void *)wire;
        skip = sizeof *header;
        header->type = s->family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
        header->un.echo.id = htons(ICMP_ID);
        header->un.echo.sequence = htons(s->sequence);
    }
    memcpy(wire + skip, &packet, sizeof packet);
    if (s->kind == ICMP && s->family == AF_INET)
        ((struct icmphdr *)wire)->checksum = checksum(wire, sizeof wire);
    *slot = (struct pending){now, s->sequence++, 1};
    if (sendto(s->fd, wire, skip + sizeof packet, MSG_DONTWAIT, (void *)&s->to, s->to_size) < 0) {
        slot->waiting = 0;
        record_probe(index, now, 0, 0, 0, UNSENT, errno);
    }
}

static void finish(struct connection *c, uint8_t node, enum outcome outcome, uint32_t detail)
{
    struct linger reset = {1, 0}; /* no TIME_WAIT: a thousand ports a second would run out */
    record_probe(c->stream, c->sent_ns, c->connect_us, since_us(c->sent_ns, now_ns()), node, outcome, detail);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(c->fd);
    c->fd = -1;
}

static void open_connection(uint16_t index, struct stream *s, int64_t now)
{
    struct connection *c = malloc(sizeof *c);
    *c = (struct connection){now, 0, socket(s->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), index, NULL};
    if (c->fd < 0) {
        record_probe(index, now, 0, 0, 0, UNSENT, errno);
        free(c);
        return;
    }
    if (connect(c->fd, (void *)&s->to, s->to_size) < 0 && errno != EINPROGRESS) {
        finish(c, 0, UNSENT, errno);
        free(c);
        return;
    }
    if (s->last)
        s->last->next = c;
    else
        s->first = c;
    s->last = c;
    watch(c->fd, (uint64_t)(uintptr_t)c, EPOLLIN | EPOLLOUT | EPOLLET);
}

static void advance(struct connection *c)
{
    if (c->fd < 0)
        return;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        enum outcome outcome = c->connect_us ? BROKEN : error == ECONNREFUSED || error == ECONNRESET ? REFUSED : SILENT;
        finish(c, 0, outcome, error);
        return;
    }
    if (!c->connect_us) {
        c->connect_us = since_us(c->sent_ns, now_ns());
        c->connect_us += !c->connect_us;
    }
    uint8_t node = 0;
    ssize_t got = recv(c->fd, &node, 1, MSG_DONTWAIT);
    if (got == 1)
        finish(c, node, ANSWERED, 0);
    else if (got == 0 || errno != EAGAIN)
        finish(c, 0, BROKEN, got ? errno : 0);
}

/* Gives up on what is older than the limit. */
static void give_up(int64_t now)
{
    for (int i = 0; i < stream_count; i++) {
        struct stream *s = streams[i];
        for (; s->oldest != s->sequence; s->oldest++) {
            struct pending *p = &s->ring[s->oldest % RING];
            if (p->waiting && now - p->sent_ns < limit_ns)
                break;
            if (p->waiting)
                record_probe(i, p->sent_ns, 0, limit_ns / 1000, 0, SILENT, 0);
            p->waiting = 0;
        }
        while (s->first && (s->first->fd < 0 || now - s->first->sent_ns >= limit_ns)) {
            struct connection *c = s->first;
            if (c->fd >= 0)
                finish(c, 0, c->connect_us ? LATE : SILENT, 0);
            s->first = c->next;
            if (!s->first)
                s->last = NULL;
            free(c);
        }
    }
}

static int64_t resolved_until(int64_t now)
{
    int64_t until = now;
    for (int i = 0; i < stream_count; i++) {
        struct stream *s = streams[i];
        if (s->oldest != s->sequence && s->ring[s->oldest % RING].sent_ns < until)
            until = s->ring[s->oldest % RING].sent_ns;
        if (s->first && s->first->sent_ns < until)
            until = s->first->sent_ns;
    }
    return until;
}

static int64_t send_due(int64_t now)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < stream_count; i++) {
        struct stream *s = streams[i];
        if (s->due_ns <= now) {
            if (s->kind == TCP)
                open_connection(i, s, now_ns());
            else
                send_datagram(i, s, now_ns());
            s->due_ns += s->spacing_ns;
            if (s->due_ns < now)
                s->due_ns = now + s->spacing_ns;
        }
        if (s->due_ns < next)
            next = s->due_ns;
    }
    return next;
}

int main(int count, char **words)
{
    if (count < 4)
        return 2;
    struct rlimit files = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &files);
    open_records(words[1]);
    limit_ns = atol(words[2]) * 1000000;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    fcntl(0, F_SETFL, O_NONBLOCK);
    watch(0, 0, EPOLLIN);
    for (int i = 3; i < count; i++)
        add_stream(words[i]);
    real_time(50);
    int64_t flush_ns = 0;
    for (;;) {
        int64_t now = now_ns(), next = send_due(now);
        if (now >= flush_ns) {
            give_up(now);
            write_record((struct record){.at_ns = resolved_until(now), .outcome = RESOLVED});
            fflush(record_file);
            flush_ns = now + 10000000;
        }
        int64_t rest = next - now_ns();
        struct timespec wait = {0, rest > 0 ? (rest < 10000000 ? rest : 10000000) : 0};
        struct epoll_event events[EVENTS];
        int ready = epoll_pwait2(epoll_fd, events, EVENTS, &wait, NULL);
        for (int i = 0; i < ready; i++) {
            uint64_t tag = events[i].data.u64;
            if (tag == 0) {
                if (lifeline_cut()) {
                    fflush(record_file);
                    return 0;
                }
            } else if (tag < 65536)
                receive((int)tag);
            else
                advance((struct connection *)(uintptr_t)tag);
        }
    }
}
