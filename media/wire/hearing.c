#include "hearing.h"

#include <stdlib.h>
#include <string.h>

size_t hearing_size(enum codec codec) {
    return ((sizeof(struct hearing) + 15) & ~(size_t)15) + codec_operations(codec)->decoder_size;
}

static void *decoder(struct hearing *h) {
    return (char *)h + ((sizeof *h + 15) & ~(size_t)15);
}

void hearing_init(struct hearing *h, enum codec codec, const struct hearing_settings *settings, uint64_t now) {
    (void)now;
    memset(h, 0, sizeof *h);
    h->codec = codec_operations(codec);
    h->delay_ms = settings && settings->start_ms ? settings->start_ms : 40;
    if (h->codec->decoder_init)
        h->codec->decoder_init(decoder(h));
}

void hearing_put(struct hearing *h, const struct rtp *rtp, enum packet_kind kind, uint64_t now) {
    if (kind != PACKET_AUDIO || rtp->length > HEARING_OCTETS || h->codec->samples(rtp->payload, rtp->length) < 0)
        return;
    if (!h->playing || rtp->ssrc != h->ssrc) {
        memset(h->kept, 0, sizeof h->kept);
        h->playing = true;
        h->ssrc = rtp->ssrc;
        h->play = rtp->timestamp;
        h->started = now + h->delay_ms * 1000000ull;
        h->fill = 0;
    }
    int32_t ahead = ts_ahead(rtp->timestamp, h->play);
    if (ahead < 0) {
        h->statistics.late++;
        return;
    }
    if (ahead > (int32_t)h->codec->clock) {
        h->statistics.early++;
        h->playing = false;
        return;
    }
    for (int i = 0; i < HEARING_PACKETS; i++)
        if (h->kept[i].used && h->kept[i].timestamp == rtp->timestamp) {
            h->statistics.duplicate++;
            return;
        }
    for (int i = 0; i < HEARING_PACKETS; i++)
        if (!h->kept[i].used) {
            h->kept[i].used = true;
            h->kept[i].timestamp = rtp->timestamp;
            h->kept[i].length = rtp->length;
            memcpy(h->kept[i].payload, rtp->payload, rtp->length);
            return;
        }
}

/* The packet that is due now; NULL: it is not there. `step` says how far the next one is. */
static struct kept *take(struct hearing *h) {
    for (int i = 0; i < HEARING_PACKETS; i++)
        if (h->kept[i].used && h->kept[i].timestamp == h->play)
            return &h->kept[i];
    return NULL;
}

static bool empty(const struct hearing *h) {
    for (int i = 0; i < HEARING_PACKETS; i++)
        if (h->kept[i].used)
            return false;
    return true;
}

int hearing_pull(struct hearing *h, int16_t *pcm, size_t samples, uint64_t now) {
    int flags = 0;
    if (!h->playing || now < h->started || (empty(h) && !h->fill)) {
        if (h->playing && now >= h->started)
            h->playing = false;
        memset(pcm, 0, samples * sizeof *pcm);
        return HEARD_NOTHING;
    }
    while (h->fill < samples) {
        struct kept *kept = take(h);
        int made = kept ? h->codec->decode(decoder(h), kept->payload, kept->length, h->pcm + h->fill, CODEC_SAMPLES_MAX) : -1;
        if (kept)
            kept->used = false;
        if (made <= 0) {
            made = (int)(samples - h->fill);
            for (int i = 0; i < made; i++) /* what was said before, again */
                h->pcm[h->fill + (uint32_t)i] = h->fill >= 160 ? h->pcm[h->fill + (uint32_t)i - 160] : 0;
            h->statistics.concealed += (uint64_t)made;
            flags |= HEARD_CONCEALED;
        }
        h->fill += (uint32_t)made;
        h->play += (uint32_t)made * (h->codec->clock / 1000) / (h->codec->rate / 1000);
    }
    memcpy(pcm, h->pcm, samples * sizeof *pcm);
    h->fill -= (uint32_t)samples;
    memmove(h->pcm, h->pcm + samples, h->fill * sizeof *pcm);
    uint32_t sum = 0;
    for (size_t i = 0; i < samples; i++)
        sum += (uint32_t)abs(pcm[i]);
    return flags | (sum / samples > 60 ? HEARD_VOICE : 0);
}
