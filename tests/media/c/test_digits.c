/* Digits into rooms, through them and out of them: by telephone events and by tones, over a network that loses, repeats
 * and shuffles. One press is one digit. */
#include "band.h"
#include "tests.h"

#include <math.h>

enum { PRESSES = 10000, ON_THE_WAY = 64, LOST_OF_1000 = 30, SHUFFLED_OF_1000 = 50, REPEATED_OF_1000 = 20 };

static uint64_t random_state;

static uint32_t number_below(uint32_t end) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % end;
}

/* ---- a network from one phone to its leg */

struct network {
    struct stage *stage;
    struct phone *phone;
    struct parcel {
        uint64_t at;
        uint8_t data[RTP_HEADER + 320];
        size_t length;
    } parcels[ON_THE_WAY];
    size_t count;
    bool damaged;
};

static void put(struct network *n, const uint8_t *data, size_t length, uint64_t delay) {
    CHECK(n->count < ON_THE_WAY && length <= sizeof n->parcels[0].data);
    struct parcel *parcel = &n->parcels[n->count++];
    parcel->at = n->stage->now + delay;
    parcel->length = length;
    memcpy(parcel->data, data, length);
}

static void send_over(struct network *n, uint8_t type, bool marker, uint32_t timestamp, const uint8_t *payload,
                      size_t length) {
    uint8_t data[RTP_HEADER + 320];
    rtp_write_header(data, type, marker, n->phone->source.seq++, timestamp, n->phone->source.ssrc);
    memcpy(data + RTP_HEADER, payload, length);
    if (n->damaged && number_below(1000) < LOST_OF_1000)
        return;
    uint64_t delay = number_below(n->damaged ? 8 : 1) * MS;
    if (n->damaged && number_below(1000) < SHUFFLED_OF_1000)
        delay += 25 * MS; /* the next one or two overtake it */
    put(n, data, RTP_HEADER + length, delay);
    if (n->damaged && number_below(1000) < REPEATED_OF_1000)
        put(n, data, RTP_HEADER + length, delay + number_below(30) * MS);
}

static void pass_time(struct network *n, uint64_t ms) {
    uint64_t end = n->stage->now + ms * MS;
    for (;;) {
        struct parcel *next = NULL;
        for (size_t i = 0; i < n->count; i++)
            if (n->parcels[i].at <= end && (!next || n->parcels[i].at < next->at))
                next = &n->parcels[i];
        if (!next)
            break;
        if (next->at > n->stage->now)
            stage_run_until(n->stage, next->at);
        stage_datagram(n->stage, n->phone->leg, CHANNEL_RTP, &n->phone->source.from, next->data, next->length);
        *next = n->parcels[--n->count];
    }
    stage_run_until(n->stage, end);
}

/* ---- what is pressed, and what is heard of it */

struct dictation {
    uint8_t pressed[PRESSES], heard[PRESSES + 8];
    size_t presses, hearings, reports;
};

static void take_reports(struct dictation *d, const struct stage *stage, uint32_t leg) {
    CHECK(stage->reports - d->reports <= KEPT);
    for (; d->reports < stage->reports; d->reports++) {
        const struct event *event = &stage->events[d->reports % KEPT];
        if (event->kind == EVENT_DTMF && event->leg == leg && d->hearings < sizeof d->heard)
            d->heard[d->hearings++] = (uint8_t)event->a;
    }
}

static void compare(const struct dictation *d) {
    for (size_t i = 0; i < d->presses && i < d->hearings; i++)
        if (d->heard[i] != d->pressed[i]) {
            fprintf(stderr, "press %zu was %u and was heard as %u\n", i, d->pressed[i], d->heard[i]);
            abort();
        }
    CHECK_IS(d->hearings, d->presses);
}

/* As phones send it, but half of them without a marker. */
static void press_event(struct network *n, uint8_t code) {
    uint32_t packets = 3 + number_below(5), timestamp = n->phone->source.timestamp;
    bool marked = number_below(2);
    for (uint32_t i = 1; i <= packets + 2; i++) {
        uint32_t step = i < packets ? i : packets;
        uint8_t payload[4] = {code, (uint8_t)((i >= packets ? 0x80 : 0) | 10)};
        write16(payload + 2, (uint16_t)(step * 160));
        send_over(n, n->phone->plan.dtmf_receive, marked && i == 1, timestamp, payload, sizeof payload);
        pass_time(n, 20);
        n->phone->source.timestamp += 160;
    }
}

