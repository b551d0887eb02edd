/* A leg that carries a fax: its sound or its datagrams go through rings to whoever has the modem, and back.
 *
 * MODEM: each 20 ms one frame is heard and one is said. What is heard waits a fixed time, nothing is stretched, nothing is
 * made up: a frame of which a part is missing repeats the last one there, one that is missing whole is marked.
 * T38: datagrams as they are, both ways, on the port of the RTP. */
#ifndef PBXD_WIRE_FAX_H
#define PBXD_WIRE_FAX_H

#include <stdatomic.h>

#include "core.h"
#include "ring.h"

enum {
    FAX_SAMPLES = 160,       /* in a frame */
    FAX_FRAMES = 64,         /* in a ring: 1.3 s */
    FAX_DELAY = 80 * 8,      /* samples that what is heard waits */
    FAX_LINE = 8192,         /* samples that may wait; a power of two */
    FAX_OCTETS = 1 << 16,    /* of datagrams in a ring */
    FAX_DATAGRAM_MAX = RTP_LENGTH_MAX,
};

struct fax_frame {
    uint32_t lost; /* 1: nothing of it came */
    int16_t samples[FAX_SAMPLES];
};

struct fax_port {
    struct retired retired;
    _Atomic uint32_t references; /* Python's handle, and each leg or command that has it */
    _Atomic bool closed;         /* no leg has it any more */
    _Atomic uint32_t underruns, overruns;
    struct ring heard, said;     /* of struct fax_frame */
    struct byte_ring in, out;    /* datagrams */
    /* the wire thread's own */
    uint64_t due;                /* ns; 0: never */
    uint64_t tick;               /* when the next frame belongs */
    uint32_t ssrc, next;         /* timestamp of the next frame to be heard */
    uint32_t timestamp;          /* of the next frame to be said */
    uint32_t strays;             /* packets in a row that are not of this line */
    bool anchored;
    int16_t line[FAX_LINE];      /* by timestamp */
    uint8_t there[FAX_LINE];
    int16_t last[FAX_SAMPLES];
};

struct fax_port *fax_port_new(void); /* with one reference; NULL: no memory */
void fax_port_release(struct fax_port *port);

/* The leg is fed by the port from now on: MODE_MODEM or MODE_T38. Takes over one reference. */
void core_fax(struct core *core, uint32_t leg, enum mode mode, struct fax_port *port, uint64_t now);
void fax_leave(struct core *core, uint32_t leg);
void fax_step(struct core *core, uint32_t leg, uint64_t now);
void fax_receive(struct core *core, uint32_t leg, const uint8_t *data, size_t length, uint64_t now); /* T38 */

#endif
