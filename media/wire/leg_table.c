#define _GNU_SOURCE
#include "headers.h"
#include "leg.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HEADER_SIZE = 4096, LAYOUT_VERSION = 2 };

struct header { /* one page; the legs follow */
    char magic[8];
    uint32_t version, leg_size, capacity;
};

/* `size` bytes of zeros that nobody else uses. */
static int empty_file(int fd, bool named, size_t size) {
    if (named && flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno;
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, (off_t)size) != 0)
        return errno;
    return named ? posix_fallocate(fd, 0, (off_t)size) : 0;
}

int leg_table_open(struct leg_table *table, const char *path, uint32_t capacity) {
    size_t size = HEADER_SIZE + (size_t)capacity * sizeof(struct leg);
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : memfd_create("legs", MFD_CLOEXEC);
    if (fd < 0)
        return errno;
    void *map = MAP_FAILED;
    int error = empty_file(fd, path, size);
    if (!error) {
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        error = map == MAP_FAILED ? errno : 0;
    }
    if (error || !path)
        close(fd);
    if (error)
        return error;
    struct header *header = map;
    *header = (struct header){"pbxlegs", LAYOUT_VERSION, sizeof(struct leg), capacity};
    *table = (struct leg_table){(struct leg *)((char *)map + HEADER_SIZE), capacity, map, size, path ? fd : -1};
    return 0;
}

void leg_table_close(struct leg_table *table) {
    if (!table->map)
        return;
    munmap(table->map, table->size);
    if (table->lock >= 0)
        close(table->lock);
    *table = (struct leg_table){0};
}

/* ---- the rings of headers beside it */

struct header_ring *headers_new(uint32_t legs) {
    void *map = mmap(NULL, (size_t)legs * sizeof(struct header_ring), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return map == MAP_FAILED ? NULL : map;
}

void headers_free(struct header_ring *rings, uint32_t legs) {
    if (rings)
        munmap(rings, (size_t)legs * sizeof(struct header_ring));
}

void headers_forget(struct header_ring *ring) {
    (void)madvise(ring, sizeof *ring, MADV_DONTNEED);
}
