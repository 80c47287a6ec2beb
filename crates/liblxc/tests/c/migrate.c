/* Checkpoint, migrate and restore with a stand-in for criu on PATH. Arguments: template, lxcpath. What criu is
 * told goes to LXCPATH/records/NUMBER; the other side of the test compares it with what LXC says. */
#include "check.h"

#include <glob.h>
#include <signal.h>

#define NAME "rlxc-lib-migrate"

static const char *lxcpath;

/* Where the stand-in writes its arguments from now on. */
static void recorded_as(const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/records", lxcpath);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/records/%s", lxcpath, name);
	mkdir(path, 0755);
	setenv("CRIU_RECORD", path, 1);
}

static bool was_recorded(const char *name, const char *action)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/records/%s/%s", lxcpath, name, action);
	return access(path, F_OK) == 0;
}

static char *images(const char *name)
{
	static char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/images-%s", lxcpath, name);
	return path;
}

static void dumps(struct lxc_container *c)
{
	recorded_as("1-pre-dump");
	struct migrate_opts o = { .directory = images("1") };
	EQUAL(c->migrate(c, MIGRATE_PRE_DUMP, &o, sizeof(o)), 0);
	CHECK(was_recorded("1-pre-dump", "pre-dump"));

	recorded_as("2-pre-dump");
	o = (struct migrate_opts){ .directory = images("2"), .verbose = true, .predump_dir = "../images-1", .preserves_inodes = true };
	EQUAL(c->migrate(c, MIGRATE_PRE_DUMP, &o, sizeof(o)), 0);

	recorded_as("3-dump");
	o = (struct migrate_opts){
		.directory = images("3"), .stop = true, .predump_dir = "../images-2", .pageserver_address = "127.0.0.1", .pageserver_port = "4711", .action_script = "/bin/true", .disable_skip_in_flight = true, .ghost_limit = 4096,
	};
	EQUAL(c->migrate(c, MIGRATE_DUMP, &o, sizeof(o)), 0);

	recorded_as("4-dump");
	/* An address alone is no page server. */
	o = (struct migrate_opts){ .directory = images("4"), .pageserver_address = "127.0.0.1", .verbose = true };
	EQUAL(c->migrate(c, MIGRATE_DUMP, &o, sizeof(o)), 0);

	recorded_as("5-dump");
	CHECK(c->checkpoint(c, images("5"), false, false));
	struct stat st;
	CHECK(stat(images("5"), &st) == 0 && (st.st_mode & 0777) == 0700);

	/* A directory with a checkpoint in it is not used again. */
	recorded_as("6-used");
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/inventory.img", images("5"));
	close(open(path, O_CREAT | O_WRONLY, 0600));
	CHECK(!c->checkpoint(c, images("5"), false, false));
	CHECK(!was_recorded("6-used", "dump"));

	recorded_as("7-failed");
	setenv("CRIU_FAIL", "dump", 1);
	CHECK(!c->checkpoint(c, images("7"), true, false));
	o = (struct migrate_opts){ .directory = images("7") };
	EQUAL(c->migrate(c, MIGRATE_DUMP, &o, sizeof(o)), 1);
	unsetenv("CRIU_FAIL");
	CHECK(c->is_running(c));
	if (is_ours())
		CHECK(c->error_string && strstr(c->error_string, "told to fail"));
	EQUAL(c->migrate(c, MIGRATE_RESTORE, &o, sizeof(o)), -1);
}

static void restores(struct lxc_container *c)
{
	if (is_ours()) {
		recorded_as("8-failed");
		setenv("CRIU_FAIL", "restore", 1);
		CHECK(!c->restore(c, images("5"), false));
		unsetenv("CRIU_FAIL");
		SAME(c->state(c), "STOPPED");
		CHECK(c->error_string && strstr(c->error_string, "told to fail"));
	}
	/* To have failed leaves nothing in the way. */
	recorded_as("9-restore");
	CHECK(c->restore(c, images("5"), true));
	pid_t pid = c->init_pid(c);
	CHECK(pid > 1 && kill(pid, 0) == 0);
	if (is_ours()) {
		SAME(c->state(c), "RUNNING");
		CHECK(c->wait(c, "RUNNING", 0));
		int fd = c->init_pidfd(c);
		CHECK(fd >= 0);
		close(fd);
		char *pair = c->get_running_config_item(c, "lxc.net.0.veth.pair");
		CHECK(pair && strncmp(pair, "veth", 4) == 0);
		free(pair);
		/* A second one meets the first. */
		CHECK(!c->restore(c, images("5"), false));
		struct migrate_opts o = { .directory = images("5") };
		EQUAL(c->migrate(c, MIGRATE_RESTORE, &o, sizeof(o)), -1);
	}
	/* The restored processes had the container's root file system. */
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s/rootfs/restored", lxcpath, NAME);
	for (int i = 0; i < 100 && access(path, F_OK) < 0; i++)
		usleep(50000);
	CHECK(access(path, F_OK) == 0);
	if (!is_ours()) {
		/* LXC 5 takes it for stopped. */
		kill(pid, SIGKILL);
		for (int i = 0; i < 100 && c->init_pid(c) > 0; i++)
			usleep(100000);
		return;
	}
	CHECK(c->stop(c));
	CHECK(!c->is_running(c));
	CHECK(kill(pid, 0) < 0 && errno == ESRCH);

	recorded_as("10-restore");
	struct migrate_opts o = { .directory = images("5"), .action_script = "/bin/true" };
	EQUAL(c->migrate(c, MIGRATE_RESTORE, &o, sizeof(o)), 0);
	/* As told by its own signal. */
	CHECK(c->set_config_item(c, "lxc.signal.halt", "SIGPWR"));
	CHECK(c->shutdown(c, 10));
	CHECK(c->wait(c, "STOPPED", 10));

	recorded_as("11-missing");
	CHECK(!c->restore(c, images("none"), false));
	CHECK(!was_recorded("11-missing", "restore"));
	SAME(c->state(c), "STOPPED");
	/* An ordinary start again. */
	CHECK(c->start(c, 0, NULL));
	SAME(c->state(c), "RUNNING");
	CHECK(c->stop(c));
}

