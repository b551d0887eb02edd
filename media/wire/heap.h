/* The legs' deadlines: a binary heap that knows where each leg lies. */
#ifndef PBXD_WIRE_HEAP_H
#define PBXD_WIRE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct heap {
    uint64_t *due;   /* by leg; valid while the leg is in the heap */
    uint32_t *place; /* by leg: position + 1, 0 when it is not in the heap */
    uint32_t *legs;  /* the heap itself */
    uint32_t count, capacity;
};

bool heap_init(struct heap *h, uint32_t capacity);
void heap_free(struct heap *h);
void heap_set(struct heap *h, uint32_t leg, uint64_t due); /* due 0 takes it out */

static inline uint64_t heap_next(const struct heap *h) { /* UINT64_MAX when empty */
    return h->count ? h->due[h->legs[0]] : UINT64_MAX;
}

#endif
