#include "playout.h"

#include <string.h>

int64_t playout_need(const struct hearing *h) {
    int64_t spread = h->delay.high - h->delay.low + ms(h, TICK_MS);
    return spread < h->most ? spread : h->most;
}

int64_t playout_target(const struct hearing *h, int64_t when) {
    int64_t delay = playout_need(h), least = h->fixed || when < h->learning ? h->start : h->least;
    if (h->losses > LOSSY)
        delay += h->packet_samples; /* with the packet after it at hand, a lost one is concealed far better */
    if (h->fixed || delay < least)
        delay = least;
    return h->delay.low + (delay < h->most ? delay : h->most);
}

void playout_learn(struct hearing *h, int64_t when) {
    delay_clear(&h->delay);
    delay_note(&h->delay, h->stream.transit, when, ms(h, WINDOW_MS));
    h->learning = when + ms(h, LEARNING_MS);
    h->late_row = 0;
}

void playout_pause(struct hearing *h, int32_t noise_ms) {
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
    playout_learn(h, when);
    playout_pause(h, 0);
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
    playout_pause(h, 0);
    noise_describe(&h->noise, payload, length);
    h->noise_left = ms(h, NOISE_DESCRIBED_MS);
    take(h);
}

/* Tells the decoder what was said in the place of what was lost, just before it is given what follows. */
static void follow(struct hearing *h) {
    int16_t said[RATE_MOST / 1000 * FOLLOW_MS + 2 * CODEC_FOLLOW];
    size_t lost = (h->gap - h->ahead) & ~1u, most = (size_t)ms(h, FOLLOW_MS);
    if (!operations(h)->follow || !h->plc.active || lost == 0)
        return;
    lost = lost < most ? lost : most;
    memcpy(said, tail(h) - lost - CODEC_FOLLOW, (CODEC_FOLLOW + lost) * sizeof *said);
    struct plc onwards = h->plc;
    plc_conceal(&onwards, said + CODEC_FOLLOW + lost, CODEC_FOLLOW);
    operations(h)->follow(h->decoder, said + CODEC_FOLLOW, lost);
}

/* The head's sound, without its first `skip` samples. */
static void decode(struct hearing *h, const struct jitter_packet *head, size_t skip) {
    uint8_t payload[RTP_LENGTH_MAX];
    size_t room = (size_t)(h->sound + h->said + READY - tail(h)), length = jitter_copy(&h->jitter, head, payload);
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
    struct plc plc = h->plc;
    plc_conceal(&h->plc, from, gap);
    h->ready = (uint16_t)(h->ready + gap);
    h->edge += (int64_t)gap;
    h->gap += (uint32_t)gap;
    follow(h);
    h->plc.active = false;
    decode(h, head, 0);
    size_t after = (size_t)(tail(h) - from) - gap;
    size_t doubtful = operations(h)->follow && after > CODEC_FOLLOW ? CODEC_FOLLOW : 0;
    plc_bridge(&plc, from, gap + doubtful, after - doubtful);
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
        playout_pause(h, NOISE_AFTER_LOSS_MS);
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
        playout_pause(h, NOISE_AFTER_LOSS_MS); /* the far end said nothing; or a heap of packets came at once */
    } else if (hole > 0 && h->gap >= (uint32_t)ms(h, GIVE_UP_MS)) {
        playout_pause(h, NOISE_AFTER_LOSS_MS);
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
        follow(h);
        decode(h, head, (size_t)-hole);
    }
}

static void wait(struct hearing *h, const struct jitter_packet *head, int64_t when, size_t samples) {
    int64_t due = head->at - (when - playout_target(h, when) + h->ready);
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

void playout_advance(struct hearing *h, int64_t when, size_t samples) {
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
