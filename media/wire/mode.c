#include "mode.h"

static void idle_hear(struct core *core, struct leg *leg, enum packet_kind kind, struct rtp *rtp, uint64_t now) {
    (void)kind, (void)rtp, (void)now;
    core_drop(core, leg, DROP_idle);
}

const struct mode_operations idle_mode = {"idle", idle_hear};

const struct mode_operations *const mode_table[MODE_COUNT] = {
    [MODE_IDLE] = &idle_mode,
    [MODE_ECHO] = &echo_mode,
    [MODE_RELAY] = &relay_mode,
};
