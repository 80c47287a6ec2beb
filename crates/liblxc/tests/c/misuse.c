/* Every member of an object in states that nobody should bring it to: its container destroyed, used by a
 * child of fork, by two threads at a time. What each call returns goes to standard output, so that it can be
 * compared with what LXC's library returns. Arguments: template, lxcpath. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>

#define NAME "rlxc-lib-misuse"

static char place[PATH_MAX];

static void show(FILE *to, const char *what, long long value)
{
	if (to)
		fprintf(to, "%s %lld\n", what, value);
}

/* A descriptor is there or it is not; which number it has says nothing. */
static long long opened(int fd)
{
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static long long listed(char **list)
{
	int count = 0;
	for (; list && list[count]; count++)
		free(list[count]);
	free(list);
	return count;
}

static long long text(char *text)
{
	long long length = text ? (long long)strlen(text) : -1;
	free(text);
	return length;
}

static long long put(struct lxc_container *c)
{
	return c ? lxc_container_put(c) : -1;
}

#define SHOW(what, value) show(to, what, (long long)(value))

/* What may be asked of any container at any time, by several at a time. */
static void questions(struct lxc_container *c, FILE *to)
{
	char buffer[4096];
	struct lxc_snapshot *snapshots = NULL;
	uint64_t most = 0;
	struct lxc_console_log log = { .read = true, .read_max = &most };
	int tty = -1, ptx = -1, fd;
	SHOW("is_defined", c->is_defined(c));
	SHOW("state", strlen(c->state(c)));
	SHOW("is_running", c->is_running(c));
	SHOW("init_pid", c->init_pid(c) > 0);
	SHOW("init_pidfd", opened(c->init_pidfd(c)));
	SHOW("devpts_fd", opened(c->devpts_fd(c)));
	SHOW("seccomp_notify_fd", c->seccomp_notify_fd(c));
	SHOW("seccomp_notify_fd_active", c->seccomp_notify_fd_active(c));
	SHOW("may_control", c->may_control(c));
	SHOW("want_daemonize", c->want_daemonize(c, true));
	SHOW("want_close_all_fds", c->want_close_all_fds(c, false));
	SHOW("config_file_name", text(c->config_file_name(c)));
	SHOW("get_config_path", strlen(c->get_config_path(c)));
	SHOW("wait", c->wait(c, c->is_running(c) ? "RUNNING" : "STOPPED", 0));
	SHOW("set_config_item", c->set_config_item(c, "lxc.tty.max", "3"));
	SHOW("set_config_item unknown", c->set_config_item(c, "lxc.nosuch", "3"));
	SHOW("get_config_item", c->get_config_item(c, "lxc.uts.name", buffer, sizeof(buffer)));
	SHOW("get_config_item unknown", c->get_config_item(c, "lxc.nosuch", buffer, sizeof(buffer)));
	SHOW("clear_config_item", c->clear_config_item(c, "lxc.tty.max"));
	SHOW("get_running_config_item", text(c->get_running_config_item(c, "lxc.uts.name")));
	SHOW("get_keys", c->get_keys(c, "lxc.net.0", buffer, sizeof(buffer)) > 0);
	SHOW("get_interfaces", listed(c->get_interfaces(c)));
	SHOW("get_ips", listed(c->get_ips(c, NULL, NULL, 0)));
	SHOW("get_cgroup_item", c->get_cgroup_item(c, "pids.max", buffer, sizeof(buffer)) > 0);
	SHOW("set_cgroup_item", c->set_cgroup_item(c, "no.such", "1"));
	SHOW("snapshot_list", c->snapshot_list(c, &snapshots));
	SHOW("console_log", c->console_log(c, &log));
	free(log.data);
	fd = c->console_getfd(c, &tty, &ptx);
	SHOW("console_getfd", fd < 0 ? -1 : 0);
	if (fd >= 0) {
		close(ptx);
		close(fd);
	}
	/* Newer than the library that this is compared with. */
	if (is_ours())
		CHECK(c->set_timeout(c, 10) && c->set_timeout(c, -1));
}

static void orders(struct lxc_container *c, FILE *to)
{
	struct migrate_opts options = { .directory = place };
	struct lxc_mount mount = { LXC_MOUNT_API_V1 };
	lxc_attach_options_t attach = LXC_ATTACH_OPTIONS_DEFAULT;
	const char *const words[] = { "true", NULL };
	pid_t pid = -1;
	SHOW("freeze", c->freeze(c));
	SHOW("unfreeze", c->unfreeze(c));
	SHOW("start", c->start(c, 0, NULL));
	SHOW("startl", c->startl(c, 0, "/bin/true", NULL));
	SHOW("reboot", c->reboot(c));
	SHOW("reboot2", c->reboot2(c, 0));
	SHOW("shutdown", c->shutdown(c, 0));
	SHOW("shutdown 1", c->shutdown(c, 1));
	SHOW("stop", c->stop(c));
	SHOW("load_config", c->load_config(c, NULL));
	SHOW("save_config", c->save_config(c, NULL));
	SHOW("rename", c->rename(c, "rlxc-lib-renamed"));
	SHOW("clone", put(c->clone(c, "rlxc-lib-cloned", NULL, 0, NULL, NULL, 0, NULL)));
	SHOW("snapshot", c->snapshot(c, NULL));
	SHOW("snapshot_restore", c->snapshot_restore(c, "snap0", "rlxc-lib-restored"));
	SHOW("snapshot_destroy", c->snapshot_destroy(c, "snap0"));
	SHOW("destroy", c->destroy(c));
	SHOW("destroy_with_snapshots", c->destroy_with_snapshots(c));
	SHOW("add_device_node", c->add_device_node(c, "/dev/null", "/dev/other"));
	SHOW("remove_device_node", c->remove_device_node(c, "/dev/null", "/dev/other"));
	SHOW("attach_interface", c->attach_interface(c, "rlxc-nosuch", NULL));
	SHOW("detach_interface", c->detach_interface(c, "rlxc-nosuch", NULL));
	SHOW("checkpoint", c->checkpoint(c, place, false, false));
	SHOW("migrate", c->migrate(c, MIGRATE_PRE_DUMP, &options, sizeof(options)) != 0);
	SHOW("mount", c->mount(c, "/tmp", "/tmp", NULL, MS_BIND, NULL, &mount) < 0);
	/* LXC 5 says that it did. */
	if (is_ours())
		CHECK(c->umount(c, "/tmp", 0, &mount) < 0);
	SHOW("attach", c->attach(c, lxc_attach_run_shell, NULL, &attach, &pid) < 0);
	SHOW("attach_run_wait", c->attach_run_wait(c, &attach, "true", words) < 0);
	SHOW("attach_run_waitl", c->attach_run_waitl(c, &attach, "true", "true", NULL) < 0);
	SHOW("console", c->console(c, -1, 0, 1, 2, 1));
}

/* In a child of fork, which ends by a signal if a call never returns. */
static void in_a_child(struct lxc_container *c, void (*calls)(struct lxc_container *, FILE *), FILE *to)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(60);
		calls(c, to);
		fflush(NULL);
		_exit(0);
	}
	int status = -1;
	CHECK(waitpid(pid, &status, 0) == pid);
	EQUAL(status, 0);
}

