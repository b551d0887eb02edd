#include "repack.h"

#include <string.h>

size_t repack_push(struct repack *r, const uint8_t *samples, size_t count) {
    if (r->first && (size_t)r->first + r->fill + count > REPACK_CAPACITY) {
        memmove(r->samples, r->samples + r->first, r->fill);
        r->first = 0;
    }
    size_t room = (size_t)(REPACK_CAPACITY - r->first - r->fill);
    if (count > room)
        count = room;
    memcpy(r->samples + r->first + r->fill, samples, count);
    r->fill = (uint16_t)(r->fill + count);
    return count;
}

size_t repack_pull(struct repack *r, uint8_t *to, size_t count) {
    if (count > r->fill)
        count = r->fill;
    memcpy(to, r->samples + r->first, count);
    r->fill = (uint16_t)(r->fill - count);
    r->first = (uint16_t)(r->fill ? r->first + count : 0);
    r->timestamp += (uint32_t)count;
    return count;
}
