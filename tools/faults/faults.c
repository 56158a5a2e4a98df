/* Lets the N-th call of a kind on a path below one of several folders fail, die or do something odd; counts all of
 * them. Loaded with LD_PRELOAD into every process of a run of the recipe, which share one state.
 *
 * FAULT_BELOW    folders, separated by ':', numbered from 0; a path belongs to the longest one that it is below
 * FAULT_STATE    a file of sizeof(struct state) zeros
 * FAULT_FOLDER   the number of the folder, FAULT_CALL the kind of call (the names of `kinds`), FAULT_AT which of them,
 *                from 1; 0 only counts
 * FAULT_TIMES    how many calls from there on; 0: all
 * FAULT_ACTION   "fail ERRNO" (the first write is only cut in half), "kill" (the process group, a write half done),
 *                "jump SECONDS" (of the clock, for good), "memory BYTES" (no more than so many above those in use)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { WRITE, READ, RENAME, OPEN, CHANGE, FLUSH, KINDS };
static const char *const kinds[KINDS] = {"write", "read", "rename", "open", "change", "flush"};
enum { FOLDERS = 16 };

struct state {
    uint64_t fired;
    int64_t jump;
    uint64_t counts[FOLDERS][KINDS];
    char where[PATH_MAX];
};

static struct state *state;
static char folders[FOLDERS][PATH_MAX];
static int folder_count, wanted_folder, wanted_kind = KINDS, error_number;
static uint64_t wanted_at, wanted_times;
static long long amount;
static enum { NOTHING, FAIL, KILL, JUMP, MEMORY } action;

/* What a call is to do. */
enum verdict { GO_ON, SHORTEN, REFUSE };

#define NEXT(name) ((__typeof__(&name))next_of(#name))
static void *next_of(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void set_up(void) {
    const char *below = getenv("FAULT_BELOW"), *file = getenv("FAULT_STATE"), *at = getenv("FAULT_AT");
    if (below == NULL || file == NULL) return;
    while (*below && folder_count < FOLDERS) {
        size_t length = strcspn(below, ":");
        if (length < PATH_MAX) memcpy(folders[folder_count++], below, length);
        below += length + (below[length] == ':');
    }
    int handle = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
    if (handle < 0) return;
    void *memory = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    syscall(SYS_close, handle);
    if (memory == MAP_FAILED) return;
    wanted_at = at ? strtoull(at, NULL, 10) : 0;
    if (wanted_at > 0) {
        const char *what = getenv("FAULT_ACTION"), *call = getenv("FAULT_CALL");
        const char *folder = getenv("FAULT_FOLDER"), *times = getenv("FAULT_TIMES");
        wanted_folder = folder ? atoi(folder) : 0;
        wanted_times = times ? strtoull(times, NULL, 10) : 1;
        for (wanted_kind = 0; wanted_kind < KINDS && strcmp(kinds[wanted_kind], call ? call : ""); wanted_kind++) {}
        if (what == NULL) {
        } else if (sscanf(what, "fail %d", &error_number) == 1) action = FAIL;
        else if (strcmp(what, "kill") == 0) action = KILL;
        else if (sscanf(what, "jump %lld", &amount) == 1) action = JUMP;
        else if (sscanf(what, "memory %lld", &amount) == 1) action = MEMORY;
    }
    state = memory;
}

static void limit_memory(void) {
    static int done;
    unsigned long pages = 0;
    char text[64] = "";
    if (__atomic_exchange_n(&done, 1, __ATOMIC_SEQ_CST)) return;
    int handle = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY);
    if (handle < 0) return;
    if (syscall(SYS_read, handle, text, sizeof text - 1) > 0) sscanf(text, "%lu", &pages);
    syscall(SYS_close, handle);
    rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (rlim_t)amount;
    struct rlimit limit = {most, most};
    setrlimit(RLIMIT_AS, &limit);
}

