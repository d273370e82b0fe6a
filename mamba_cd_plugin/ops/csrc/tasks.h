/* Runs numbered tasks on threads that live for one call: no state stays behind, so that forks and callers in several
 * threads are safe. */
#ifndef MAMBA_CD_TASKS_H
#define MAMBA_CD_TASKS_H

#include <pthread.h>
#include <stdlib.h>

#if defined(__SSE__)
#include <immintrin.h>
#endif

#define MAX_THREADS 256

typedef void (*task_fn)(void *context, int task, int worker);

typedef struct {
    task_fn fn;
    void *context;
    int worker, workers, tasks;
} task_share;

/* Worker w takes tasks w, w + workers, ...: the same shares in every call, so that sums come out the same. */
static void *run_share(void *argument) {
    task_share *share = argument;
#if defined(__SSE__)
    /* Flush denormals to 0: decayed states reach them, and they cost a hundred cycles each on some processors. */
    unsigned int saved = _mm_getcsr();
    _mm_setcsr(saved | 0x8040);
#endif
    for (int task = share->worker; task < share->tasks; task += share->workers)
        share->fn(share->context, task, share->worker);
#if defined(__SSE__)
    _mm_setcsr(saved);
#endif
    return NULL;
}

static void run_tasks(task_fn fn, void *context, int tasks, int workers) {
    pthread_t threads[MAX_THREADS];
    task_share shares[MAX_THREADS];
    int started[MAX_THREADS];
    for (int w = 0; w < workers; w++) {
        shares[w] = (task_share){fn, context, w, workers, tasks};
        started[w] = w > 0 && pthread_create(&threads[w], NULL, run_share, &shares[w]) == 0;
    }
    /* The caller works too, and takes over what could not be started. */
    for (int w = 0; w < workers; w++)
        if (!started[w])
            run_share(&shares[w]);
    for (int w = 1; w < workers; w++)
        if (started[w])
            pthread_join(threads[w], NULL);
}

/* Scratch memory, aligned for every vector width; NULL if there is none. */
static void *scratch_alloc(size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes ? bytes : 64) ? NULL : memory;
}

#endif
