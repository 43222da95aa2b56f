/* The loop posts jobs to a list under a mutex and never waits for the disk; the thread takes all
 * that wait (at most GROUP), commits them as one transaction and hands them back through one
 * uv_async. While a group is in fsync the next one gathers: under load the groups grow by
 * themselves, and a lone request is not delayed.
 *
 * Every job in existence is counted, also finished ones that the loop has not heard of yet, so
 * that memory is bounded whatever side is slow. */
#include "overlay/store.h"
#include "overlay/store_sql.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define GROUP   256                            /* jobs per transaction */
#define IDLE_NS ((uint64_t)1000 * 1000 * 1000) /* quiet for so long: checkpoint */

struct queue {
	struct store_job *first, **end;
};

struct wakeup { /* outlives the store until the loop has closed it */
	uv_async_t async;
	struct store *store; /* NULL after store_close */
};

struct store {
	struct store_sql *sql; /* the thread's, once it runs */
	void (*on_result)(void *context, const struct store_result *r);
	void *context;
	struct wakeup *wakeup; /* NULL: not started */
	uv_thread_t thread;
	uv_mutex_t mutex; /* guards what follows */
	uv_cond_t posted;
	struct queue waiting, done;
	size_t jobs;
	bool stopping;
};

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void queue_put(struct queue *q, struct store_job *j)
{
	j->next = NULL;
	*q->end = j;
	q->end = &j->next;
}

static struct store_job *queue_take(struct queue *q)
{
	struct store_job *j = q->first;
	if (j == NULL)
		return NULL;
	q->first = j->next;
	if (q->first == NULL)
		q->end = &q->first;
	return j;
}

struct store *store_open(const char *dir, char *why, size_t why_size)
{
	struct store *s = calloc(1, sizeof(*s));
	if (s == NULL) {
		(void)snprintf(why, why_size, "%s", ov_err_text(OV_ENOMEM));
		return NULL;
	}
	queue_init(&s->waiting);
	queue_init(&s->done);
	s->sql = store_sql_open(dir, why, why_size);
	if (s->sql == NULL) {
		free(s);
		return NULL;
	}
	return s;
}

uint32_t store_boot_epoch(const struct store *s)
{
	return store_sql_boot_epoch(s->sql);
}

size_t store_take_contacts(struct store *s, struct contact **out)
{
	assert(s->wakeup == NULL); /* afterwards the data is the thread's */
	return store_sql_take_contacts(s->sql, out);
}

void store_take_pairing(struct store *s, struct store_pairing *out)
{
	assert(s->wakeup == NULL);
	store_sql_take_pairing(s->sql, out);
}

/* ---- the thread ---- */

/* Waits for jobs; 0: stopping and nothing left. */
static size_t take_group(struct store *s, struct store_job *group[GROUP])
{
	bool idled = false;
	size_t count = 0;
	uv_mutex_lock(&s->mutex);
	while (s->waiting.first == NULL && !s->stopping) {
		if (idled) {
			uv_cond_wait(&s->posted, &s->mutex);
		} else if (uv_cond_timedwait(&s->posted, &s->mutex, IDLE_NS) == UV_ETIMEDOUT) {
			uv_mutex_unlock(&s->mutex);
			store_sql_idle(s->sql);
			uv_mutex_lock(&s->mutex);
			idled = true;
		}
	}
	while (count < GROUP && s->waiting.first != NULL)
		group[count++] = queue_take(&s->waiting);
	uv_mutex_unlock(&s->mutex);
	return count;
}

static void give_back(struct store *s, struct store_job *group[GROUP], size_t count)
{
	uv_mutex_lock(&s->mutex);
	for (size_t i = 0; i < count; i++)
		queue_put(&s->done, group[i]);
	uv_mutex_unlock(&s->mutex);
	(void)uv_async_send(&s->wakeup->async);
}

static void run_thread(void *arg)
{
	struct store *s = arg;
	struct store_job *group[GROUP];
	size_t count;
	while ((count = take_group(s, group)) > 0) {
		store_sql_commit(s->sql, group, count);
		give_back(s, group, count);
	}
}

/* ---- the loop's side ---- */

static void free_job(struct store_job *j)
{
	store_request_fini(&j->request);
	free(j);
}

static void deliver(struct store *s)
{
	uv_mutex_lock(&s->mutex);
	struct store_job *j = s->done.first;
	queue_init(&s->done);
	uv_mutex_unlock(&s->mutex);
	while (j != NULL) {
		struct store_job *next = j->next;
		uv_mutex_lock(&s->mutex);
		s->jobs--; /* before the callback: it may post again */
		uv_mutex_unlock(&s->mutex);
		if (j->result.ticket != 0)
			s->on_result(s->context, &j->result);
		free_job(j);
		j = next;
	}
}

static void on_wakeup(uv_async_t *async)
{
	struct wakeup *w = async->data;
	if (w->store != NULL)
		deliver(w->store);
}

static void on_wakeup_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* Signals are the loop's: none may interrupt the thread's writes. */
static int start_thread(struct store *s)
{
	sigset_t all, before;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = uv_thread_create(&s->thread, run_thread, s);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

int store_start(struct store *s, struct uv_loop_s *loop,
	void (*on_result)(void *context, const struct store_result *r), void *context)
{
	struct wakeup *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return OV_ENOMEM;
	s->on_result = on_result;
	s->context = context;
	if (uv_async_init(loop, &w->async, on_wakeup) != 0) {
		free(w);
		return OV_EIO;
	}
	w->async.data = w;
	w->store = s;
	if (uv_mutex_init(&s->mutex) == 0) {
		if (uv_cond_init(&s->posted) == 0) {
			s->wakeup = w;
			if (start_thread(s) == 0)
				return OV_OK;
			s->wakeup = NULL;
			uv_cond_destroy(&s->posted);
		}
		uv_mutex_destroy(&s->mutex);
	}
	uv_close((uv_handle_t *)&w->async, on_wakeup_closed);
	return OV_ENOMEM;
}

int store_post_take(struct store *s, struct store_request *r)
{
	assert(s->wakeup != NULL); /* store_start comes first */
	struct store_job *j = malloc(sizeof(*j));
	int err = j == NULL ? OV_ENOMEM : OV_OK;
	if (err == OV_OK) {
		*j = (struct store_job){ .request = *r };
		uv_mutex_lock(&s->mutex);
		if (s->jobs < STORE_QUEUE_MAX) {
			s->jobs++;
			queue_put(&s->waiting, j);
			uv_cond_signal(&s->posted);
		} else {
			err = OV_EFULL;
		}
		uv_mutex_unlock(&s->mutex);
	}
	if (err != OV_OK) {
		store_request_fini(r);
		free(j);
	}
	memset(&r->contact, 0, sizeof(r->contact));
	r->invite = NULL;
	r->line = NULL;
	return err;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	if (s->wakeup != NULL) {
		uv_mutex_lock(&s->mutex);
		s->stopping = true;
		uv_cond_signal(&s->posted);
		uv_mutex_unlock(&s->mutex);
		(void)uv_thread_join(&s->thread);
		deliver(s);
		assert(s->jobs == 0); /* a result's callback must not post while we close */
		s->wakeup->store = NULL;
		uv_close((uv_handle_t *)&s->wakeup->async, on_wakeup_closed);
		uv_cond_destroy(&s->posted);
		uv_mutex_destroy(&s->mutex);
	}
	store_sql_close(s->sql);
	free(s);
}