/* Count a call on an absolute path; `halves` where the caller can do half of it before a kill or a failure. */
static enum verdict judge(enum kind kind, const char *path, int halves) {
    int folder = -1;
    size_t longest = 0;
    for (int k = 0; k < folder_count; k++) {
        size_t length = strlen(folders[k]);
        if (length >= longest && !strncmp(path, folders[k], length) && (path[length] == '/' || !path[length])) {
            longest = length;
            folder = k;
        }
    }
    if (folder < 0) return GO_ON;
    uint64_t number = __atomic_add_fetch(&state->counts[folder][kind], 1, __ATOMIC_SEQ_CST);
    if (action == NOTHING || folder != wanted_folder || (int)kind != wanted_kind || number < wanted_at) return GO_ON;
    if (wanted_times && number >= wanted_at + wanted_times) return GO_ON;
    int first = __atomic_add_fetch(&state->fired, 1, __ATOMIC_SEQ_CST) == 1;
    if (first) snprintf(state->where, sizeof state->where, "%s", path);
    switch (action) {
        case FAIL:
            if (first && halves) return SHORTEN;
            errno = error_number;
            return REFUSE;
        case KILL:
            if (halves) return SHORTEN;
            kill(0, SIGKILL);
            return REFUSE;
        case JUMP:
            state->jump = amount;
            return GO_ON;
        case MEMORY:
            limit_memory();
            return GO_ON;
        default:
            return GO_ON;
    }
}

static enum verdict judge_at(enum kind kind, int folder, const char *name) {
    char path[2 * PATH_MAX], link[64];
    if (state == NULL || name == NULL) return GO_ON;
    int before = errno;
    if (name[0] == '/') {
        snprintf(path, sizeof path, "%s", name);
    } else {
        ssize_t length = 0;
        if (folder == AT_FDCWD) {
            if (syscall(SYS_getcwd, path, PATH_MAX) > 0) length = (ssize_t)strlen(path);
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
        }
        if (length <= 0) {
            errno = before;
            return GO_ON;
        }
        snprintf(path + length, sizeof path - (size_t)length, "/%s", name);
    }
    errno = before;
    return judge(kind, path, 0);
}

static enum verdict judge_file(enum kind kind, int file, int halves) {
    char path[PATH_MAX], link[64];
    if (state == NULL) return GO_ON;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    errno = before;
    if (length <= 0 || path[0] != '/') return GO_ON;
    path[length] = '\0';
    return judge(kind, path, halves);
}

/* What stands for the result of a write of which only half was done. */
static ssize_t cut(ssize_t written) {
    if (action == KILL) kill(0, SIGKILL);
    return written;
}

ssize_t write(int file, const void *data, size_t size) {
    switch (judge_file(WRITE, file, size > 1)) {
        case REFUSE: return -1;
        case SHORTEN: return cut(NEXT(write)(file, data, size / 2));
        default: return NEXT(write)(file, data, size);
    }
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t place) {
    switch (judge_file(WRITE, file, size > 1)) {
        case REFUSE: return -1;
        case SHORTEN: return cut(NEXT(pwrite64)(file, data, size / 2, place));
        default: return NEXT(pwrite64)(file, data, size, place);
    }
}

ssize_t pwrite(int file, const void *data, size_t size, off_t place) { return pwrite64(file, data, size, place); }

ssize_t writev(int file, const struct iovec *parts, int count) {
    return judge_file(WRITE, file, 0) == REFUSE ? -1 : NEXT(writev)(file, parts, count);
}

ssize_t sendfile64(int out, int in, off64_t *place, size_t size) {
    switch (judge_file(WRITE, out, size > 1)) {
        case REFUSE: return -1;
        case SHORTEN: return cut(NEXT(sendfile64)(out, in, place, size > 4096 ? 4096 : size / 2));
        default: return NEXT(sendfile64)(out, in, place, size);
    }
}

ssize_t sendfile(int out, int in, off_t *place, size_t size) { return sendfile64(out, in, (off64_t *)place, size); }

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    return judge_file(WRITE, out, 0) == REFUSE ? -1 : NEXT(copy_file_range)(in, from, out, to, size, flags);
}

ssize_t read(int file, void *data, size_t size) {
    return judge_file(READ, file, 0) == REFUSE ? -1 : NEXT(read)(file, data, size);
}

ssize_t pread64(int file, void *data, size_t size, off64_t place) {
    return judge_file(READ, file, 0) == REFUSE ? -1 : NEXT(pread64)(file, data, size, place);
}

