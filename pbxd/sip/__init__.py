"""SIP as a state machine: bytes and time in, bytes and events out.

errors grammar uri headers message stream digest sdp    what is said
flow timers transaction stack                           how it is carried (RFC 3261 §17)
dialog offer refresh session                            what it means to a call
transport resolve                                       the two shells that do the I/O
"""
