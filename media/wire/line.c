#include "line.h"

#include <string.h>

enum {
    PTIME_DEFAULT = 20,
    PTIME_MAX = 60,
    PTIME_MAX_WIDE = 40,
    EVENT_VOLUME = 10, /* -10 dBm0 */
    EVENT_END = 0x80,
    MS_PER_SECOND = 1000,
};
static const uint64_t NS_PER_MS = 1000000;
static const uint64_t EARLY = 1000000;    /* a packet so near its time goes with what goes now */
static const uint64_t ON_TIME = 20000000; /* one this late keeps its grid; later ones set a new one */
static const uint64_t ROOM_FEED = 1ull << 63; /* no leg's: whoever is in a room goes on in another without a seam */

/* ---- lengths: samples are of sound, ticks of the RTP clock */

static uint32_t packet_ms(const struct leg *leg) {
    uint32_t ms = leg->plan.ptime_ms / 10 * 10u;
    if (leg->plan.codec == CODEC_OPUS && (ms == 30 || ms == 50))
        ms -= 10; /* RFC 6716 §2.1.4 knows none of these */
    if (leg->plan.codec == CODEC_L16_WIDE && ms > PTIME_MAX_WIDE)
        ms = PTIME_MAX_WIDE; /* what fits into a datagram */
    return !ms ? (leg->plan.ptime_ms ? 10 : PTIME_DEFAULT) : ms < PTIME_MAX ? ms : PTIME_MAX;
}

static size_t frame_of(const struct voice *voice, const struct leg *leg) {
    return packet_ms(leg) * voice->operations->rate / MS_PER_SECOND;
}

static uint32_t clock_of(const struct voice *voice, size_t samples) {
    return (uint32_t)(samples * voice->operations->clock / voice->operations->rate);
}

/* ---- packets */

static void send_packet(struct core *core, struct voice *voice, uint8_t *packet, uint8_t payload_type, size_t length,
                        uint32_t timestamp, uint32_t span, uint64_t now) {
    struct leg *leg = voice_leg(core, voice);
    struct stamp stamp = sender_next(&leg->sender, timestamp);
    rtp_write_header(packet, payload_type, stamp.marker, stamp.seq, stamp.timestamp, leg->sender.ssrc);
    core_send(core, voice->leg, packet, RTP_HEADER + length);
    sender_sent(&leg->sender, &stamp, span, (uint32_t)length, now);
}

/* Sends what was coded; nothing when the codec finds that it need not be said. */
static void send_coded(struct core *core, struct voice *voice, uint8_t *packet, int length, size_t samples,
                       uint64_t now) {
    struct leg *leg = voice_leg(core, voice);
    uint32_t span = clock_of(voice, samples);
    if (length > 0)
        send_packet(core, voice, packet, leg->plan.payload_type, (size_t)length, voice->line.timestamp, span, now);
    else
        leg->sender.marker_due = true; /* RFC 3551 §4.1: the first packet after a silence has it */
    voice->line.timestamp += span;
}

static void code_and_send(struct core *core, struct voice *voice, const int16_t *pcm, size_t samples, uint64_t now) {
    uint8_t packet[RTP_LENGTH_MAX];
    int length =
        voice->operations->encode(voice->encoder, pcm, samples, packet + RTP_HEADER, sizeof packet - RTP_HEADER);
    send_coded(core, voice, packet, length, samples, now);
}

static void send_waiting(struct core *core, struct voice *voice, size_t samples, uint64_t now) {
    struct line *line = &voice->line;
    code_and_send(core, voice, line->pcm, samples, now);
    line->fill -= (uint32_t)samples;
    memmove(line->pcm, line->pcm + samples, line->fill * sizeof *line->pcm);
}

/* What waits goes out at once, whole packets first. */
static void flush(struct core *core, struct voice *voice, size_t frame, uint64_t now) {
    while (voice->line.fill)
        send_waiting(core, voice, voice->line.fill < frame ? voice->line.fill : frame, now);
    voice->line.due = 0;
}

/* ---- the line */

