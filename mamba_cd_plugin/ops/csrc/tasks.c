/* Threads: those of the OpenMP runtime that torch runs on, or else new ones for each call.
 *
 * Torch's threads are awake already, since they spin for a while after every op, and new threads would have to compete
 * with them (measured: 0.5 ms against 1 ms for one op). But OpenMP hangs in a process that was forked off after its
 * use. There, and where the runtime is not found, plain threads that live for one call do the work: they leave no state
 * behind that a fork could break. */
#include "tasks.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__SSE__)
#include <immintrin.h>
#define FLUSH_DENORMALS 0x8040
#endif

typedef struct {
    task_fn fn;
    void *context;
    int worker, workers, tasks;
} task_share;

static void (*openmp_run)(void (*fn)(void *), void *data, unsigned threads, unsigned flags);
static int (*openmp_thread)(void), (*openmp_threads)(void);
static pid_t openmp_process;

/* Hands over GOMP_parallel, omp_get_thread_num and omp_get_num_threads of torch's runtime. */
void scan_use_openmp(void *run, void *thread, void *threads) {
#ifdef __SANITIZE_THREAD__
    (void)run, (void)thread, (void)threads;
    return; /* It would not see the barriers of a runtime that is not compiled for it, and report races. */
#endif
    openmp_thread = (int (*)(void))thread;
    openmp_threads = (int (*)(void))threads;
    openmp_process = getpid();
    openmp_run = (void (*)(void (*)(void *), void *, unsigned, unsigned))run;
}

static void *run_share(void *argument) {
    const task_share *share = argument;
#if defined(__SSE__)
    /* Decayed states become denormal numbers, which cost a hundred cycles each on some processors. */
    unsigned int saved = _mm_getcsr();
    _mm_setcsr(saved | FLUSH_DENORMALS);
#endif
    for (int task = share->worker; task < share->tasks; task += share->workers)
        share->fn(share->context, task, share->worker);
#if defined(__SSE__)
    _mm_setcsr(saved);
#endif
    return NULL;
}

/* The team may be smaller than asked for. */
static void run_in_team(void *shares) {
    int first = openmp_thread(), step = openmp_threads(), workers = ((task_share *)shares)->workers;
    for (int w = first; w < workers; w += step)
        run_share((task_share *)shares + w);
}

static void run_on_new_threads(task_share *shares, int workers) {
    pthread_t threads[MAX_THREADS];
    int started[MAX_THREADS];
    for (int w = 1; w < workers; w++)
        started[w] = pthread_create(&threads[w], NULL, run_share, &shares[w]) == 0;
    run_share(&shares[0]);
    for (int w = 1; w < workers; w++)
        if (started[w])
            pthread_join(threads[w], NULL);
        else
            run_share(&shares[w]);
}

void run_tasks(task_fn fn, void *context, int tasks, int workers) {
    task_share shares[MAX_THREADS];
    for (int w = 0; w < workers; w++)
        shares[w] = (task_share){fn, context, w, workers, tasks};
    if (workers == 1)
        run_share(shares);
    else if (openmp_run && openmp_process == getpid())
        openmp_run(run_in_team, shares, (unsigned)workers, 0);
    else
        run_on_new_threads(shares, workers);
}

void *scratch_alloc(size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes ? bytes : 64) ? NULL : memory;
}
