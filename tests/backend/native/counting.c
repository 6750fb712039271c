/* Loaded before libc: counts every request for memory, of all threads. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static atomic_long count;

long gn_requests(void) { return atomic_load(&count); }

void *malloc(size_t size) { atomic_fetch_add(&count, 1); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { atomic_fetch_add(&count, 1); return __libc_calloc(number, size); }
void *realloc(void *old, size_t size) { atomic_fetch_add(&count, 1); return __libc_realloc(old, size); }
void *memalign(size_t to, size_t size) { atomic_fetch_add(&count, 1); return __libc_memalign(to, size); }
void *aligned_alloc(size_t to, size_t size) { return memalign(to, size); }
int posix_memalign(void **place, size_t to, size_t size) { return (*place = memalign(to, size)) ? 0 : ENOMEM; }

void *mmap(void *at, size_t size, int rights, int flags, int file, off_t offset) {
    atomic_fetch_add(&count, 1);
    return (void *)syscall(SYS_mmap, at, size, rights, flags, file, offset);
}
