/* What Python's thread allocates, the wire thread uses and hands back to be freed: each begins with this. A list, so that
 * handing back needs no memory and can never find its way full. */
#ifndef PBXD_WIRE_RETIRED_H
#define PBXD_WIRE_RETIRED_H

#include <stdint.h>

enum retired_kind { RETIRED_ROOM, RETIRED_VOICE, RETIRED_PLAYER, RETIRED_TAP, RETIRED_SRTP, RETIRED_FAX };

struct retired {
    struct retired *next;
    uint32_t kind;
};

#endif
