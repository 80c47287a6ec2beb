/* Every function that needs no running container: good calls, bad calls, absurd calls. */
#include "check.h"

#include <sys/syscall.h>

static struct lxc_container *c;

/* Valgrind does not know this system call, without which nothing is removed. */
static int can_remove(void)
{
	errno = 0;
	return syscall(437 /* openat2 */, -1, NULL, NULL, 0) == -1 && errno != ENOSYS;
}

static void functions_alone(void)
{
	const char *states[16] = { 0 };
	EQUAL(lxc_get_wait_states(NULL), 8);
	EQUAL(lxc_get_wait_states(states), 8);
	const char *names[] = { "STOPPED", "STARTING", "RUNNING", "STOPPING", "ABORTING", "FREEZING", "FROZEN", "THAWED" };
	for (int i = 0; i < 8; i++)
		SAME(states[i], names[i]);
	CHECK(states[8] == NULL);

	CHECK(strlen(lxc_get_version()) > 0);
	errno = 0;
	CHECK(lxc_get_global_config_item("lxc.nosuch") == NULL && errno == EINVAL);
	errno = 99;
	CHECK(lxc_get_global_config_item("lxc.bdev.rbd.rbduser") == NULL && (errno == 0 || !is_ours()));
	SAME(lxc_get_global_config_item("lxc.bdev.lvm.vg"), "lxc");
	CHECK(lxc_get_global_config_item("lxc.lxcpath")[0] == '/');
	CHECK(lxc_get_global_config_item("lxc.lxcpath") == lxc_get_global_config_item("lxc.lxcpath"));
	CHECK(lxc_get_global_config_item("lxc.default_config")[0] == '/');

	CHECK(lxc_config_item_is_supported("lxc.tty.max"));
	CHECK(lxc_config_item_is_supported("lxc.net."));
	CHECK(lxc_config_item_is_supported("lxc.hook.pre-start"));
	CHECK(!lxc_config_item_is_supported("lxc.net.0.type"));
	CHECK(!lxc_config_item_is_supported("lxc.nosuch"));
	CHECK(!lxc_config_item_is_supported(""));
	if (is_ours())
		CHECK(!lxc_config_item_is_supported(NULL));

	CHECK(lxc_has_api_extension(NULL));
	CHECK(!lxc_has_api_extension("nosuch"));
	CHECK(!lxc_has_api_extension(""));
	const char *extensions[] = {
		"lxc_log", "lxc_config_item_is_supported", "console_log", "reboot2", "mount_injection",
		"cgroup_relative", "mount_injection_file", "seccomp_allow_nesting", "seccomp_notify",
		"network_veth_routes", "network_ipvlan", "network_l2proxy", "network_gateway_device_route",
		"network_phys_macvlan_mtu", "network_veth_router", "cgroup2_devices", "cgroup2", "pidfd",
		"cgroup_advanced_isolation", "network_bridge_vlan", "time_namespace", "seccomp_allow_deny_syntax",
		"devpts_fd", "seccomp_notify_fd_active", "seccomp_proxy_send_notify_fd", "idmapped_mounts",
		"idmapped_mounts_v2", "core_scheduling", "cgroup2_auto_mounting", "environment_runtime_hooks",
	};
	size_t known = is_ours() ? sizeof(extensions) / sizeof(*extensions) : 28;
	for (size_t i = 0; i < known; i++)
		CHECK(lxc_has_api_extension(extensions[i]));
}

