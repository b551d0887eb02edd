#define _GNU_SOURCE
#include "srtp.h"

#include <pthread.h>
#include <srtp2/srtp.h>
#include <stdlib.h>
#include <string.h>

#include "rtp.h"

enum { REPLAY_WINDOW = 128, RTCP_HEADER = 8, RTCP_INDEX = 4 };

static pthread_once_t begun = PTHREAD_ONCE_INIT;
static bool usable;

static void begin(void) { /* of the library: it tests its ciphers. At the first key, so that a house without pays nothing */
    usable = srtp_init() == srtp_err_status_ok;
}

size_t srtp_key_length(enum srtp_suite suite) {
    switch (suite) {
    case SRTP_AES_CM_128_HMAC_SHA1_80:
    case SRTP_AES_CM_128_HMAC_SHA1_32:
        return 16 + 14;
    case SRTP_AES_256_CM_HMAC_SHA1_80:
        return 32 + 14;
    case SRTP_AEAD_AES_128_GCM:
        return 16 + 12;
    default:
        return 0;
    }
}

static size_t tag_length(uint8_t suite, bool control) {
    switch (suite) {
    case SRTP_AES_CM_128_HMAC_SHA1_32:
        return control ? 10 : 4; /* RFC 4568 §6.2.2: SRTCP keeps 80 bits */
    case SRTP_AEAD_AES_128_GCM:
        return 16;
    default:
        return 10;
    }
}

static void choose_suite(srtp_policy_t *policy, uint8_t suite) {
    switch (suite) {
    case SRTP_AES_CM_128_HMAC_SHA1_80:
        srtp_crypto_policy_set_rtp_default(&policy->rtp);
        srtp_crypto_policy_set_rtcp_default(&policy->rtcp);
        break;
    case SRTP_AES_CM_128_HMAC_SHA1_32:
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy->rtp);
        srtp_crypto_policy_set_rtcp_default(&policy->rtcp);
        break;
    case SRTP_AES_256_CM_HMAC_SHA1_80:
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy->rtp);
        srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy->rtcp);
        break;
    default:
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtcp);
    }
}

/* ---- a way's life */

static bool furnish(struct srtp_way *way, struct srtp_key *key, bool sends, uint32_t ssrc) {
    srtp_master_key_t master = {.key = key->octets, .mki_id = key->mki, .mki_size = key->mki_length};
    srtp_master_key_t *masters[] = {&master};
    srtp_policy_t policy = {.window_size = REPLAY_WINDOW};
    choose_suite(&policy, key->suite);
    if (key->mki_length) {
        policy.keys = masters;
        policy.num_master_keys = 1;
    } else {
        policy.key = key->octets;
    }
    policy.ssrc.type = sends ? ssrc_specific : ssrc_any_inbound;
    policy.ssrc.value = sends ? ssrc : 0;
    if (srtp_create(&way->context, &policy) != srtp_err_status_ok)
        return false;
    if (sends || ssrc)
        way->sources[way->source_count++] = ssrc;
    if (sends || !ssrc)
        return true;
    policy.ssrc.type = ssrc_specific;
    policy.ssrc.value = ssrc;
    return srtp_add_stream(way->context, &policy) == srtp_err_status_ok;
}

struct srtp_way *srtp_way_new(const struct srtp_key *key, bool sends, uint32_t ssrc) {
    pthread_once(&begun, begin);
    if (!usable || !srtp_key_length((enum srtp_suite)key->suite) || key->mki_length > SRTP_MKI_MAX)
        return NULL;
    struct srtp_way *way = calloc(1, sizeof *way);
    if (!way)
        return NULL;
    way->retired.kind = RETIRED_SRTP;
    way->suite = key->suite;
    way->mki = key->mki_length > 0;
    struct srtp_key copy = *key; /* the library wants it writable */
    bool made = furnish(way, &copy, sends, ssrc);
    explicit_bzero(&copy, sizeof copy);
    if (made)
        return way;
    srtp_way_free(way);
    return NULL;
}

void srtp_way_free(struct srtp_way *way) {
    if (!way)
        return;
    if (way->context)
        srtp_dealloc(way->context);
    explicit_bzero(way, sizeof *way);
    free(way);
}

