#include "mode.h"

#include "voice.h"

static void idle_hear(struct core *core, struct leg *leg, enum packet_kind kind, struct rtp *rtp, uint64_t now) {
    (void)kind, (void)rtp, (void)now;
    core_drop(core, leg, DROP_idle);
}

const struct mode_operations idle_mode = {"idle", idle_hear};

static void mix_hear(struct core *core, struct leg *leg, enum packet_kind kind, struct rtp *rtp, uint64_t now) {
    hearing_put(core->voices[core_index(core, leg)]->hearing, rtp, kind, now);
}

const struct mode_operations mix_mode = {"mix", mix_hear};

const struct mode_operations *const mode_table[MODE_COUNT] = {
    [MODE_IDLE] = &idle_mode,
    [MODE_ECHO] = &echo_mode,
    [MODE_RELAY] = &relay_mode,
    [MODE_MIX] = &mix_mode,
    [MODE_MODEM] = &modem_mode,
    [MODE_T38] = &t38_mode,
};
