#include "fax.h"

#include <stdlib.h>
#include <string.h>

#include "g711.h"
#include "mode.h"

enum { STRAYS = 3 };
static const uint64_t TICK = 20000000, T38_TICK = 10000000; /* ns */
static const uint64_t HURRY = 2000000;   /* between frames that are late: meanwhile what waits in the socket is read */
static const uint64_t LATE_MAX = 800000000; /* more of a line than that is not kept */
static const uint64_t FAX_FEED = 1ull << 62; /* no leg's, no room's */

/* ---- life */

struct fax_port *fax_port_new(void) {
    struct fax_port *port = aligned_alloc(_Alignof(struct fax_port), sizeof *port);
    if (!port)
        return NULL;
    memset(port, 0, sizeof *port);
    port->retired.kind = RETIRED_FAX;
    atomic_init(&port->references, 1);
    if (ring_init(&port->heard, FAX_FRAMES, sizeof(struct fax_frame)) &&
        ring_init(&port->said, FAX_FRAMES, sizeof(struct fax_frame)) && byte_ring_init(&port->in, FAX_OCTETS) &&
        byte_ring_init(&port->out, FAX_OCTETS))
        return port;
    fax_port_release(port);
    return NULL;
}

void fax_port_release(struct fax_port *port) {
    if (atomic_fetch_sub(&port->references, 1) != 1)
        return;
    ring_free(&port->heard);
    ring_free(&port->said);
    byte_ring_free(&port->in);
    byte_ring_free(&port->out);
    free(port);
}

void fax_leave(struct core *core, uint32_t index) {
    struct fax_port *port = core->faxes[index];
    if (!port)
        return;
    core->faxes[index] = NULL;
    atomic_store(&port->closed, true);
    core->retire(core->shell, &port->retired);
}

void core_fax(struct core *core, uint32_t index, enum mode mode, struct fax_port *port, uint64_t now) {
    core_mode(core, index, MODE_IDLE, 0, 0, now); /* which lets go of whatever fed it */
    core->legs[index].mode = (uint8_t)mode;
    core->faxes[index] = port;
    port->anchored = false;
    memset(port->there, 0, sizeof port->there);
    port->tick = now + TICK;
    port->due = mode == MODE_T38 ? now + T38_TICK : port->tick;
    core_schedule(core, index);
}

/* ---- heard */

static void anchor(struct fax_port *port, const struct rtp *rtp) {
    port->anchored = true;
    port->ssrc = rtp->ssrc;
    port->next = rtp->timestamp - FAX_DELAY;
    port->strays = 0;
    memset(port->there, 0, sizeof port->there);
}

/* Whether the packet has a place on the line; a line that is not followed any more gives way to the new one. */
static bool has_place(struct fax_port *port, const struct rtp *rtp) {
    int32_t ahead = ts_ahead(rtp->timestamp, port->next);
    bool fits = port->anchored && rtp->ssrc == port->ssrc && ahead > -(int32_t)rtp->length &&
                ahead + (int32_t)rtp->length < FAX_LINE;
    if (fits)
        port->strays = 0;
    else if (!port->anchored || rtp->ssrc != port->ssrc || ++port->strays >= STRAYS)
        anchor(port, rtp);
    else
        return false;
    return true;
}

static void modem_hear(struct core *core, struct leg *leg, enum packet_kind kind, struct rtp *rtp, uint64_t now) {
    struct fax_port *port = core->faxes[core_index(core, leg)];
    enum codec codec = leg->plan.codec;
    (void)now;
    if (kind != PACKET_AUDIO || !g711_is(codec) || !port) {
        core_drop(core, leg, DROP_idle);
        return;
    }
    if (!has_place(port, rtp)) {
        core_drop(core, leg, DROP_late);
        return;
    }
    for (uint32_t i = 0; i < rtp->length; i++) {
        uint32_t at = rtp->timestamp + i;
        if (ts_ahead(at, port->next) < 0)
            continue;
        port->line[at % FAX_LINE] = g711_decode(codec, rtp->payload[i]);
        port->there[at % FAX_LINE] = 1;
    }
}

