// Faults between the program and its kernel, for LD_PRELOAD. One rule a line in GOODGATE_FAULTS:
//
//     op | part of the path | first hit | hits (0: all) | act | argument
//
// Ops: write, read, sync, syncfs, rename (rename2: only with flags), mkdir, allocate,
// unlink, list, clock. Hits are counted over all threads of one process.
// Acts: errno N; flip (one bit of the buffer; which, by the argument); half (an honest short write); lie (says done, does nothing);
// kill (before the call), killed (after it); pause (until the file `go` lies in the mark folder); seen (nothing);
// slow MS (waits before the call); bad OFFSET (a read of that byte of the file fails with EIO, others are no hits);
// jump SECS (the clock, once another rule did arm).
// Every hit that acts adds a line to the file `fired` in the folder GOODGATE_FAULT_MARK: a test can tell that its
// fault happened.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define RULES 16

struct rule {
    char op[12], part[200], act[12];
    long first, hits, argument, seen;
};

static struct rule rules[RULES];
static int count = -1;
static char mark[3000];
static int armed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
    const char *text = getenv("GOODGATE_FAULTS"), *folder = getenv("GOODGATE_FAULT_MARK");
    int n = 0;
    snprintf(mark, sizeof mark, "%s", folder ? folder : "/nonexistent");
    for (const char *line = text; line && *line && n < RULES; n++) {
        struct rule *r = &rules[n];
        if (sscanf(line, "%11[^|]|%199[^|]|%ld|%ld|%11[^|\n]|%ld", r->op, r->part, &r->first, &r->hits, r->act,
                   &r->argument) < 5) {
            fprintf(stderr, "fault shim: bad rule: %s\n", line);
            abort();
        }
        line = strchr(line, '\n');
        if (line) line++;
    }
    count = n;
}

// Straight to the kernel: the shim's own calls must not meet its rules.
static void put(const char *name, const char *text) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", mark, name);
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return;
    syscall(SYS_write, fd, text, strlen(text));
    syscall(SYS_close, fd);
}

static void nap(void) {
    char go[4096];
    struct timespec ms = {0, 2000000};
    snprintf(go, sizeof go, "%s/go", mark);
    while (syscall(SYS_faccessat, AT_FDCWD, go, F_OK) != 0) syscall(SYS_nanosleep, &ms, 0);
}

// The rule that acts on this call now, if any. The call is for `n` bytes from `at`, where that is known.
static struct rule *hit_at(const char *op, const char *path, off64_t at, size_t n_bytes) {
    pthread_once(&once, load);
    for (int i = 0; i < count; i++) {
        struct rule *r = &rules[i];
        if (strncmp(r->op, op, strlen(r->op)) != 0 || !strstr(path, r->part)) continue;
        int bad = strcmp(r->act, "bad") == 0;
        if (bad && (r->argument < at || r->argument - at >= (off64_t)n_bytes)) continue;
        long n = __sync_add_and_fetch(&r->seen, 1);
        if (n < r->first || (r->hits > 0 && n >= r->first + r->hits)) continue;
        char line[4600];
        snprintf(line, sizeof line, "%s %s %ld %s\n", op, r->act, n, path);
        put("fired", line);
        if (strcmp(r->act, "kill") == 0) kill(getpid(), SIGKILL);
        if (strcmp(r->act, "arm") == 0) __sync_lock_test_and_set(&armed, 1);
        if (strcmp(r->act, "pause") == 0) {
            nap();
            continue;
        }
        if (strcmp(r->act, "slow") == 0) {
            struct timespec wait = {r->argument / 1000, r->argument % 1000 * 1000000};
            syscall(SYS_nanosleep, &wait, 0);
            continue;
        }
        return r;
    }
    return 0;
}

static struct rule *hit(const char *op, const char *path) { return hit_at(op, path, 0, 0); }

static int is(const struct rule *r, const char *act) { return r && strcmp(r->act, act) == 0; }

static void after(const struct rule *r) {
    if (is(r, "killed")) kill(getpid(), SIGKILL);
}

static const char *path_of(int fd, const char *name, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = fd == AT_FDCWD ? 0 : readlink(link, out, 3800);
    if (n < 0) n = 0;
    out[n] = 0;
    if (name) snprintf(out + n, 4096 - n, "/%s", name);
    return out;
}

#define NEXT(f) __typeof__(&f) next = (__typeof__(&f))dlsym(RTLD_NEXT, #f)
#define FAILS(r) if (is(r, "errno")) { errno = (int)r->argument; return -1; }