static void say_sound(struct network *n, const int16_t *pcm) {
    uint8_t payload[160];
    const struct codec_operations *codec = codec_operations(n->phone->plan.codec);
    CHECK_IS(codec->encode(NULL, pcm, 160, payload, sizeof payload), 160);
    send_over(n, n->phone->plan.payload_type, false, n->phone->source.timestamp, payload, sizeof payload);
    n->phone->source.timestamp += 160;
    pass_time(n, 20);
}

static void say_silence(struct network *n, uint32_t ms) {
    int16_t pcm[160];
    for (; ms >= 20; ms -= 20) {
        for (int i = 0; i < 160; i++)
            pcm[i] = (int16_t)((int)number_below(60) - 30); /* a line is never quite still */
        say_sound(n, pcm);
    }
}

/* Phases, levels, twist and pitch as a phone may have them (Q.24): not ours. */
static void press_tone(struct network *n, uint8_t code, uint32_t ms) {
    float low, high;
    tone_frequencies(code, &low, &high);
    double amplitude = 1500 + number_below(6000), twist = 0.7 + number_below(700) / 1000.0;
    double drift = 1 + ((double)number_below(200) - 100) / 10000;
    int16_t pcm[160];
    for (uint32_t packet = 0; packet < ms / 20; packet++) {
        for (int i = 0; i < 160; i++) {
            double at = 2 * M_PI * drift * (double)(packet * 160 + (uint32_t)i) / 8000;
            pcm[i] = (int16_t)lround(amplitude * (sin(low * at) + twist * sin(high * at)));
        }
        say_sound(n, pcm);
    }
}

/* ---- a caller who dials, and a callee to whom it is passed */

struct scene {
    struct stage *stage;
    struct room *room;
    struct phone caller, callee;
    struct network network;
    struct dictation dictation, passed;
    size_t looked; /* at emissions */
    struct telephone_event ears;
    struct detector listener;
};

static struct scene *scene_new(uint8_t caller_takes, uint8_t callee_takes, bool damaged) {
    struct scene *s = calloc(1, sizeof *s);
    CHECK(s);
    random_state = 20250101;
    s->stage = stage_new();
    s->room = band_room(s->stage, 0, ROOM_PASSES_DIGITS);
    s->caller = phone_open(s->stage, 0, CODEC_PCMU);
    s->callee = phone_open(s->stage, 1, CODEC_PCMA);
    s->caller.plan.dtmf_receive = s->caller.plan.dtmf_send = caller_takes;
    s->callee.plan.dtmf_receive = s->callee.plan.dtmf_send = callee_takes;
    stage_plan(s->stage, 0, &s->caller.plan);
    stage_plan(s->stage, 1, &s->callee.plan);
    band_join(s->stage, s->room, 0, member_of(1, 1));
    band_join(s->stage, s->room, 1, member_of(1, 1));
    s->network.stage = s->stage;
    s->network.phone = &s->caller;
    s->network.damaged = damaged;
    detector_init(&s->listener, 8000);
    return s;
}

static void scene_free(struct scene *s) {
    stage_free(s->stage);
    free(s);
}

static void note(struct dictation *d, uint8_t code) {
    if (d->hearings < sizeof d->heard)
        d->heard[d->hearings++] = code;
}

/* What the callee makes of what it is sent. */
static void listen_at_callee(struct scene *s) {
    for (; s->looked < s->stage->emissions; s->looked++) {
        const struct emitted *emitted = &s->stage->emitted[s->looked % KEPT];
        const struct rtp *rtp = &emitted->rtp;
        int16_t pcm[960];
        if (emitted->leg != 1)
            continue;
        if (rtp->payload_type == s->callee.plan.dtmf_send) {
            struct heard_event heard = telephone_event_hear(&s->ears, rtp, emitted->at);
            if (heard.report)
                note(&s->passed, heard.code);
            continue;
        }
        int samples = codec_operations(s->callee.plan.codec)->decode(NULL, rtp->payload, rtp->length, pcm, 960);
        CHECK(samples > 0);
        struct detected detected = detector_hear(&s->listener, pcm, (size_t)samples, false);
        if (detected.ended)
            note(&s->passed, detected.code);
    }
}

