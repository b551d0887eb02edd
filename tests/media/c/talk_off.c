/* Says which digits it hears in the sound on its standard input: 16-bit samples, 8000 a second. */
#include <stdio.h>

#include "detector.h"

enum { TICK = 160 };

int main(void) {
    static const char names[] = "0123456789*#ABCD";
    struct detector detector;
    int16_t pcm[TICK];
    unsigned long ticks = 0;
    detector_init(&detector, 8000);
    for (; fread(pcm, sizeof *pcm, TICK, stdin) == TICK; ticks++) {
        struct detected detected = detector_hear(&detector, pcm, TICK, false);
        if (detected.ended)
            putchar(names[detected.code]);
    }
    printf("\n%lu seconds\n", ticks / 50);
    return 0;
}