static void forget(struct voice *voice) {
    voice->line.timestamp += clock_of(voice, voice->line.fill);
    voice->line.fill = 0;
    voice->line.due = 0;
}

bool line_ready(struct core *core, struct voice *voice, uint64_t tick, uint64_t now) {
    struct leg *leg = voice_leg(core, voice);
    struct line *line = &voice->line;
    if (!leg->planned || !leg->plan.sends || !latch_target(&leg->latch, &leg->plan)) {
        forget(voice);
        sender_release(&leg->sender);
        return false;
    }
    if (leg->sender.feed != ROOM_FEED) {
        line->timestamp = sender_take(&leg->sender, ROOM_FEED, now);
        line->fill = 0;
        line->last = now - packet_ms(leg) * NS_PER_MS;
    } else if (tick > line->tick + 1) { /* the room lost time: what it would have said is missing */
        forget(voice);
        line->timestamp += (uint32_t)(tick - line->tick - 1) * clock_of(voice, voice_samples(voice));
        leg->sender.marker_due = true;
    }
    line->tick = tick;
    return true;
}

void line_pace(struct core *core, struct voice *voice, uint64_t now) {
    struct leg *leg = voice_leg(core, voice);
    struct line *line = &voice->line;
    size_t frame = frame_of(voice, leg);
    uint64_t period = packet_ms(leg) * NS_PER_MS;
    bool full = line->fill + voice_samples(voice) > LINE_CAPACITY;
    while (line->fill >= frame && (full || now + EARLY >= line->last + period)) {
        uint64_t ideal = line->last + period;
        line->last = now < ideal + ON_TIME ? ideal : now;
        send_waiting(core, voice, frame, now);
    }
    line->due = line->fill >= frame ? line->last + period : 0;
}

static void append(struct core *core, struct voice *voice, const int16_t *pcm, uint64_t now) {
    struct line *line = &voice->line;
    memcpy(line->pcm + line->fill, pcm, voice_samples(voice) * sizeof *pcm);
    line->fill += (uint32_t)voice_samples(voice);
    line_pace(core, voice, now);
}

void line_say(struct core *core, struct voice *voice, const int16_t *pcm, struct sum *sum, uint64_t now) {
    size_t samples = voice_samples(voice), frame = frame_of(voice, voice_leg(core, voice));
    if (frame != samples) {
        append(core, voice, pcm, now);
        return;
    }
    flush(core, voice, frame, now); /* of another packet time, before */
    voice->line.last = now;
    if (!sum || voice->operations->encoder_size) {
        code_and_send(core, voice, pcm, samples, now);
        return;
    }
    struct coding *coding = mixer_code(sum, voice->operations);
    send_coded(core, voice, coding->packet, coding->length, samples, now);
}

void line_pause(struct voice *voice) {
    voice->line.timestamp += clock_of(voice, voice_samples(voice));
}

/*  0                   1                   2                   3
 * |     event     |E|R| volume    |          duration             |   RFC 4733 §2.3 */
void line_event(struct core *core, struct voice *voice, const struct digit_step *step, uint64_t now) {
    struct leg *leg = voice_leg(core, voice);
    uint8_t packet[RTP_HEADER + 4], *payload = packet + RTP_HEADER;
    uint32_t duration = step->ticks * DIGIT_TICK_MS * (plan_dtmf_clock(&leg->plan) / MS_PER_SECOND);
    if (step->first) {
        flush(core, voice, frame_of(voice, leg), now);
        voice->digits.timestamp = voice->line.timestamp;
    }
    leg->sender.marker_due = step->first;
    payload[0] = step->code;
    payload[1] = (uint8_t)((step->end ? EVENT_END : 0) | EVENT_VOLUME);
    write16(payload + 2, (uint16_t)(duration < UINT16_MAX ? duration : UINT16_MAX));
    send_packet(core, voice, packet, leg->plan.dtmf_send, sizeof packet - RTP_HEADER, voice->digits.timestamp, 0, now);
    leg->sender.marker_due = true; /* on the audio that comes after it */
    line_pause(voice);
}
