/* Many threads, and processes after fork: eight threads start containers; two use one object.
 * Arguments: template, lxcpath. */
#include "check.h"

#include <pthread.h>
#include <signal.h>

#define THREADS 8
#define ROUNDS 3

static const char *lxcpath;

static void *life_of_one(void *number)
{
	char name[64];
	long problems = 0;
	snprintf(name, sizeof(name), "rlxc-lib-thread%ld", (long)number);
	for (int round = 0; round < ROUNDS; round++) {
		struct lxc_container *c = lxc_container_new(name, lxcpath);
		if (!c || !c->start(c, 0, NULL)) {
			fprintf(stderr, "%s did not start: %s\n", name, c && c->error_string ? c->error_string : "?");
			problems++;
		} else {
			if (!c->wait(c, "RUNNING", 10) || !c->is_running(c))
				problems++;
			int status = c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "exit 4", NULL);
			if (!WIFEXITED(status) || WEXITSTATUS(status) != 4) {
				fprintf(stderr, "%s: attach gave %x\n", name, status);
				problems++;
			}
			if (!c->stop(c) || c->is_running(c))
				problems++;
		}
		if (c)
			lxc_container_put(c);
	}
	return (void *)problems;
}

/* Keeps the process busy with what a careless fork would trip over. */
static volatile int busy = 1;
static void *noise(void *unused)
{
	(void)unused;
	while (busy) {
		free(malloc(100));
		setenv("RLXC_NOISE", "x", 1);
		lxc_get_global_config_item("lxc.lxcpath");
	}
	return NULL;
}

static struct lxc_container *shared;

static void *waits(void *unused)
{
	(void)unused;
	/* Lasts until another thread stops the container by the same object. */
	return (void *)(long)shared->wait(shared, "STOPPED", 20);
}

static void *asks(void *unused)
{
	(void)unused;
	long wrong = 0;
	for (int i = 0; i < 200; i++) {
		char value[64];
		if (shared->get_config_item(shared, "lxc.uts.name", value, sizeof(value)) <= 0)
			wrong++;
		if (!shared->state(shared))
			wrong++;
		if (lxc_container_get(shared) != 1 || lxc_container_put(shared) != 0)
			wrong++;
	}
	return (void *)wrong;
}

static void one_object(void)
{
	shared = lxc_container_new("rlxc-lib-thread0", lxcpath);
	CHECK(shared->start(shared, 0, NULL));
	pthread_t waiter, askers[2];
	void *result;
	pthread_create(&waiter, NULL, waits, NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&askers[i], NULL, asks, NULL);
	for (int i = 0; i < 2; i++) {
		pthread_join(askers[i], &result);
		EQUAL((long)result, 0);
	}
	/* A child of fork uses the object too. */
	pid_t pid = fork();
	if (pid == 0) {
		char value[64];
		alarm(20);
		int good = shared->is_running(shared) && shared->get_config_item(shared, "lxc.uts.name", value, sizeof(value)) > 0 &&
			   shared->set_config_item(shared, "lxc.tty.max", "1") && shared->freeze(shared) && shared->unfreeze(shared);
		_exit(good ? 0 : 1);
	}
	int status = -1;
	CHECK(waitpid(pid, &status, 0) == pid);
	EQUAL(status, 0);
	CHECK(shared->stop(shared));
	pthread_join(waiter, &result);
	EQUAL((long)result, 1);
	EQUAL(lxc_container_put(shared), 1);
}

int main(int argc, char **argv)
{
	const char *template = argv[argc - 2];
	lxcpath = argv[argc - 1];
	for (long i = 0; i < THREADS; i++) {
		char name[64];
		snprintf(name, sizeof(name), "rlxc-lib-thread%ld", i);
		struct lxc_container *c = lxc_container_new(name, lxcpath);
		CHECK(c->set_config_item(c, "lxc.net.0.type", "empty"));
		CHECK(c->createl(c, template, "dir", NULL, LXC_CREATE_QUIET, NULL));
		lxc_container_put(c);
	}
	pthread_t noisy[2], threads[THREADS];
	for (int i = 0; i < 2; i++)
		pthread_create(&noisy[i], NULL, noise, NULL);
	for (long i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, life_of_one, (void *)i);
	for (int i = 0; i < THREADS; i++) {
		void *problems;
		pthread_join(threads[i], &problems);
		EQUAL((long)problems, 0);
	}
	busy = 0;
	for (int i = 0; i < 2; i++)
		pthread_join(noisy[i], NULL);
	one_object();
	for (long i = 0; i < THREADS; i++) {
		char name[64];
		snprintf(name, sizeof(name), "rlxc-lib-thread%ld", i);
		struct lxc_container *c = lxc_container_new(name, lxcpath);
		CHECK(c->destroy(c));
		lxc_container_put(c);
	}
	return report("threads");
}
