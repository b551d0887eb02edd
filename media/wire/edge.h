/* The edge of a leg: where its packets are opened and sealed, and where its keys change. */
#ifndef PBXD_WIRE_EDGE_H
#define PBXD_WIRE_EDGE_H

#include "core.h"

/* Sends a packet of the leg as it was agreed. `data` may be held by others as well: it is sealed in a copy. */
void edge_emit(struct core *core, uint32_t index, enum channel channel, bool control, const uint8_t *data,
               size_t length, const struct addr *to);

/* Takes the protection off, in place. False: it is of no use, and counted. */
bool edge_open(struct core *core, struct leg *leg, bool control, uint8_t *data, size_t *length,
               const struct addr *from, uint64_t now);

void edge_step(struct core *core, uint32_t index, uint64_t now); /* forgets a key whose grace is over */
void edge_clear(struct core *core, uint32_t index);              /* hands every key back */

#endif