ssize_t pread(int file, void *data, size_t size, off_t place) { return pread64(file, data, size, place); }

int fsync(int file) { return judge_file(FLUSH, file, 0) == REFUSE ? -1 : NEXT(fsync)(file); }

/* A file on a network's disk may say at its closing only that it could not be written. */
int close(int file) {
    int flags = state == NULL ? O_RDONLY : fcntl(file, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && judge_file(FLUSH, file, 0) == REFUSE) {
        int why = errno;
        NEXT(close)(file);
        errno = why;
        return -1;
    }
    return NEXT(close)(file);
}

static int may_open(int folder, const char *name, int flags) {
    if (judge_at(OPEN, folder, name) == REFUSE) return 0;
    int changes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
    return !(changes && judge_at(CHANGE, folder, name) == REFUSE);
}

static mode_t mode_of(int flags, va_list rest) {
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? (mode_t)va_arg(rest, int) : 0;
}

#define DEFINE_OPEN(name)                                                          \
    int name(const char *path, int flags, ...) {                                   \
        va_list rest;                                                              \
        va_start(rest, flags);                                                     \
        mode_t mode = mode_of(flags, rest);                                        \
        va_end(rest);                                                              \
        return may_open(AT_FDCWD, path, flags) ? NEXT(name)(path, flags, mode) : -1; \
    }

#define DEFINE_OPENAT(name)                                                              \
    int name(int folder, const char *path, int flags, ...) {                             \
        va_list rest;                                                                    \
        va_start(rest, flags);                                                           \
        mode_t mode = mode_of(flags, rest);                                              \
        va_end(rest);                                                                    \
        return may_open(folder, path, flags) ? NEXT(name)(folder, path, flags, mode) : -1; \
    }

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

#define DEFINE_FOPEN(name)                                                                               \
    FILE *name(const char *path, const char *mode) {                                                     \
        return may_open(AT_FDCWD, path, strpbrk(mode, "wa+") ? O_RDWR | O_CREAT : O_RDONLY) ? NEXT(name)(path, mode) \
                                                                                            : NULL;      \
    }

DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

static int may_rename(int old_folder, const char *old, int new_folder, const char *new) {
    /* Both ends count where they lie in different folders; else the new one does. */
    if (judge_at(RENAME, new_folder, new) == REFUSE) return 0;
    return judge_at(CHANGE, old_folder, old) != REFUSE;
}

int rename(const char *old, const char *new) {
    return may_rename(AT_FDCWD, old, AT_FDCWD, new) ? NEXT(rename)(old, new) : -1;
}

int renameat(int old_folder, const char *old, int new_folder, const char *new) {
    return may_rename(old_folder, old, new_folder, new) ? NEXT(renameat)(old_folder, old, new_folder, new) : -1;
}

int mkdir(const char *path, mode_t mode) {
    return judge_at(CHANGE, AT_FDCWD, path) == REFUSE ? -1 : NEXT(mkdir)(path, mode);
}

int unlink(const char *path) { return judge_at(CHANGE, AT_FDCWD, path) == REFUSE ? -1 : NEXT(unlink)(path); }

int unlinkat(int folder, const char *path, int flags) {
    return judge_at(CHANGE, folder, path) == REFUSE ? -1 : NEXT(unlinkat)(folder, path, flags);
}

int rmdir(const char *path) { return judge_at(CHANGE, AT_FDCWD, path) == REFUSE ? -1 : NEXT(rmdir)(path); }

int symlink(const char *target, const char *path) {
    return judge_at(CHANGE, AT_FDCWD, path) == REFUSE ? -1 : NEXT(symlink)(target, path);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)NEXT(clock_gettime)(clock, now);
    if (result == 0 && state != NULL && clock == CLOCK_REALTIME) now->tv_sec += state->jump;
    return result;
}

time_t time(time_t *now) {
    struct timespec value;
    clock_gettime(CLOCK_REALTIME, &value);
    if (now != NULL) *now = value.tv_sec;
    return value.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec value;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &value);
    now->tv_sec = value.tv_sec;
    now->tv_usec = value.tv_nsec / 1000;
    return 0;
}
