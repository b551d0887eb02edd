#include "hearing.h"

#include <stdalign.h>
#include <string.h>

#include "jitter.h"
#include "noise.h"
#include "plc.h"
#include "stream.h"
#include "stretch.h"
#include "vad.h"

enum {
    RATE_MOST = 16000,
    TICK_MS = 20,
    PACKET_MS = 120,        /* what one packet holds at most */
    HISTORY = 800,          /* samples kept behind those that were said */
    READY = 3840,           /* samples decoded and not yet said: a packet, a tick and what stretching needs */
    WINDOW_MS = 500,        /* of the estimate of the delay */
    LEARNING_MS = 4000,     /* before which the delay does not fall below the first */
    SHORT_SILENCE_MS = 40,  /* up to which a hole in the timestamps is concealed though no packet is missing */
    GIVE_UP_MS = 120,       /* of concealing: then it is a pause */
    LATE_ROW = 5,           /* packets in a row that come too late: the way got longer for good */
    EVENT_GRACE_MS = 100,   /* an event whose packets stop coming is over after so long */
    NOISE_AFTER_LOSS_MS = 2000, NOISE_DESCRIBED_MS = 30000,
    LONG_MS = 22, SHORT_MS = 2, LOW_MS = 5, /* how far above its target the delay may be: one change of length leads from end to end */
    FAR_MS = 60, NEAR_MS = 30,  /* above and below it: urgent */
    FIXED_MS = 100,             /* when it is fixed: so long that only drift can have done it */
    PATIENCE_TICKS = 500,   /* for a pause in which to change the sound's length */
    PAUSE_TICKS = 5,        /* between two changes of the sound's length */
    LOSS_WEIGHT = 100, LOSSES_MOST = 1000, LOSSY = 150,
    FAINT = 64, FAINT_TICKS = 50, /* mean square of A-law's silence; after so long it is nothing at all */
    DECLICK = 16,
};

enum state { WAITING, PLAYING };

struct hearing {
    struct hearing_statistics statistics;
    struct stream stream;
    struct delay delay;
    struct vad vad;
    struct noise noise;
    struct plc plc;
    uint64_t born;
    int64_t edge;                   /* PLAYING: the place on the stream's line behind the last sample that is ready */
    int64_t learning;               /* until when the delay is not believed to be small */
    int64_t event_at, event_end;    /* what the newest event covers */
    int32_t least, most, start;     /* of the settings, in samples */
    uint32_t rate, ns_per_sample;
    uint32_t energy;                /* of the last frame */
    int32_t noise_left;             /* samples of comfort noise until silence */
    uint32_t gap;                   /* samples concealed in a row */
    uint16_t ready;
    uint16_t ahead;                 /* of those concealed: not yet known whether the packet is late or lost */
    uint16_t packet_samples;        /* in the newest packet decoded */
    uint16_t last_seq;
    uint16_t losses;                /* of late: LOSS_WEIGHT each, less one a packet */
    uint16_t wanted;                /* ticks for which the delay has been too long or too short */
    uint8_t state, codec, late_row, pause, faint;
    bool fixed, following, event;   /* following: `last_seq` is the number of what was said last */
    bool decoded, concealed;        /* in this pull */
    int16_t last;                   /* sample said */
    int16_t sound[HISTORY + READY];
    struct jitter jitter;
    alignas(max_align_t) uint8_t decoder[];
};

_Static_assert(sizeof(struct hearing) <= 48 * 1024, "as much as a leg may have");
_Static_assert((int)HISTORY >= (int)PLC_HISTORY, "concealing looks back so far");

static const struct codec_operations *operations(const struct hearing *h) {
    return codec_operations((enum codec)h->codec);
}

static int32_t ms(const struct hearing *h, int32_t count) {
    return count * (int32_t)(h->rate / 1000);
}

static int64_t local(const struct hearing *h, uint64_t now) { /* in samples */
    return now > h->born ? (int64_t)((now - h->born) / h->ns_per_sample) : 0;
}

static int16_t *tail(struct hearing *h) {
    return h->sound + HISTORY + h->ready;
}

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

