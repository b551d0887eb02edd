/* ITU-T G.722 at 64 kbit/s (mode 1): two sub-bands, each in adaptive differential PCM. */
#ifndef PBXD_WIRE_G722_H
#define PBXD_WIRE_G722_H

#include "codec.h"

extern const struct codec_operations g722_codec;

#endif
