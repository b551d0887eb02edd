/* The codecs: what every one promises, and each against vectors or by ear. */
#include <math.h>
#include <opus/opus.h>

#include "codec.h"
#include "g711.h"
#include "sounds.h"
#include "tests.h"

static const struct codec_settings settings = {.bitrate = 24000, .complexity = 5, .fec = 1, .expected_loss = 10};

static void *new_decoder(const struct codec_operations *codec) {
    void *state = malloc(codec->decoder_size ? codec->decoder_size : 1);
    if (codec->decoder_init)
        codec->decoder_init(state);
    return state;
}

static void *new_encoder(const struct codec_operations *codec, const struct codec_settings *how) {
    void *state = malloc(codec->encoder_size ? codec->encoder_size : 1);
    if (codec->encoder_init)
        codec->encoder_init(state, how);
    return state;
}

void test_every_codec_has_its_place(void) {
    static const struct {
        const char *name;
        uint32_t clock, rate;
    } wanted[CODEC_COUNT] = {{"PCMU", 8000, 8000},   {"PCMA", 8000, 8000}, {"G722", 8000, 16000},
                             {"opus", 48000, 16000}, {"L16", 8000, 8000},  {"L16", 16000, 16000}};
    for (unsigned codec = 0; codec < CODEC_COUNT; codec++) {
        const struct codec_operations *operations = codec_operations((enum codec)codec);
        CHECK(strcmp(operations->name, wanted[codec].name) == 0);
        CHECK_IS(operations->clock, wanted[codec].clock);
        CHECK_IS(operations->rate, wanted[codec].rate);
        CHECK_IS(operations->decoder_size > 0, operations->decoder_init != NULL);
        CHECK_IS(operations->encoder_size > 0, operations->encoder_init != NULL);
        CHECK_IS(codec_cuttable((enum codec)codec), codec <= CODEC_G722);
    }
}

void test_each_codec_takes_every_packet_time(void) {
    static const unsigned times[] = {10, 20, 40, 60};
    int16_t pcm[CODEC_SAMPLES_MAX], heard[CODEC_SAMPLES_MAX];
    uint8_t payload[2 * CODEC_SAMPLES_MAX];
    for (unsigned codec = 0; codec < CODEC_COUNT; codec++) {
        const struct codec_operations *operations = codec_operations((enum codec)codec);
        void *encoder = new_encoder(operations, &settings), *decoder = new_decoder(operations);
        for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
            size_t samples = operations->rate / 1000 * times[i];
            sounds_tone(pcm, samples, operations->rate, 440, 8000, 0);
            int length = operations->encode(encoder, pcm, samples, payload, sizeof payload);
            CHECK(length > 0);
            CHECK_IS(operations->samples(payload, (size_t)length), samples);
            CHECK_IS(codec_ticks((enum codec)codec, payload, (size_t)length), operations->clock / 1000 * times[i]);
            CHECK_IS(operations->decode(decoder, payload, (size_t)length, heard, CODEC_SAMPLES_MAX), samples);
        }
        free(encoder);
        free(decoder);
    }
}

void test_payloads_of_the_wrong_size(void) {
    int16_t pcm[320] = {0};
    uint8_t payload[640] = {0};
    for (unsigned codec = 0; codec < CODEC_COUNT; codec++) {
        const struct codec_operations *operations = codec_operations((enum codec)codec);
        void *encoder = new_encoder(operations, &settings), *decoder = new_decoder(operations);
        CHECK_IS(operations->samples(payload, 0), -1);
        CHECK_IS(codec_ticks((enum codec)codec, payload, 0), 0);
        CHECK_IS(operations->decode(decoder, payload, 0, pcm, 320), -1);
        CHECK_IS(operations->decode(decoder, payload, sizeof payload, pcm, 100), -1); /* more than there is room for */
        if (codec != CODEC_OPUS)
            CHECK_IS(operations->encode(encoder, pcm, 320, payload, 100), -1);
        else
            CHECK_IS(operations->encode(encoder, pcm, 300, payload, sizeof payload), -1); /* no Opus frame */
        free(encoder);
        free(decoder);
    }
    CHECK_IS(codec_operations(CODEC_L16)->samples(payload, 5), -1);
    CHECK_IS(codec_operations(CODEC_G722)->encode(NULL, pcm, 319, payload, 640), -1);
}

