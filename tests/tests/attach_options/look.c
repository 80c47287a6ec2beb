/* Attaches to a running container with every option that there is, and prints what the attached process sees, as
 * "CASE: LINE". The same program runs on LXC's library and on ours. Arguments: lxcpath, name, and for one case
 * alone its name. */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <lxc/lxccontainer.h>

extern char **environ;

static struct lxc_container *container;
static const char *only;

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A link's target without numbers. */
static void target(const char *label, const char *path)
{
	char text[PATH_MAX];
	ssize_t length = readlink(path, text, sizeof(text) - 1);
	if (length < 0) {
		printf("%s: %s\n", label, strerror(errno));
		return;
	}
	text[length] = 0;
	char *to = text;
	for (char *from = text; *from; from++)
		if (*from < '0' || *from > '9')
			*to++ = *from;
	*to = 0;
	printf("%s -> %s\n", label, text);
}

static void file(const char *path, const char *const *beginnings)
{
	char line[4096];
	FILE *stream = fopen(path, "re");
	if (!stream) {
		printf("%s: %s\n", path, strerror(errno));
		return;
	}
	while (fgets(line, sizeof(line), stream)) {
		bool wanted = !beginnings;
		for (const char *const *begin = beginnings; begin && *begin; begin++)
			wanted = wanted || strncmp(line, *begin, strlen(*begin)) == 0;
		if (wanted)
			printf("%s: %s%s", path, line, strchr(line, '\n') ? "" : "\n");
	}
	fclose(stream);
}

/* Descriptors above 2 that the caller did not have on purpose. */
static void descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int others = 0;
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		int fd = atoi(entry->d_name);
		if (fd > 2 && fd != dirfd(dir) && fcntl(fd, F_GETFD) >= 0)
			others++;
	}
	if (dir)
		closedir(dir);
	printf("descriptors above 2: %d\n", others);
}

/* What the process is. The payload is for the test of arguments. */
static int look(void *payload)
{
	static const char *const status[] = { "Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp:", "SigBlk", "SigIgn", "SigCgt", "Umask", "Threads", NULL };
	static const char *const limits[] = { "Max open files", "Max core file", "Max nice", NULL };
	static const char *const spaces[] = { "user", "mnt", "pid", "uts", "ipc", "net", "cgroup", "time" };
	gid_t groups[64];
	char text[PATH_MAX];
	int count = getgroups(64, groups), variables = 0;
	file("/proc/self/status", status);
	printf("groups %d:", count);
	for (int i = 0; i < count; i++)
		printf(" %u", groups[i]);
	printf("\n");
	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/self/ns/%s", spaces[i]);
		ssize_t length = readlink(path, text, sizeof(text) - 1);
		printf("ns %s %.*s\n", spaces[i], length < 0 ? 0 : (int)length, text);
	}
	while (environ && environ[variables])
		variables++;
	if (environ)
		qsort(environ, variables, sizeof(*environ), by_name);
	for (int i = 0; i < variables; i++)
		if (strncmp(environ[i], "LD_", 3) != 0)
			printf("env %s\n", environ[i]);
	printf("cwd %s\n", getcwd(text, sizeof(text)) ? text : strerror(errno));
	printf("personality %x\n", personality(0xffffffff));
	printf("leader of session %d, of group %d\n", getsid(0) == getpid(), getpgrp() == getpid());
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	printf("controlling terminal %d\n", tty >= 0);
	if (tty >= 0)
		close(tty);
	for (int fd = 0; fd < 3; fd++) {
		char path[64], label[32];
		struct stat stat;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		snprintf(label, sizeof(label), "fd %d", fd);
		target(label, path);
		int flags = fcntl(fd, F_GETFD);
		printf("fd %d tty %d close-on-exec %d owner %d\n", fd, isatty(fd), flags, fstat(fd, &stat) ? -1 : (int)stat.st_uid);
	}
	descriptors();
	printf("dumpable %d, death signal ", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	int signal = -1;
	prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0);
	printf("%d, keepcaps %d, securebits %x, no_new_privs %d\n", signal, prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0),
	       prctl(PR_GET_SECUREBITS, 0, 0, 0, 0), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	printf("priority %d\n", getpriority(PRIO_PROCESS, 0));
	file("/proc/self/limits", limits);
	file("/proc/self/cgroup", NULL);
	file("/proc/self/oom_score_adj", NULL);
	file("/proc/sys/kernel/hostname", NULL);
	gethostname(text, sizeof(text));
	printf("host %s\n", text);
	printf("proc writable %d, /proc/1 %d\n", access("/proc/sysrq-trigger", W_OK) == 0, access("/proc/1/exe", F_OK) == 0);
	printf("mknod %d\n", mknod("/tmp/rlxc-node", S_IFCHR, makedev(1, 3)) == 0 ? (unlink("/tmp/rlxc-node"), 0) : errno);
	printf("payload %s\n", payload ? (char *)payload : "none");
	fflush(NULL);
	return 37;
}