/* The delay without which packets would come too late. */
static int64_t need(const struct hearing *h) {
    int64_t spread = h->delay.high - h->delay.low + ms(h, TICK_MS);
    return spread < h->most ? spread : h->most;
}

/* How far behind its place on the stream's line a sample is to be said: the fastest packet's transit and the delay. */
static int64_t target(const struct hearing *h, int64_t when) {
    int64_t delay = need(h), least = h->fixed || when < h->learning ? h->start : h->least;
    if (h->losses > LOSSY)
        delay += h->packet_samples; /* with the packet after it at hand, a lost one is concealed far better */
    if (h->fixed || delay < least)
        delay = least;
    return h->delay.low + (delay < h->most ? delay : h->most);
}

static void learn_delay(struct hearing *h, int64_t when) {
    delay_clear(&h->delay);
    delay_note(&h->delay, h->stream.transit, when, ms(h, WINDOW_MS));
    h->learning = when + ms(h, LEARNING_MS);
    h->late_row = 0;
}

/* Ends what is being said; it fades. */
static void pause_playing(struct hearing *h, int32_t noise_ms) {
    if (h->state == PLAYING && !h->plc.active)
        plc_begin(&h->plc, tail(h), h->rate);
    if (h->state == PLAYING && noise_ms) {
        noise_background(&h->noise, h->vad.background);
        h->noise_left = ms(h, noise_ms);
    }
    h->state = WAITING;
    h->ahead = 0;
    h->gap = 0;
}