static void references(const char *lxcpath)
{
	CHECK(lxc_container_new(NULL, lxcpath) == NULL);
	EQUAL(lxc_container_get(NULL), 0);
	EQUAL(lxc_container_put(NULL), -1);
	struct lxc_container *one = lxc_container_new("refs", lxcpath);
	CHECK(one != NULL);
	EQUAL(one->numthreads, 1);
	EQUAL(lxc_container_get(one), 1);
	EQUAL(one->numthreads, 2);
	EQUAL(lxc_container_put(one), 0);
	EQUAL(lxc_container_put(one), 1);

	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s///", lxcpath);
	one = lxc_container_new("refs", path);
	SAME(one->get_config_path(one), lxcpath);
	SAME(one->name, "refs");
	CHECK(one->daemonize);
	CHECK(one->lxc_conf == NULL);
	CHECK(one->error_string == NULL);
	char *file = one->config_file_name(one);
	snprintf(path, sizeof(path), "%s/refs/config", lxcpath);
	SAME(file, path);
	SAME(one->configfile, path);
	free(file);
	CHECK(one->set_config_path(one, "/nosuch/place"));
	SAME(one->get_config_path(one), "/nosuch/place");
	SAME(one->configfile, "/nosuch/place/refs/config");
	if (is_ours())
		CHECK(!one->set_config_path(one, NULL));
	lxc_container_put(one);
}

/* Calls on what does not exist and has no configuration. */
static void undefined(const char *lxcpath)
{
	char buffer[64];
	int number = -1, fd = -1;
	struct lxc_snapshot *snapshots = (void *)1;
	struct lxc_container *u = lxc_container_new("undefined", lxcpath);
	CHECK(!u->is_defined(u));
	SAME(u->state(u), "STOPPED");
	CHECK(!u->is_running(u));
	EQUAL(u->init_pid(u), -1);
	CHECK(u->init_pidfd(u) < 0);
	CHECK(u->devpts_fd(u) < 0);
	CHECK(u->seccomp_notify_fd(u) < 0);
	CHECK(u->seccomp_notify_fd_active(u) < 0);
	CHECK(!u->freeze(u));
	CHECK(!u->start(u, 0, NULL));
	CHECK(!u->startl(u, 0, NULL));
	CHECK(u->stop(u));
	CHECK(u->shutdown(u, 0));
	CHECK(u->shutdown(u, 1));
	CHECK(!u->reboot(u));
	CHECK(u->reboot2(u, 0));
	CHECK(!u->want_daemonize(u, false));
	CHECK(u->daemonize);
	CHECK(!u->want_close_all_fds(u, true));
	CHECK(u->wait(u, "STOPPED", 0));
	CHECK(u->wait(u, "STOPPED|RUNNING", -1));
	CHECK(!u->wait(u, "RUNNING", 0));
	CHECK(!u->wait(u, "NOSUCH", 0));
	if (is_ours())
		CHECK(!u->wait(u, NULL, 0) && !u->wait(u, "", 0));
	CHECK(!u->destroy(u));
	CHECK(!u->destroy_with_snapshots(u));
	CHECK(!u->rename(u, "other"));
	CHECK(u->clone(u, "other", lxcpath, 0, NULL, NULL, 0, NULL) == NULL);
	CHECK(u->get_interfaces(u) == NULL);
	CHECK(u->get_ips(u, NULL, NULL, 0) == NULL);
	EQUAL(u->get_cgroup_item(u, "memory.max", buffer, sizeof(buffer)), -1);
	CHECK(!u->set_cgroup_item(u, "memory.max", "1"));
	CHECK(u->get_running_config_item(u, "lxc.uts.name") == NULL);
	CHECK(u->console_getfd(u, &number, &fd) < 0);
	EQUAL(u->console(u, -1, 0, 1, 2, 1), -1);
	EQUAL(u->snapshot(u, NULL), -1);
	EQUAL(u->snapshot_list(u, &snapshots), -1);
	CHECK(!u->snapshot_restore(u, "snap0", NULL));
	CHECK(!u->snapshot_destroy(u, "snap0"));
	CHECK(u->may_control(u));
	CHECK(!u->add_device_node(u, "/dev/null", NULL));
	CHECK(!u->remove_device_node(u, "/dev/null", NULL));
	CHECK(!u->attach_interface(u, "lo", NULL));
	CHECK(!u->detach_interface(u, "lo", NULL));
	CHECK(!u->checkpoint(u, "/nosuch", false, false));
	CHECK(!u->restore(u, "/nosuch", false));
	CHECK(u->mount(u, "/tmp", "/tmp", NULL, 0, NULL, &(struct lxc_mount){ LXC_MOUNT_API_V1 }) < 0);
	CHECK(u->umount(u, "/tmp", 0, &(struct lxc_mount){ LXC_MOUNT_API_V1 }) < 0);
	CHECK(u->attach_run_wait(u, NULL, "true", (const char *const[]){ "true", NULL }) < 0);
	CHECK(u->attach_run_waitl(u, NULL, "true", "true", NULL) < 0);
	pid_t pid = -1;
	CHECK(u->attach(u, lxc_attach_run_shell, NULL, NULL, &pid) < 0);
	struct lxc_console_log log = { .read = true };
	CHECK(u->console_log(u, &log) < 0);
	CHECK(u->get_config_item(u, "lxc.uts.name", buffer, sizeof(buffer)) < 0);
	CHECK(!u->clear_config_item(u, "lxc.uts.name"));
	CHECK(!u->set_timeout(u, 0));
	CHECK(!u->set_timeout(u, -2));
	CHECK(u->set_timeout(u, 5));
	EQUAL(u->rcv_timeout, 5);
	CHECK(u->set_timeout(u, -1));
	EQUAL(u->rcv_timeout, 0);
	u->clear_config(u);
	EQUAL(lxc_container_put(u), 1);
}

