/* The mode table: what a leg does with the packets it hears, and what it does when its time has come. */
#ifndef PBXD_WIRE_MODE_H
#define PBXD_WIRE_MODE_H

#include "core.h"

struct mode_operations {
    const char *name;
    void (*hear)(struct core *core, struct leg *leg, enum packet_kind kind, struct rtp *rtp, uint64_t now);
};

extern const struct mode_operations *const mode_table[MODE_COUNT]; /* NULL: not in this build */

static inline bool mode_settable(unsigned mode) {
    return mode < MODE_COUNT && mode_table[mode];
}

/* Sends what waits to be cut on this leg and whose time has come. */
void relay_pace(struct core *core, struct leg *leg, uint64_t now);
/* Ends what feeds this leg: what waits goes out now, and the next packet anchors its line again. */
void relay_release(struct core *core, struct leg *leg, uint64_t now);

extern const struct mode_operations idle_mode, echo_mode, relay_mode, mix_mode, modem_mode, t38_mode;

#endif
