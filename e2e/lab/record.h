/* What prober and observer write: one record per event, 24 bytes, little endian as this machine is.
 * `e2e/lab/history.py` reads the same layout; change both or neither. */
#ifndef HAVIP_LAB_RECORD_H
#define HAVIP_LAB_RECORD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

enum outcome {
    ANSWERED = 0, /* the whole exchange went well */
    SILENT = 1,   /* nothing came back within the limit */
    REFUSED = 2,  /* a TCP reset instead of the handshake */
    BROKEN = 3,   /* the handshake was done, then the connection ended without the greeting */
    UNSENT = 4,   /* this machine could not send it: no route, no neighbour */
    RESOLVED = 5, /* every probe sent before this moment has its record */
    HELD = 6,     /* an address appeared in a node's kernel */
    GONE = 7,     /* it went */
    LATE = 9,     /* the handshake was done, and the greeting did not come within the limit */
    ADVERT = 8,   /* a node's VRRP adverts carry another priority than before: stream = VRID, detail = priority */
};

struct record {
    int64_t at_ns;       /* CLOCK_MONOTONIC: when the probe left, or the event was seen */
    uint32_t connect_us; /* TCP: until the handshake was done */
    uint32_t total_us;   /* until the answer; for SILENT the limit */
    uint16_t stream;     /* index of the stream or of the watched address */
    uint8_t node;        /* who answered, 0 = it did not say */
    uint8_t outcome;
    uint32_t detail; /* errno, or for ARP and ND the last four octets of the answering MAC */
};

_Static_assert(sizeof(struct record) == 24, "history.py reads 24 bytes");

static FILE *record_file;

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline void write_record(struct record record)
{
    if (fwrite(&record, sizeof record, 1, record_file) != 1) {
        perror("write");
        exit(1);
    }
}

static inline void open_records(const char *path)
{
    record_file = fopen(path, "w");
    if (!record_file) {
        perror(path);
        exit(1);
    }
    setvbuf(record_file, NULL, _IOFBF, 1 << 16);
}

/* A measuring process that waits for the CPU measures the scheduler. Not allowed somewhere = measured without. */
static inline void real_time(int priority)
{
    struct sched_param parameter = {.sched_priority = priority};
    sched_setscheduler(0, SCHED_FIFO, &parameter);
}

/* The lab holds our standard input open. It is gone = so are we: a killed lab leaves nothing running. */
static inline int lifeline_cut(void)
{
    char scrap[64];
    return read(0, scrap, sizeof scrap) == 0;
}

#endif