/* No function takes NULL amiss. */
static void null_container(void)
{
	struct lxc_container *f = c, *n = NULL;
	char buffer[8];
	int i = 0;
	struct lxc_snapshot *s;
	pid_t pid;
	struct migrate_opts opts = { 0 };
	CHECK(!f->is_defined(n) && !f->is_running(n) && !f->freeze(n) && !f->unfreeze(n));
	CHECK(f->state(n) == NULL);
	EQUAL(f->init_pid(n), -1);
	CHECK(!f->load_config(n, NULL) && !f->start(n, 0, NULL) && !f->startl(n, 0, NULL) && !f->stop(n));
	CHECK(!f->want_daemonize(n, true) && !f->want_close_all_fds(n, true));
	CHECK(f->config_file_name(n) == NULL);
	CHECK(!f->wait(n, "STOPPED", 0) && !f->set_config_item(n, "lxc.uts.name", "x"));
	CHECK(!f->destroy(n) && !f->save_config(n, NULL));
	CHECK(!f->create(n, NULL, NULL, NULL, 0, NULL) && !f->createl(n, NULL, NULL, NULL, 0, NULL));
	CHECK(!f->rename(n, "x") && !f->reboot(n) && !f->reboot2(n, 0) && !f->shutdown(n, 0));
	f->clear_config(n);
	CHECK(!f->clear_config_item(n, "lxc.uts.name"));
	CHECK(f->get_config_item(n, "lxc.uts.name", buffer, 8) < 0);
	CHECK(f->get_running_config_item(n, "lxc.uts.name") == NULL);
	CHECK(f->get_keys(n, NULL, buffer, 8) < 0);
	CHECK(f->get_interfaces(n) == NULL && f->get_ips(n, NULL, NULL, 0) == NULL);
	CHECK(f->get_cgroup_item(n, "x", buffer, 8) < 0 && !f->set_cgroup_item(n, "x", "1"));
	CHECK(f->get_config_path(n) == NULL && !f->set_config_path(n, "/x"));
	CHECK(f->clone(n, "x", NULL, 0, NULL, NULL, 0, NULL) == NULL);
	CHECK(f->console_getfd(n, &i, &i) < 0 && f->console(n, 0, 0, 1, 2, 1) < 0);
	CHECK(f->attach(n, lxc_attach_run_shell, NULL, NULL, &pid) < 0);
	CHECK(f->attach_run_wait(n, NULL, "true", NULL) < 0 && f->attach_run_waitl(n, NULL, "true", NULL) < 0);
	CHECK(f->snapshot(n, NULL) < 0 && f->snapshot_list(n, &s) < 0);
	CHECK(!f->snapshot_restore(n, "s", NULL) && !f->snapshot_destroy(n, "s") && !f->snapshot_destroy_all(n));
	CHECK(!f->may_control(n) && !f->add_device_node(n, "/dev/null", NULL) && !f->remove_device_node(n, "/dev/null", NULL));
	CHECK(!f->attach_interface(n, "lo", NULL) && !f->detach_interface(n, "lo", NULL));
	CHECK(!f->checkpoint(n, "/x", false, false) && !f->restore(n, "/x", false));
	CHECK(!f->destroy_with_snapshots(n));
	CHECK(f->migrate(n, MIGRATE_DUMP, &opts, sizeof(opts)) != 0);
	CHECK(f->console_log(n, &(struct lxc_console_log){ 0 }) < 0);
	CHECK(f->mount(n, "/", "/", NULL, 0, NULL, NULL) < 0 && f->umount(n, "/", 0, NULL) < 0);
	CHECK(f->seccomp_notify_fd(n) < 0 && f->seccomp_notify_fd_active(n) < 0);
	CHECK(f->init_pidfd(n) < 0 && f->devpts_fd(n) < 0 && !f->set_timeout(n, 1));
}

