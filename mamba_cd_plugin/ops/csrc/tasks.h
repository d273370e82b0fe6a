/* Runs numbered tasks on several threads. */
#ifndef MAMBA_CD_TASKS_H
#define MAMBA_CD_TASKS_H

#include <stddef.h>

#define MAX_THREADS 256

typedef void (*task_fn)(void *context, int task, int worker);

/* Worker w of `workers` takes tasks w, w + workers, ...: the same shares in every call, so that sums come out the
 * same. */
void run_tasks(task_fn fn, void *context, int tasks, int workers);

/* Scratch memory, aligned for every vector width; NULL if there is none. */
void *scratch_alloc(size_t bytes);

#endif
