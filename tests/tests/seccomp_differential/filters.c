/* Prints the seccomp filters of process $LXC_PID, the last loaded first: one line a filter, each instruction as
 * CODE,JT,JF,K in hexadecimal. Argument: the file to write to. Run as a start-host hook. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#endif

int main(int argc, char **argv)
{
	static struct sock_filter program[4096];
	const char *text = getenv("LXC_PID");
	pid_t pid = text ? atoi(text) : 0;
	FILE *out = argc > 1 ? fopen(argv[1], "w") : NULL;
	if (pid <= 0 || !out)
		return 2;
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0 || waitpid(pid, NULL, __WALL) < 0) {
		fprintf(out, "errno %d\n", errno);
		return 3;
	}
	for (long index = 0;; index++) {
		long count = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, (void *)index, program);
		if (count < 0 && errno == ENOENT)
			break;
		if (count < 0) {
			fprintf(out, "errno %d\n", errno);
			break;
		}
		for (long at = 0; at < count; at++)
			fprintf(out, "%s%x,%x,%x,%x", at ? " " : "", program[at].code, program[at].jt, program[at].jf, program[at].k);
		fprintf(out, "\n");
	}
	fprintf(out, "end\n");
	fclose(out);
	ptrace(PTRACE_DETACH, pid, 0, 0);
	return 0;
}
