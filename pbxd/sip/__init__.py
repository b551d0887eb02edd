"""SIP as a state machine: bytes and time in, bytes and events out.

errors grammar uri headers head message multipart stream status digest sdp     what is said
flow via timers machine matching exchange transaction stack                    how it is carried (RFC 3261 §17, §18)
dialog offer refresh session/                                                  what it means to a call
addresses lookup answers overload losses                                       what the shells decide by
transport connections connection resolve                                       the shells that do the I/O
"""