void test_g711_as_a_codec(void) {
    uint8_t codes[256], again[256];
    int16_t pcm[256];
    for (int code = 0; code < 256; code++)
        codes[code] = (uint8_t)code;
    for (unsigned law = 0; law <= CODEC_PCMA; law++) {
        const struct codec_operations *operations = codec_operations((enum codec)law);
        CHECK_IS(operations->decode(NULL, codes, 256, pcm, 256), 256);
        CHECK_IS(operations->encode(NULL, pcm, 256, again, 256), 256);
        for (int code = 0; code < 256; code++) {
            CHECK_IS(pcm[code], g711_decode((enum codec)law, (uint8_t)code));
            CHECK_IS(again[code], law == CODEC_PCMU && code == 0x7f ? 0xff : code); /* µ-law has two zeros */
        }
    }
}

void test_l16_is_the_sound_itself(void) {
    static const int16_t sound[] = {0, 1, -1, 258, 32767, -32768};
    static const uint8_t wire[] = {0, 0, 0, 1, 0xff, 0xff, 1, 2, 0x7f, 0xff, 0x80, 0};
    uint8_t payload[sizeof wire];
    int16_t pcm[6];
    const struct codec_operations *operations = codec_operations(CODEC_L16_WIDE);
    CHECK_IS(operations->encode(NULL, sound, 6, payload, sizeof payload), sizeof wire);
    CHECK_IS(memcmp(payload, wire, sizeof wire), 0);
    CHECK_IS(operations->decode(NULL, wire, sizeof wire, pcm, 6), 6);
    CHECK_IS(memcmp(pcm, sound, sizeof sound), 0);
}

/* ---- G.722: the vectors are what two other implementations made of the same two seconds */

enum { G722_SAMPLES = 32000 };

static void load(const char *name, void *to, size_t size) {
    char path[512];
    snprintf(path, sizeof path, VECTORS "/%s", name);
    FILE *file = fopen(path, "rb");
    CHECK(file && fread(to, 1, size, file) == size);
    fclose(file);
}

void test_g722_against_the_vectors(void) {
    static int16_t sound[G722_SAMPLES], wanted[G722_SAMPLES], heard[G722_SAMPLES];
    static uint8_t octets[G722_SAMPLES / 2], made[G722_SAMPLES / 2];
    const struct codec_operations *g722 = codec_operations(CODEC_G722);
    void *encoder = new_encoder(g722, &settings), *decoder = new_decoder(g722);
    load("g722-sound.s16", sound, sizeof sound);
    load("g722-octets.bin", octets, sizeof octets);
    load("g722-decoded.s16", wanted, sizeof wanted);
    CHECK_IS(g722->encode(encoder, sound, G722_SAMPLES, made, sizeof made), sizeof made);
    for (size_t i = 0; i < sizeof made; i++)
        CHECK_IS(made[i], octets[i]);
    CHECK_IS(g722->decode(decoder, octets, sizeof octets, heard, G722_SAMPLES), G722_SAMPLES);
    for (size_t i = 0; i < G722_SAMPLES; i++)
        CHECK_IS(heard[i], wanted[i]);
    free(encoder);
    free(decoder);
}

void test_g722_in_pieces_is_the_same(void) {
    int16_t sound[960], whole[960], pieces[960];
    uint8_t octets[480], parts[480];
    const struct codec_operations *g722 = codec_operations(CODEC_G722);
    void *one = new_encoder(g722, &settings), *other = new_encoder(g722, &settings);
    void *reader = new_decoder(g722), *another = new_decoder(g722);
    sounds_tone(sound, 960, WIDE_RATE, 3000, 12000, 0);
    CHECK_IS(g722->encode(one, sound, 960, octets, 480), 480);
    CHECK_IS(g722->decode(reader, octets, 480, whole, 960), 960);
    for (size_t at = 0; at < 960; at += 2 * 48) {
        CHECK_IS(g722->encode(other, sound + at, 96, parts + at / 2, 48), 48);
        CHECK_IS(g722->decode(another, parts + at / 2, 48, pieces + at, 96), 96);
    }
    CHECK_IS(memcmp(octets, parts, sizeof octets), 0);
    CHECK_IS(memcmp(whole, pieces, sizeof whole), 0);
    free(one), free(other), free(reader), free(another);
}