/* Arguments that no program should pass; LXC itself does not survive all of them. */
static void null_arguments(void)
{
	if (!is_ours())
		return;
	char buffer[8];
	int i = 0;
	pid_t pid;
	CHECK(!c->set_config_item(c, NULL, "x") && !c->set_config_item(c, NULL, NULL));
	CHECK(!c->clear_config_item(c, NULL));
	CHECK(c->get_config_item(c, NULL, buffer, 8) < 0);
	CHECK(c->get_running_config_item(c, NULL) == NULL);
	CHECK(c->get_cgroup_item(c, NULL, NULL, 0) < 0);
	CHECK(!c->set_cgroup_item(c, NULL, NULL) && !c->set_cgroup_item(c, "x", NULL));
	CHECK(!c->rename(c, NULL) && !c->snapshot_destroy(c, NULL) && !c->snapshot_restore(c, NULL, NULL));
	CHECK(c->snapshot_list(c, NULL) <= 0);
	CHECK(c->console_getfd(c, NULL, &i) < 0 && c->console_getfd(c, &i, NULL) < 0);
	CHECK(c->console(c, 0, -1, -1, -1, 1) < 0);
	CHECK(c->attach(c, NULL, NULL, NULL, &pid) < 0);
	CHECK(c->attach(c, lxc_attach_run_shell, NULL, NULL, NULL) < 0);
	CHECK(c->attach_run_wait(c, NULL, NULL, NULL) < 0);
	CHECK(!c->add_device_node(c, NULL, NULL) && !c->remove_device_node(c, NULL, NULL));
	CHECK(!c->attach_interface(c, NULL, NULL) && !c->detach_interface(c, NULL, NULL));
	CHECK(!c->checkpoint(c, NULL, false, false) && !c->restore(c, NULL, false));
	CHECK(c->console_log(c, NULL) < 0);
	CHECK(c->mount(c, NULL, NULL, NULL, 0, NULL, NULL) < 0 && c->umount(c, NULL, 0, NULL) < 0);
	CHECK(c->migrate(c, MIGRATE_DUMP, NULL, 0) != 0);
	CHECK(c->get_ips(c, NULL, "nosuch", 0) == NULL);
	CHECK(lxc_attach_run_command(NULL) == -1);
	EQUAL(lxc_log_init(NULL), -EINVAL);
}

static void migrate_arguments(void)
{
	struct {
		struct migrate_opts known;
		char more[16];
	} opts = { 0 };
	opts.known.directory = "/nosuch";
	CHECK(c->migrate(c, 99, &opts.known, sizeof(opts.known)) != 0);
	CHECK(c->migrate(c, MIGRATE_DUMP, &opts.known, sizeof(opts)) != 0);
	CHECK(c->migrate(c, MIGRATE_DUMP, &opts.known, 8) != 0);
	opts.more[15] = 1;
	EQUAL(c->migrate(c, MIGRATE_DUMP, &opts.known, sizeof(opts)), -E2BIG);
}

/* The value, in a buffer of exactly its size. */
static char *item(const char *key)
{
	int length = c->get_config_item(c, key, NULL, 0);
	if (length < 0)
		return NULL;
	char *value = calloc(1, length + 1);
	EQUAL(c->get_config_item(c, key, value, length + 1), length);
	return value;
}

