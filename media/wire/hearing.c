#include "hearing.h"

#include <string.h>

#include "playout.h"
#include "stretch.h"

size_t hearing_size(enum codec codec) {
    return sizeof(struct hearing) + codec_operations(codec)->decoder_size;
}

static void init_decoder(struct hearing *h) {
    if (operations(h)->decoder_init)
        operations(h)->decoder_init(h->decoder);
}

static int32_t bounded(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

void hearing_init(struct hearing *h, enum codec codec, const struct hearing_settings *settings, uint64_t now) {
    memset(h, 0, sizeof *h);
    h->codec = (uint8_t)codec;
    h->said = HISTORY;
    h->rate = operations(h)->rate;
    h->ns_per_sample = 1000000000u / h->rate;
    h->born = now;
    h->fixed = settings->fixed;
    h->most = ms(h, bounded(settings->max_ms, TICK_MS, 1000));
    h->least = bounded(ms(h, settings->min_ms), ms(h, TICK_MS), h->most);
    h->start = bounded(ms(h, settings->start_ms), h->least, h->most);
    h->statistics.delay_min_ms = UINT32_MAX;
    h->statistics.level = LEVEL_SILENT;
    stream_init(&h->stream, operations(h)->clock, h->rate);
    vad_init(&h->vad);
    noise_init(&h->noise);
    jitter_clear(&h->jitter);
    init_decoder(h);
}

/* ---- packets */

static void begin_stream(struct hearing *h, int64_t when) {
    if (h->following || h->jitter.count)
        h->statistics.resets++;
    playout_pause(h, 0);
    h->noise_left = 0;
    jitter_clear(&h->jitter);
    playout_learn(h, when);
    init_decoder(h);
    h->following = false;
    h->event = false;
}

/*  0                   1                   2                   3
 * |     event     |E|R| volume    |          duration             |  RFC 4733 §2.3 */
static bool hear_event(struct hearing *h, const struct rtp *rtp, int64_t at, int64_t when) {
    if (rtp->length < 4)
        return false;
    int64_t line = when - h->stream.transit, far = ms(h, 10000);
    int64_t end = at + (int64_t)read16(rtp->payload + 2) * h->rate / operations(h)->clock;
    if (!(rtp->payload[1] & 0x80))
        end += ms(h, EVENT_GRACE_MS);
    if (at > line + far || end < line - far || (h->event && at < h->event_at))
        return true;
    if (!h->event || at > h->event_at || end > h->event_end || rtp->payload[1] & 0x80)
        h->event_end = end;
    h->event_at = at;
    h->event = true;
    return true;
}

static bool well_formed(struct hearing *h, const struct rtp *rtp, enum packet_kind kind, struct jitter_packet *packet) {
    packet->kind = (uint8_t)kind;
    packet->seq = rtp->seq;
    packet->length = rtp->length;
    if (rtp->length > RTP_LENGTH_MAX)
        return false;
    if (kind == PACKET_EVENT)
        return rtp->length >= 4;
    if (kind == PACKET_COMFORT_NOISE)
        return rtp->length >= 1;
    int samples = rtp->length ? operations(h)->samples(rtp->payload, rtp->length) : 0;
    packet->samples = (uint16_t)samples;
    return samples > 0 && samples <= ms(h, PACKET_MS);
}

/* Counts it and says whether its turn is yet to come. */
static bool in_time(struct hearing *h, const struct rtp *rtp) {
    if (h->stream.disordered)
        h->statistics.reordered++;
    if (!h->following || seq_ahead(rtp->seq, h->last_seq) > 0)
        return true;
    h->statistics.late++;
    return false;
}

void hearing_put(struct hearing *h, const struct rtp *rtp, enum packet_kind kind, uint64_t now) {
    struct jitter_packet packet = {0};
    int64_t when = local(h, now);
    h->statistics.packets++;
    if (!well_formed(h, rtp, kind, &packet)) {
        h->statistics.malformed++;
        return;
    }
    switch (stream_judge(&h->stream, rtp, kind == PACKET_EVENT, when, &packet.at)) {
    case STREAM_STRANGE:
        h->statistics.strange++;
        return;
    case STREAM_DUPLICATE:
        h->statistics.duplicate++;
        return;
    case STREAM_BEGINS:
        begin_stream(h, when);
        break;
    case STREAM_GOES_ON:
        if (kind != PACKET_EVENT)
            delay_note(&h->delay, h->stream.transit, when, ms(h, WINDOW_MS));
    }
    if (kind == PACKET_EVENT)
        hear_event(h, rtp, packet.at, when);
    if (in_time(h, rtp) && !jitter_put(&h->jitter, &packet, rtp->payload))
        h->statistics.early++;
}

/* ---- the delay's regulation */

/* What a voice must resemble itself by to be cut: it is left alone for a while, for a pause may come. */
static float demand(const struct hearing *h, int64_t off) {
    if (off > ms(h, FAR_MS) || off < -ms(h, NEAR_MS))
        return 0.5f;
    return h->wanted < PATIENCE_TICKS ? 2.0f : 0.8f;
}

static bool too_short(const struct hearing *h, int64_t delay, int64_t off) {
    if (h->fixed || delay + (int64_t)stretch_most(h->rate) > h->most)
        return false;
    return delay < playout_need(h) + ms(h, SHORT_MS) || off < -ms(h, LOW_MS);
}

static void regulate(struct hearing *h, int64_t when, size_t samples) {
    if (h->state != PLAYING || h->ahead || h->plc.active)
        return;
    int64_t behind = when - (h->edge - h->ready), off = behind - playout_target(h, when), delay = behind - h->delay.low;
    bool long_ = off > ms(h, h->fixed ? FIXED_MS : LONG_MS), short_ = too_short(h, delay, off);
    h->wanted = (uint16_t)(long_ || short_ ? h->wanted + 1 : 0);
    if (h->pause)
        h->pause--;
    if (!h->wanted || h->pause)
        return;
    int16_t *from = h->sound + h->said;
    size_t need = 2 * stretch_most(h->rate), changed = 0;
    bool quiet = vad_quiet(&h->vad, vad_energy(from, h->ready < need ? h->ready : need));
    float similarity = quiet ? -1 : demand(h, off);
    if (short_) {
        changed = stretch_lengthen(from, h->ready, h->rate, similarity);
        h->ready = (uint16_t)(h->ready + changed);
        h->statistics.stretched += changed;
    } else if (h->ready >= samples + stretch_most(h->rate) && h->ready >= need) {
        changed = stretch_shorten(from, h->ready, h->rate, similarity);
        h->ready = (uint16_t)(h->ready - changed);
        h->statistics.compressed += changed;
    }
    if (changed) {
        h->wanted = 0;
        h->pause = PAUSE_TICKS;
    }
}

/* Shortening looks ahead; only what is here already is decoded for it. */
static void look_ahead(struct hearing *h, int64_t when, size_t samples) {
    size_t need = samples + 2 * stretch_most(h->rate);
    while (h->wanted && h->state == PLAYING && h->ready < need) {
        const struct jitter_packet *head = jitter_head(&h->jitter);
        if (!head || head->kind != PACKET_AUDIO || head->at != h->edge)
            return;
        playout_advance(h, when, need - h->ready);
    }
}

/* ---- the tick */

static void note_delay(struct hearing *h, int64_t when) {
    int64_t delay = (when - (h->edge - h->ready) - h->delay.low) * 1000 / h->rate;
    uint32_t now = (uint32_t)(delay < 0 ? 0 : delay);
    h->statistics.delay_ms = now;
    h->statistics.target_ms = (uint32_t)((playout_target(h, when) - h->delay.low) * 1000 / h->rate);
    if (now < h->statistics.delay_min_ms)
        h->statistics.delay_min_ms = now;
    if (now > h->statistics.delay_max_ms)
        h->statistics.delay_max_ms = now;
}

/* Whether the tick that begins at `when` lies within an event. */
static bool within_event(struct hearing *h, int64_t when, size_t samples) {
    if (!h->event)
        return false;
    int64_t at = h->state == PLAYING ? h->edge - h->ready : when - playout_target(h, when);
    if (at >= h->event_end)
        h->event = false;
    return h->event && at + (int64_t)samples > h->event_at;
}

static int say_nothing(struct hearing *h, int16_t *pcm, size_t samples, int flags) {
    memset(pcm, 0, samples * sizeof *pcm);
    h->energy = 0;
    for (size_t i = 0; h->last && i < DECLICK; i++) /* not a step down to it */
        pcm[i] = (int16_t)(h->last * (DECLICK - (int)i) / (DECLICK + 1));
    flags |= h->last ? 0 : HEARD_NOTHING;
    h->last = 0;
    return flags;
}

static int judge(struct hearing *h, int16_t *pcm, size_t samples) {
    int flags = h->concealed ? HEARD_CONCEALED : 0;
    h->energy = vad_energy(pcm, samples);
    h->faint = (uint8_t)(h->energy > FAINT ? 0 : h->faint < FAINT_TICKS ? h->faint + 1 : FAINT_TICKS);
    if (h->energy == 0 || h->faint == FAINT_TICKS)
        return say_nothing(h, pcm, samples, flags);
    h->last = pcm[samples - 1];
    if ((h->decoded || h->concealed) && vad_voice(&h->vad, h->energy))
        flags |= HEARD_VOICE;
    return flags;
}

int hearing_pull(struct hearing *h, int16_t *pcm, size_t samples, uint64_t now) {
    bool asleep = h->state == WAITING && !h->jitter.count && !h->ready && !h->plc.active && noise_silent(&h->noise);
    if (asleep && !h->event)
        return say_nothing(h, pcm, samples, 0);
    int64_t when = local(h, now);
    h->decoded = h->concealed = false;
    while (h->ready < samples)
        playout_advance(h, when, samples - h->ready);
    look_ahead(h, when, samples);
    bool event = within_event(h, when, samples);
    if (h->state == PLAYING && !h->ahead)
        note_delay(h, when);
    regulate(h, when, samples);
    memcpy(pcm, h->sound + h->said, samples * sizeof *pcm);
    h->said = (uint16_t)(h->said + samples);
    h->ready = (uint16_t)(h->ready - samples);
    if (h->said > HISTORY + SLIDE - samples) {
        memmove(h->sound, h->sound + h->said - HISTORY, (HISTORY + h->ready) * sizeof *pcm);
        h->said = HISTORY;
    }
    return event ? say_nothing(h, pcm, samples, HEARD_EVENT) : judge(h, pcm, samples);
}

void hearing_statistics(const struct hearing *h, struct hearing_statistics *statistics) {
    *statistics = h->statistics;
    statistics->level = level_of(h->energy);
    if (statistics->delay_min_ms > statistics->delay_max_ms)
        statistics->delay_min_ms = statistics->delay_max_ms;
}
