/* The small parts: companding, heap, rings. */
#include <pthread.h>

#include "ring.h"
#include "tests.h"

/* ---- G.711 */

/* The laws as their tables give them: segments of equal steps, from decision value 0 on, in 16-bit units. */
struct segment {
    int steps, width;
};

static const struct segment mu_law[] = {{1, 4},    {15, 8},   {16, 16},  {16, 32},  {16, 64},
                                        {16, 128}, {16, 256}, {16, 512}, {16, 1024}};
static const struct segment a_law[] = {{32, 16}, {16, 32}, {16, 64}, {16, 128}, {16, 256}, {16, 512}, {16, 1024}};

/* The decision value below magnitude `n` and the value it stands for. */
static void define(enum codec codec, int n, int *decision, int *value) {
    const struct segment *law = codec == CODEC_PCMU ? mu_law : a_law;
    int at = 0;
    for (; n >= law->steps; law++) {
        at += law->steps * law->width;
        n -= law->steps;
    }
    *decision = at + n * law->width;
    *value = codec == CODEC_PCMU && at + n == 0 ? 0 : *decision + law->width / 2;
}

static uint8_t code_of(enum codec codec, int n) { /* of the positive magnitude number n */
    return codec == CODEC_PCMU ? (uint8_t)(0xff - n) : (uint8_t)((n | 0x80) ^ 0x55);
}

void test_g711_known_values(void) { /* the ends and the middle of G.711 tables 1a, 1b, 2a and 2b */
    CHECK_IS(g711_decode(CODEC_PCMU, 0x80), 32124);
    CHECK_IS(g711_decode(CODEC_PCMU, 0x00), -32124);
    CHECK_IS(g711_decode(CODEC_PCMU, 0xff), 0);
    CHECK_IS(g711_decode(CODEC_PCMU, 0x7f), 0);
    CHECK_IS(g711_decode(CODEC_PCMA, 0xaa), 32256);
    CHECK_IS(g711_decode(CODEC_PCMA, 0x2a), -32256);
    CHECK_IS(g711_decode(CODEC_PCMA, 0xd5), 8);
    CHECK_IS(g711_decode(CODEC_PCMA, 0x55), -8);
    CHECK_IS(g711_encode(CODEC_PCMU, 32767), 0x80);
    CHECK_IS(g711_encode(CODEC_PCMA, -32768), 0x2a);
}

void test_g711_is_as_defined(void) {
    for (int codec = 0; codec <= CODEC_PCMA; codec++)
        for (int n = 0; n < 128; n++) {
            int decision, value, above, unused;
            uint8_t code = code_of((enum codec)codec, n), negative = code ^ 0x80;
            define((enum codec)codec, n, &decision, &value);
            CHECK_IS(g711_decode((enum codec)codec, code), value);
            CHECK_IS(g711_decode((enum codec)codec, negative), -value);
            above = 32768;
            if (n < 127)
                define((enum codec)codec, n + 1, &above, &unused);
            for (int sample = decision; sample < above; sample++) {
                CHECK_IS(g711_encode((enum codec)codec, (int16_t)sample), code);
                if (sample > decision && (codec == CODEC_PCMA || n))
                    CHECK_IS(g711_encode((enum codec)codec, (int16_t)-sample), negative);
            }
        }
}

void test_g711_conversion_goes_through_the_value(void) {
    g711_init();
    for (int from = 0; from <= CODEC_PCMA; from++)
        for (int code = 0; code < 256; code++) {
            uint8_t same = (uint8_t)code, converted = (uint8_t)code;
            g711_convert((enum codec)from, (enum codec)!from, &converted, 1);
            g711_convert((enum codec)from, (enum codec)from, &same, 1);
            CHECK_IS(same, code);
            int value = g711_decode((enum codec)from, (uint8_t)code), decision, stands_for, n = 127;
            do
                define((enum codec)!from, n, &decision, &stands_for);
            while (decision > abs(value) && n--);
            CHECK_IS(abs(g711_decode((enum codec)!from, converted)), stands_for);
            CHECK(value == 0 || (g711_decode((enum codec)!from, converted) >= 0) == (value > 0));
        }
}

/* ---- heap */

void test_heap_against_a_plain_search(void) {
    enum { LEGS = 50 };
    struct heap heap;
    uint64_t due[LEGS] = {0};
    uint32_t random = 9;
    CHECK(heap_init(&heap, LEGS));
    for (int i = 0; i < 100000; i++) {
        random = random * 1103515245 + 12345;
        uint32_t leg = (random >> 16) % LEGS;
        due[leg] = random >> 28 == 0 ? 0 : 1 + (random >> 8) % 1000;
        heap_set(&heap, leg, due[leg]);
        uint64_t earliest = UINT64_MAX;
        uint32_t count = 0;
        for (int j = 0; j < LEGS; j++) {
            count += due[j] != 0;
            if (due[j] && due[j] < earliest)
                earliest = due[j];
        }
        CHECK_IS(heap.count, count);
        CHECK_IS(heap_next(&heap), earliest);
    }
    heap_free(&heap);
}

/* ---- rings */

enum { RECORDS = 200000 };

static void *write_records(void *argument) {
    struct byte_ring *ring = argument;
    uint8_t body[512];
    for (uint32_t i = 0; i < RECORDS; i++) {
        memset(body, (int)i, sizeof body);
        while (!byte_ring_push(ring, &i, sizeof i, body, i % sizeof body))
            sched_yield();
    }
    return NULL;
}

void test_byte_ring_between_threads(void) {
    struct byte_ring ring;
    pthread_t writer;
    CHECK(byte_ring_init(&ring, 4096));
    CHECK(pthread_create(&writer, NULL, write_records, &ring) == 0);
    for (uint32_t i = 0, read; i < RECORDS; i++) {
        size_t size;
        const uint8_t *record;
        while (!(record = byte_ring_peek(&ring, &size)))
            sched_yield();
        memcpy(&read, record, sizeof read);
        CHECK_IS(read, i);
        CHECK_IS(size, sizeof i + i % 512);
        for (size_t at = sizeof i; at < size; at++)
            CHECK_IS(record[at], (uint8_t)i);
        byte_ring_pop(&ring);
    }
    pthread_join(writer, NULL);
    CHECK(byte_ring_empty(&ring));
    byte_ring_free(&ring);
}

void test_rings_are_bounded(void) {
    struct ring ring;
    struct byte_ring bytes;
    uint8_t body[1000] = {0};
    uint32_t entry = 0;
    CHECK(ring_init(&ring, 8, sizeof entry));
    while (ring_push(&ring, &entry))
        entry++;
    CHECK_IS(entry, 8);
    for (uint32_t wanted = 0; wanted < 8; wanted++) {
        CHECK(ring_pop(&ring, &entry));
        CHECK_IS(entry, wanted);
    }
    CHECK(!ring_pop(&ring, &entry) && ring_empty(&ring));
    CHECK(byte_ring_init(&bytes, 4096));
    int pushed = 0;
    while (byte_ring_push(&bytes, body, 0, body, sizeof body))
        pushed++;
    CHECK_IS(pushed, 4);
    CHECK(!byte_ring_push(&bytes, body, 0, body, 5000)); /* more than there will ever be */
    ring_free(&ring);
    byte_ring_free(&bytes);
}
