/* Runs the tests named on the command line, or all of them. */
#include "tests.h"

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
#define X(name) {#name, name},
    TESTS(X)
#undef X
};

static bool chosen(const char *name, int count, char **names) {
    for (int i = 1; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 1;
}

int main(int count, char **names) {
    int ran = 0;
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (!chosen(tests[i].name, count, names))
            continue;
        tests[i].run();
        ran++;
    }
    printf("%d ran\n", ran);
    return ran ? 0 : 2;
}
