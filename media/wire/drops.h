/* Every packet that wire does not use is counted under exactly one of these names. Python reads the names from here. */
#ifndef PBXD_WIRE_DROPS_H
#define PBXD_WIRE_DROPS_H

#define WIRE_DROPS(X)                                                                                                  \
    X(too_short)            /* fewer bytes than an RTP or RTCP header */                                               \
    X(too_long)             /* more bytes than any audio packet has */                                                 \
    X(not_rtp)              /* first byte is of no protocol we know (RFC 7983 §7) */                                   \
    X(stun)                 /* STUN, not negotiated */                                                                 \
    X(dtls)                 /* DTLS, not negotiated */                                                                 \
    X(malformed)            /* RTP whose CSRC list, extension or padding leaves the packet */                          \
    X(no_plan)              /* nothing was negotiated for this leg yet */                                              \
    X(not_receiving)        /* on hold: we told the far end not to send */                                             \
    X(payload_type)         /* not one of the payload types negotiated */                                              \
    X(elsewhere)            /* not from the source this leg is latched to */                                           \
    X(sequence)             /* a lone packet far outside the sequence (RFC 3550 §A.1) */                               \
    X(old_source)           /* straggler of a synchronisation source that was replaced */                              \
    X(idle)                 /* nobody listens to this leg */                                                           \
    X(no_peer)              /* the leg it is relayed to is gone */                                                     \
    X(not_sending)          /* the leg it is relayed to must not send (hold) */                                        \
    X(no_remote)            /* the leg it is relayed to does not know where to send */                                 \
    X(event_not_negotiated) /* a telephone event, and the other side takes none */                                     \
    X(comfort_noise)        /* comfort noise, and the other side takes none */                                         \
    X(other_codec)          /* of a codec that the other side does not have: only a room converts it */                \
    X(late)                 /* came after its place in the outgoing stream was passed */                               \
    X(empty)                /* no payload */                                                                           \
    X(rtcp_malformed)       /* a compound that RFC 3550 §A.2 refuses */                                                \
    X(rtcp_elsewhere)       /* RTCP from an address that has no part in this leg */                                    \
    X(rtcp_not_mux)         /* RTCP on the RTP port without rtcp-mux (RFC 5761) */                                     \
    X(rtp_on_rtcp)          /* RTP on the RTCP port */                                                                 \
    X(srtp_auth)            /* cannot be opened: another key, or changed on the way */                                 \
    X(srtp_missing)         /* plain RTP where SRTP was agreed */                                                      \
    X(srtp_replay)          /* SRTP that came before, or is too old to tell (RFC 3711 §3.3.2) */                       \
    X(srtp_sources)         /* more synchronisation sources under one key than are kept */                             \
    X(srtp_expired)         /* the key has been used as often as it may */                                             \
    X(srtp_unsent)          /* cannot be sealed: its number went out before */                                         \
    X(digit_overflow)       /* a digit for a leg that has too many to say already */                                   \
    X(fax_overflow)         /* of a fax whose modem has not read in time */                                            \
    X(send_blocked)         /* the socket's send buffer was full */                                                    \
    X(send_failed)          /* the system refused to send */                                                           \
    X(event_overflow)       /* an event for Python found its ring full */                                              \
    X(tap_overflow)         /* not dropped: passed on, but the ring of those who listen in was full */                 \
    X(stale_command)        /* a command for a leg that was closed meanwhile */                                        \
    X(sip_empty)            /* an empty datagram */                                                                    \
    X(sip_banned)           /* from a banned address */                                                                \
    X(sip_rate)             /* its source has used up its token bucket */                                              \
    X(sip_overflow)         /* Python did not empty the ring in time */

enum drop {
#define X(name) DROP_##name,
    WIRE_DROPS(X)
#undef X
        DROP_COUNT
};

#endif
