/* Faults of file systems, brought about at the C library: LD_PRELOAD it, and say in FAULTS which, by numbers
 * of errno: "flock=38 chmod=1". fsyncdir and openfolder are of folders, mmap and read of files under
 * FAULTS_IN. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int fault(const char* name) {
    const char* faults = getenv("FAULTS");
    size_t length = strlen(name);
    for (const char* at = faults; at && *at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
        if (!strncmp(at, name, length) && at[length] == '=') return errno = atoi(at + length + 1);
    return 0;
}

static int is_folder(int fd) {
    struct stat status;
    return !fstat(fd, &status) && S_ISDIR(status.st_mode);
}

static int is_meant(int fd) {
    char link[64], path[4096];
    const char* in = getenv("FAULTS_IN");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || !in) return 0;
    path[length] = 0;
    return !strncmp(path, in, strlen(in));
}

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

int flock(int fd, int operation) {
    return fault("flock") ? -1 : NEXT(flock)(fd, operation);
}

int fsync(int fd) {
    return fault(is_folder(fd) ? "fsyncdir" : "fsync") ? -1 : NEXT(fsync)(fd);
}

int chmod(const char* path, mode_t mode) {
    return fault("chmod") ? -1 : NEXT(chmod)(path, mode);
}

int fchmod(int fd, mode_t mode) {
    return fault("chmod") ? -1 : NEXT(fchmod)(fd, mode);
}

int fchmodat(int fd, const char* path, mode_t mode, int flags) {
    return fault("chmod") ? -1 : NEXT(fchmodat)(fd, path, mode, flags);
}

int utimensat(int fd, const char* path, const struct timespec times[2], int flags) {
    return fault("utime") ? -1 : NEXT(utimensat)(fd, path, times, flags);
}

ssize_t sendfile(int out, int in, off_t* offset, size_t count) {
    return fault("sendfile") ? -1 : NEXT(sendfile)(out, in, offset, count);
}

ssize_t sendfile64(int out, int in, off_t* offset, size_t count) {
    return sendfile(out, in, offset, count);
}

ssize_t copy_file_range(int in, off64_t* from, int out, off64_t* to, size_t count, unsigned flags) {
    return fault("sendfile") ? -1 : NEXT(copy_file_range)(in, from, out, to, count, flags);
}

ssize_t read(int fd, void* into, size_t count) {
    return is_meant(fd) && fault("read") ? -1 : NEXT(read)(fd, into, count);
}

void* mmap(void* at, size_t length, int access, int flags, int fd, off_t offset) {
    if (fd >= 0 && is_meant(fd) && fault("mmap")) return MAP_FAILED;
    return NEXT(mmap)(at, length, access, flags, fd, offset);
}

void* mmap64(void* at, size_t length, int access, int flags, int fd, off_t offset) {
    return mmap(at, length, access, flags, fd, offset);
}

/* POSIX locks, by either name; what else fcntl does is left alone. */
static int control(int (*next)(int, int, ...), int fd, int command, void* argument) {
    if ((command == F_SETLK || command == F_SETLKW) && fault("fcntl")) return -1;
    return next(fd, command, argument);
}

int fcntl(int fd, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void* argument = va_arg(rest, void*);
    va_end(rest);
    return control(NEXT(fcntl), fd, command, argument);
}

int fcntl64(int fd, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void* argument = va_arg(rest, void*);
    va_end(rest);
    return control(NEXT(fcntl64), fd, command, argument);
}

/* A folder cannot be opened to be flushed; opendir has its own way. */
static int opened(int (*next)(const char*, int, ...), const char* path, int flags, mode_t mode) {
    struct stat status;
    if (!(flags & O_DIRECTORY) && !stat(path, &status) && S_ISDIR(status.st_mode) && fault("openfolder"))
        return -1;
    return next(path, flags, mode);
}

int open(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return opened(NEXT(open), path, flags, mode);
}

int open64(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return opened(NEXT(open64), path, flags, mode);
}