#define ITEM(key, wanted)          \
	do {                       \
		char *v = item(key); \
		SAME(v, wanted);   \
		free(v);           \
	} while (0)

static void items(void)
{
	char buffer[16];
	CHECK(c->set_config_item(c, "lxc.uts.name", "a-host"));
	CHECK(c->lxc_conf != NULL);
	ITEM("lxc.uts.name", "a-host");
	EQUAL(c->get_config_item(c, "lxc.uts.name", NULL, 0), 6);
	EQUAL(c->get_config_item(c, "lxc.uts.name", NULL, 100), 6);
	memset(buffer, 'x', sizeof(buffer));
	EQUAL(c->get_config_item(c, "lxc.uts.name", buffer, 0), 6);
	CHECK(buffer[0] == 'x');
	/* Text goes in whole or not at all. */
	EQUAL(c->get_config_item(c, "lxc.uts.name", buffer, 6), 6);
	CHECK(buffer[0] == 'x' && buffer[6] == 'x');
	EQUAL(c->get_config_item(c, "lxc.uts.name", buffer, 7), 6);
	SAME(buffer, "a-host");
	CHECK(buffer[7] == 'x');
	/* What is printed is cut. */
	CHECK(c->set_config_item(c, "lxc.tty.max", "1234"));
	memset(buffer, 'x', sizeof(buffer));
	EQUAL(c->get_config_item(c, "lxc.tty.max", buffer, 3), 4);
	CHECK(buffer[0] == '1' && buffer[1] == '2' && buffer[2] == 0 && buffer[3] == 'x');

	CHECK(c->get_config_item(c, "lxc.nosuch", NULL, 0) < 0);
	CHECK(c->get_config_item(c, "lxc.net.7.type", NULL, 0) < 0);
	CHECK(c->get_config_item(c, "", NULL, 0) < 0);
	CHECK(!c->set_config_item(c, "lxc.nosuch", "x"));
	CHECK(!c->set_config_item(c, "lxc.start.auto", "yes"));
	CHECK(!c->set_config_item(c, "lxc.arch", "pdp11"));
	ITEM("lxc.arch", "");
	CHECK(c->set_config_item(c, "lxc.arch", "x86"));
	ITEM("lxc.arch", "i686");
	CHECK(c->set_config_item(c, "lxc.hook.pre-start", "one"));
	CHECK(c->set_config_item(c, "lxc.hook.pre-start", "two"));
	ITEM("lxc.hook.pre-start", "one\ntwo\n");
	CHECK(c->clear_config_item(c, "lxc.hook.pre-start"));
	ITEM("lxc.hook.pre-start", "");
	CHECK(c->set_config_item(c, "lxc.hook.pre-start", "three"));
	CHECK(c->set_config_item(c, "lxc.hook.pre-start", NULL) || !is_ours());
	CHECK(c->set_config_item(c, "lxc.hook.pre-start", ""));
	ITEM("lxc.hook.pre-start", "");
	CHECK(!c->clear_config_item(c, "lxc.nosuch"));

	CHECK(c->set_config_item(c, "lxc.net.0.type", "veth"));
	CHECK(c->set_config_item(c, "lxc.net.2.type", "macvlan"));
	ITEM("lxc.net.0.type", "veth");
	ITEM("lxc.net", "veth\nmacvlan\n");
	CHECK(c->get_config_item(c, "lxc.net.1.type", NULL, 0) < 0);
	int length = c->get_keys(c, "lxc.net.0", NULL, 0);
	char *keys = calloc(1, length + 1);
	EQUAL(c->get_keys(c, "lxc.net.0", keys, length + 1), length);
	CHECK(strncmp(keys, "type\nscript.up\n", 15) == 0);
	CHECK(strstr(keys, "\nveth.pair\n") != NULL);
	free(keys);
	CHECK(c->get_keys(c, "lxc.net.1", NULL, 0) < 0);
	CHECK(c->get_keys(c, "lxc.nosuch", NULL, 0) < 0);
	CHECK(c->clear_config_item(c, "lxc.net.2"));
	ITEM("lxc.net", "veth\n");
	CHECK(c->clear_config_item(c, "lxc.net"));
	CHECK(c->get_config_item(c, "lxc.net.0.type", NULL, 0) < 0);

	length = c->get_keys(c, NULL, NULL, 0);
	CHECK(length > 500);
	keys = calloc(1, length + 1);
	EQUAL(c->get_keys(c, NULL, keys, length + 1), length);
	CHECK(strstr(keys, "lxc.rootfs.path\n") && strstr(keys, "lxc.hook.pre-start\n") && keys[length - 1] == '\n');
	free(keys);

	CHECK(c->want_daemonize(c, false));
	CHECK(!c->daemonize);
	CHECK(c->want_daemonize(c, true));
	CHECK(c->want_close_all_fds(c, true));
	c->clear_config(c);
	CHECK(c->lxc_conf == NULL);
}

