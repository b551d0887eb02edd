#include "headers.h"

#include <string.h>

enum { COPY_TRIES = 4 };

void headers_note(struct header_ring *ring, const uint8_t *header, size_t payload, bool outward, uint64_t now) {
    struct header_record *to = &ring->records[ring->count % HEADER_RECORDS], record;
    record.ticks_length = (uint32_t)(now >> HEADER_TICK_BITS) << 4 | (uint32_t)(payload >> 7 & 15);
    record.way_length = (uint8_t)(outward << 7 | (payload & 127));
    memcpy(record.header, header + 1, sizeof record.header);
    for (int i = 0; i < 2; i++)
        __atomic_store_n(&to->words[i], record.words[i], __ATOMIC_RELAXED);
    __atomic_store_n(&ring->last, now, __ATOMIC_RELAXED);
    __atomic_store_n(&ring->count, ring->count + 1, __ATOMIC_RELEASE);
}

static void take(struct header_record *to, const struct header_record *from) {
    for (int i = 0; i < 2; i++)
        to->words[i] = __atomic_load_n(&from->words[i], __ATOMIC_ACQUIRE);
}

/* A record that is being written while it is read would be the oldest one: when the count moved, all is read again, and
 * the last time the records that may have been written over are left out. */
uint32_t headers_copy(const struct header_ring *ring, struct header_record *records, uint64_t *last) {
    uint32_t kept = 0;
    for (int tried = 0; tried < COPY_TRIES; tried++) {
        uint64_t count = __atomic_load_n(&ring->count, __ATOMIC_ACQUIRE);
        uint32_t held = count < HEADER_RECORDS ? (uint32_t)count : HEADER_RECORDS - 1;
        *last = __atomic_load_n(&ring->last, __ATOMIC_RELAXED);
        for (uint32_t i = 0; i < held; i++)
            take(&records[i], &ring->records[(count - held + i) % HEADER_RECORDS]);
        uint64_t moved = __atomic_load_n(&ring->count, __ATOMIC_ACQUIRE) - count;
        kept = moved < held ? held - (uint32_t)moved : 0;
        if (moved == 0)
            return held;
        memmove(records, records + (held - kept), kept * sizeof *records);
    }
    return kept;
}
