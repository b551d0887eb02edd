/* Faxes as Python handles them: a port is made here, given to a leg by command, and read and written by one thread. */
#include <errno.h>
#include <string.h>

#include "fax.h"
#include "mode.h"
#include "shell.h"

void faxes_apply(struct wire *wire, const struct command *command, uint64_t now) {
    struct leg *leg = &wire->core.legs[command->index];
    if (leg->generation == command->generation) {
        core_fax(&wire->core, command->index, command->fax.mode, command->fax.port, now);
        return;
    }
    tally(&wire->core.drops[DROP_stale_command]);
    atomic_store(&command->fax.port->closed, true);
    rooms_retire(wire, &command->fax.port->retired);
}

struct fax_port *wire_fax_new(void) {
    return fax_port_new();
}

int wire_leg_fax(struct wire *wire, const struct wire_leg *leg, uint32_t mode, struct fax_port *port) {
    struct command command = {.kind = COMMAND_LEG_FAX, .index = leg->index, .generation = leg->generation};
    if (leg->index >= wire->table.capacity || (mode != MODE_MODEM && mode != MODE_T38))
        return EINVAL;
    rooms_reap(wire);
    command.fax.mode = mode;
    command.fax.port = port;
    atomic_fetch_add(&port->references, 1);
    int error = shell_submit(wire, &command);
    if (error)
        fax_port_release(port);
    return error;
}

uint32_t wire_fax_hear(struct fax_port *port, int16_t *samples, uint8_t *lost, uint32_t frames) {
    struct fax_frame frame;
    uint32_t count = 0;
    for (; count < frames && ring_pop(&port->heard, &frame); count++) {
        memcpy(samples + count * FAX_SAMPLES, frame.samples, sizeof frame.samples);
        lost[count] = (uint8_t)frame.lost;
    }
    return count;
}

int wire_fax_say(struct fax_port *port, const int16_t *samples) {
    struct fax_frame frame = {0};
    memcpy(frame.samples, samples, sizeof frame.samples);
    return ring_push(&port->said, &frame);
}

uint32_t wire_fax_take(struct fax_port *port, void *data, uint32_t size) {
    size_t length;
    const void *found = byte_ring_peek(&port->in, &length);
    if (!found)
        return 0;
    if (length > size)
        length = size;
    memcpy(data, found, length);
    byte_ring_pop(&port->in);
    return (uint32_t)length;
}

int wire_fax_send(struct fax_port *port, const void *data, uint32_t length) {
    return length && length <= FAX_DATAGRAM_MAX && byte_ring_push(&port->out, data, length, data, 0);
}

void wire_fax_numbers(const struct fax_port *port, uint32_t *underruns, uint32_t *overruns) {
    *underruns = atomic_load(&port->underruns);
    *overruns = atomic_load(&port->overruns);
}

int wire_fax_closed(const struct fax_port *port) {
    return atomic_load(&port->closed);
}

void wire_fax_release(struct fax_port *port) {
    fax_port_release(port);
}
