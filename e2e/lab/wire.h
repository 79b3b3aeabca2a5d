/* The payload of a UDP or ICMP probe. */
#ifndef HAVIP_LAB_WIRE_H
#define HAVIP_LAB_WIRE_H

#include <stdint.h>

struct datagram {
    int64_t sent_ns;
    uint32_t sequence;
    uint16_t stream;
    uint8_t node; /* written by whoever answers */
    uint8_t spare;
};

#endif
