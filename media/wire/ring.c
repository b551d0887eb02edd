#include "ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Fresh pages of our own: memory is used only as far as a ring was ever filled. */
static void *map_pages(size_t size) {
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return map == MAP_FAILED ? NULL : map;
}

bool ring_init(struct ring *ring, uint32_t count, size_t entry) {
    *ring = (struct ring){.count = count, .entry = entry, .data = map_pages(count * entry)};
    return ring->data;
}

void ring_free(struct ring *ring) {
    if (ring->data)
        munmap(ring->data, ring->count * ring->entry);
    ring->data = NULL;
}

bool ring_push(struct ring *ring, const void *entry) {
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&ring->tail, memory_order_acquire) == ring->count)
        return false;
    memcpy(ring->data + (head & (ring->count - 1)) * ring->entry, entry, ring->entry);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

bool ring_pop(struct ring *ring, void *entry) {
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
        return false;
    memcpy(entry, ring->data + (tail & (ring->count - 1)) * ring->entry, ring->entry);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

bool ring_empty(const struct ring *ring) {
    return atomic_load(&ring->tail) == atomic_load(&ring->head);
}

/* A record is a 64-bit size, then that many bytes, padded to eight. SKIP leads to the start of the ring. */
static const uint64_t SKIP = UINT64_MAX;

static uint64_t padded(uint64_t size) {
    return sizeof(uint64_t) + ((size + 7) & ~(uint64_t)7);
}

bool byte_ring_init(struct byte_ring *ring, uint64_t size) {
    *ring = (struct byte_ring){.size = size, .data = map_pages(size)};
    return ring->data;
}

void byte_ring_free(struct byte_ring *ring) {
    if (ring->data)
        munmap(ring->data, ring->size);
    ring->data = NULL;
}

bool byte_ring_push(struct byte_ring *ring, const void *first, size_t first_size, const void *second,
                    size_t second_size) {
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t used = head - atomic_load_explicit(&ring->tail, memory_order_acquire);
    uint64_t size = first_size + second_size, needed = padded(size);
    uint64_t at = head & (ring->size - 1), skipped = 0;
    if (at + needed > ring->size)
        skipped = ring->size - at;
    if (used + skipped + needed > ring->size)
        return false;
    if (skipped) {
        memcpy(ring->data + at, &SKIP, sizeof SKIP);
        at = 0;
    }
    memcpy(ring->data + at, &size, sizeof size);
    memcpy(ring->data + at + sizeof size, first, first_size);
    memcpy(ring->data + at + sizeof size + first_size, second, second_size);
    atomic_store_explicit(&ring->head, head + skipped + needed, memory_order_release);
    return true;
}

const void *byte_ring_peek(struct byte_ring *ring, size_t *size) {
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed), length;
    if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
        return NULL;
    uint64_t at = tail & (ring->size - 1);
    memcpy(&length, ring->data + at, sizeof length);
    if (length == SKIP) { /* a record follows it always: they are published together */
        atomic_store_explicit(&ring->tail, tail + ring->size - at, memory_order_release);
        at = 0;
        memcpy(&length, ring->data, sizeof length);
    }
    *size = length;
    return ring->data + at + sizeof length;
}

void byte_ring_pop(struct byte_ring *ring) {
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed), length;
    memcpy(&length, ring->data + (tail & (ring->size - 1)), sizeof length);
    atomic_store_explicit(&ring->tail, tail + padded(length), memory_order_release);
}

bool byte_ring_empty(const struct byte_ring *ring) {
    return atomic_load(&ring->tail) == atomic_load(&ring->head);
}