static int nothing(void *payload)
{
	return (int)(long)payload;
}

static int by_signal(void *payload)
{
	kill(getpid(), (int)(long)payload);
	return 3;
}

/* What a reader got, line by line. */
static void show(const char *name, int from)
{
	FILE *stream = fdopen(from, "r");
	char line[8192];
	while (fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\r\n")] = 0;
		printf("%s: %s\n", name, line);
	}
	fclose(stream);
}

static bool skips(const char *name)
{
	return only && strcmp(only, name) != 0;
}

/* Attaches, with the standard output on a pipe. */
static void run(const char *name, lxc_attach_options_t *options, lxc_attach_exec_t function, void *payload)
{
	int pipes[2], status = -1, result;
	pid_t pid = -7;
	if (skips(name))
		return;
	if (pipe2(pipes, O_CLOEXEC) < 0)
		exit(2);
	options->stdout_fd = pipes[1];
	fflush(NULL);
	result = container->attach(container, function, payload, options, &pid);
	close(pipes[1]);
	show(name, pipes[0]);
	if (result == 0 && waitpid(pid, &status, 0) < 0)
		status = -errno;
	printf("%s: attach %d, pid %d, status %x\n", name, result < 0 ? -1 : result, pid > 0, status);
	fflush(NULL);
}

#define CASE(name, ...)                                              \
	do {                                                         \
		lxc_attach_options_t o = LXC_ATTACH_OPTIONS_DEFAULT; \
		__VA_ARGS__;                                         \
		run(name, &o, look, "words");                        \
	} while (0)

#define STATUS(name, function, payload)                              \
	do {                                                         \
		lxc_attach_options_t o = LXC_ATTACH_OPTIONS_DEFAULT; \
		run(name, &o, function, (void *)(payload));          \
	} while (0)

static void flags(void)
{
	CASE("defaults");
	CASE("no flags", o.attach_flags = 0);
	CASE("no cgroup", o.attach_flags &= ~LXC_ATTACH_MOVE_TO_CGROUP);
	CASE("no drop", o.attach_flags &= ~LXC_ATTACH_DROP_CAPABILITIES);
	CASE("no personality", o.attach_flags &= ~LXC_ATTACH_SET_PERSONALITY);
	CASE("no label", o.attach_flags &= ~LXC_ATTACH_LSM_EXEC);
	CASE("only cgroup", o.attach_flags = LXC_ATTACH_MOVE_TO_CGROUP);
	CASE("label now", o.attach_flags |= LXC_ATTACH_LSM_NOW);
	CASE("label now only", o.attach_flags = (o.attach_flags & ~LXC_ATTACH_LSM_EXEC) | LXC_ATTACH_LSM_NOW);
	CASE("nnp", o.attach_flags |= LXC_ATTACH_NO_NEW_PRIVS);
	CASE("nnp and ids", o.attach_flags |= LXC_ATTACH_NO_NEW_PRIVS, o.uid = 7, o.gid = 8);
	CASE("remount unneeded", o.attach_flags |= LXC_ATTACH_REMOUNT_PROC_SYS);
	CASE("remount", o.attach_flags |= LXC_ATTACH_REMOUNT_PROC_SYS, o.namespaces = CLONE_NEWPID | CLONE_NEWNET);
	CASE("unknown flags", o.attach_flags |= 0x40000000 | 0x8000);
	CASE("linux32", o.personality = PER_LINUX32);
	CASE("linux", o.personality = PER_LINUX);
	CASE("no randomization", o.personality = PER_LINUX | ADDR_NO_RANDOMIZE);
	CASE("domain without flag", o.personality = PER_LINUX32, o.attach_flags &= ~LXC_ATTACH_SET_PERSONALITY);
}

