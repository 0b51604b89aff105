/* Keeps copies of a database's files as they were when they were last synced to disk, for LD_PRELOAD.
 *
 * TORTURE_DATABASE is the path of the database; all files whose path begins with it are watched. After each successful
 * fsync or fdatasync of one, its contents are copied into the folder TORTURE_DURABLE. A file that is deleted is deleted
 * there, too. After a power cut nothing else is certain to be left. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int copy_name(const char *path, char *target) {
    const char *database = getenv("TORTURE_DATABASE"), *folder = getenv("TORTURE_DURABLE");
    if (!database || !folder || strncmp(path, database, strlen(database)) != 0) return 0;
    const char *name = strrchr(path, '/');
    snprintf(target, PATH_MAX, "%s/%s", folder, name ? name + 1 : path);
    return 1;
}

static void copy_file(int descriptor) {
    static char buffer[1 << 20];
    char link[64], path[PATH_MAX], target[PATH_MAX], partial[PATH_MAX + 8];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    if (!copy_name(path, target)) return;
    snprintf(partial, sizeof partial, "%s.new", target);
    pthread_mutex_lock(&lock);
    /* The database's own descriptor is read: closing another one of the same file would drop its locks (POSIX). */
    int copy = open(partial, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    off_t offset = 0;
    ssize_t size;
    while (copy >= 0 && (size = pread(descriptor, buffer, sizeof buffer, offset)) > 0) {
        if (write(copy, buffer, (size_t)size) != size) break;
        offset += size;
    }
    if (copy >= 0) {
        close(copy);
        rename(partial, target);
    }
    pthread_mutex_unlock(&lock);
}

#define SYNCING(NAME)                                                       \
    int NAME(int descriptor) {                                              \
        static int (*real)(int);                                            \
        if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #NAME);            \
        int result = real(descriptor), error = errno;                       \
        if (result == 0) copy_file(descriptor);                             \
        errno = error;                                                      \
        return result;                                                      \
    }

SYNCING(fsync)
SYNCING(fdatasync)

int unlink(const char *path) {
    static int (*real)(const char *);
    char target[PATH_MAX];
    if (!real) real = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    int result = real(path), error = errno;
    if (result == 0 && copy_name(path, target)) real(target);
    errno = error;
    return result;
}