/* A value of a megabyte, and lengths that no buffer has. */
static void large(void)
{
	size_t size = 1 << 20;
	char *value = malloc(size + 1);
	memset(value, 'v', size);
	value[size] = 0;
	CHECK(c->set_config_item(c, "lxc.init.cmd", value));
	EQUAL(c->get_config_item(c, "lxc.init.cmd", NULL, 0), size);
	char *back = malloc(size + 1);
	EQUAL(c->get_config_item(c, "lxc.init.cmd", back, size + 1), size);
	CHECK(memcmp(back, value, size + 1) == 0);
	CHECK(!c->set_config_item(c, "lxc.uts.name", value));
	CHECK(!c->set_config_item(c, value, "x"));
	CHECK(c->get_config_item(c, value, NULL, 0) < 0);
	CHECK(!lxc_has_api_extension(value) && !lxc_config_item_is_supported(value));
	if (is_ours()) {
		char small[16];
		CHECK(c->set_config_item(c, "lxc.uts.name", "short"));
		EQUAL(c->get_config_item(c, "lxc.uts.name", small, INT_MAX), 5);
		SAME(small, "short");
		memset(small, 'x', sizeof(small));
		EQUAL(c->get_config_item(c, "lxc.uts.name", small, -1), 5);
		EQUAL(c->get_config_item(c, "lxc.uts.name", small, INT_MIN), 5);
		CHECK(small[0] == 'x');
		CHECK(!c->wait(c, value, 0));
		CHECK(lxc_container_new(value, "/nosuch") == NULL);
		CHECK(!c->set_config_item(c, "lxc.uts.name", "two\nlines"));
		CHECK(c->set_config_item(c, "lxc.tty.max", "4294967295"));
		CHECK(!c->set_config_item(c, "lxc.tty.max", "4294967296"));
	}
	free(back);
	free(value);
	c->clear_config(c);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static void files(const char *lxcpath)
{
	char dir[PATH_MAX], path[PATH_MAX], line[256];
	snprintf(dir, sizeof(dir), "%s/rlxc-lib-saved", lxcpath);
	snprintf(path, sizeof(path), "%s/alt", lxcpath);
	write_file(path, "# a comment\nlxc.uts.name = from-file\nlxc.tty.max = 3\n");
	CHECK(!c->load_config(c, "/nosuch"));
	c->clear_config(c);
	CHECK(c->load_config(c, path));
	ITEM("lxc.uts.name", "from-file");
	CHECK(c->save_config(c, NULL));
	CHECK(c->is_defined(c));
	FILE *file = fopen(c->configfile, "r");
	CHECK(file && fgets(line, sizeof(line), file));
	SAME(line, "# a comment\n");
	fclose(file);
	/* Loading adds. */
	write_file(path, "lxc.tty.max = 5\n");
	CHECK(c->load_config(c, path));
	ITEM("lxc.uts.name", "from-file");
	ITEM("lxc.tty.max", "5");
	write_file(path, "lxc.nosuch = 5\n");
	CHECK(!c->load_config(c, path));
	CHECK(!c->save_config(c, "/nosuch/dir/config"));

	char **names = NULL;
	struct lxc_container **all = NULL;
	EQUAL(list_defined_containers(lxcpath, &names, &all), 1);
	SAME(names[0], "rlxc-lib-saved");
	SAME(all[0]->name, "rlxc-lib-saved");
	lxc_container_put(all[0]);
	free(names[0]);
	free(names);
	free(all);
	EQUAL(list_defined_containers(lxcpath, NULL, NULL), 1);
	EQUAL(list_all_containers(lxcpath, NULL, NULL), 1);
	names = NULL;
	EQUAL(list_active_containers(lxcpath, &names, NULL), 0);
	free(names);
	names = NULL;
	EQUAL(list_all_containers(lxcpath, &names, NULL), 1);
	SAME(names[0], "rlxc-lib-saved");
	free(names[0]);
	free(names);
	EQUAL(list_defined_containers("/nosuch/lxcpath", NULL, NULL), -1);

	/* A wrong configuration is no container. */
	snprintf(path, sizeof(path), "%s/broken", lxcpath);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/broken/config", lxcpath);
	write_file(path, "lxc.nosuch = 1\n");
	CHECK(lxc_container_new("broken", lxcpath) == NULL);
	unlink(path);
	snprintf(path, sizeof(path), "%s/broken", lxcpath);
	rmdir(path);

	/* Another object for the same container; then it is destroyed under the first one. */
	struct lxc_container *other = lxc_container_new("rlxc-lib-saved", lxcpath);
	bool gone = other->destroy(other);
	if (!can_remove()) {
		unlink(c->configfile);
		lxc_container_put(other);
		return;
	}
	CHECK(gone);
	CHECK(!other->is_defined(other) && !c->is_defined(c));
	CHECK(!c->destroy(c));
	CHECK(!other->destroy(other));
	SAME(other->state(other), "STOPPED");
	lxc_container_put(other);
	c->clear_config(c);

	/* What was killed while it was made is taken away by the next look. */
	snprintf(path, sizeof(path), "%s/half", lxcpath);
	mkdir(path, 0770);
	snprintf(path, sizeof(path), "%s/half/partial", lxcpath);
	write_file(path, "");
	snprintf(path, sizeof(path), "%s/half/config", lxcpath);
	write_file(path, "");
	other = lxc_container_new("half", lxcpath);
	CHECK(other && (!is_ours() || !other->is_defined(other)));
	if (other)
		lxc_container_put(other);
}

static void logs(const char *lxcpath)
{
	char path[PATH_MAX];
	struct stat st;
	snprintf(path, sizeof(path), "%s/api.log", lxcpath);
	struct lxc_log log = { .name = "c", .lxcpath = lxcpath, .file = path, .level = "TRACE", .prefix = "api", .quiet = true };
	EQUAL(lxc_log_init(&log), 0);
	CHECK(stat(path, &st) == 0);
	EQUAL(st.st_mode & 0777, 0640);
	struct lxc_log second = { .file = "/nosuch/dir/file", .level = "TRACE", .quiet = true };
	EQUAL(lxc_log_init(&second), 0);
	lxc_log_close();
	unlink(path);
	snprintf(path, sizeof(path), "%s/c/c.log", lxcpath);
	log.file = NULL;
	EQUAL(lxc_log_init(&log), 0);
	CHECK(stat(path, &st) == 0);
	lxc_log_close();
	unlink(path);
	struct lxc_log nothing = { .quiet = true };
	EQUAL(lxc_log_init(&nothing), 0);
	lxc_log_close();
	lxc_log_close();
	char dir[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s/c", lxcpath);
	rmdir(dir);
}

int main(int argc, char **argv)
{
	const char *lxcpath = argv[argc - 1];
	c = lxc_container_new("rlxc-lib-saved", lxcpath);
	functions_alone();
	references(lxcpath);
	/* LXC does not survive all of these. */
	if (is_ours()) {
		undefined(lxcpath);
		null_container();
		null_arguments();
		migrate_arguments();
	}
	items();
	large();
	files(lxcpath);
	logs(lxcpath);
	EQUAL(lxc_container_put(c), 1);
	return report("offline");
}
