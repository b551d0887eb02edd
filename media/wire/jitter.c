#include "jitter.h"

#include <string.h>

enum { NO_CHUNK = JITTER_CHUNKS };

/* ---- the packets */

static struct jitter_packet *slot(struct jitter *j, uint16_t seq) {
    return &j->packets[seq % JITTER_SLOTS];
}

void jitter_clear(struct jitter *j) {
    for (size_t i = 0; i < JITTER_SLOTS; i++)
        j->packets[i].held = false;
    for (uint16_t i = 0; i < JITTER_CHUNKS; i++)
        j->next[i] = (uint16_t)(i + 1);
    j->free = 0;
    j->free_count = JITTER_CHUNKS;
    j->count = 0;
}

static uint16_t fill(struct jitter *j, const uint8_t *payload, size_t length) {
    uint16_t first = NO_CHUNK, *link = &first;
    for (size_t done = 0; done < length; done += JITTER_CHUNK) {
        uint16_t chunk = j->free;
        j->free = j->next[chunk];
        j->free_count--;
        memcpy(j->chunks[chunk], payload + done, length - done < JITTER_CHUNK ? length - done : JITTER_CHUNK);
        *link = chunk;
        link = &j->next[chunk];
    }
    *link = NO_CHUNK;
    return first;
}

bool jitter_put(struct jitter *j, const struct jitter_packet *packet, const uint8_t *payload) {
    size_t chunks = (packet->length + JITTER_CHUNK - 1u) / JITTER_CHUNK;
    uint16_t low = packet->seq, high = packet->seq;
    if (j->count) {
        if (seq_ahead(j->low, low) < 0)
            low = j->low;
        if (seq_ahead(j->high, high) > 0)
            high = j->high;
    }
    if (chunks > j->free_count || seq_ahead(high, low) < 0 || seq_ahead(high, low) >= JITTER_SLOTS)
        return false;
    struct jitter_packet *to = slot(j, packet->seq);
    if (to->held)
        return false;
    *to = *packet;
    to->first = fill(j, payload, packet->length);
    to->held = true;
    j->low = low;
    j->high = high;
    j->count++;
    return true;
}

const struct jitter_packet *jitter_head(const struct jitter *j) {
    return j->count ? &j->packets[j->low % JITTER_SLOTS] : NULL;
}

const struct jitter_packet *jitter_find(const struct jitter *j, uint16_t seq) {
    const struct jitter_packet *packet = &j->packets[seq % JITTER_SLOTS];
    return packet->held && packet->seq == seq ? packet : NULL;
}

size_t jitter_copy(const struct jitter *j, const struct jitter_packet *packet, uint8_t *to) {
    uint16_t chunk = packet->first;
    for (size_t done = 0; done < packet->length; done += JITTER_CHUNK) {
        size_t rest = packet->length - done;
        memcpy(to + done, j->chunks[chunk], rest < JITTER_CHUNK ? rest : JITTER_CHUNK);
        chunk = j->next[chunk];
    }
    return packet->length;
}

void jitter_drop(struct jitter *j) {
    struct jitter_packet *head = slot(j, j->low);
    for (uint16_t chunk = head->first; chunk != NO_CHUNK;) {
        uint16_t next = j->next[chunk];
        j->next[chunk] = j->free;
        j->free = chunk;
        j->free_count++;
        chunk = next;
    }
    head->held = false;
    if (--j->count)
        do
            j->low++;
        while (!slot(j, j->low)->held);
}

/* ---- the estimate */

void delay_clear(struct delay *d) {
    *d = (struct delay){0};
}

static void summarise(struct delay *d) {
    int64_t worst = INT64_MIN;
    d->low = INT64_MAX;
    d->high = INT64_MIN;
    for (size_t i = 0; i < d->used; i++) {
        int64_t high = d->windows[i].high;
        if (d->windows[i].low < d->low)
            d->low = d->windows[i].low;
        if (high > worst) {
            d->high = worst;
            worst = high;
        } else if (high > d->high) {
            d->high = high;
        }
    }
    if (d->used < 3)
        d->high = worst;
}

static void open_window(struct delay *d, int64_t transit, int64_t when) {
    d->newest = d->used ? (uint8_t)((d->newest + 1) % JITTER_WINDOWS) : 0;
    if (d->used < JITTER_WINDOWS)
        d->used++;
    d->windows[d->newest].low = d->windows[d->newest].high = transit;
    d->began = when;
    summarise(d);
}

void delay_note(struct delay *d, int64_t transit, int64_t when, int32_t window) {
    if (!d->used || when - d->began >= window) {
        open_window(d, transit, when);
        return;
    }
    if (transit >= d->windows[d->newest].low && transit <= d->windows[d->newest].high)
        return;
    if (transit < d->windows[d->newest].low)
        d->windows[d->newest].low = transit;
    else
        d->windows[d->newest].high = transit;
    summarise(d);
}
