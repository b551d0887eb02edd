"""What pbxd costs and how fast it is, measured on the daemon as it is shipped, from outside.

    python -m tests.bench [packets] [rooms] [transcoding] [recordings] [calls] [codecs] [pesq] [srtp] [memory] [starts]
                          [registrations] [junk] [--runs 3]

prints one table: each figure beside its bar. A round runs every chosen part once; the median of the rounds counts, so
that what the machine does meanwhile meets all parts alike. Never part of the tests: a figure from a busy machine proves
nothing.

    packets         300 bridged calls with media, against a bare C relay in the same round (relay.c, load.c)
    rooms           60 phones in a room and 30 rooms of ten, against a bare C relay of as many (crowd.c)
    transcoding     the greatest number of calls between G.711 and Opus without loss
    recordings      100 calls with media, all recorded
    calls           set-up and tear-down at 100 calls a second (sip_load.c)
    pesq            MOS of human voices on each path through the house, in virtual time (tests/media/paths.py)
    codecs          CPU of 20 ms of sound in each codec, and of changing its rate (codecs.c)
    srtp            CPU of sealing, opening and relaying a packet under each crypto suite (srtp.c)
    memory          resident memory with 300 calls up, and after
    starts          from exec until a REGISTER is answered
    registrations   10,000 phones held and refreshed
    junk            200 bridged calls and new ones beside 100,000 junk datagrams a second (junk.c)

    python -m tests.bench soak [--minutes 30] [--rate 20]

stands alone: mixed calls, and whether anything grows.

    daemon.py       one pbxd: its life, its CPU time, its memory, its metrics
    generators.py   the C programs that make load
    soak.py         samples and their verdict; soak_load.py what happens meanwhile, soak_phones.py who does it
    phones.py       10,000 phones that register
    launcher.py     pbxd with a thread that forces garbage collections, or under a profiler
    figures.py      bars, medians, the table
"""
