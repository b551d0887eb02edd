#include "modem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#define SPANDSP_EXPOSE_INTERNAL_STRUCTURES 0
#include <spandsp.h>

enum { STATE_FRAME = 2 }; /* address, control, then the code of the frame (T.30 §5.3) */

struct fax {
    enum fax_kind kind;
    bool ended;
    uint64_t at;
    fax_state_t *audio;
    t38_terminal_state_t *terminal;
    t38_gateway_state_t *gateway;
    t30_state_t *t30; /* NULL in a gateway */
    t38_core_state_t *core;
    uint32_t event_count, lost_events, sent_length;
    struct fax_event events[FAX_EVENTS_MAX];
    uint8_t sent[FAX_SENT_MAX];
};

/* ---- what libspandsp tells */

static void tell(struct fax *fax, enum fax_event_kind kind, uint32_t a, const uint8_t *data, int length) {
    if (fax->event_count == FAX_EVENTS_MAX) {
        fax->lost_events++;
        return;
    }
    struct fax_event *event = &fax->events[fax->event_count++];
    *event = (struct fax_event){.at = fax->at, .kind = kind, .a = a};
    if (length > 0) {
        event->length = length < FAX_EVENT_DATA ? (uint32_t)length : FAX_EVENT_DATA;
        memcpy(event->data, data, event->length);
    }
}

static void on_frame(struct fax *fax, int incoming, const uint8_t *message, int length) {
    if (length <= STATE_FRAME || message[STATE_FRAME] == T4_FCD || message[STATE_FRAME] == T4_RCP)
        return; /* the page itself */
    tell(fax, FAX_EVENT_FRAME, !incoming, message, length);
}

static void on_t30_frame(t30_state_t *t30, void *user, int incoming, const uint8_t message[], int length) {
    (void)t30;
    on_frame(user, incoming, message, length);
}

static void on_gateway_frame(t38_gateway_state_t *gateway, void *user, int incoming, const uint8_t *message,
                             int length) {
    (void)gateway;
    on_frame(user, incoming, message, length);
}

static int on_phase_d(t30_state_t *t30, void *user, int result) {
    (void)t30;
    tell(user, FAX_EVENT_PAGE, (uint32_t)result, NULL, 0);
    return T30_ERR_OK;
}

static void on_phase_e(t30_state_t *t30, void *user, int code) {
    struct fax *fax = user;
    (void)t30;
    if (fax->ended)
        return;
    fax->ended = true;
    tell(fax, FAX_EVENT_ENDED, (uint32_t)code, NULL, 0);
}

static int on_packet(t38_core_state_t *core, void *user, const uint8_t *packet, int length, int count) {
    struct fax *fax = user;
    uint16_t head[2] = {(uint16_t)count, (uint16_t)length};
    (void)core;
    if (fax->sent_length + sizeof head + (uint32_t)length > FAX_SENT_MAX)
        return -1;
    memcpy(fax->sent + fax->sent_length, head, sizeof head);
    memcpy(fax->sent + fax->sent_length + sizeof head, packet, (size_t)length);
    fax->sent_length += (uint32_t)sizeof head + (uint32_t)length;
    return 0;
}

/* ---- life */

static void set_up_t30(struct fax *fax, const struct fax_settings *settings) {
    t30_state_t *t30 = fax->t30;
    t30_set_tx_ident(t30, settings->ident);
    if (settings->header[0])
        t30_set_tx_page_header_info(t30, settings->header);
    t30_set_supported_modems(t30, (int)settings->modems);
    t30_set_supported_compressions(t30, (int)settings->compressions);
    t30_set_supported_resolutions(t30, (int)settings->resolutions);
    t30_set_supported_image_sizes(t30, T30_SUPPORT_215MM_WIDTH | T30_SUPPORT_US_LETTER_LENGTH |
                                           T30_SUPPORT_US_LEGAL_LENGTH | T30_SUPPORT_UNLIMITED_LENGTH);
    t30_set_ecm_capability(t30, settings->ecm);
    t30_set_phase_d_handler(t30, on_phase_d, fax);
    t30_set_phase_e_handler(t30, on_phase_e, fax);
    t30_set_real_time_frame_handler(t30, on_t30_frame, fax);
    if (settings->send_file[0])
        t30_set_tx_file(t30, settings->send_file, settings->first_page, -1);
    if (settings->receive_file[0])
        t30_set_rx_file(t30, settings->receive_file, -1);
}