static void namespaces(void)
{
	CASE("none", o.namespaces = 0);
	CASE("mnt", o.namespaces = CLONE_NEWNS);
	CASE("pid", o.namespaces = CLONE_NEWPID);
	CASE("uts", o.namespaces = CLONE_NEWUTS);
	CASE("ipc", o.namespaces = CLONE_NEWIPC);
	CASE("net", o.namespaces = CLONE_NEWNET);
	CASE("cgroup", o.namespaces = CLONE_NEWCGROUP);
	CASE("user", o.namespaces = CLONE_NEWUSER);
	CASE("user and mnt", o.namespaces = CLONE_NEWUSER | CLONE_NEWNS);
	CASE("all named", o.namespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP);
	CASE("mnt and pid", o.namespaces = CLONE_NEWNS | CLONE_NEWPID);
	CASE("elevated in net", o.namespaces = CLONE_NEWNET, o.attach_flags &= ~(LXC_ATTACH_MOVE_TO_CGROUP | LXC_ATTACH_DROP_CAPABILITIES | LXC_ATTACH_LSM));
}

static void ids(void)
{
	gid_t list[] = { 5, 6, 40000 }, none[] = { 0 };
	CASE("uid", o.uid = 7);
	CASE("gid", o.gid = 8);
	CASE("uid and gid", o.uid = 7, o.gid = 8);
	CASE("root", o.uid = 0, o.gid = 0);
	CASE("groups", o.attach_flags |= LXC_ATTACH_SETGROUPS, o.groups.size = 3, o.groups.list = list);
	CASE("groups and ids", o.attach_flags |= LXC_ATTACH_SETGROUPS, o.groups.size = 3, o.groups.list = list, o.uid = 7, o.gid = 8);
	CASE("groups without flag", o.groups.size = 3, o.groups.list = list);
	CASE("flag without groups", o.attach_flags |= LXC_ATTACH_SETGROUPS);
	CASE("no groups", o.attach_flags |= LXC_ATTACH_SETGROUPS, o.groups.size = 0, o.groups.list = none);
	CASE("unmapped uid", o.uid = 70000);
	CASE("unmapped gid", o.gid = 70000);
}

static void environments(void)
{
	char *set[] = { "ONE=1", "TWO=a=b", "EMPTY=", "FROM=options", "container=other", NULL };
	char *bare[] = { "BARE", NULL }, *same[] = { "ONE=1", "ONE=2", NULL }, *path[] = { "PATH=/mine", NULL }, *nothing[] = { NULL };
	char *keep[] = { "KEPT", "NOSUCH", NULL }, *keep_path[] = { "PATH", NULL }, *keep_all[] = { "KEPT", "PATH", "FROM", "container", NULL };
	CASE("clear", o.env_policy = LXC_ATTACH_CLEAR_ENV);
	CASE("set", o.extra_env_vars = set);
	CASE("clear and set", o.env_policy = LXC_ATTACH_CLEAR_ENV, o.extra_env_vars = set);
	CASE("set nothing", o.extra_env_vars = nothing, o.extra_keep_env = nothing);
	CASE("set bare", o.extra_env_vars = bare);
	CASE("set twice", o.extra_env_vars = same);
	CASE("set path", o.env_policy = LXC_ATTACH_CLEAR_ENV, o.extra_env_vars = path);
	CASE("clear and keep", o.env_policy = LXC_ATTACH_CLEAR_ENV, o.extra_keep_env = keep);
	CASE("clear and keep path", o.env_policy = LXC_ATTACH_CLEAR_ENV, o.extra_keep_env = keep_path);
	CASE("clear and keep all", o.env_policy = LXC_ATTACH_CLEAR_ENV, o.extra_keep_env = keep_all);
	CASE("keep list without clear", o.extra_keep_env = keep);
}

