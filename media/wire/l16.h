/* L16 (RFC 3551 §4.5.11): the samples themselves, most significant octet first. */
#ifndef PBXD_WIRE_L16_H
#define PBXD_WIRE_L16_H

#include "codec.h"

extern const struct codec_operations l16_codec, l16_wide_codec;

#endif
