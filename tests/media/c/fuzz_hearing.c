/* The input is a script: packets and ticks for a hearing of some codec. Whatever it says, nothing may leave its bounds,
 * what is said to be nothing is zero, and the delay stays within its bounds.
 *
 * libFuzzer drives it where clang has it; else main() below does, with bytes of its own. */
#include "g711.h"
#include "hearing.h"
#include "stage.h"

struct script {
    const uint8_t *at, *end;
};

struct talker {
    uint16_t seq;
    uint32_t timestamp, ssrc;
};

static uint8_t next(struct script *s) {
    return s->at < s->end ? *s->at++ : 0;
}

static uint16_t next16(struct script *s) {
    uint16_t high = next(s);
    return (uint16_t)(high << 8 | next(s));
}

/* The next packet of the stream, or one that is not quite it. */
static void put(struct script *s, struct hearing *h, struct talker *from, enum codec codec, uint64_t now) {
    uint8_t what = next(s), payload[RTP_LENGTH_MAX];
    uint16_t length = what & 1 ? 160 : (uint16_t)(next16(s) % (RTP_LENGTH_MAX + 1));
    for (uint16_t i = 0; i < length; i++)
        payload[i] = (uint8_t)(i < 4 ? next(s) : i * what);
    from->seq = (uint16_t)(from->seq + (what & 2 ? (int8_t)next(s) : 1));
    from->timestamp += what & 4 ? next16(s) : codec == CODEC_OPUS ? 960 : 160;
    if ((what & 0x18) == 0x18)
        from->timestamp = (uint32_t)next16(s) << 16 | next16(s);
    from->ssrc = (what & 0x60) == 0x60 ? next(s) : from->ssrc;
    enum packet_kind kind = what & 0x80 ? (enum packet_kind)(next(s) % 3) : PACKET_AUDIO;
    uint8_t *copy = malloc(length ? length : 1); /* of its exact size, for the sanitizer */
    memcpy(copy, payload, length);
    struct rtp rtp = {.payload = copy, .length = length, .seq = from->seq, .timestamp = from->timestamp, .ssrc = from->ssrc};
    hearing_put(h, &rtp, kind, now);
    free(copy);
}

static void pull(struct hearing *h, size_t samples, uint64_t now) {
    int16_t *pcm = malloc(samples * sizeof *pcm);
    int flags = hearing_pull(h, pcm, samples, now);
    CHECK(!(flags & HEARD_NOTHING) || !(flags & HEARD_VOICE));
    for (size_t i = 0; i < samples && flags & HEARD_NOTHING; i++)
        CHECK_IS(pcm[i], 0);
    free(pcm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct script s = {data, data + size};
    struct hearing_settings settings = {.fixed = next(&s) & 1};
    enum codec codec = (enum codec)(next(&s) % CODEC_COUNT);
    settings.min_ms = next(&s);
    settings.max_ms = next16(&s);
    settings.start_ms = next(&s);
    uint64_t now = SECOND;
    struct talker from = {next16(&s), (uint32_t)next16(&s) << 16, 1};
    struct hearing *h = malloc(hearing_size(codec));
    g711_init();
    hearing_init(h, codec, &settings, now);
    while (s.at < s.end) {
        uint8_t turn = next(&s);
        for (int i = turn & 7; i > 0; i--)
            put(&s, h, &from, codec, now + (uint64_t)next(&s) * 100000);
        for (int i = turn >> 3 & 3; i > 0; i--) {
            now += 20 * MS + (turn & 0x80 ? (uint64_t)next16(&s) * MS : 0);
            pull(h, codec_operations(codec)->rate / 50, now);
        }
    }
    struct hearing_statistics statistics;
    hearing_statistics(h, &statistics);
    CHECK(statistics.packets >= statistics.early + statistics.duplicate + statistics.malformed + statistics.strange);
    CHECK(statistics.target_ms <= 1000);
    free(h);
    return 0;
}

#ifdef FUZZ_MAIN /* usage: fuzz RUNS SEED */
enum { SCRIPT_MAX = 2000 };

int main(int count, char **words) {
    uint32_t runs = count > 1 ? (uint32_t)strtoul(words[1], NULL, 10) : 1000;
    uint64_t random = count > 2 ? strtoull(words[2], NULL, 10) | 1 : 1;
    uint8_t script[SCRIPT_MAX];
    for (uint32_t run = 0; run < runs; run++) {
        size_t size = random % SCRIPT_MAX;
        for (size_t i = 0; i < size; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            script[i] = (uint8_t)(random >> 32);
        }
        LLVMFuzzerTestOneInput(script, size);
    }
    printf("%u scripts\n", runs);
    return 0;
}
#endif
