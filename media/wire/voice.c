#define _GNU_SOURCE
#include "voice.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ALIGNMENT = 64,
    HUGE_PAGE = 1 << 21,
    HANG_TICKS = 20,  /* 400 ms: the end of a word and the breath before the next */
    FADE_IN_MS = 5,
    TALK_AFTER = 5,   /* 100 ms of voice are no cough, */
    PAUSE_AFTER = 40, /* and 800 ms without no pause within a sentence */
    STATISTICS_TICKS = 8,
};

_Static_assert(sizeof(struct hearing_statistics) % sizeof(uint64_t) == 0, "copied word by word");

/* ---- memory */

static size_t aligned(size_t size) {
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static size_t encoder_room(void) {
    size_t most = 0;
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        const struct codec_operations *operations = codec_operations((enum codec)codec);
        if (operations && operations->encoder_size > most)
            most = operations->encoder_size;
    }
    return aligned(most);
}

static size_t hearing_room(void) {
    size_t most = 0;
    for (int codec = 0; codec < CODEC_COUNT; codec++)
        if (codec_operations((enum codec)codec) && hearing_size((enum codec)codec) > most)
            most = hearing_size((enum codec)codec);
    return aligned(most);
}

static size_t voice_size(void) {
    return aligned(sizeof(struct voice)) + hearing_room() + encoder_room();
}

/* Where a sanitizer watches, it is told of places that are nobody's. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define CLOSE_PLACE(place) ASAN_POISON_MEMORY_REGION((place) + 1, voice_size() - sizeof *(place))
#define OPEN_PLACE(place) ASAN_UNPOISON_MEMORY_REGION((place), voice_size())
#else
#define CLOSE_PLACE(place) (void)(place)
#define OPEN_PLACE(place) (void)(place)
#endif

/* Voices lie in pages of two megabytes: a room of hundreds touches all of its voices every 20 ms, and to find them in
 * small pages would cost more than to mix them. A page stays; its places are used again. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct retired *places; /* that are free */