static void dictate(struct scene *s, uint32_t presses, bool as_tone) {
    for (uint32_t i = 0; i < presses; i++) {
        uint8_t code = (uint8_t)number_below(DTMF_CODES);
        s->dictation.pressed[s->dictation.presses++] = s->passed.pressed[s->passed.presses++] = code;
        if (as_tone)
            press_tone(&s->network, code, 100 + 20 * number_below(3));
        else
            press_event(&s->network, code);
        say_silence(&s->network, 100 + 20 * number_below(3));
        take_reports(&s->dictation, s->stage, 0);
        listen_at_callee(s);
    }
    for (int i = 0; i < 150; i++) {
        say_silence(&s->network, 20);
        listen_at_callee(s);
    }
    take_reports(&s->dictation, s->stage, 0);
    compare(&s->dictation);
    compare(&s->passed);
}

void test_ten_thousand_digits_by_events(void) {
    struct scene *s = scene_new(101, 96, true);
    dictate(s, PRESSES, false);
    scene_free(s);
}

void test_ten_thousand_digits_by_tones(void) {
    struct scene *s = scene_new(PT_NONE, 96, true);
    dictate(s, PRESSES, true);
    scene_free(s);
}

/* Who listens in presses digits for the house alone, as events or as tones. */
void test_one_that_keeps_its_digits_passes_none_on(void) {
    for (int as_tone = 0; as_tone < 2; as_tone++) {
        struct scene *s = scene_new(as_tone ? PT_NONE : 101, as_tone ? PT_NONE : 96, false);
        s->stage->core.voices[0]->membership.keeps_digits = true;
        for (uint8_t code = 0; code < DTMF_CODES; code++) {
            s->dictation.pressed[s->dictation.presses++] = code;
            if (as_tone)
                press_tone(&s->network, code, 120);
            else
                press_event(&s->network, code);
            say_silence(&s->network, 120);
            listen_at_callee(s);
        }
        for (int i = 0; i < 50; i++)
            say_silence(&s->network, 20);
        listen_at_callee(s);
        take_reports(&s->dictation, s->stage, 0);
        compare(&s->dictation);
        CHECK_IS(s->passed.hearings, 0);
        scene_free(s);
    }
}

void test_events_become_tones_where_none_are_taken(void) {
    struct scene *s = scene_new(101, PT_NONE, true);
    dictate(s, 1000, false);
    scene_free(s);
}

void test_tones_stay_tones_where_nobody_takes_events(void) {
    struct scene *s = scene_new(PT_NONE, PT_NONE, false);
    dictate(s, 300, true);
    CHECK(s->stage->core.voices[1]->digits.count == 0);
    scene_free(s);
}

static const struct event *newest_digit(const struct stage *stage) {
    for (size_t back = 1; back <= stage->reports; back++)
        if (stage->events[(stage->reports - back) % KEPT].kind == EVENT_DTMF)
            return &stage->events[(stage->reports - back) % KEPT];
    abort();
}

/* The digits of a tone are kept from the ears of a conference. */
void test_digits_stay_out_of_a_conference(void) {
    static int16_t pcm[EAR_SAMPLES];
    struct stage *stage = stage_new();
    struct room *room = band_room(stage, 0, 0);
    struct phone a = phone_open(stage, 0, CODEC_PCMU), b = phone_open(stage, 1, CODEC_PCMU);
    struct network network = {.stage = stage, .phone = &a};
    (void)b;
    random_state = 7;
    a.plan.dtmf_receive = PT_NONE;
    stage_plan(stage, 0, &a.plan);
    band_join(stage, room, 0, member_of(1, 1));
    band_join(stage, room, 1, member_of(1, 1));
    say_silence(&network, 400);
    size_t from = stage->emissions;
    press_tone(&network, 5, 1000);
    say_silence(&network, 400);
    size_t samples = ear_listen(stage, 1, from, pcm, EAR_SAMPLES), loud = 0;
    for (size_t i = 0; i < samples; i++)
        loud += abs(pcm[i]) > 200;
    CHECK(loud < 80 * 8); /* of a second's digit less than 80 ms is heard */
    CHECK_IS(stage_reported(stage, EVENT_DTMF), 1);
    CHECK_IS(newest_digit(stage)->a, 5);
    CHECK(fabs((double)newest_digit(stage)->b - 1000) < 30);
    size_t events = stage->emissions;
    a.plan.dtmf_receive = 101; /* as an event it is not passed either */
    stage_plan(stage, 0, &a.plan);
    press_event(&network, 7);
    say_silence(&network, 400);
    CHECK_IS(stage_reported(stage, EVENT_DTMF), 2);
    for (size_t i = events; i < stage->emissions; i++)
        CHECK_IS(stage->emitted[i % KEPT].rtp.payload_type, 0);
    stage_free(stage);
}

