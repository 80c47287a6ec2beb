/* What the test programs share: a check that counts, says where it failed, and goes on. */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lxc/lxccontainer.h>
#include <lxc/version.h>

static int checks, failures;

#define CHECK(what)                                                            \
	do {                                                                   \
		checks++;                                                      \
		if (!(what)) {                                                 \
			failures++;                                            \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
		}                                                              \
	} while (0)

/* An int with what it was. */
#define EQUAL(what, wanted)                                                    \
	do {                                                                   \
		long long got_ = (long long)(what), wanted_ = (long long)(wanted); \
		checks++;                                                      \
		if (got_ != wanted_) {                                         \
			failures++;                                            \
			fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #what, got_, wanted_); \
		}                                                              \
	} while (0)

#define SAME(what, wanted)                                                     \
	do {                                                                   \
		const char *got_ = (what), *wanted_ = (wanted);                \
		checks++;                                                      \
		if (!got_ || strcmp(got_, wanted_) != 0) {                     \
			failures++;                                            \
			fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #what, got_ ? got_ : "(null)", wanted_); \
		}                                                              \
	} while (0)

/* Whether the library is the one under test, or LXC's own as a control. */
static inline int is_ours(void)
{
	return strcmp(lxc_get_version(), "7.0.0") == 0;
}

static inline int report(const char *name)
{
	printf("%s: %d checks, %d failures\n", name, checks, failures);
	return failures ? 1 : 0;
}

#endif