static void set_up_t38(struct fax *fax, const struct fax_settings *settings) {
    t38_set_t38_version(fax->core, settings->version);
    t38_set_data_rate_management_method(fax->core, settings->local_tcf ? T38_DATA_RATE_MANAGEMENT_LOCAL_TCF
                                                                       : T38_DATA_RATE_MANAGEMENT_TRANSFERRED_TCF);
    t38_set_fill_bit_removal(fax->core, settings->fill_bit_removal);
    if (settings->max_datagram)
        t38_set_max_datagram_size(fax->core, settings->max_datagram);
    for (int category = T38_PACKET_CATEGORY_INDICATOR; category <= T38_PACKET_CATEGORY_IMAGE_DATA_END; category++)
        t38_set_redundancy_control(fax->core, category, 1); /* UDPTL repeats */
}

static bool begin(struct fax *fax, const struct fax_settings *settings) {
    switch (fax->kind) {
    case FAX_AUDIO:
        if (!(fax->audio = fax_init(NULL, settings->calling)))
            return false;
        fax_set_transmit_on_idle(fax->audio, true);
        fax->t30 = fax_get_t30_state(fax->audio);
        break;
    case FAX_T38:
        if (!(fax->terminal = t38_terminal_init(NULL, settings->calling, on_packet, fax)))
            return false;
        fax->t30 = t38_terminal_get_t30_state(fax->terminal);
        fax->core = t38_terminal_get_t38_core_state(fax->terminal);
        break;
    case FAX_GATEWAY:
        if (!(fax->gateway = t38_gateway_init(NULL, on_packet, fax)))
            return false;
        t38_gateway_set_transmit_on_idle(fax->gateway, true);
        t38_gateway_set_ecm_capability(fax->gateway, settings->ecm);
        t38_gateway_set_supported_modems(fax->gateway, (int)settings->modems);
        t38_gateway_set_real_time_frame_handler(fax->gateway, on_gateway_frame, fax);
        fax->core = t38_gateway_get_t38_core_state(fax->gateway);
        break;
    default:
        return false;
    }
    return true;
}

static void be_quiet(const char *module, const char *format, va_list values) {
    (void)module, (void)format, (void)values;
}

struct fax *modem_new(const struct fax_settings *settings) {
    struct fax *fax = calloc(1, sizeof *fax);
    if (!fax)
        return NULL;
    fax->kind = settings->kind;
    TIFFSetWarningHandler(be_quiet);
    TIFFSetErrorHandler(be_quiet);
    if (!begin(fax, settings)) {
        free(fax);
        return NULL;
    }
    if (fax->t30)
        set_up_t30(fax, settings);
    if (fax->core)
        set_up_t38(fax, settings);
    return fax;
}

void modem_terminate(struct fax *fax) {
    if (fax->t30 && !fax->ended)
        t30_terminate(fax->t30);
}

void modem_free(struct fax *fax) {
    if (!fax)
        return;
    modem_terminate(fax);
    if (fax->audio)
        fax_free(fax->audio);
    if (fax->terminal)
        t38_terminal_free(fax->terminal);
    if (fax->gateway)
        t38_gateway_free(fax->gateway);
    free(fax);
}

/* ---- time */

static void take_packets(struct fax *fax, const uint8_t *packets, uint32_t length) {
    uint16_t head[2];
    while (length >= sizeof head) {
        memcpy(head, packets, sizeof head);
        packets += sizeof head;
        length -= (uint32_t)sizeof head;
        if (head[1] > length)
            return;
        t38_core_rx_ifp_packet(fax->core, packets, head[1], head[0]);
        packets += head[1];
        length -= head[1];
    }
}

static void hear(struct fax *fax, const int16_t *samples, uint32_t count) {
    int16_t copy[160]; /* libspandsp takes samples that it may change */
    while (count) {
        uint32_t part = count < 160 ? count : 160;
        memcpy(copy, samples, part * sizeof *copy);
        if (fax->audio)
            fax_rx(fax->audio, copy, (int)part);
        else if (fax->gateway)
            t38_gateway_rx(fax->gateway, copy, (int)part);
        samples += part;
        count -= part;
    }
}