void srtp_way_follow(struct srtp_way *next, const struct srtp_way *old) {
    uint32_t ssrc = next->sources[0];
    if (!old || !next->source_count || srtp_get_stream_roc(old->context, ssrc, &next->count) != srtp_err_status_ok)
        return;
    next->doubt = next->count && srtp_set_stream_roc(next->context, ssrc, next->count) == srtp_err_status_ok;
}

/* ---- packets */

static bool knows(const struct srtp_way *way, uint32_t ssrc) {
    for (uint32_t i = 0; i < way->source_count; i++)
        if (way->sources[i] == ssrc)
            return true;
    return false;
}

static srtp_err_status_t unprotect(struct srtp_way *way, bool control, uint8_t *data, size_t *length) {
    int whole = (int)*length;
    srtp_err_status_t status = control ? srtp_unprotect_rtcp_mki(way->context, data, &whole, way->mki)
                                       : srtp_unprotect_mki(way->context, data, &whole, way->mki);
    if (status == srtp_err_status_ok)
        *length = (size_t)whole;
    return status;
}

static enum drop verdict(srtp_err_status_t status) {
    switch (status) {
    case srtp_err_status_ok:
        return DROP_COUNT;
    case srtp_err_status_replay_fail:
    case srtp_err_status_replay_old:
    case srtp_err_status_pkt_idx_old:
        return DROP_srtp_replay;
    case srtp_err_status_key_expired:
        return DROP_srtp_expired;
    default:
        return DROP_srtp_auth;
    }
}

static enum drop open_with(struct srtp_way *way, bool control, uint8_t *data, size_t *length) {
    uint32_t ssrc = read32(data + (control ? 4 : 8));
    bool known = knows(way, ssrc);
    if (!known && way->source_count == SRTP_SOURCES_MAX)
        return DROP_srtp_sources;
    enum drop why = verdict(unprotect(way, control, data, length));
    if (why == DROP_COUNT && !known)
        way->sources[way->source_count++] = ssrc;
    return why;
}

/* The far end may have set its counter to nought with the new key, as many do. */
static enum drop open_counting_anew(struct srtp_way *way, uint8_t *data, size_t *length) {
    uint32_t ssrc = read32(data + 8);
    if (ssrc != way->sources[0] || srtp_set_stream_roc(way->context, ssrc, 0) != srtp_err_status_ok)
        return DROP_srtp_auth;
    enum drop why = verdict(unprotect(way, false, data, length));
    if (why != DROP_COUNT)
        srtp_set_stream_roc(way->context, ssrc, way->count);
    return why;
}

enum drop srtp_open(struct srtp *srtp, bool control, uint8_t *data, size_t *length, uint64_t now) {
    struct srtp_way *way = srtp->receive;
    size_t header = control ? RTCP_HEADER + RTCP_INDEX : RTP_HEADER;
    uint8_t untouched[RTP_LENGTH_MAX]; /* a cipher that fails may have written over the packet */
    size_t whole = *length;
    if (whole < header + tag_length(way->suite, control))
        return DROP_too_short;
    bool more_ways = way->doubt || srtp->before;
    if (more_ways)
        memcpy(untouched, data, whole);
    enum drop why = open_with(way, control, data, length);
    if (why == DROP_srtp_auth && way->doubt && !control) {
        memcpy(data, untouched, whole);
        why = open_counting_anew(way, data, length);
    }
    if (why == DROP_COUNT && !control)
        way->doubt = false;
    if (why == DROP_srtp_auth && srtp->before && now < srtp->before_until) {
        memcpy(data, untouched, whole);
        why = open_with(srtp->before, control, data, length);
    }
    srtp->failures = why == DROP_srtp_auth ? srtp->failures + 1 : why == DROP_COUNT ? 0 : srtp->failures;
    return why;
}

enum drop srtp_seal(struct srtp *srtp, bool control, uint8_t *data, size_t *length) {
    int whole = (int)*length;
    srtp_err_status_t status = control ? srtp_protect_rtcp(srtp->send->context, data, &whole)
                                       : srtp_protect(srtp->send->context, data, &whole);
    if (status != srtp_err_status_ok)
        return verdict(status) == DROP_srtp_expired ? DROP_srtp_expired : DROP_srtp_unsent;
    *length = (size_t)whole;
    return DROP_COUNT;
}
