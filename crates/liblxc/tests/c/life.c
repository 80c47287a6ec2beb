/* A container's life by every function that needs one. Arguments: template, lxcpath. */
#include "check.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define NAME "rlxc-lib-life"

static const char *template, *lxcpath;
static struct lxc_container *c;

static void create(void)
{
	/* More arguments than registers hold, to the end of the list. */
	CHECK(!c->createl(c, "/nosuch/template", NULL, NULL, 0, NULL));
	CHECK(!c->is_defined(c));
	CHECK(!c->createl(c, "no/template", NULL, NULL, LXC_CREATE_QUIET, NULL));
	c->clear_config(c);
	CHECK(c->set_config_item(c, "lxc.net.0.type", "empty"));
	CHECK(c->createl(c, template, "dir", NULL, LXC_CREATE_QUIET, NULL));
	CHECK(c->is_defined(c));
	CHECK(!c->createl(c, template, "dir", NULL, LXC_CREATE_QUIET, NULL));
	SAME(c->state(c), "STOPPED");
	CHECK(c->set_config_item(c, "lxc.tty.max", "2"));
	CHECK(c->set_config_item(c, "lxc.console.buffer.size", "auto"));
	CHECK(c->set_config_item(c, "lxc.environment", "COLOUR=blue"));
	char shared[PATH_MAX];
	snprintf(shared, sizeof(shared), "shmounts:%s/shmounts", lxcpath);
	CHECK(c->set_config_item(c, "lxc.mount.auto", shared));
	CHECK(c->save_config(c, NULL));
}