void test_a_queue_of_digits_is_bounded(void) {
    struct digits digits = {0};
    for (int i = 0; i < DIGITS_QUEUE; i++)
        CHECK(digits_say(&digits, 1, 100));
    CHECK(!digits_say(&digits, 1, 100));
    while (digits_step(&digits, true).part != DIGIT_PAUSE)
        ;
    while (digits_step(&digits, true).part == DIGIT_PAUSE)
        ;
    CHECK(digits_say(&digits, 1, 100) && digits.count == DIGITS_QUEUE);
}

/* Speech is full of pairs of tones; none may pass for a digit: here vowels of many pitches, and single tones. */
void test_what_is_no_digit(void) {
    struct detector d;
    int16_t pcm[160];
    detector_init(&d, 8000);
    for (int hertz = 80; hertz < 3800; hertz += 7) {
        for (int packet = 0; packet < 10; packet++) {
            for (int i = 0; i < 160; i++) {
                double at = 2 * M_PI * hertz * (packet * 160 + i) / 8000.0, sum = 0;
                for (int harmonic = 1; harmonic <= 8 && harmonic * hertz < 3900; harmonic++)
                    sum += sin(harmonic * at) / harmonic;
                pcm[i] = (int16_t)lround(6000 * sum);
            }
            CHECK(!detector_hear(&d, pcm, 160, false).ended);
        }
    }
    CHECK(!detector_on(&d));
}

void test_a_long_press_is_one_digit(void) {
    struct telephone_event event = {0};
    uint8_t payload[4] = {3, 10};
    struct rtp rtp = {.payload = payload, .length = 4, .timestamp = 1000, .ssrc = 9};
    uint32_t reports = 0, duration = 0;
    uint64_t now = SECOND;
    for (uint32_t total = 160; total <= 100000; total += 160, now += 20 * MS) {
        rtp.timestamp = 1000 + total / 65535 * 65535;
        write16(payload + 2, (uint16_t)(total % 65535));
        if (total > 65535 && total - 160 <= 65535) { /* the last packet of a segment is full (§2.5.1.3) */
            struct rtp full = rtp;
            full.timestamp = 1000;
            write16(payload + 2, 65535);
            reports += telephone_event_hear(&event, &full, now).report;
            write16(payload + 2, (uint16_t)(total % 65535));
        }
        payload[1] = total + 160 > 100000 ? 0x8a : 10;
        struct heard_event heard = telephone_event_hear(&event, &rtp, now);
        reports += heard.report;
        duration = heard.report ? heard.duration : duration;
    }
    CHECK_IS(reports, 1);
    CHECK(duration > 99000 && duration <= 100000);
}

/* The third packet of its end comes when the next digit is over. */
void test_a_straggler_of_a_digit(void) {
    struct telephone_event event = {0};
    uint8_t first[4] = {1, 0x8a, 1, 0x40}, second[4] = {2, 0x8a, 1, 0x40};
    struct rtp one = {.payload = first, .length = 4, .timestamp = 1000, .ssrc = 9};
    struct rtp two = {.payload = second, .length = 4, .timestamp = 2000, .ssrc = 9};
    CHECK(telephone_event_hear(&event, &one, SECOND).report);
    CHECK(telephone_event_hear(&event, &two, SECOND + 120 * MS).report);
    CHECK(!telephone_event_hear(&event, &one, SECOND + 130 * MS).report);
    CHECK(!telephone_event_hear(&event, &two, SECOND + 140 * MS).report);
    two.ssrc = 10; /* another source counts otherwise */
    two.timestamp = 500;
    CHECK(telephone_event_hear(&event, &two, SECOND + 150 * MS).report);
}
