/* Opus (RFC 6716, RFC 7587) through libopus, as wideband mono. A stereo stream is heard as mono. */
#ifndef PBXD_WIRE_OPUS_CODEC_H
#define PBXD_WIRE_OPUS_CODEC_H

#include "codec.h"

extern struct codec_operations opus_codec; /* only the sizes are set, before main() */

#endif
