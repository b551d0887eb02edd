#include "heap.h"

#include <stdlib.h>

bool heap_init(struct heap *h, uint32_t capacity) {
    *h = (struct heap){
        .due = calloc(capacity, sizeof *h->due),
        .place = calloc(capacity, sizeof *h->place),
        .legs = calloc(capacity, sizeof *h->legs),
        .capacity = capacity,
    };
    return h->due && h->place && h->legs;
}

void heap_free(struct heap *h) {
    free(h->due);
    free(h->place);
    free(h->legs);
}

static void put(struct heap *h, uint32_t at, uint32_t leg) {
    h->legs[at] = leg;
    h->place[leg] = at + 1;
}

static void sift_up(struct heap *h, uint32_t at, uint32_t leg) {
    while (at) {
        uint32_t parent = (at - 1) / 2;
        if (h->due[h->legs[parent]] <= h->due[leg])
            break;
        put(h, at, h->legs[parent]);
        at = parent;
    }
    put(h, at, leg);
}

static void sift_down(struct heap *h, uint32_t at, uint32_t leg) {
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->due[h->legs[child + 1]] < h->due[h->legs[child]])
            child++;
        if (h->due[leg] <= h->due[h->legs[child]])
            break;
        put(h, at, h->legs[child]);
        at = child;
    }
    put(h, at, leg);
}

static void take_out(struct heap *h, uint32_t leg) {
    uint32_t at = h->place[leg] - 1;
    h->place[leg] = 0;
    uint32_t last = h->legs[--h->count];
    if (last == leg)
        return;
    sift_up(h, at, last);
    sift_down(h, h->place[last] - 1, last);
}

void heap_set(struct heap *h, uint32_t leg, uint64_t due) {
    if (!due) {
        if (h->place[leg])
            take_out(h, leg);
        return;
    }
    if (!h->place[leg]) {
        h->due[leg] = due;
        sift_up(h, h->count++, leg);
        return;
    }
    if (h->due[leg] == due)
        return;
    h->due[leg] = due;
    uint32_t at = h->place[leg] - 1;
    sift_up(h, at, leg);
    sift_down(h, h->place[leg] - 1, leg);
}
