"""A B2BUA made of legs.

negotiate   SDP × codecs -> plan                    leg      SIP session × media session
crypto      keys of SRTP in SDP                     policy   what may be negotiated
record      what is written down of a call          bridge   two legs that hear each other
routing     who is called: a pure function          call     the relation of legs, one table
admission   whether there is room                   switch   where requests come in
"""