static void begin_stream(struct hearing *h, int64_t when) {
    if (h->following || h->jitter.count)
        h->statistics.resets++;
    pause_playing(h, 0);
    h->noise_left = 0;
    jitter_clear(&h->jitter);
    learn_delay(h, when);
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

/* ---- sound, sample by sample: each of these adds some behind those that are ready */

static void take(struct hearing *h) {
    int missing = h->following ? seq_ahead(h->jitter.low, h->last_seq) - 1 : 0;
    int losses = h->losses + (missing < 5 ? missing : 5) * LOSS_WEIGHT - (h->losses > 0);
    h->losses = (uint16_t)(losses < LOSSES_MOST ? losses : LOSSES_MOST);
    h->last_seq = h->jitter.low;
    h->following = true;
    jitter_drop(&h->jitter);
}

static void discard_late(struct hearing *h, int64_t when) {
    h->statistics.late++;
    take(h);
    if (++h->late_row < LATE_ROW)
        return;
    learn_delay(h, when);
    pause_playing(h, 0);
}

static void conceal(struct hearing *h, const struct jitter_packet *next, size_t samples) {
    const struct codec_operations *codec = operations(h);
    int16_t pcm[RATE_MOST / 1000 * PACKET_MS];
    if (codec->conceal) {
        uint8_t payload[RTP_LENGTH_MAX];
        size_t length = next ? jitter_copy(&h->jitter, next, payload) : 0;
        size_t grain = h->rate / 400, whole = (samples + grain - 1) / grain * grain; /* codecs count in 2.5 ms */
        if (codec->conceal(h->decoder, next ? payload : NULL, length, pcm, whole) != (int)whole)
            memset(pcm, 0, sizeof pcm);
        memcpy(tail(h), pcm, samples * sizeof *pcm);
    } else {
        if (!h->plc.active)
            plc_begin(&h->plc, tail(h), h->rate);
        plc_conceal(&h->plc, tail(h), samples);
    }
    h->ready = (uint16_t)(h->ready + samples);
    h->gap += (uint32_t)samples;
    h->statistics.concealed += samples;
    h->concealed = true;
}

/* Silence, or what is left of the sound before it, with comfort noise. */
static void idle(struct hearing *h, size_t samples) {
    memset(tail(h), 0, samples * sizeof *h->sound);
    if (h->plc.active) {
        plc_conceal(&h->plc, tail(h), samples);
        h->plc.active = !plc_silent(&h->plc);
    }
    if (h->noise_left <= 0)
        h->noise.target = 0;
    h->noise_left -= h->noise_left > 0 ? (int32_t)samples : 0;
    if (!noise_silent(&h->noise))
        noise_add(&h->noise, tail(h), samples);
    h->ready = (uint16_t)(h->ready + samples);
}

static void describe_noise(struct hearing *h, const struct jitter_packet *head) {
    uint8_t payload[RTP_LENGTH_MAX];
    size_t length = jitter_copy(&h->jitter, head, payload);
    pause_playing(h, 0);
    noise_describe(&h->noise, payload, length);
    h->noise_left = ms(h, NOISE_DESCRIBED_MS);
    take(h);
}

/* The head's sound, without its first `skip` samples. */
static void decode(struct hearing *h, const struct jitter_packet *head, size_t skip) {
    uint8_t payload[RTP_LENGTH_MAX];
    size_t room = (size_t)(h->sound + HISTORY + READY - tail(h)), length = jitter_copy(&h->jitter, head, payload);
    int samples = operations(h)->decode(h->decoder, payload, length, tail(h), room);
    int64_t end = head->at + head->samples;
    h->packet_samples = head->samples;
    take(h);
    if (samples <= (int)skip) {
        h->statistics.malformed++;
        conceal(h, NULL, (size_t)(end - h->edge));
        h->edge = end;
        return;
    }
    h->edge = end - head->samples + samples;
    size_t count = (size_t)samples - skip;
    memmove(tail(h), tail(h) + skip, skip ? count * sizeof *h->sound : 0);
    if (h->plc.active)
        plc_end(&h->plc, tail(h), count);
    h->noise.amplitude = h->noise.target = 0;
    h->statistics.stretched += h->ahead;
    h->ahead = 0;
    h->gap = 0;
    h->late_row = 0;
    h->ready = (uint16_t)(h->ready + count);
    h->decoded = true;
}

/* A short gap before the head, of a codec that does not conceal by itself: both its sides are known. */
static void bridge(struct hearing *h, const struct jitter_packet *head, size_t gap) {
    int16_t *from = tail(h);
    if (!h->plc.active)
        plc_begin(&h->plc, from, h->rate);
    h->ready = (uint16_t)(h->ready + gap);
    h->edge += (int64_t)gap;
    struct plc plc = h->plc;
    h->plc.active = false;
    decode(h, head, 0);
    size_t after = (size_t)(tail(h) - from) - gap;
    plc_bridge(&plc, from, gap, after);
    h->statistics.concealed += gap;
    h->concealed = true;
}

/* A codec that conceals counts in its own packets; we in what is wanted. */
static size_t grain(const struct hearing *h, size_t samples) {
    return operations(h)->conceal && h->packet_samples ? h->packet_samples : samples;
}

/* Nothing is here: late or lost. The line stands still until that is known, unless the delay is at its greatest. */
static void starve(struct hearing *h, int64_t when, size_t samples) {
    if (h->gap >= (uint32_t)ms(h, GIVE_UP_MS)) {
        pause_playing(h, NOISE_AFTER_LOSS_MS);
        return;
    }
    int64_t delay = when + h->ready - h->edge - h->delay.low;
    samples = grain(h, samples);
    bool wait = !h->fixed && delay + (int64_t)samples <= h->most;
    conceal(h, NULL, samples);
    if (wait)
        h->ahead = (uint16_t)(h->ahead + samples);
    else
        h->edge += (int64_t)samples;
}

static void play(struct hearing *h, const struct jitter_packet *head, int64_t when, size_t samples) {
    int64_t hole = head->at - h->edge;
    if (hole > 0) { /* what was concealed already was lost, not late */
        int64_t done = hole < h->ahead ? hole : h->ahead;
        h->edge += done;
        h->ahead = (uint16_t)(h->ahead - done);
        hole -= done;
    }
    bool behind = when + h->ready - (h->edge + head->samples) > h->delay.low + h->most;
    bool next = head->seq == (uint16_t)(h->last_seq + 1);
    if ((next && hole > ms(h, SHORT_SILENCE_MS)) || (!h->fixed && behind)) {
        pause_playing(h, NOISE_AFTER_LOSS_MS); /* the far end said nothing; or a heap of packets came at once */
    } else if (hole > 0 && h->gap >= (uint32_t)ms(h, GIVE_UP_MS)) {
        pause_playing(h, NOISE_AFTER_LOSS_MS);
    } else if (hole > 0 && hole <= ms(h, PLC_BRIDGE_MS) && head->kind == PACKET_AUDIO && !operations(h)->conceal) {
        bridge(h, head, (size_t)hole);
    } else if (hole > 0) {
        size_t piece = grain(h, samples);
        piece = hole < (int64_t)piece ? (size_t)hole : piece;
        conceal(h, hole <= head->samples ? head : NULL, piece);
        h->edge += (int64_t)piece;
    } else if (head->kind == PACKET_COMFORT_NOISE) {
        describe_noise(h, head);
    } else if (-hole >= head->samples) {
        discard_late(h, when);
    } else {
        decode(h, head, (size_t)-hole);
    }
}

static void wait(struct hearing *h, const struct jitter_packet *head, int64_t when, size_t samples) {
    int64_t due = head->at - (when - target(h, when) + h->ready);
    if (due > 0) {
        idle(h, due < (int64_t)samples ? (size_t)due : samples);
    } else if (head->kind == PACKET_COMFORT_NOISE) {
        describe_noise(h, head);
    } else if (due + head->samples <= 0) {
        discard_late(h, when);
    } else {
        h->edge = head->at;
        h->state = PLAYING;
    }
}

static void advance(struct hearing *h, int64_t when, size_t samples) {
    const struct jitter_packet *head = jitter_head(&h->jitter);
    if (head && head->kind == PACKET_EVENT)
        take(h);
    else if (h->state == WAITING && head)
        wait(h, head, when, samples);
    else if (h->state == WAITING)
        idle(h, samples);
    else if (head)
        play(h, head, when, samples);
    else
        starve(h, when, samples);
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
    return delay < need(h) + ms(h, SHORT_MS) || off < -ms(h, LOW_MS);
}

static void regulate(struct hearing *h, int64_t when, size_t samples) {
    if (h->state != PLAYING || h->ahead || h->plc.active)
        return;
    int64_t behind = when - (h->edge - h->ready), off = behind - target(h, when), delay = behind - h->delay.low;
    bool long_ = off > ms(h, h->fixed ? FIXED_MS : LONG_MS), short_ = too_short(h, delay, off);
    h->wanted = (uint16_t)(long_ || short_ ? h->wanted + 1 : 0);
    if (h->pause)
        h->pause--;
    if (!h->wanted || h->pause)
        return;
    int16_t *from = h->sound + HISTORY;
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
        play(h, head, when, need - h->ready);
    }
}