static void say(struct fax *fax, int16_t *samples, uint32_t count) {
    int said = 0;
    if (fax->audio)
        said = fax_tx(fax->audio, samples, (int)count);
    else if (fax->gateway)
        said = t38_gateway_tx(fax->gateway, samples, (int)count);
    if (said < 0)
        said = 0;
    memset(samples + said, 0, (count - (uint32_t)said) * sizeof *samples);
}

static void step(struct fax_turn *turn) {
    struct fax *fax = turn->fax;
    fax->event_count = fax->sent_length = 0;
    if (fax->core && turn->packets_length)
        take_packets(fax, turn->packets, turn->packets_length);
    if (turn->heard_samples)
        hear(fax, turn->heard, turn->heard_samples);
    if (turn->said)
        say(fax, turn->said, turn->samples);
    if (fax->terminal)
        t38_terminal_send_timeout(fax->terminal, (int)turn->samples);
    fax->at += turn->samples;
    turn->sent = fax->sent;
    turn->sent_length = fax->sent_length;
    turn->events = fax->event_count;
}

void modem_step(struct fax_turn *turns, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        step(&turns[i]);
}

/* ---- what is to be known */

uint32_t modem_events(const struct fax *fax, const struct fax_event **events) {
    *events = fax->events;
    return fax->event_count;
}

uint32_t modem_lost_events(const struct fax *fax) {
    return fax->lost_events;
}

void modem_statistics(struct fax *fax, struct fax_statistics *out) {
    *out = (struct fax_statistics){0};
    if (fax->gateway) {
        t38_stats_t found;
        t38_gateway_get_transfer_statistics(fax->gateway, &found);
        *out = (struct fax_statistics){.bit_rate = (uint32_t)found.bit_rate,
                                       .ecm = found.error_correcting_mode != 0,
                                       .pages_sent = (uint32_t)found.pages_transferred};
        return;
    }
    t30_stats_t found;
    t30_get_transfer_statistics(fax->t30, &found);
    *out = (struct fax_statistics){
        .bit_rate = (uint32_t)found.bit_rate,
        .ecm = found.error_correcting_mode != 0,
        .pages_sent = (uint32_t)found.pages_tx,
        .pages_received = (uint32_t)found.pages_rx,
        .pages_in_file = found.pages_in_file > 0 ? (uint32_t)found.pages_in_file : 0,
        .y_resolution = (uint32_t)found.y_resolution,
        .width = (uint32_t)found.width,
        .length = (uint32_t)found.length,
        .bad_rows = (uint32_t)found.bad_rows,
        .ecm_retries = (uint32_t)found.error_correcting_mode_retries,
        .encoding = (uint32_t)found.encoding,
    };
}

const char *modem_ident(struct fax *fax) {
    return fax->t30 ? t30_get_rx_ident(fax->t30) : NULL;
}

const char *modem_completion(uint32_t code) {
    return t30_completion_code_to_str((int)code);
}

/* ---- tones before a fax */

struct modem_ear {
    modem_connect_tones_rx_state_t *cng, *ced;
    uint32_t found;
};

struct modem_ear *modem_ear_new(void) {
    struct modem_ear *ear = calloc(1, sizeof *ear);
    if (!ear)
        return NULL;
    ear->cng = modem_connect_tones_rx_init(NULL, MODEM_CONNECT_TONES_FAX_CNG, NULL, NULL);
    ear->ced = modem_connect_tones_rx_init(NULL, MODEM_CONNECT_TONES_FAX_CED_OR_PREAMBLE, NULL, NULL);
    if (ear->cng && ear->ced)
        return ear;
    modem_ear_free(ear);
    return NULL;
}

void modem_ear_free(struct modem_ear *ear) {
    if (!ear)
        return;
    if (ear->cng)
        modem_connect_tones_rx_free(ear->cng);
    if (ear->ced)
        modem_connect_tones_rx_free(ear->ced);
    free(ear);
}

uint32_t modem_ear_hear(struct modem_ear *ear, const int16_t *samples, uint32_t count) {
    modem_connect_tones_rx(ear->cng, samples, (int)count);
    modem_connect_tones_rx(ear->ced, samples, (int)count);
    if (modem_connect_tones_rx_get(ear->cng) != MODEM_CONNECT_TONES_NONE)
        ear->found |= FAX_TONE_CNG;
    if (modem_connect_tones_rx_get(ear->ced) != MODEM_CONNECT_TONES_NONE)
        ear->found |= FAX_TONE_CED;
    return ear->found;
}