/* How far the packet behind a gap of 20 ms is from what it should be, once its first samples are over, and what is there:
 * energies. `told`: the decoder hears the truth about the gap. */
static void after_gap(const int16_t *whole, const uint8_t *octets, size_t lost, bool told, double *off, double *all) {
    const struct codec_operations *g722 = codec_operations(CODEC_G722);
    static int16_t heard[G722_SAMPLES];
    void *decoder = new_decoder(g722);
    CHECK_IS(g722->decode(decoder, octets, lost / 2, heard, G722_SAMPLES), lost);
    if (told)
        g722->follow(decoder, whole + lost, 320);
    CHECK_IS(g722->decode(decoder, octets + lost / 2 + 160, 160, heard, 320), 320);
    for (size_t i = CODEC_FOLLOW; i < 320; i++) {
        double right = whole[lost + 320 + i], wrong = heard[i] - right;
        *off += wrong * wrong;
        *all += right * right;
    }
    free(decoder);
}

void test_g722_goes_on_after_a_gap(void) {
    static int16_t whole[G722_SAMPLES];
    static uint8_t octets[G722_SAMPLES / 2];
    double told = 0, untold = 0, all = 0, same = 0;
    load("g722-octets.bin", octets, sizeof octets);
    load("g722-decoded.s16", whole, sizeof whole);
    for (size_t lost = 1600; lost + 960 < G722_SAMPLES; lost += 1600) {
        after_gap(whole, octets, lost, true, &told, &all);
        after_gap(whole, octets, lost, false, &untold, &same);
    }
    CHECK(untold > all / 10);
    CHECK(told < all / 100);
}

void test_g722_of_rubbish(void) { /* whatever comes, the arithmetic stays in its bounds: the sanitizer listens */
    uint8_t octets[160];
    int16_t pcm[320];
    const struct codec_operations *g722 = codec_operations(CODEC_G722);
    void *decoder = new_decoder(g722), *encoder = new_encoder(g722, &settings);
    uint32_t random = 1;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof octets; i++)
            octets[i] = round < 1000 ? (uint8_t)((random = random * 1664525 + 1013904223) >> 24) : round % 256;
        CHECK_IS(g722->decode(decoder, octets, sizeof octets, pcm, 320), 320);
        for (size_t i = 0; i < 320; i++)
            pcm[i] = (i / (1 + (size_t)round % 40)) % 2 ? 32767 : -32768;
        CHECK_IS(g722->encode(encoder, pcm, 320, octets, sizeof octets), 160);
    }
    free(decoder);
    free(encoder);
}

/* ---- Opus */

void test_opus_is_heard(void) {
    const struct codec_operations *opus = codec_operations(CODEC_OPUS);
    void *encoder = new_encoder(opus, &settings), *decoder = new_decoder(opus);
    int16_t pcm[320], heard[50 * 320];
    uint8_t payload[400];
    size_t octets = 0;
    for (size_t frame = 0; frame < 50; frame++) {
        sounds_tone(pcm, 320, WIDE_RATE, 1000, 8000, frame * 320);
        int length = opus->encode(encoder, pcm, 320, payload, sizeof payload);
        CHECK(length > 2);
        octets += (size_t)length;
        CHECK_IS(opus->decode(decoder, payload, (size_t)length, heard + frame * 320, 320), 320);
    }
    CHECK(octets < 24000 / 8 * 3 / 2); /* a second, about at the bit rate that was asked for */
    double amplitude = sounds_amplitude(heard + 8000, 8000, WIDE_RATE, 1000);
    CHECK(amplitude > 7000 && amplitude < 9000);
    free(encoder);
    free(decoder);
}

void test_opus_says_nothing_in_silence(void) {
    struct codec_settings quiet = settings;
    quiet.dtx = 1;
    const struct codec_operations *opus = codec_operations(CODEC_OPUS);
    void *encoder = new_encoder(opus, &quiet);
    int16_t pcm[320] = {0};
    uint8_t payload[400];
    int sent = 0;
    for (int frame = 0; frame < 200; frame++) {
        int length = opus->encode(encoder, pcm, 320, payload, sizeof payload);
        CHECK(length >= 0);
        sent += length > 0;
    }
    CHECK(sent > 0 && sent < 40); /* the beginning, and a sign of life twice and a half a second */
    free(encoder);
}

