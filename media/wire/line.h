/* From sound to the packets of a leg in a room: of its packet time, evenly paced, on its own line (sender.h). */
#ifndef PBXD_WIRE_LINE_H
#define PBXD_WIRE_LINE_H

#include "mix.h"
#include "voice.h"

/* Whether the leg may be spoken to now; false ends what waits, and the line is taken up again afterwards. */
bool line_ready(struct core *core, struct voice *voice, uint64_t tick, uint64_t now);

/* Says 20 ms. `sum` is where they came from and may have them coded already; NULL: they are this leg's alone. */
void line_say(struct core *core, struct voice *voice, const int16_t *pcm, struct sum *sum, uint64_t now);

/* Says 20 ms of a telephone event. */
void line_event(struct core *core, struct voice *voice, const struct digit_step *step, uint64_t now);

/* 20 ms in which nothing is said. */
void line_pause(struct voice *voice);

/* Sends what waits and whose time has come. */
void line_pace(struct core *core, struct voice *voice, uint64_t now);

#endif
