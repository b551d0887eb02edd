"""Sound and packets; knows nothing of SIP or accounts.

plan                what negotiation decided about one leg: all that signalling ever tells media
wire                receives, relays, paces and sends in C, in a thread of its own; the SIP sockets and their guard
ports               which UDP ports are free
rooms               sessions that hear each other, what is played to them, copies of what is heard
session media       one leg's media; all of them
quality             what a listener would say (ITU-T G.107)
"""