static void hear_frame(struct core *core, struct leg *leg, struct fax_port *port) {
    struct fax_frame frame = {.lost = 1};
    for (uint32_t i = 0; i < FAX_SAMPLES && port->anchored; i++) {
        uint32_t at = (port->next + i) % FAX_LINE;
        frame.samples[i] = port->there[at] ? port->line[at] : port->last[i];
        frame.lost &= !port->there[at];
        port->there[at] = 0;
    }
    port->next += FAX_SAMPLES;
    memcpy(port->last, frame.samples, sizeof port->last);
    if (!ring_push(&port->heard, &frame)) {
        atomic_fetch_add_explicit(&port->overruns, 1, memory_order_relaxed);
        core_drop(core, leg, DROP_fax_overflow);
    }
}

/* ---- said */

static void say_frame(struct core *core, uint32_t index, struct fax_port *port, uint64_t now) {
    struct leg *leg = &core->legs[index];
    uint8_t packet[RTP_HEADER + FAX_SAMPLES];
    struct fax_frame frame = {0};
    if (!ring_pop(&port->said, &frame))
        atomic_fetch_add_explicit(&port->underruns, 1, memory_order_relaxed);
    if (!leg->planned || !leg->plan.sends || !g711_is(leg->plan.codec) || !latch_target(&leg->latch, &leg->plan)) {
        sender_release(&leg->sender);
        return;
    }
    if (leg->sender.feed != FAX_FEED)
        port->timestamp = sender_take(&leg->sender, FAX_FEED, now);
    for (uint32_t i = 0; i < FAX_SAMPLES; i++)
        packet[RTP_HEADER + i] = g711_encode(leg->plan.codec, frame.samples[i]);
    struct stamp stamp = sender_next(&leg->sender, port->timestamp);
    rtp_write_header(packet, leg->plan.payload_type, stamp.marker, stamp.seq, stamp.timestamp, leg->sender.ssrc);
    core_send(core, index, packet, sizeof packet, now);
    sender_sent(&leg->sender, &stamp, FAX_SAMPLES, FAX_SAMPLES, now);
    port->timestamp += FAX_SAMPLES;
}

/* ---- T.38 */

static void t38_hear(struct core *core, struct leg *leg, enum packet_kind kind, struct rtp *rtp, uint64_t now) {
    (void)kind, (void)rtp, (void)now; /* what comes on the RTCP port */
    core_drop(core, leg, DROP_idle);
}

void fax_receive(struct core *core, uint32_t index, const uint8_t *data, size_t length, uint64_t now) {
    struct leg *leg = &core->legs[index];
    struct fax_port *port = core->faxes[index];
    leg->receiver.heard = now;
    if (!port) {
        core_drop(core, leg, DROP_idle);
    } else if (!byte_ring_push(&port->in, data, length, data, 0)) {
        atomic_fetch_add_explicit(&port->overruns, 1, memory_order_relaxed);
        core_drop(core, leg, DROP_fax_overflow);
    }
}

static void send_datagrams(struct core *core, uint32_t index, struct fax_port *port, uint64_t now) {
    const struct leg *leg = &core->legs[index];
    const struct addr *to = leg->planned && leg->plan.sends ? latch_target(&leg->latch, &leg->plan) : NULL;
    size_t length;
    const void *data;
    while ((data = byte_ring_peek(&port->out, &length))) {
        if (to) {
            tally(&core->sent);
            if (leg->tapped && !core->tap(core->shell, index, true, data, length, now))
                core_drop(core, &core->legs[index], DROP_tap_overflow);
            core->emit(core->shell, index, CHANNEL_RTP, data, length, to);
        }
        byte_ring_pop(&port->out);
    }
}

/* ---- time */

void fax_step(struct core *core, uint32_t index, uint64_t now) {
    struct fax_port *port = core->faxes[index];
    if (core->legs[index].mode == MODE_T38) {
        send_datagrams(core, index, port, now);
        port->due = now + T38_TICK;
        return;
    }
    hear_frame(core, &core->legs[index], port);
    say_frame(core, index, port, port->tick);
    port->tick += TICK;
    if (port->tick + LATE_MAX <= now) /* so much time is lost that the fax is, too */
        port->tick = now + TICK;
    port->due = port->tick > now ? port->tick : now + HURRY;
}

const struct mode_operations modem_mode = {"modem", modem_hear};
const struct mode_operations t38_mode = {"t38", t38_hear};