/* A template that prints its arguments finds all of them. */
static void many_arguments(void)
{
	char script[PATH_MAX], seen[PATH_MAX], line[512] = "";
	snprintf(script, sizeof(script), "%s/template", lxcpath);
	snprintf(seen, sizeof(seen), "%s/arguments", lxcpath);
	FILE *file = fopen(script, "w");
	fprintf(file, "#!/bin/sh\nshift 3\necho \"$@\" > %s\n", seen);
	fclose(file);
	chmod(script, 0755);
	struct lxc_container *m = lxc_container_new("many", lxcpath);
	CHECK(m->createl(m, script, "dir", NULL, LXC_CREATE_QUIET, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", NULL));
	file = fopen(seen, "r");
	CHECK(file && fgets(line, sizeof(line), file));
	SAME(line, "a b c d e f g h i j k l m n o\n");
	if (file)
		fclose(file);
	CHECK(m->destroy(m));
	lxc_container_put(m);

	/* No template: the configuration alone. */
	m = lxc_container_new("bare", lxcpath);
	CHECK(m->create(m, NULL, NULL, NULL, 0, NULL));
	CHECK(m->is_defined(m));
	CHECK(m->destroy(m));
	CHECK(!m->is_defined(m));
	lxc_container_put(m);
	unlink(script);
	unlink(seen);
}

static void started(void)
{
	CHECK(c->want_daemonize(c, true));
	CHECK(c->start(c, 0, NULL));
	CHECK(c->wait(c, "RUNNING", 10));
	SAME(c->state(c), "RUNNING");
	CHECK(c->is_running(c));
	CHECK(c->may_control(c));
	EQUAL(c->error_num, 1);
	pid_t pid = c->init_pid(c);
	CHECK(pid > 1 && kill(pid, 0) == 0);
	int fd = c->init_pidfd(c);
	CHECK(fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0);
	close(fd);
	fd = c->devpts_fd(c);
	CHECK(fd >= 0);
	close(fd);
	CHECK(c->seccomp_notify_fd_active(c) < 0);
	CHECK(!c->start(c, 0, NULL));
	CHECK(!c->destroy(c));
	CHECK(!c->rename(c, "other"));
	CHECK(!c->wait(c, "STOPPED", 0));
	EQUAL(list_active_containers(lxcpath, NULL, NULL), 1);
	char **names = NULL;
	struct lxc_container **all = NULL;
	EQUAL(list_active_containers(lxcpath, &names, &all), 1);
	SAME(names[0], NAME);
	SAME(all[0]->state(all[0]), "RUNNING");
	lxc_container_put(all[0]);
	free(all);
	free(names[0]);
	free(names);

	char *value = c->get_running_config_item(c, "lxc.uts.name");
	SAME(value, NAME);
	free(value);
	CHECK(c->get_running_config_item(c, "lxc.nosuch") == NULL);
	CHECK(c->get_running_config_item(c, "lxc.init.cwd") == NULL);
}

static void frozen(void)
{
	CHECK(c->freeze(c));
	SAME(c->state(c), "FROZEN");
	CHECK(c->is_running(c));
	CHECK(c->freeze(c));
	CHECK(c->wait(c, "FROZEN", 1));
	CHECK(c->unfreeze(c));
	SAME(c->state(c), "RUNNING");
	CHECK(c->unfreeze(c));
}

static int in_child(void *payload)
{
	/* The caller's own object works in the attached process. */
	char host[65] = "", buffer[16];
	gethostname(host, sizeof(host));
	if (strcmp(host, NAME) != 0)
		return 1;
	if (c->get_config_item(c, "lxc.tty.max", buffer, sizeof(buffer)) != 1)
		return 2;
	return *(int *)payload;
}

static int status_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static char *output_of(lxc_attach_options_t *options, const char *script)
{
	static char text[8192];
	int ends[2];
	if (pipe(ends) < 0)
		return NULL;
	options->stdout_fd = ends[1];
	const char *argv[] = { "sh", "-c", script, NULL };
	EQUAL(status_of(c->attach_run_wait(c, options, "/bin/sh", argv)), 0);
	close(ends[1]);
	ssize_t used = 0, got;
	while ((got = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += got;
	close(ends[0]);
	text[used > 0 ? used : 0] = 0;
	options->stdout_fd = 1;
	return text;
}

static void attached(void)
{
	int code = 42, status = 0;
	pid_t pid = -1;
	EQUAL(c->attach(c, in_child, &code, NULL, &pid), 0);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	EQUAL(status_of(status), 42);

	lxc_attach_command_t command = { .program = "/bin/sh", .argv = (char *[]){ "sh", "-c", "exit 7", NULL } };
	lxc_attach_options_t options = LXC_ATTACH_OPTIONS_DEFAULT;
	EQUAL(c->attach(c, lxc_attach_run_command, &command, &options, &pid), 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	EQUAL(status_of(status), 7);
	command.program = "/nosuch";
	int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
	options.stderr_fd = quiet;
	EQUAL(c->attach(c, lxc_attach_run_command, &command, &options, &pid), 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	EQUAL(status_of(status), 127);
	command.program = "/etc/passwd";
	EQUAL(c->attach(c, lxc_attach_run_command, &command, &options, &pid), 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	EQUAL(status_of(status), 126);
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	options.stdin_fd = nothing;
	EQUAL(c->attach(c, lxc_attach_run_shell, NULL, &options, &pid), 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	EQUAL(status_of(status), 0);
	close(quiet);
	close(nothing);

	/* The program's name and its first argument are two things. */
	EQUAL(status_of(c->attach_run_wait(c, NULL, "/bin/busybox", (const char *const[]){ "sh", "-c", "exit 9", NULL })), 9);
	EQUAL(status_of(c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "test \"$*\" = '1 2 3 4 5 6 7 8 9 10 11 12'", "sh", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", NULL)), 0);
	EQUAL(status_of(c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "kill -9 $$", NULL)), -9);

	lxc_attach_options_t plain = LXC_ATTACH_OPTIONS_DEFAULT;
	setenv("RLXC_SEEN", "yes", 1);
	CHECK(strstr(output_of(&plain, "env"), "RLXC_SEEN=yes\n"));
	CHECK(strstr(output_of(&plain, "env"), "container=lxc\n"));
	CHECK(strstr(output_of(&plain, "env"), "COLOUR=blue\n"));
	plain.env_policy = LXC_ATTACH_CLEAR_ENV;
	CHECK(!strstr(output_of(&plain, "env"), "RLXC_SEEN"));
	plain.extra_env_vars = (char *[]){ "ONE=1", "TWO=2", NULL };
	CHECK(strstr(output_of(&plain, "env"), "ONE=1\n") && strstr(output_of(&plain, "env"), "TWO=2\n"));
	plain.extra_keep_env = (char *[]){ "RLXC_SEEN", NULL };
	CHECK(strstr(output_of(&plain, "env"), "RLXC_SEEN=yes\n"));
	plain.initial_cwd = "/etc";
	SAME(output_of(&plain, "pwd"), "/etc\n");
	plain.uid = 65534;
	plain.gid = 65534;
	SAME(output_of(&plain, "id -u; id -g"), "65534\n65534\n");
	plain.attach_flags |= LXC_ATTACH_SETGROUPS;
	plain.groups = (lxc_groups_t){ .size = 2, .list = (gid_t[]){ 5, 6 } };
	CHECK(strstr(output_of(&plain, "grep Groups /proc/self/status"), "5 6"));
	lxc_attach_options_t some = LXC_ATTACH_OPTIONS_DEFAULT;
	some.namespaces = CLONE_NEWUTS;
	some.attach_flags = LXC_ATTACH_MOVE_TO_CGROUP;
	SAME(output_of(&some, "hostname"), NAME "\n");
	lxc_attach_options_t strict = LXC_ATTACH_OPTIONS_DEFAULT;
	strict.attach_flags |= LXC_ATTACH_NO_NEW_PRIVS;
	CHECK(strstr(output_of(&strict, "grep NoNewPrivs /proc/self/status"), "1"));
	some.namespaces = -1;
	some.stdin_fd = 12345;
	/* As in LXC, what is not open leaves standard input as it is. */
	CHECK(c->attach_run_waitl(c, &some, "/bin/true", "true", NULL) == 0);
}

static void network(void)
{
	char **list = c->get_interfaces(c);
	CHECK(list && list[0] && strcmp(list[0], "lo") == 0 && !list[1]);
	for (int i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
	/* Until init has raised it. */
	for (int i = 0; i < 50; i++) {
		list = c->get_ips(c, "lo", "inet", 0);
		if (list && list[0])
			break;
		usleep(100000);
	}
	CHECK(list && list[0] && strcmp(list[0], "127.0.0.1") == 0);
	for (int i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
	list = c->get_ips(c, "nosuch", NULL, 0);
	CHECK(!list || !list[0]);
	free(list);
	CHECK(!c->attach_interface(c, "rlxc-nosuch", NULL));
	CHECK(!c->detach_interface(c, "rlxc-nosuch", NULL));
	if (system("ip link add rlxcl0 type dummy 2>/dev/null") != 0) {
		printf("skipped: dummy links\n");
		return;
	}
	CHECK(c->attach_interface(c, "rlxcl0", "eth7"));
	EQUAL(status_of(c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "test -e /sys/class/net/eth7 || grep -q eth7 /proc/net/dev", NULL)), 0);
	CHECK(c->detach_interface(c, "eth7", "rlxcl0"));
	EQUAL(system("ip link show rlxcl0 >/dev/null"), 0);
	if (system("ip link del rlxcl0 2>/dev/null") != 0)
		printf("skipped: removing the dummy link\n");
}

static void cgroups(void)
{
	char value[4096] = "", small[4] = "xyz";
	int length = c->get_cgroup_item(c, "cgroup.procs", NULL, 0);
	CHECK(length > 0);
	EQUAL(c->get_cgroup_item(c, "cgroup.procs", value, sizeof(value)), length);
	EQUAL((long long)strlen(value), length);
	CHECK(c->get_cgroup_item(c, "cgroup.procs", small, 2) > 0);
	CHECK(small[2] == 'z');
	EQUAL(c->get_cgroup_item(c, "no.such.file", value, sizeof(value)), -1);
	EQUAL(c->get_cgroup_item(c, "../../../etc/passwd", value, sizeof(value)), -1);
	CHECK(!c->set_cgroup_item(c, "no.such.file", "1"));
	if (c->get_cgroup_item(c, "pids.max", value, sizeof(value)) > 0) {
		CHECK(c->set_cgroup_item(c, "pids.max", "321"));
		CHECK(c->get_cgroup_item(c, "pids.max", value, sizeof(value)) > 0);
		SAME(value, "321\n");
		CHECK(!c->set_cgroup_item(c, "pids.max", "many"));
		CHECK(c->set_cgroup_item(c, "pids.max", "max"));
	} else {
		printf("skipped: the pids controller\n");
	}
}

static void devices(void)
{
	CHECK(!c->add_device_node(c, "/nosuch", NULL));
	CHECK(c->add_device_node(c, "/dev/full", "/dev/rlxc-full"));
	lxc_attach_options_t options = LXC_ATTACH_OPTIONS_DEFAULT;
	SAME(output_of(&options, "stat -c %t:%T /dev/rlxc-full"), "1:7\n");
	CHECK(c->remove_device_node(c, "/dev/full", "/dev/rlxc-full"));
	EQUAL(status_of(c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "test ! -e /dev/rlxc-full", NULL)), 0);
}

static void mounts(void)
{
	struct lxc_mount api = { .version = LXC_MOUNT_API_V1 };
	char source[PATH_MAX];
	snprintf(source, sizeof(source), "%s/injected", lxcpath);
	mkdir(source, 0755);
	EQUAL(c->mount(c, source, "/mnt", NULL, MS_BIND, NULL, &api), 0);
	EQUAL(status_of(c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "touch /mnt/seen", NULL)), 0);
	snprintf(source, sizeof(source), "%s/injected/seen", lxcpath);
	EQUAL(access(source, F_OK), 0);
	EQUAL(c->umount(c, "/mnt", 0, &api), 0);
	EQUAL(status_of(c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "test ! -e /mnt/seen", NULL)), 0);
	/* A file on a file that has to be made. */
	EQUAL(c->mount(c, source, "/mnt/file", NULL, MS_BIND, NULL, &api), 0);
	EQUAL(c->umount(c, "/mnt/file", MNT_DETACH, &api), 0);
	EQUAL(c->mount(c, NULL, "/mnt", "tmpfs", 0, "size=64k", &api), 0);
	EQUAL(status_of(c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "grep -q ' /mnt tmpfs' /proc/self/mounts", NULL)), 0);
	EQUAL(c->umount(c, "/mnt", 0, &api), 0);
	CHECK(c->mount(c, "/nosuch", "/mnt", NULL, MS_BIND, NULL, &api) < 0);
	CHECK(c->umount(c, "/mnt", 0, &api) < 0);
	unlink(source);
	snprintf(source, sizeof(source), "%s/injected", lxcpath);
	rmdir(source);
}

static void consoles(void)
{
	int tty = -1, ptx = -1, other = -1, fd, second;
	fd = c->console_getfd(c, &tty, &ptx);
	CHECK(fd >= 0 && ptx >= 0 && tty >= 1);
	second = c->console_getfd(c, &other, &ptx);
	CHECK(second >= 0 && other >= 1 && other != tty);
	int third = -1;
	CHECK(c->console_getfd(c, &third, &ptx) < 0);
	int same = tty;
	CHECK(c->console_getfd(c, &same, &ptx) < 0);
	close(fd);
	close(second);
	usleep(100000);
	third = tty;
	fd = c->console_getfd(c, &third, &ptx);
	CHECK(fd >= 0);
	EQUAL(third, tty);
	close(fd);
	third = 99;
	CHECK(c->console_getfd(c, &third, &ptx) < 0);

	/* Typing Ctrl-a q leaves. */
	int in[2], out = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK(pipe(in) == 0 && write(in[1], "\001q", 2) == 2);
	EQUAL(c->console(c, 1, in[0], out, out, 1), 0);
	close(in[0]);
	close(in[1]);
	close(out);

	EQUAL(status_of(c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "echo said on the console > /dev/console", NULL)), 0);
	usleep(200000);
	uint64_t size = 0;
	struct lxc_console_log log = { .read = true, .read_max = &size };
	EQUAL(c->console_log(c, &log), 0);
	CHECK(log.data && size > 0 && strlen(log.data) == size && strstr(log.data, "said on the console"));
	free(log.data);
	log = (struct lxc_console_log){ .clear = true };
	EQUAL(c->console_log(c, &log), 0);
	log = (struct lxc_console_log){ .read = true, .read_max = &size };
	size = 0;
	EQUAL(c->console_log(c, &log), -ENODATA);
}

static void rebooted(void)
{
	pid_t before = c->init_pid(c);
	CHECK(c->set_config_item(c, "lxc.signal.reboot", "SIGTERM"));
	CHECK(c->reboot(c));
	(void)before;
}

static void stopped(void)
{
	CHECK(c->stop(c));
	CHECK(c->wait(c, "STOPPED", 10));
	SAME(c->state(c), "STOPPED");
	EQUAL(c->init_pid(c), -1);
	CHECK(c->stop(c));
	/* An init that ends on the signal that it gets. */
	CHECK(c->set_config_item(c, "lxc.signal.halt", "SIGTERM"));
	CHECK(c->startl(c, 0, "/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done", NULL));
	usleep(300000);
	CHECK(c->shutdown(c, 10));
	CHECK(!c->is_running(c));
	/* One that does not. */
	CHECK(c->startl(c, 0, "/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done", NULL));
	usleep(300000);
	CHECK(!c->shutdown(c, 1));
	CHECK(c->shutdown(c, 0));
	CHECK(c->is_running(c));
	CHECK(c->stop(c));
}

static void foreground(void)
{
	CHECK(c->want_daemonize(c, false));
	CHECK(c->startl(c, 0, "/bin/sh", "-c", "exit 5", NULL));
	CHECK(WIFEXITED(c->error_num));
	EQUAL(WEXITSTATUS(c->error_num), 5);
	CHECK(c->startl(c, 1, "/bin/sh", "-c", "exit 6", NULL));
	EQUAL(WEXITSTATUS(c->error_num), 6);
	CHECK(!c->start(c, 1, NULL));
	int quiet = dup(2), null = open("/dev/null", O_WRONLY);
	dup2(null, 2);
	bool ran = c->startl(c, 0, "/nosuch", NULL);
	dup2(quiet, 2);
	close(quiet);
	close(null);
	CHECK(!ran);
	CHECK(c->error_num != 0);
	CHECK(c->want_daemonize(c, true));
}

static void copies(void)
{
	struct lxc_snapshot *list = NULL;
	EQUAL(c->snapshot_list(c, &list), 0);
	char comment[PATH_MAX];
	snprintf(comment, sizeof(comment), "%s/comment", lxcpath);
	FILE *file = fopen(comment, "w");
	fputs("why\n", file);
	fclose(file);
	EQUAL(c->snapshot(c, comment), 0);
	EQUAL(c->snapshot(c, NULL), 1);
	int count = c->snapshot_list(c, &list);
	EQUAL(count, 2);
	int seen = 0;
	for (int i = 0; i < count; i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof(path), "%s/" NAME "/snaps", lxcpath);
		SAME(list[i].lxcpath, path);
		EQUAL((long long)strlen(list[i].timestamp), 19);
		if (strcmp(list[i].name, "snap0") == 0) {
			seen++;
			snprintf(path, sizeof(path), "%s/" NAME "/snaps/snap0/comment", lxcpath);
			SAME(list[i].comment_pathname, path);
		}
		list[i].free(&list[i]);
	}
	free(list);
	EQUAL(seen, 1);
	unlink(comment);
	CHECK(!c->destroy(c));
	CHECK(!c->rename(c, "other"));
	CHECK(!c->snapshot_restore(c, "snap9", "restored"));
	CHECK(c->snapshot_restore(c, "snap0", "restored"));
	struct lxc_container *r = lxc_container_new("restored", lxcpath);
	CHECK(r->is_defined(r));
	CHECK(r->destroy(r));
	lxc_container_put(r);
	CHECK(c->snapshot_restore(c, "snap1", NULL) || !is_ours());
	CHECK(c->is_defined(c) || !is_ours());
	CHECK(!c->snapshot_destroy(c, "snap9"));
	if (c->snapshot_list(c, &list) > 0) {
		list[0].free(&list[0]);
		for (int i = 1; i < 2; i++)
			list[i].free(&list[i]);
		free(list);
		CHECK(c->snapshot_destroy(c, "snap0"));
		CHECK(c->snapshot_destroy_all(c));
	}
	list = NULL;
	EQUAL(c->snapshot_list(c, &list), 0);

	struct lxc_container *k = c->clone(c, "copy", lxcpath, 0, NULL, NULL, 0, NULL);
	CHECK(k != NULL);
	if (k) {
		CHECK(k->is_defined(k));
		char name[32] = "";
		k->get_config_item(k, "lxc.uts.name", name, sizeof(name));
		SAME(name, "copy");
		CHECK(c->clone(c, "copy", lxcpath, 0, NULL, NULL, 0, NULL) == NULL);
		CHECK(k->rename(k, "renamed"));
		CHECK(!k->is_defined(k));
		SAME(k->name, "copy");
		lxc_container_put(k);
		k = lxc_container_new("renamed", lxcpath);
		CHECK(k->is_defined(k));
		CHECK(k->destroy(k));
		lxc_container_put(k);
	}
	/* A copy that shares keeps its original from being destroyed. */
	k = c->clone(c, "shares", lxcpath, LXC_CLONE_SNAPSHOT, "overlay", NULL, 0, NULL);
	if (k) {
		CHECK(!c->destroy(c));
		CHECK(k->destroy(k));
		lxc_container_put(k);
	} else {
		printf("skipped: overlay on this file system\n");
	}
	EQUAL(c->snapshot(c, NULL), 0);
	CHECK(c->destroy_with_snapshots(c));
	CHECK(!c->is_defined(c));
	EQUAL(list_all_containers(lxcpath, NULL, NULL), 0);
}

int main(int argc, char **argv)
{
	template = argv[argc - 2];
	lxcpath = argv[argc - 1];
	char shared[PATH_MAX];
	snprintf(shared, sizeof(shared), "%s/shmounts", lxcpath);
	mkdir(shared, 0755);
	CHECK(mount(shared, shared, NULL, MS_BIND, NULL) == 0 && mount(NULL, shared, NULL, MS_SHARED, NULL) == 0);
	c = lxc_container_new(NAME, lxcpath);
	many_arguments();
	create();
	started();
	if (c->is_running(c)) {
		frozen();
		attached();
		network();
		cgroups();
		devices();
		mounts();
		consoles();
		rebooted();
	}
	stopped();
	foreground();
	copies();
	EQUAL(lxc_container_put(c), 1);
	umount2(shared, MNT_DETACH);
	rmdir(shared);
	return report("life");
}