static void *new_page(void) { /* aligned to its size, as huge pages are */
    char *map = mmap(NULL, 2 * (size_t)HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    char *page = (char *)(((uintptr_t)map + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    if (page > map)
        munmap(map, (size_t)(page - map));
    munmap(page + HUGE_PAGE, (size_t)(map + HUGE_PAGE - page));
    madvise(page, HUGE_PAGE, MADV_HUGEPAGE);
    return page;
}

static void cut_page(char *page) {
    for (size_t at = 0; at + voice_size() <= HUGE_PAGE; at += voice_size()) {
        struct retired *place = (struct retired *)(page + at);
        place->next = places;
        places = place;
    }
}

static void *take_place(void) {
    pthread_mutex_lock(&lock);
    char *page = places ? NULL : new_page();
    if (page)
        cut_page(page);
    struct retired *place = places;
    if (place)
        places = place->next;
    if (place)
        OPEN_PLACE(place);
    pthread_mutex_unlock(&lock);
    return place;
}

struct voice *voice_new(void) {
    struct voice *voice = take_place();
    if (!voice)
        return NULL;
    memset(voice, 0, sizeof *voice); /* what lies behind is for the codec to begin with */
    voice->retired.kind = RETIRED_VOICE;
    voice->hearing = (void *)((char *)voice + aligned(sizeof *voice));
    voice->encoder = (char *)voice->hearing + hearing_room();
    return voice;
}

void voice_free(struct voice *voice) {
    pthread_mutex_lock(&lock);
    voice->retired.next = places;
    places = &voice->retired;
    CLOSE_PLACE(places);
    pthread_mutex_unlock(&lock);
}

/* ---- plans */

void voice_settle(struct core *core, struct voice *voice, bool anew, uint64_t now) {
    const struct plan *plan = &voice_leg(core, voice)->plan;
    bool same = !anew && voice->codec == plan->codec;
    if (same && memcmp(&voice->settings, &plan->settings, sizeof voice->settings) == 0)
        return;
    voice->codec = plan->codec;
    voice->operations = codec_operations(voice->codec);
    voice->settings = plan->settings;
    voice->expected_loss = plan->settings.expected_loss;
    if (voice->operations->encoder_init)
        voice->operations->encoder_init(voice->encoder, &voice->settings);
    if (same)
        return;
    struct hearing_settings settings = {plan->jitter_min_ms, plan->jitter_max_ms, plan->jitter_start_ms, false};
    hearing_init(voice->hearing, voice->codec, &settings, now);
    detector_init(&voice->detector, voice->operations->rate);
    voice->line.fill = 0;
    voice->line.due = 0;
    voice->converted = false;
}

/* ---- what it hears */

static uint32_t loudness(const int16_t *pcm, size_t samples) {
    uint32_t sum = 0;
    for (size_t i = 0; i < samples; i++)
        sum += (uint32_t)(pcm[i] < 0 ? -pcm[i] : pcm[i]);
    return sum / (uint32_t)samples;
}

/* From `from` to `to` of FULL_GAIN, over the first `ramp` samples. */
static void scale(int16_t *pcm, size_t samples, int32_t from, int32_t to, size_t ramp) {
    for (size_t i = 0; i < samples; i++) {
        int32_t gain = i < ramp ? from + (to - from) * (int32_t)i / (int32_t)ramp : to;
        int32_t value = pcm[i] * gain / FULL_GAIN;
        pcm[i] = (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
    }
}

static bool listens_for_digits(const struct core *core, const struct voice *voice) {
    return voice->membership.detect == DETECT_ON ||
           (voice->membership.detect == DETECT_NEEDED && voice_leg(core, voice)->plan.dtmf_receive == PT_NONE);
}

/* A digit in the sound: silence from its first certain moment to its end, without a click at either. */
static struct detected detect(struct core *core, struct voice *voice, bool gags, int flags) {
    struct detected detected = {0};
    size_t samples = voice_samples(voice);
    bool before = voice->gagged;
    if (listens_for_digits(core, voice) && (voice->sounds || detector_waits(&voice->detector)))
        detected = detector_hear(&voice->detector, voice->pcm, samples, flags & HEARD_CONCEALED);
    voice->gagged = gags && detector_on(&voice->detector);
    if (voice->gagged && !before)
        scale(voice->pcm, samples, FULL_GAIN, 0, samples / 2);
    else if (before && !voice->gagged)
        scale(voice->pcm, samples, 0, 0, 0);
    else if (voice->gagged)
        voice->sounds = false;
    return detected;
}

static void watch_talk(struct core *core, struct voice *voice, bool voiced, uint64_t now) {
    voice->talked = (uint16_t)(voiced ? voice->talked + (voice->talked < TALK_AFTER) : 0);
    voice->paused = (uint16_t)(voiced ? 0 : voice->paused + (voice->paused < PAUSE_AFTER));
    bool talking = voice->talking ? voice->paused < PAUSE_AFTER : voice->talked >= TALK_AFTER;
    if (talking == voice->talking)
        return;
    voice->talking = talking;
    core_report(core, voice_leg(core, voice), EVENT_TALKING, talking, 0, now);
}

/* What changes slowly. */
static void look_around(struct core *core, struct voice *voice) {
    uint8_t loss = voice_leg(core, voice)->rtcp.expected_loss;
    hearing_statistics(voice->hearing, &voice->statistics);
    if (!voice->operations->encoder_adapt || loss == voice->expected_loss)
        return;
    voice->operations->encoder_adapt(voice->encoder, loss);
    voice->expected_loss = loss;
}

struct detected voice_hear(struct core *core, struct voice *voice, bool gags, uint64_t now) {
    size_t samples = voice_samples(voice);
    const struct membership *membership = &voice->membership;
    int flags = hearing_pull(voice->hearing, voice->pcm, samples, now);
    if (voice->ticks++ % STATISTICS_TICKS == 0)
        look_around(core, voice);
    voice->sounds = !(flags & HEARD_NOTHING);
    if (voice->sounds && membership->gain != FULL_GAIN)
        scale(voice->pcm, samples, 0, membership->gain, 0);
    struct detected detected = detect(core, voice, gags, flags);
    voice->sounds &= !membership->muted && membership->speaks;
    bool voiced = voice->sounds && flags & HEARD_VOICE;
    watch_talk(core, voice, voiced, now);
    voice->hang = (uint16_t)(voiced ? HANG_TICKS : voice->hang - (voice->hang > 0));
    voice->spoken = voice->hang > 0;
    uint32_t level = voice->sounds ? loudness(voice->pcm, samples) : 0, fallen = voice->level - voice->level / 8;
    voice->level = level > fallen ? level : fallen;
    voice->was_chosen = voice->chosen;
    voice->chosen = false;
    return detected;
}

void voice_offer(struct voice *voice, bool fades, bool both) {
    size_t samples = voice_samples(voice);
    if (fades && voice->chosen && !voice->was_chosen)
        scale(voice->pcm, samples, 0, FULL_GAIN, samples / TICK_MS * FADE_IN_MS);
    if (fades && !voice->chosen)
        scale(voice->pcm, samples, FULL_GAIN, 0, samples);
    if (!both)
        return;
    if (!voice->converted)
        resample_init(&voice->resampler);
    voice->converted = true;
    if (voice_wide(voice))
        resample_down(&voice->resampler, voice->pcm, samples, voice->other);
    else
        resample_up(&voice->resampler, voice->pcm, samples, voice->other);
}