/* ---- the tick */

static void note_delay(struct hearing *h, int64_t when) {
    int64_t delay = (when - (h->edge - h->ready) - h->delay.low) * 1000 / h->rate;
    uint32_t now = (uint32_t)(delay < 0 ? 0 : delay);
    h->statistics.delay_ms = now;
    h->statistics.target_ms = (uint32_t)((target(h, when) - h->delay.low) * 1000 / h->rate);
    if (now < h->statistics.delay_min_ms)
        h->statistics.delay_min_ms = now;
    if (now > h->statistics.delay_max_ms)
        h->statistics.delay_max_ms = now;
}

/* Whether the tick that begins at `when` lies within an event. */
static bool within_event(struct hearing *h, int64_t when, size_t samples) {
    if (!h->event)
        return false;
    int64_t at = h->state == PLAYING ? h->edge - h->ready : when - target(h, when);
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
        advance(h, when, samples - h->ready);
    look_ahead(h, when, samples);
    bool event = within_event(h, when, samples);
    if (h->state == PLAYING && !h->ahead)
        note_delay(h, when);
    regulate(h, when, samples);
    memcpy(pcm, h->sound + HISTORY, samples * sizeof *pcm);
    memmove(h->sound, h->sound + samples, (HISTORY + h->ready - samples) * sizeof *pcm);
    h->ready = (uint16_t)(h->ready - samples);
    return event ? say_nothing(h, pcm, samples, HEARD_EVENT) : judge(h, pcm, samples);
}

void hearing_statistics(const struct hearing *h, struct hearing_statistics *statistics) {
    *statistics = h->statistics;
    statistics->level = level_of(h->energy);
    if (statistics->delay_min_ms > statistics->delay_max_ms)
        statistics->delay_min_ms = statistics->delay_max_ms;
}
