/* A stand-in for criu(8): writes its arguments below $CRIU_RECORD, and for a restore makes the process that
 * criu would make: a sibling of its own in new namespaces, with a pid file where one is asked for. What
 * $CRIU_FAIL names fails. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static FILE *record(const char *action)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", getenv("CRIU_RECORD") ?: ".", action);
	return fopen(path, "w");
}

static const char *after(char **argv, const char *option)
{
	for (; *argv; argv++)
		if (strcmp(*argv, option) == 0)
			return argv[1];
	return NULL;
}

/* The process that was restored: ends when it is told to. */
static void live(const char *root, const sigset_t *set)
{
	int signal;
	setsid();
	if (root && chroot(root) == 0 && chdir("/") == 0)
		mkdir("restored", 0755);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	sigwait(set, &signal);
	_exit(7);
}

static int restore(char **argv, FILE *file)
{
	const char *root = after(argv, "--root");
	const char *inherited = after(argv, "--inherit-fd");
	int fd = -1;
	if (inherited && sscanf(inherited, "fd[%d]", &fd) == 1)
		fprintf(file, "inherited: %s\n", isatty(fd) ? "a terminal" : "something else");
	struct stat of_root, of_parent;
	char parent[4096];
	if (root && snprintf(parent, sizeof(parent), "%s/..", root) > 0 && stat(root, &of_root) == 0 && stat(parent, &of_parent) == 0)
		fprintf(file, "root: %s\n", access(root, X_OK) == 0 ? "there" : "missing");
	/* Before there is a first process, which would not even see them. */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGPWR);
	sigprocmask(SIG_BLOCK, &set, NULL);
	long pid = syscall(SYS_clone, CLONE_PARENT | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | SIGCHLD, NULL, NULL, NULL, 0UL);
	if (pid == 0)
		live(root, &set);
	if (pid < 0)
		return 1;
	const char *pidfile = after(argv, "--pidfile");
	if (pidfile) {
		FILE *out = fopen(pidfile, "w");
		if (!out)
			return 1;
		fprintf(out, "%ld", pid);
		fclose(out);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *action = argc > 1 ? argv[1] : "";
	const char *fail = getenv("CRIU_FAIL");
	if (strcmp(action, "--version") == 0) {
		printf("Version: 3.17.1\nGitID: v3.17.1\n");
		return 0;
	}
	FILE *file = record(action);
	if (!file)
		return 2;
	for (int i = 1; i < argc; i++)
		fprintf(file, "%s\n", argv[i]);
	int status = 0;
	if (fail && strcmp(fail, action) == 0) {
		fprintf(stderr, "the stand-in was told to fail\n");
		status = 1;
	} else if (strcmp(action, "restore") == 0) {
		status = restore(argv, file);
	} else if (strcmp(action, "check") == 0) {
		const char *feature = after(argv, "--feature");
		const char *missing = getenv("CRIU_MISSING");
		status = feature && missing && strcmp(feature, missing) == 0;
	}
	fclose(file);
	return status;
}
