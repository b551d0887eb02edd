#include "headers.h"

#include <string.h>

void headers_note(struct header_ring *ring, struct header_mark *mark, const uint8_t *header, size_t payload,
                  bool outward, uint64_t now) {
    struct header_record *to = &ring->records[mark->count % HEADER_RECORDS], record;
    record.ticks_length = (uint32_t)(now >> HEADER_TICK_BITS) << 4 | (uint32_t)(payload >> 7 & 15);
    record.way_length = (uint8_t)(outward << 7 | (payload & 127));
    memcpy(record.header, header + 1, sizeof record.header);
    for (int i = 0; i < 2; i++)
        __atomic_store_n(&to->words[i], record.words[i], __ATOMIC_RELEASE);
    mark->last = now;
    mark->count++;
}

static void take(struct header_record *to, const struct header_record *from) {
    for (int i = 0; i < 2; i++)
        to->words[i] = __atomic_load_n(&from->words[i], __ATOMIC_ACQUIRE);
}

/* The record that is being written is the one before the oldest that is copied. */
uint32_t headers_copy(const struct header_ring *ring, uint64_t count, struct header_record *records) {
    uint32_t held = count < HEADER_RECORDS ? (uint32_t)count : HEADER_RECORDS - 1;
    for (uint32_t i = 0; i < held; i++)
        take(&records[i], &ring->records[(count - held + i) % HEADER_RECORDS]);
    return held;
}