#define WRITE(f, params, with_buf)                                                    \
    ssize_t f params {                                                                \
        NEXT(f);                                                                      \
        char p[4096];                                                                 \
        struct rule *r = hit("write", path_of(fd, 0, p));                             \
        FAILS(r)                                                                      \
        if (is(r, "lie")) return n;                                                   \
        if (is(r, "half") && n > 1) { n /= 2; }                                       \
        if (is(r, "flip") && n > 0) {                                                 \
            char *copy = 0;                                                           \
            if (posix_memalign((void **)&copy, 4096, n)) abort();                     \
            memcpy(copy, b, n);                                                       \
            copy[n / 2] ^= 1 << (r->argument & 7);                                                         \
            ssize_t got = with_buf(copy);                                             \
            free(copy);                                                               \
            return got;                                                               \
        }                                                                             \
        ssize_t got = with_buf(b);                                                    \
        after(r);                                                                     \
        return got;                                                                   \
    }
#define PLAIN(x) next(fd, x, n)
#define PLACED(x) next(fd, x, n, at)
WRITE(write, (int fd, const void *b, size_t n), PLAIN)
WRITE(pwrite, (int fd, const void *b, size_t n, off_t at), PLACED)
WRITE(pwrite64, (int fd, const void *b, size_t n, off64_t at), PLACED)

#define READ(f, params, at, call)                                                     \
    ssize_t f params {                                                                \
        NEXT(f);                                                                      \
        char p[4096];                                                                 \
        struct rule *r = hit_at("read", path_of(fd, 0, p), at, n);                    \
        FAILS(r)                                                                      \
        if (is(r, "bad")) { errno = EIO; return -1; }                                 \
        ssize_t got = call;                                                           \
        if (is(r, "flip") && got > 0) ((char *)b)[got / 2] ^= 1 << (r->argument & 7);                      \
        after(r);                                                                     \
        return got;                                                                   \
    }
READ(read, (int fd, void *b, size_t n), lseek64(fd, 0, SEEK_CUR), next(fd, b, n))
READ(pread, (int fd, void *b, size_t n, off_t at), at, next(fd, b, n, at))
READ(pread64, (int fd, void *b, size_t n, off64_t at), at, next(fd, b, n, at))

#define DO(f, params, op, path, call)                                                 \
    int f params {                                                                    \
        NEXT(f);                                                                      \
        char p[4096];                                                                 \
        struct rule *r = hit(op, path);                                               \
        FAILS(r)                                                                      \
        if (is(r, "lie")) return 0;                                                   \
        int got = call;                                                               \
        after(r);                                                                     \
        return got;                                                                   \
    }
DO(fsync, (int fd), "sync", path_of(fd, 0, p), next(fd))
DO(fdatasync, (int fd), "sync", path_of(fd, 0, p), next(fd))
DO(syncfs, (int fd), "syncfs", path_of(fd, 0, p), next(fd))
DO(mkdirat, (int fd, const char *name, mode_t m), "mkdir", path_of(fd, name, p), next(fd, name, m))
DO(unlinkat, (int fd, const char *name, int flags), "unlink", path_of(fd, name, p), next(fd, name, flags))
DO(fallocate, (int fd, int m, off_t at, off_t n), "allocate", path_of(fd, 0, p), next(fd, m, at, n))
DO(fallocate64, (int fd, int m, off64_t at, off64_t n), "allocate", path_of(fd, 0, p), next(fd, m, at, n))
DO(renameat, (int from_fd, const char *from, int fd, const char *name), "rename", path_of(fd, name, p),
   next(from_fd, from, fd, name))
DO(renameat2, (int from_fd, const char *from, int fd, const char *name, unsigned flags), "rename2",
   path_of(fd, name, p), next(from_fd, from, fd, name, flags))

// The end of a folder is a null without an error; this is a null with one, at its first entry.
struct dirent64 *readdir64(DIR *d) {
    NEXT(readdir64);
    char p[4096];
    long at = telldir(d);
    struct rule *r = at == 0 ? hit("list", path_of(dirfd(d), 0, p)) : 0;
    if (is(r, "errno")) {
        errno = (int)r->argument;
        return 0;
    }
    return next(d);
}

int clock_gettime(clockid_t id, struct timespec *t) {
    int got = syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME && got == 0) {
        struct rule *r = hit("clock", "clock");
        if (is(r, "jump") && armed) t->tv_sec += r->argument;
    }
    return got;
}