/* A tone whose packet is lost: its level at 1 kHz tells what was put in its place. */
static double after_loss(bool with_next, uint8_t expected_loss) {
    const struct codec_operations *opus = codec_operations(CODEC_OPUS);
    struct codec_settings careful = settings;
    careful.expected_loss = 0;
    void *encoder = new_encoder(opus, &careful), *decoder = new_decoder(opus);
    opus->encoder_adapt(encoder, expected_loss);
    int16_t pcm[320], heard[320];
    uint8_t payload[10][400];
    int length[10];
    for (size_t frame = 0; frame < 10; frame++) { /* a quiet low voice, but for one packet */
        sounds_tone(pcm, 320, WIDE_RATE, frame == 7 ? 1000 : 200, frame == 7 ? 9000 : 4000, frame * 320);
        length[frame] = opus->encode(encoder, pcm, 320, payload[frame], sizeof *payload);
        CHECK(length[frame] > 2);
    }
    for (size_t frame = 0; frame < 7; frame++)
        CHECK_IS(opus->decode(decoder, payload[frame], (size_t)length[frame], heard, 320), 320);
    CHECK_IS(opus->conceal(decoder, with_next ? payload[8] : NULL, with_next ? (size_t)length[8] : 0, heard, 320), 320);
    double amplitude = sounds_amplitude(heard, 320, WIDE_RATE, 1000);
    CHECK_IS(opus->decode(decoder, payload[8], (size_t)length[8], heard, 320), 320);
    free(encoder);
    free(decoder);
    return amplitude;
}

void test_opus_finds_what_was_lost_in_the_next_packet(void) {
    CHECK(after_loss(true, 30) > 4000);
    CHECK(after_loss(false, 30) < 2000);
    CHECK(after_loss(true, 0) < 2000); /* a way that loses nothing is not burdened */
}

void test_opus_of_another_clock_and_two_channels(void) {
    int error;
    OpusEncoder *stereo = opus_encoder_create(48000, 2, OPUS_APPLICATION_AUDIO, &error);
    const struct codec_operations *opus = codec_operations(CODEC_OPUS);
    void *decoder = new_decoder(opus);
    static int16_t mono[960], both[1920], heard[25 * 320];
    uint8_t payload[1275];
    CHECK(stereo && error == OPUS_OK);
    for (size_t frame = 0; frame < 25; frame++) { /* on the left only */
        sounds_tone(mono, 960, 48000, 800, 12000, frame * 960);
        for (size_t i = 0; i < 960; i++)
            both[2 * i] = mono[i], both[2 * i + 1] = 0;
        int length = opus_encode(stereo, both, 960, payload, sizeof payload);
        CHECK(length > 2);
        CHECK_IS(codec_ticks(CODEC_OPUS, payload, (size_t)length), 960);
        CHECK_IS(opus->decode(decoder, payload, (size_t)length, heard + frame * 320, 320), 320);
    }
    double amplitude = sounds_amplitude(heard + 4000, 4000, WIDE_RATE, 800);
    CHECK(amplitude > 4500 && amplitude < 7500); /* half of it: the mean of both */
    opus_encoder_destroy(stereo);
    free(decoder);
}

void test_opus_of_rubbish(void) {
    const struct codec_operations *opus = codec_operations(CODEC_OPUS);
    void *decoder = new_decoder(opus);
    int16_t pcm[CODEC_SAMPLES_MAX];
    uint32_t random = 7;
    for (size_t round = 0; round < 3000; round++) {
        uint8_t payload[64];
        size_t length = 1 + round % sizeof payload;
        for (size_t i = 0; i < length; i++)
            payload[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
        int said = opus->samples(payload, length);
        int made = opus->decode(decoder, payload, length, pcm, CODEC_SAMPLES_MAX);
        CHECK(made == -1 || made == said);
        CHECK(made <= CODEC_SAMPLES_MAX);
    }
    CHECK_IS(opus->conceal(decoder, (const uint8_t *)"\xff", 1, pcm, 320), 320); /* malformed: as if it were not there */
    free(decoder);
}