/* Whose monitor is killed with the sandbox leaves its cgroups. */
static void wait_for_cgroups(void)
{
	for (int i = 0; i < 100; i++) {
		glob_t found;
		int none = glob("/sys/fs/cgroup/*/lxc.monitor." NAME "*", 0, NULL, &found) == GLOB_NOMATCH;
		globfree(&found);
		if (none)
			return;
		usleep(50000);
	}
	CHECK(!"no cgroup is left");
}

static void features(struct lxc_container *c)
{
	if (!is_ours())
		return;
	recorded_as("12-check");
	struct migrate_opts o;
	memset(&o, 0xa5, sizeof(o));
	o.features_to_check = FEATURE_MEM_TRACK | FEATURE_LAZY_PAGES;
	EQUAL(c->migrate(c, MIGRATE_FEATURE_CHECK, &o, sizeof(o)), 0);
	EQUAL(o.features_to_check, FEATURE_MEM_TRACK | FEATURE_LAZY_PAGES);
	setenv("CRIU_MISSING", "lazy_pages", 1);
	EQUAL(c->migrate(c, MIGRATE_FEATURE_CHECK, &o, sizeof(o)), 1);
	EQUAL(o.features_to_check, FEATURE_MEM_TRACK);
	/* One unknown, and there is no answer. */
	o.features_to_check = ~0ULL;
	EQUAL(c->migrate(c, MIGRATE_FEATURE_CHECK, &o, sizeof(o)), 1);
	EQUAL(o.features_to_check, 0);
	EQUAL(c->migrate(c, UINT_MAX, &o, sizeof(o)), -EINVAL);
	unsetenv("CRIU_MISSING");
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	lxcpath = argv[2];
	struct lxc_container *c = lxc_container_new(NAME, lxcpath);
	CHECK(c->set_config_item(c, "lxc.net.0.type", "veth"));
	CHECK(c->set_config_item(c, "lxc.net.0.link", "lxcbr0"));
	CHECK(c->set_config_item(c, "lxc.mount.entry", "/opt opt none bind,create=dir 0 0"));
	CHECK(c->set_config_item(c, "lxc.mount.entry", "tmpfs tmp tmpfs defaults 0 0"));
	CHECK(c->createl(c, argv[1], NULL, NULL, LXC_CREATE_QUIET, NULL));
	/* What cannot be dumped is refused, whatever it is. */
	struct migrate_opts o = { .directory = images("0") };
	recorded_as("0-stopped");
	EQUAL(c->migrate(c, MIGRATE_DUMP, &o, sizeof(o)), -1);
	CHECK(!c->checkpoint(c, images("0"), false, false));
	CHECK(!was_recorded("0-stopped", "dump"));
	CHECK(access(images("0"), F_OK) < 0);

	/* LXC restores a console only where it comes from the host's devpts. */
	CHECK(c->set_config_item(c, "lxc.pty.max", "1"));
	CHECK(c->start(c, 0, NULL));
	if (c->error_string)
		fprintf(stderr, "%s\n", c->error_string);
	dumps(c);
	CHECK(c->stop(c));
	restores(c);
	features(c);
	if (is_ours()) {
		CHECK(c->set_config_item(c, "lxc.net.1.type", "phys"));
		CHECK(c->set_config_item(c, "lxc.net.1.link", "nosuch"));
		CHECK(!c->restore(c, images("5"), false));
		CHECK(c->error_string && strstr(c->error_string, "lxc.net.1.type"));
	}
	CHECK(c->destroy(c));
	lxc_container_put(c);
	if (is_ours())
		wait_for_cgroups();
	return report("migrate");
}
