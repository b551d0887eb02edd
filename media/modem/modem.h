/* What Python sees of libspandsp: fax channels that step on samples, T.38 packets and nothing else. No function here calls
 * back; what happened is collected as plain events. A channel belongs to one thread at a time. */
#ifndef PBXD_MODEM_H
#define PBXD_MODEM_H

#include <stdint.h>

struct fax;

/* AUDIO: T.30 over samples. T38: T.30 over IFP packets. GATEWAY: T.38 on one side, samples on the other. */
enum fax_kind { FAX_AUDIO, FAX_T38, FAX_GATEWAY };

enum { FAX_EVENT_DATA = 32, FAX_EVENTS_MAX = 256, FAX_SENT_MAX = 32768 };

struct fax_settings {
    uint8_t kind, calling, ecm, version; /* version: of T.38, 0 to 3 */
    uint8_t local_tcf;                   /* T38FaxRateManagement:localTCF */
    uint8_t fill_bit_removal;
    uint16_t max_datagram;               /* that the far end takes; 0: not said */
    uint32_t modems, compressions, resolutions; /* T30_SUPPORT_* */
    int32_t first_page;                  /* of `send_file` */
    char ident[21], header[51];
    char send_file[1024], receive_file[1024]; /* TIFF; empty: none */
};

/* FRAME: a T.30 frame, `a` is 1 when we sent it. PAGE: spandsp's phase D, `a` is the frame's code. ENDED: `a` is T30_ERR_*. */
enum fax_event_kind { FAX_EVENT_FRAME, FAX_EVENT_PAGE, FAX_EVENT_ENDED };

struct fax_event {
    uint64_t at; /* samples since the channel began */
    uint32_t kind, a, length;
    uint8_t data[32];
};

struct fax_statistics {
    uint32_t bit_rate, ecm, pages_sent, pages_received, pages_in_file, y_resolution, width, length, bad_rows, ecm_retries,
        encoding;
};

/* One step of one channel. What was heard may be shorter than `samples`; what is said is always as long. `packets` are
 * records of sequence number, length (both 16 bits, native) and the IFP packet; `sent` are records of count, length and
 * the packet, valid until the next step. */
struct fax_turn {
    struct fax *fax;
    const int16_t *heard;
    int16_t *said; /* NULL for T38 */
    const uint8_t *packets;
    const uint8_t *sent;
    uint32_t heard_samples, samples, packets_length, sent_length, events;
};

struct fax *modem_new(const struct fax_settings *settings); /* NULL: no memory */
void modem_free(struct fax *fax);
void modem_step(struct fax_turn *turns, uint32_t count);
void modem_terminate(struct fax *fax); /* the call is over: what is open is finished, ENDED is among the events */
uint32_t modem_events(const struct fax *fax, const struct fax_event **events); /* since the last step began */
uint32_t modem_lost_events(const struct fax *fax);
void modem_statistics(struct fax *fax, struct fax_statistics *statistics);
const char *modem_ident(struct fax *fax); /* of the far end; NULL: it has not said */
const char *modem_completion(uint32_t code);

/* ---- tones before a fax */

struct modem_ear;
enum fax_tone { FAX_TONE_CNG = 1, FAX_TONE_CED = 2 }; /* CED, or the V.21 preamble that stands for it */

struct modem_ear *modem_ear_new(void);
void modem_ear_free(struct modem_ear *ear);
uint32_t modem_ear_hear(struct modem_ear *ear, const int16_t *samples, uint32_t count); /* those found by now */

#endif