static void *asks(void *c)
{
	for (int round = 0; round < 4; round++)
		questions(c, NULL);
	return NULL;
}

static void *freezes(void *data)
{
	struct lxc_container *c = data;
	for (int round = 0; round < 4; round++) {
		c->freeze(c);
		c->unfreeze(c);
		c->add_device_node(c, "/dev/null", "/dev/other");
		c->remove_device_node(c, "/dev/null", "/dev/other");
		c->attach_run_waitl(c, NULL, "true", "true", NULL);
		c->save_config(c, NULL);
	}
	return NULL;
}

static void two_threads(struct lxc_container *c)
{
	pthread_t threads[3];
	void *(*const jobs[])(void *) = { asks, asks, freezes };
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, jobs[i], c) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	setlinebuf(stdout);
	snprintf(place, sizeof(place), "%s/images", argv[2]);
	struct lxc_container *c = lxc_container_new(NAME, argv[2]);
	CHECK(c->set_config_item(c, "lxc.net.0.type", "empty"));
	CHECK(c->createl(c, argv[1], NULL, NULL, LXC_CREATE_QUIET, NULL));
	CHECK(c->set_config_item(c, "lxc.init.cmd", "/bin/sleep 1000"));
	CHECK(c->set_config_item(c, "lxc.console.buffer.size", "auto"));

	printf("= stopped, in a child\n");
	in_a_child(c, questions, stdout);
	CHECK(c->start(c, 0, NULL));
	printf("= running\n");
	questions(c, stdout);
	printf("= running, in a child\n");
	in_a_child(c, questions, stdout);
	if (is_ours()) {
		/* LXC's own object does not bear this. */
		two_threads(c);
		CHECK(c->is_running(c));
		SAME(c->state(c), "RUNNING");
	}
	CHECK(c->stop(c));

	/* Another object destroys it. */
	struct lxc_container *other = lxc_container_new(NAME, argv[2]);
	CHECK(other->destroy(other));
	EQUAL(lxc_container_put(other), 1);
	printf("= destroyed\n");
	questions(c, stdout);
	orders(c, stdout);
	printf("= destroyed, in a child\n");
	in_a_child(c, questions, stdout);
	in_a_child(c, orders, stdout);
	if (is_ours())
		two_threads(c);

	/* And made again by the same object; LXC refuses what was defined before. */
	if (is_ours()) {
		CHECK(c->createl(c, argv[1], NULL, NULL, LXC_CREATE_QUIET, NULL));
		CHECK(c->is_defined(c));
		CHECK(c->destroy(c));
	}
	CHECK(!c->destroy(c));
	EQUAL(lxc_container_put(c), 1);
	return report("misuse");
}
