/* The ways between the interpreter and the wire thread: one writer, one reader, no lock. */
#ifndef PBXD_WIRE_RING_H
#define PBXD_WIRE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Entries of one size. `count` is a power of two. */
struct ring {
    _Alignas(64) _Atomic uint32_t head; /* the writer's */
    _Alignas(64) _Atomic uint32_t tail; /* the reader's */
    _Alignas(64) uint32_t count;
    size_t entry;
    uint8_t *data;
};

bool ring_init(struct ring *ring, uint32_t count, size_t entry);
void ring_free(struct ring *ring);
bool ring_push(struct ring *ring, const void *entry); /* false: full */
bool ring_pop(struct ring *ring, void *entry);        /* false: empty */
bool ring_empty(const struct ring *ring);

/* Records of any size, each whole in memory. `size` is a power of two. */
struct byte_ring {
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) uint64_t size;
    uint8_t *data;
};

bool byte_ring_init(struct byte_ring *ring, uint64_t size);
void byte_ring_free(struct byte_ring *ring);
/* Two parts become one record. False: no room. */
bool byte_ring_push(struct byte_ring *ring, const void *first, size_t first_size, const void *second,
                    size_t second_size);
const void *byte_ring_peek(struct byte_ring *ring, size_t *size); /* NULL: empty; valid until byte_ring_pop */
void byte_ring_pop(struct byte_ring *ring);
bool byte_ring_empty(const struct byte_ring *ring);

#endif