static void directories(void)
{
	CASE("cwd", o.initial_cwd = "/var");
	CASE("cwd by link", o.initial_cwd = "/link");
	CASE("cwd missing", o.initial_cwd = "/nosuch");
	CASE("cwd a file", o.initial_cwd = "/etc/passwd");
	CASE("cwd relative", o.initial_cwd = "etc");
	CASE("cwd empty", o.initial_cwd = "");
}

/* Standard descriptors: odd numbers, the same one twice, none. */
static void descriptor_cases(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), input[2];
	if (pipe2(input, O_CLOEXEC) < 0 || null < 0)
		exit(2);
	CASE("stdin null", o.stdin_fd = null);
	CASE("stdin pipe", o.stdin_fd = input[0]);
	CASE("stderr null", o.stderr_fd = null);
	CASE("stderr is stdin", o.stderr_fd = 0);
	CASE("stdin negative", o.stdin_fd = -1);
	CASE("stderr negative", o.stderr_fd = -1);
	CASE("stdin not open", o.stdin_fd = 999);
	CASE("stderr not open", o.stderr_fd = 999);
	CASE("log null", o.log_fd = null);
	int saved = dup(0);
	close(0);
	CASE("caller without stdin");
	dup2(saved, 0);
	close(saved);
	saved = dup(2);
	close(2);
	CASE("caller without stderr");
	dup2(saved, 2);
	close(saved);
	close(null);
	close(input[0]);
	close(input[1]);
}

static void statuses(void)
{
	STATUS("returns 0", nothing, 0L);
	STATUS("returns 5", nothing, 5L);
	STATUS("returns 255", nothing, 255L);
	STATUS("returns 256", nothing, 256L);
	STATUS("returns -1", nothing, -1L);
	STATUS("killed", by_signal, (long)SIGKILL);
	STATUS("terminated", by_signal, (long)SIGTERM);
	STATUS("aborted", by_signal, (long)SIGABRT);
}

static void command(const char *name, const char *program, char **argv)
{
	lxc_attach_command_t command = { (char *)program, argv };
	lxc_attach_options_t o = LXC_ATTACH_OPTIONS_DEFAULT;
	o.stderr_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	run(name, &o, lxc_attach_run_command, &command);
	close(o.stderr_fd);
}

static void commands(void)
{
	char *id[] = { "id", NULL }, *named[] = { "another", "-c", "echo $0; exit 4", NULL }, *fds[] = { "sh", "-c", "ls /proc/self/fd | wc -l; umask; pwd", NULL };
	char *missing[] = { "/nosuch", NULL }, *directory[] = { "/etc", NULL }, *script[] = { "/script", "word", NULL }, *unreadable[] = { "/etc/passwd", NULL };
	char *interpreter[] = { "/badscript", NULL }, *signal[] = { "sh", "-c", "kill -TERM $$", NULL };
	command("command", "id", id);
	command("command by another name", "/bin/sh", named);
	command("command's descriptors", "sh", fds);
	command("command missing", "/nosuch", missing);
	command("command not in path", "nosuch", missing);
	command("command a directory", "/etc", directory);
	command("command no program", "/etc/passwd", unreadable);
	command("script without interpreter", "/script", script);
	command("script with a missing interpreter", "/badscript", interpreter);
	command("command killed", "sh", signal);
}

/* A shell gets its words from standard input. */
static void shells(void)
{
	const char *words = "echo shell $0; id -u; exit 6\n";
	uid_t uids[] = { (uid_t)-1, 7, 12345 };
	const char *names[] = { "shell", "shell of a user", "shell of nobody" };
	for (int i = 0; i < 3; i++) {
		int input[2];
		lxc_attach_options_t o = LXC_ATTACH_OPTIONS_DEFAULT;
		if (pipe2(input, O_CLOEXEC) < 0 || write(input[1], words, strlen(words)) < 0)
			exit(2);
		close(input[1]);
		o.stdin_fd = input[0];
		o.uid = uids[i];
		run(names[i], &o, lxc_attach_run_shell, NULL);
		close(input[0]);
	}
}

