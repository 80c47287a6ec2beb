/*
 * Times a liblxc's own functions, so that both libraries are called in the same way:
 *   config LIBRARY load FILE RUNS   nanoseconds of each load, one a line
 *   config LIBRARY items KEYS       nanoseconds of one set and of one get, among four times as many lines
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lxc/lxccontainer.h>

enum { CALLS = 2000, ROUNDS = 10 };

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int fail(const char *what)
{
	fprintf(stderr, "%s failed\n", what);
	return 1;
}

static int items(struct lxc_container *c, int keys)
{
	static const char *const single[] = { "lxc.tty.max", "lxc.sysctl.a0", "lxc.net.0.mtu", "lxc.uts.name" };
	long long set = -1, get = -1, start, took;
	char key[64], value[256];

	for (int n = 0; n < keys; n++) {
		snprintf(key, sizeof(key), "lxc.sysctl.a%d", n);
		if (!c->set_config_item(c, key, "1"))
			return fail(key);
		snprintf(key, sizeof(key), "lxc.prlimit.a%d", n);
		if (!c->set_config_item(c, key, "1"))
			return fail(key);
		snprintf(key, sizeof(key), "lxc.net.%d.type", n);
		if (!c->set_config_item(c, key, "veth"))
			return fail(key);
		if (!c->set_config_item(c, "lxc.mount.entry", "a b none bind 0 0"))
			return fail("lxc.mount.entry");
	}
	for (int round = 0; round < ROUNDS; round++) {
		start = now();
		for (int n = 0; n < CALLS; n++)
			if (!c->set_config_item(c, single[n % 4], "4"))
				return fail("set");
		took = now() - start;
		set = set < 0 || took < set ? took : set;
		start = now();
		for (int n = 0; n < CALLS; n++)
			if (c->get_config_item(c, single[n % 4], value, sizeof(value)) != 1)
				return fail("get");
		took = now() - start;
		get = get < 0 || took < get ? took : get;
	}
	printf("%lld\n%lld\n", set / CALLS, get / CALLS);
	return 0;
}

int main(int argc, char **argv)
{
	struct lxc_container *(*make)(const char *, const char *);
	int (*put)(struct lxc_container *);
	struct lxc_container *c;
	void *library;

	if (argc < 4)
		return fail("LIBRARY load FILE RUNS, or LIBRARY items KEYS,");
	library = dlopen(argv[1], RTLD_NOW);
	if (!library)
		return fail(dlerror());
	*(void **)&make = dlsym(library, "lxc_container_new");
	*(void **)&put = dlsym(library, "lxc_container_put");
	if (!make || !put)
		return fail("dlsym");
	if (strcmp(argv[2], "load")) {
		c = make("none", "/nonexistent");
		return c ? items(c, atoi(argv[3])) : fail("lxc_container_new");
	}
	for (int n = 0; n < (argc > 4 ? atoi(argv[4]) : 1); n++) {
		long long start;

		c = make("none", "/nonexistent");
		if (!c)
			return fail("lxc_container_new");
		start = now();
		if (!c->load_config(c, argv[3]))
			return fail(argv[3]);
		printf("%lld\n", now() - start);
		put(c);
	}
	return 0;
}
