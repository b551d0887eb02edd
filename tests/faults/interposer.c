/* Preloaded into a real daemon: its disk gets slow or full, and its wall clock is set, by levers in a shared page; its
 * name servers are those of a file of the test's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct levers {
    double wall_offset;  /* added to the wall clock, s */
    double disk_delay;   /* before each write to the store, s */
    int64_t disk_errno;  /* what each write to the store fails with; 0: none */
};

static struct levers none, *levers = &none;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void take_levers(void) {
    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    *(void **)&real_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
    *(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    const char *path = getenv("PBXD_TEST_LEVERS");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *levers, PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        levers = page;
    if (fd >= 0)
        close(fd);
}

/* /etc/resolv.conf is read from PBXD_TEST_RESOLV_CONF. */
static const char *moved(const char *path) {
    const char *other = getenv("PBXD_TEST_RESOLV_CONF");
    return other && strcmp(path, "/etc/resolv.conf") == 0 ? other : path;
}

static int open_moved(const char *path, int flags, va_list more) {
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    return (int)syscall(SYS_openat, AT_FDCWD, moved(path), flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int fd = open_moved(path, flags, more);
    va_end(more);
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int fd = open_moved(path, flags, more);
    va_end(more);
    return fd;
}

static int is_store(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    return strstr(path, "pbxd.db") != NULL;
}

/* 0, or what the write fails with. */
static int ail(int fd) {
    if ((levers->disk_delay <= 0 && !levers->disk_errno) || !is_store(fd))
        return 0;
    double whole = levers->disk_delay;
    struct timespec pause = {(time_t)whole, (long)((whole - (double)(time_t)whole) * 1e9)};
    nanosleep(&pause, NULL);
    return (int)levers->disk_errno;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    int error = ail(fd);
    if (!error)
        return real_pwrite64(fd, data, size, at);
    errno = error;
    return -1;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return pwrite64(fd, data, size, at);
}

int fdatasync(int fd) {
    int error = ail(fd);
    if (!error)
        return real_fdatasync(fd);
    errno = error;
    return -1;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = real_clock_gettime(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += (time_t)levers->wall_offset;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}