static void waits(void)
{
	const char *const exits[] = { "sh", "-c", "exit 9", NULL }, *const none[] = { NULL };
	lxc_attach_options_t o = LXC_ATTACH_OPTIONS_DEFAULT;
	if (skips("waits"))
		return;
	o.stderr_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	fflush(NULL);
	printf("waits: %x\n", container->attach_run_wait(container, NULL, "sh", exits));
	printf("waits: %x\n", container->attach_run_wait(container, &o, "/nosuch", exits));
	printf("waits: %x\n", container->attach_run_waitl(container, &o, "sh", "sh", "-c", "kill -9 $$", NULL));
	printf("waits: %x\n", container->attach_run_waitl(container, &o, "true", "true", NULL));
	printf("waits: %x\n", container->attach_run_wait(container, &o, "true", none));
	o.uid = 7;
	printf("waits: %x\n", container->attach_run_waitl(container, &o, "sh", "sh", "-c", "exit $(id -u)", NULL));
	close(o.stderr_fd);
}

static void refused(void)
{
	lxc_attach_options_t o = LXC_ATTACH_OPTIONS_DEFAULT;
	pid_t pid = -7;
	struct lxc_container *none;
	if (skips("refused"))
		return;
	none = lxc_container_new("nosuch", container->get_config_path(container));
	printf("refused: not running %d\n", none->attach(none, nothing, NULL, &o, &pid) < 0);
	printf("refused: not running %d\n", none->attach_run_waitl(none, NULL, "true", "true", NULL) < 0);
	printf("refused: pid %d\n", pid);
	lxc_container_put(none);
}

/* From a terminal, which the process is to have a new one for. */
static void terminal(const char *name, int flag, lxc_attach_exec_t function, void *payload)
{
	char buffer[4096], text[65536] = "";
	size_t used = 0;
	if (skips(name))
		return;
	fflush(NULL);
	int ptx = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ptx < 0 || grantpt(ptx) < 0 || unlockpt(ptx) < 0)
		exit(2);
	struct winsize size = { .ws_row = 33, .ws_col = 77 };
	ioctl(ptx, TIOCSWINSZ, &size);
	char *pts = ptsname(ptx);
	pid_t child = fork();
	if (child == 0) {
		lxc_attach_options_t o = LXC_ATTACH_OPTIONS_DEFAULT;
		pid_t pid = -7;
		int status = -1;
		setsid();
		int fd = open(pts, O_RDWR);
		ioctl(fd, TIOCSCTTY, 0);
		for (int i = 0; i < 3; i++)
			dup2(fd, i);
		if (fd > 2)
			close(fd);
		o.attach_flags |= flag;
		int result = container->attach(container, function, payload, &o, &pid);
		if (result == 0 && waitpid(pid, &status, 0) < 0)
			status = -errno;
		printf("attach %d, status %x\n", result, status);
		fflush(NULL);
		_exit(0);
	}
	struct pollfd poll_on = { .fd = ptx, .events = POLLIN };
	while (poll(&poll_on, 1, 20000) > 0) {
		ssize_t length = read(ptx, buffer, sizeof(buffer));
		if (length <= 0 || used + length >= sizeof(text))
			break;
		memcpy(text + used, buffer, length);
		used += length;
		text[used] = 0;
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(ptx);
	for (char *line = strtok(text, "\r\n"); line; line = strtok(NULL, "\r\n"))
		printf("%s: %s\n", name, line);
	fflush(NULL);
}

static void terminals(void)
{
	char *size[] = { "sh", "-c", "stty size; tty | tr -d '0-9'; echo hello >/dev/tty; exit 8", NULL };
	lxc_attach_command_t command = { "sh", size };
	terminal("terminal", LXC_ATTACH_TERMINAL, look, "words");
	terminal("terminal's command", LXC_ATTACH_TERMINAL, lxc_attach_run_command, &command);
	terminal("the caller's terminal", 0, look, "words");
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	only = argc > 3 ? argv[3] : NULL;
	container = lxc_container_new(argv[2], argv[1]);
	if (!container || !container->is_running(container))
		return 3;
	flags();
	namespaces();
	ids();
	environments();
	directories();
	descriptor_cases();
	statuses();
	commands();
	shells();
	waits();
	refused();
	terminals();
	lxc_container_put(container);
	return 0;
}
