/* Whole flows as management programs have them, below the default lxcpath: each starts from nothing and leaves
 * nothing. The same program runs on LXC's library, so that what is expected is what LXC does. Argument:
 * template. */
#include "check.h"

#include <libgen.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

static const char *template;

static struct lxc_container *opened(const char *name)
{
	struct lxc_container *c = lxc_container_new(name, NULL);
	CHECK(c && !c->is_defined(c));
	return c;
}

/* Created, and its configuration read anew. */
static struct lxc_container *made(const char *name)
{
	struct lxc_container *c = opened(name);
	CHECK(c->createl(c, template, NULL, NULL, LXC_CREATE_QUIET, NULL));
	CHECK(c->is_defined(c));
	c->clear_config(c);
	CHECK(c->lxc_conf == NULL);
	CHECK(c->load_config(c, NULL));
	CHECK(c->lxc_conf != NULL);
	CHECK(c->want_daemonize(c, true));
	return c;
}

static void gone(struct lxc_container *c)
{
	if (c->is_running(c))
		CHECK(c->stop(c));
	CHECK(c->destroy(c));
	CHECK(!c->is_defined(c));
	char dir[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s/%s", c->get_config_path(c), c->name);
	CHECK(access(dir, F_OK) < 0 && errno == ENOENT);
	EQUAL(lxc_container_put(c), 1);
}

static int ended(pid_t pid)
{
	int status = -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static int attached(struct lxc_container *c, int (*function)(void *), void *payload)
{
	lxc_attach_options_t options = LXC_ATTACH_OPTIONS_DEFAULT;
	pid_t pid = -1;
	EQUAL(c->attach(c, function, payload, &options, &pid), 0);
	return ended(pid);
}

/* Keys and values; `same`: they come out as they went in. */
static const struct {
	const char *key, *value, *type;
	bool same;
} settings[] = {
	{ "lxc.arch", "x86_64", NULL, true },
	{ "lxc.pty.max", "1000", NULL, true },
	{ "lxc.tty.max", "4", NULL, true },
	{ "lxc.tty.dir", "not-dev", NULL, true },
	{ "lxc.apparmor.profile", "unconfined", NULL, true },
	{ "lxc.apparmor.allow_incomplete", "1", NULL, true },
	{ "lxc.apparmor.allow_nesting", "1", NULL, true },
	{ "lxc.selinux.context", "system_u:system_r:lxc_t:s0:c22", NULL, true },
	{ "lxc.selinux.context.keyring", "system_u:system_r:lxc_t:s0:c22", NULL, true },
	{ "lxc.cgroup.cpuset.cpus", "1-100", NULL, false },
	{ "lxc.cgroup2.memory.max", "123456789", NULL, false },
	{ "lxc.cgroup.dir", "lxd", NULL, true },
	{ "lxc.cgroup.dir.monitor", "mon", NULL, true },
	{ "lxc.cgroup.dir.container", "pay", NULL, true },
	{ "lxc.cgroup.dir.container.inner", "in", NULL, true },
	{ "lxc.cgroup.relative", "1", NULL, true },
	{ "lxc.log.level", "DEBUG", NULL, true },
	{ "lxc.log.file", "/some/path", NULL, true },
	{ "lxc.log.syslog", "local0", NULL, true },
	{ "lxc.mount.auto", "proc:rw sys:rw cgroup-full:rw", NULL, false },
	{ "lxc.mount.entry", "/dev/dri dev/dri none bind,optional,create=dir", NULL, false },
	{ "lxc.rootfs.path", "/some/path", NULL, true },
	{ "lxc.rootfs.mount", "/some/path", NULL, true },
	{ "lxc.rootfs.options", "ext4,discard", NULL, true },
	{ "lxc.rootfs.managed", "0", NULL, true },
	{ "lxc.uts.name", "the-shire", NULL, true },
	{ "lxc.hook.pre-start", "/some/pre-start", NULL, false },
	{ "lxc.hook.pre-mount", "/some/pre-mount", NULL, false },
	{ "lxc.hook.mount", "/some/mount", NULL, false },
	{ "lxc.hook.autodev", "/some/autodev", NULL, false },
	{ "lxc.hook.start", "/some/start", NULL, false },
	{ "lxc.hook.start-host", "/some/start-host", NULL, false },
	{ "lxc.hook.stop", "/some/stop", NULL, false },
	{ "lxc.hook.post-stop", "/some/post-stop", NULL, false },
	{ "lxc.hook.clone", "/some/clone", NULL, false },
	{ "lxc.hook.destroy", "/some/destroy", NULL, false },
	{ "lxc.hook.version", "1", NULL, true },
	{ "lxc.cap.drop", "sys_module mknod setuid net_raw", NULL, false },
	{ "lxc.cap.keep", "sys_module mknod setuid net_raw", NULL, false },
	{ "lxc.console.path", "none", NULL, true },
	{ "lxc.console.logfile", "/some/logfile", NULL, true },
	{ "lxc.console.rotate", "1", NULL, true },
	{ "lxc.console.buffer.size", "4096", NULL, true },
	{ "lxc.console.size", "4096", NULL, true },
	{ "lxc.seccomp.profile", "/some/seccomp/file", NULL, true },
	{ "lxc.seccomp.allow_nesting", "1", NULL, true },
	{ "lxc.autodev", "1", NULL, true },
	{ "lxc.autodev.tmpfs.size", "1", NULL, true },
	{ "lxc.signal.halt", "1", NULL, true },
	{ "lxc.signal.reboot", "1", NULL, true },
	{ "lxc.signal.stop", "1", NULL, true },
	{ "lxc.start.auto", "1", NULL, true },
	{ "lxc.start.delay", "5", NULL, true },
	{ "lxc.start.order", "1", NULL, true },
	{ "lxc.monitor.unshare", "1", NULL, true },
	{ "lxc.monitor.signal.pdeath", "SIGKILL", NULL, false },
	{ "lxc.group", "some,container,groups", NULL, false },
	{ "lxc.environment", "FOO=BAR", NULL, false },
	{ "lxc.init.cmd", "/bin/bash", NULL, true },
	{ "lxc.init.cwd", "/some/place", NULL, true },
	{ "lxc.init.uid", "1000", NULL, true },
	{ "lxc.init.gid", "1000", NULL, true },
	{ "lxc.execute.cmd", "/bin/true", NULL, true },
	{ "lxc.ephemeral", "1", NULL, true },
	{ "lxc.no_new_privs", "1", NULL, true },
	{ "lxc.keyring.session", "0", NULL, true },
	{ "lxc.sched.core", "0", NULL, true },
	{ "lxc.namespace.clone", "net pid", NULL, false },
	{ "lxc.namespace.share.ipc", "1", NULL, true },
	{ "lxc.namespace.share.net", "other", NULL, true },
	{ "lxc.sysctl.net.core.somaxconn", "256", NULL, true },
	{ "lxc.proc.oom_score_adj", "10", NULL, true },
	{ "lxc.prlimit.nofile", "65536", NULL, true },
	{ "lxc.prlimit.nofile", "65536:131072", NULL, true },
	{ "lxc.time.offset.boot", "1h", NULL, false },
	{ "lxc.net.0.type", "veth", NULL, true },
	{ "lxc.net.2.type", "none", NULL, true },
	{ "lxc.net.3.type", "empty", NULL, true },
	{ "lxc.net.4.type", "vlan", NULL, true },
	{ "lxc.net.0.type", "macvlan", NULL, true },
	{ "lxc.net.0.type", "ipvlan", NULL, true },
	{ "lxc.net.1000.type", "phys", NULL, true },
	{ "lxc.net.0.flags", "up", NULL, true },
	{ "lxc.net.0.name", "eth0", NULL, true },
	{ "lxc.net.0.link", "bla", NULL, true },
	{ "lxc.net.0.script.up", "/some/up/path", NULL, true },
	{ "lxc.net.0.script.down", "/some/down/path", NULL, true },
	{ "lxc.net.0.hwaddr", "52:54:00:80:7a:5d", NULL, true },
	{ "lxc.net.0.mtu", "2000", NULL, true },
	{ "lxc.net.0.ipv4.gateway", "10.0.2.2", NULL, true },
	{ "lxc.net.0.ipv6.gateway", "2003:db8:1::1", NULL, true },
	{ "lxc.net.0.ipv4.gateway", "auto", "veth", true },
	{ "lxc.net.0.ipv4.gateway", "dev", "veth", true },
	{ "lxc.net.0.ipv4.address", "10.0.2.3/24", NULL, true },
	{ "lxc.net.0.ipv6.address", "2003:db8:1:0:214:1234:fe0b:3596/64", NULL, true },
	{ "lxc.net.0.l2proxy", "1", NULL, true },
	{ "lxc.net.0.macvlan.mode", "private", "macvlan", true },
	{ "lxc.net.0.macvlan.mode", "vepa", "macvlan", true },
	{ "lxc.net.0.macvlan.mode", "bridge", "macvlan", true },
	{ "lxc.net.0.macvlan.mode", "passthru", "macvlan", true },
	{ "lxc.net.0.ipvlan.mode", "l3", "ipvlan", true },
	{ "lxc.net.0.ipvlan.mode", "l3s", "ipvlan", true },
	{ "lxc.net.0.ipvlan.mode", "l2", "ipvlan", true },
	{ "lxc.net.0.ipvlan.isolation", "bridge", "ipvlan", true },
	{ "lxc.net.0.ipvlan.isolation", "private", "ipvlan", true },
	{ "lxc.net.0.ipvlan.isolation", "vepa", "ipvlan", true },
	{ "lxc.net.0.veth.pair", "outside", "veth", true },
	{ "lxc.net.0.veth.mode", "router", "veth", true },
	{ "lxc.net.0.veth.mode", "bridge", "veth", true },
	{ "lxc.net.0.veth.ipv4.route", "192.0.2.1/32", "veth", false },
	{ "lxc.net.0.veth.ipv6.route", "2001:db8::1/128", "veth", false },
	{ "lxc.net.0.veth.vlan.id", "1", "veth", true },
	{ "lxc.net.0.veth.vlan.id", "none", "veth", false },
	{ "lxc.net.0.veth.vlan.tagged.id", "2", "veth", false },
	{ "lxc.net.0.vlan.id", "2", "vlan", true },
};

static void each_key(void)
{
	char file[] = "/var/lib/lxc/saved", value[4096];
	struct lxc_container *c = lxc_container_new("rlxc-lib-keys", NULL);
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		const char *key = settings[i].key, *wanted = settings[i].value;
		int before = failures;
		if (settings[i].type)
			CHECK(c->set_config_item(c, "lxc.net.0.type", settings[i].type));
		CHECK(c->set_config_item(c, key, wanted));
		memset(value, 0, sizeof(value));
		int length = c->get_config_item(c, key, NULL, 0);
		EQUAL(c->get_config_item(c, key, value, sizeof(value)), length);
		EQUAL(strlen(value), length);
		CHECK(length > 0);
		if (settings[i].same)
			SAME(value, wanted);
		CHECK(c->save_config(c, file));
		c->clear_config(c);
		c->lxc_conf = NULL;
		CHECK(c->load_config(c, file));
		char again[4096] = "";
		EQUAL(c->get_config_item(c, key, again, sizeof(again)), length);
		SAME(again, value);
		CHECK(c->clear_config_item(c, key));
		if (settings[i].type)
			CHECK(c->clear_config_item(c, "lxc.net.0.type"));
		c->clear_config(c);
		c->lxc_conf = NULL;
		if (failures != before)
			fprintf(stderr, "  with %s = %s\n", key, wanted);
	}
	/* Refused. */
	CHECK(!c->set_config_item(c, "lxc.hook.version", "2"));
	CHECK(!c->set_config_item(c, "lxc.net.0.asdf", "veth"));
	CHECK(!c->set_config_item(c, "lxc.net.2147483647.type", "veth"));
	CHECK(!c->set_config_item(c, "lxc.net.0.", "veth"));
	CHECK(!c->set_config_item(c, "lxc.idmap", "g -1 0 -10"));
	CHECK(!c->set_config_item(c, "lxc.idmap", "a 1 0 10"));
	CHECK(!c->set_config_item(c, "lxc.idmap", "u 1 1 0 10"));
	CHECK(!c->set_config_item(c, "lxc.idmap", "g 1 0 10\t z "));
	c->clear_config(c);
	CHECK(c->set_config_item(c, "lxc.idmap", "u 1 100000 10000000"));
	CHECK(c->set_config_item(c, "lxc.idmap", "g    1\t\t100000\t10000000"));
	EQUAL(c->get_config_item(c, "lxc.idmap", value, sizeof(value)), 39);
	SAME(value, "u 1 100000 10000000\ng 1 100000 10000000");
	c->clear_config(c);
	/* A whole link goes with its number. */
	const char *link[][2] = {
		{ "type", "veth" }, { "ipv4.address", "10.0.2.3/24" }, { "ipv4.gateway", "10.0.2.2" }, { "ipv6.address", "2003:db8:1:0:214:1234:fe0b:3596/64" },
		{ "ipv6.gateway", "2003:db8:1:0::1" }, { "flags", "up" }, { "link", "br0" }, { "veth.pair", "bla" }, { "hwaddr", "52:54:00:80:7a:5d" }, { "mtu", "2000" },
	};
	for (size_t i = 0; i < sizeof(link) / sizeof(*link); i++) {
		char key[64];
		snprintf(key, sizeof(key), "lxc.net.1.%s", link[i][0]);
		CHECK(c->set_config_item(c, key, link[i][1]));
	}
	CHECK(c->clear_config_item(c, "lxc.net.1"));
	CHECK(c->get_config_item(c, "lxc.net.1.type", value, sizeof(value)) < 0);
	unlink(file);
	/* Some programs take the name apart in its place. */
	(void)rmdir(dirname(c->configfile));
	EQUAL(lxc_container_put(c), 1);
}

/* Lengths, short buffers, keys of a created container. */
static void items(void)
{
	char tiny[2] = { 'x', 'x' }, small[256], large[2048];
	struct lxc_container *c = opened("rlxc-lib-items");
	CHECK(c->set_config_item(c, "lxc.hook.pre-start", "hi there"));
	EQUAL(c->get_config_item(c, "lxc.hook.pre-start", small, 255), 9);
	SAME(small, "hi there\n");
	EQUAL(c->get_config_item(c, "lxc.net", small, 255), 0);
	CHECK(c->set_config_item(c, "lxc.arch", "x86"));
	EQUAL(c->get_config_item(c, "lxc.arch", small, 255), 4);
	SAME(small, "i686");
	CHECK(c->set_config_item(c, "lxc.mount.entry", "hi there"));
	EQUAL(c->get_config_item(c, "lxc.mount.entry", small, 255), 9);
	CHECK(c->set_config_item(c, "lxc.init.uid", "100"));
	EQUAL(c->get_config_item(c, "lxc.init.uid", small, 255), 3);
	lxc_container_put(c);

	c = opened("rlxc-lib-items");
	CHECK(!c->destroy(c));
	CHECK(c->createl(c, template, NULL, NULL, LXC_CREATE_QUIET, NULL));
	lxc_container_put(c);
	c = lxc_container_new("rlxc-lib-items", NULL);
	int length = c->get_config_item(c, "lxc.cap.drop", NULL, 300);
	CHECK(length > 5 && length < 255);
	EQUAL(c->get_config_item(c, "lxc.cap.drop", tiny, 1), length);
	EQUAL(tiny[0], 0);
	EQUAL(tiny[1], 'x');
	EQUAL(c->get_config_item(c, "lxc.cap.drop", small, 255), length);
	CHECK(c->get_config_item(c, "lxc.net", small, 255) >= 0);
	CHECK(c->set_config_item(c, "lxc.net.0.type", "veth"));
	CHECK(c->set_config_item(c, "lxc.net.0.ipv4.address", "10.2.3.4"));
	CHECK(c->get_config_item(c, "lxc.net.0.ipv4.address", small, 255) > 0);
	CHECK(c->clear_config_item(c, "lxc.net.0.ipv4.address"));
	EQUAL(c->get_config_item(c, "lxc.net.0.ipv4.address", small, 255), 0);
	CHECK(c->set_config_item(c, "lxc.net.0.ipv4.gateway", "10.2.3.254"));
	EQUAL(c->get_config_item(c, "lxc.net.0.ipv4.gateway", small, 255), 10);
	CHECK(c->set_config_item(c, "lxc.net.0.ipv4.gateway", ""));
	EQUAL(c->get_config_item(c, "lxc.net.0.ipv4.gateway", small, 255), 0);
	EQUAL(c->get_config_item(c, "lxc.net.0.link", small, 255), 0);
	EQUAL(c->get_config_item(c, "lxc.net.0.name", small, 255), 0);
	CHECK(c->clear_config_item(c, "lxc.net"));
	EQUAL(c->get_config_item(c, "lxc.net", small, 255), 0);
	CHECK(c->get_config_item(c, "lxc.cgroup", large, 2047) >= 0);
	CHECK(c->get_config_item(c, "lxc.cgroup.devices.allow", large, 2047) >= 0);
	CHECK(c->clear_config_item(c, "lxc.cgroup"));
	CHECK(c->clear_config_item(c, "lxc.cap.drop"));
	CHECK(c->clear_config_item(c, "lxc.mount.entry"));
	CHECK(c->clear_config_item(c, "lxc.hook"));
	EQUAL(c->get_config_item(c, "lxc.cap.drop", small, 255), 0);
	/* Every prefix has keys, and the length is told before. */
	const char *prefixes[] = { NULL, "lxc.net.0", "lxc.apparmor", "lxc.selinux", "lxc.mount", "lxc.rootfs", "lxc.uts", "lxc.hook", "lxc.cap", "lxc.console", "lxc.seccomp", "lxc.signal", "lxc.start", "lxc.monitor", "lxc.cgroup" };
	CHECK(c->set_config_item(c, "lxc.net.0.type", "veth"));
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		int wanted = c->get_keys(c, prefixes[i], NULL, 0);
		char keys[8192] = "";
		CHECK(wanted >= 0);
		EQUAL(c->get_keys(c, prefixes[i], keys, wanted + 1), wanted);
		EQUAL(strlen(keys), wanted);
	}
	gone(c);
}

static int writes_pid(void *fd)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%d", getpid());
	return write((int)(long)fd, text, length) == length ? 0 : 1;
}

/* Commands, functions and shells; their statuses as wait(2) has them. */
static void attaches(void)
{
	struct lxc_container *c = made("rlxc-lib-attach");
	CHECK(c->startl(c, 0, NULL));
	char *same[] = { "cmp", "-s", "/sbin/init", "/bin/busybox", NULL };
	lxc_attach_command_t command = { "cmp", same };
	lxc_attach_options_t options = LXC_ATTACH_OPTIONS_DEFAULT;
	pid_t pid = -1;
	EQUAL(attached(c, lxc_attach_run_command, &command), 0);
	same[2] = "/etc/fstab";
	CHECK(attached(c, lxc_attach_run_command, &command) != 0);
	command.program = "/nosuch";
	EQUAL(attached(c, lxc_attach_run_command, &command), 127 << 8);
	command.program = "/etc/passwd";
	EQUAL(attached(c, lxc_attach_run_command, &command), 126 << 8);
	int pipes[2];
	CHECK(pipe(pipes) == 0);
	options.stdout_fd = pipes[1];
	EQUAL(c->attach(c, writes_pid, (void *)1L, &options, &pid), 0);
	char text[64] = "";
	CHECK(read(pipes[0], text, sizeof(text) - 1) > 0);
	CHECK(atoi(text) > 1);
	EQUAL(ended(pid), 0);
	/* A shell reads what it is given. */
	int input[2];
	CHECK(pipe(input) == 0);
	options.stdin_fd = input[0];
	EQUAL(c->attach(c, lxc_attach_run_shell, NULL, &options, &pid), 0);
	CHECK(write(input[1], "exit 9\n", 7) == 7);
	close(input[1]);
	EQUAL(ended(pid), 9 << 8);
	close(input[0]);
	close(pipes[0]);
	close(pipes[1]);
	/* By signal. */
	EQUAL(c->attach_run_waitl(c, NULL, "sh", "sh", "-c", "kill -9 $$", NULL), 9);
	EQUAL(c->attach_run_waitl(c, NULL, "/nosuch", "/nosuch", NULL), 127 << 8);
	const char *const none[] = { "true", NULL };
	EQUAL(c->attach_run_wait(c, NULL, "true", none), 0);
	CHECK(c->stop(c));
	EQUAL(c->attach(c, lxc_attach_run_shell, NULL, &options, &pid), -ECONNREFUSED);
	EQUAL(c->attach_run_waitl(c, NULL, "true", "true", NULL), -ECONNREFUSED);
	gone(c);
}

static int root_is_restricted(void *unused)
{
	(void)unused;
	struct statvfs fs;
	const unsigned long wanted = ST_NODEV | ST_NOSUID | ST_RDONLY;
	return statvfs("/", &fs) == 0 && (fs.f_flag & wanted) == wanted ? 0 : 1;
}

static int sys_is_mixed(void *unused)
{
	(void)unused;
	struct statvfs sys, net;
	if (statvfs("/sys", &sys) < 0 || statvfs("/sys/devices/virtual/net", &net) < 0)
		return 2;
	return (sys.f_flag & ST_RDONLY) && !(net.f_flag & ST_RDONLY) ? 0 : 1;
}

static int reads(void *pair)
{
	const char **pathAndText = pair;
	char text[64] = "";
	int fd = open(pathAndText[0], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t length = read(fd, text, sizeof(text) - 1);
	while (length > 0 && text[length - 1] == '\n')
		text[--length] = 0;
	return fd >= 0 && strcmp(text, pathAndText[1]) == 0 ? 0 : 1;
}

static void settings_inside(void)
{
	struct lxc_container *c = opened("rlxc-lib-options");
	CHECK(c->createl(c, template, NULL, NULL, LXC_CREATE_QUIET, NULL));
	/* An item before the file: the file is added to it. */
	c->clear_config(c);
	CHECK(c->set_config_item(c, "lxc.rootfs.options", "nodev,nosuid,ro"));
	CHECK(c->load_config(c, NULL));
	CHECK(c->startl(c, 0, NULL));
	EQUAL(attached(c, root_is_restricted, NULL), 0);
	gone(c);

	c = made("rlxc-lib-mixed");
	CHECK(c->set_config_item(c, "lxc.mount.auto", "sys:mixed"));
	CHECK(c->startl(c, 0, NULL));
	EQUAL(attached(c, sys_is_mixed, NULL), 0);
	gone(c);

	c = made("rlxc-lib-proc");
	const char *score[] = { "/proc/1/oom_score_adj", "500" }, *forward[] = { "/proc/sys/net/ipv4/ip_forward", "1" };
	CHECK(c->set_config_item(c, "lxc.mount.auto", "proc:rw"));
	CHECK(c->clear_config_item(c, "lxc.proc.oom_score_adj"));
	CHECK(c->set_config_item(c, "lxc.proc.oom_score_adj", "500"));
	CHECK(c->clear_config_item(c, "lxc.sysctl.net.ipv4.ip_forward"));
	CHECK(c->set_config_item(c, "lxc.sysctl.net.ipv4.ip_forward", "1"));
	CHECK(c->startl(c, 0, NULL));
	EQUAL(attached(c, reads, score), 0);
	EQUAL(attached(c, reads, forward), 0);
	gone(c);
}

/* Ten askers at once, one of whom does not wait. */
struct asker {
	struct lxc_container *c;
	int timeout;
	bool answer;
};

static void *asks(void *data)
{
	struct asker *asker = data;
	asker->answer = asker->c->shutdown(asker->c, asker->timeout);
	return NULL;
}

static void wait_for_init(struct lxc_container *c)
{
	/* Until it has its handlers. */
	for (int i = 0; i < 50; i++) {
		char path[64], line[256];
		snprintf(path, sizeof(path), "/proc/%d/status", c->init_pid(c));
		FILE *file = fopen(path, "r");
		unsigned long caught = 0;
		while (file && fgets(line, sizeof(line), file))
			sscanf(line, "SigCgt: %lx", &caught);
		if (file)
			fclose(file);
		if (caught)
			break;
		usleep(100000);
	}
	usleep(300000);
}

static void shutdowns(void)
{
	struct lxc_container *c = made("rlxc-lib-askers");
	{
		struct asker askers[10];
		pthread_t threads[10];
		CHECK(c->startl(c, 0, NULL));
		wait_for_init(c);
		for (int i = 0; i < 10; i++) {
			askers[i] = (struct asker){ c, i == 0 ? 0 : -1, false };
			pthread_create(&threads[i], NULL, asks, &askers[i]);
		}
		for (int i = 0; i < 10; i++) {
			pthread_join(threads[i], NULL);
			CHECK(askers[i].answer);
		}
		CHECK(c->wait(c, "STOPPED", 30));
		CHECK(!c->is_running(c));
	}
	/* Again and again, waiting and not waiting. */
	CHECK(c->startl(c, 0, NULL));
	{
		wait_for_init(c);
		pid_t before = c->init_pid(c);
		CHECK(c->reboot2(c, -1));
		CHECK(c->is_running(c));
		CHECK(c->init_pid(c) > 0 && c->init_pid(c) != before);
	}
	wait_for_init(c);
	CHECK(c->reboot2(c, 0));
	CHECK(c->wait(c, "RUNNING", 30));
	wait_for_init(c);
	CHECK(c->shutdown(c, 30));
	SAME(c->state(c), "STOPPED");
	/* An init that does not listen. */
	CHECK(c->set_config_item(c, "lxc.signal.halt", "SIGWINCH"));
	CHECK(c->startl(c, 0, NULL));
	wait_for_init(c);
	CHECK(!c->shutdown(c, 1));
	CHECK(c->shutdown(c, 0));
	CHECK(c->is_running(c));
	gone(c);
}

/* Terminals: a taken one is refused, a closed one is free, no more than there are. */
static void terminals(void)
{
	struct lxc_container *c = made("rlxc-lib-terminals");
	CHECK(c->set_config_item(c, "lxc.tty.max", "4"));
	CHECK(c->save_config(c, NULL));
	CHECK(c->startl(c, 0, NULL));
	int number = 1, ptx = -1, other = -1;
	int holder = c->console_getfd(c, &number, &ptx);
	CHECK(holder >= 0);
	EQUAL(number, 1);
	CHECK(isatty(ptx));
	EQUAL(c->console_getfd(c, &number, &other), -1);
	close(ptx);
	close(holder);
	for (int round = 0; round < 10; round++) {
		int taken[16][2], count = 0;
		for (; count < 16; count++) {
			number = -1;
			taken[count][0] = c->console_getfd(c, &number, &taken[count][1]);
			if (taken[count][0] < 0)
				break;
		}
		EQUAL(count, 4);
		while (count-- > 0) {
			close(taken[count][1]);
			close(taken[count][0]);
		}
	}
	number = 5;
	EQUAL(c->console_getfd(c, &number, &other), -1);
	gone(c);
}

static void short_lived(void)
{
	struct lxc_container *c = made("rlxc-lib-short");
	CHECK(c->set_config_item(c, "lxc.init.cmd", "echo hello"));
	CHECK(c->set_config_item(c, "lxc.execute.cmd", "echo hello"));
	setenv("LXC_MEMFD_REXEC", "1", 1);
	for (int i = 0; i < 3; i++) {
		CHECK(c->startl(c, 0, NULL));
		CHECK(c->wait(c, "STOPPED", 30));
	}
	for (int i = 0; i < 3; i++) {
		CHECK(c->startl(c, 1, NULL));
		CHECK(c->wait(c, "STOPPED", 30));
	}
	unsetenv("LXC_MEMFD_REXEC");
	/* What cannot be executed fails the start. */
	CHECK(c->set_config_item(c, "lxc.init.cmd", "you-shall-fail"));
	CHECK(!c->startl(c, 0, NULL));
	CHECK(c->wait(c, "STOPPED", 30));
	EQUAL(c->error_num, 1);
	CHECK(c->set_config_item(c, "lxc.execute.cmd", "you-shall-fail"));
	/* The small init has started, whatever becomes of what it starts. */
	CHECK(c->startl(c, 1, NULL));
	CHECK(c->wait(c, "STOPPED", 30));
	gone(c);
}

/* A device, the freezer and a limit by the cgroup functions; before and after the start. */
static void cgroup_files(void)
{
	char text[512];
	struct lxc_container *c = made("rlxc-lib-cgroup");
	CHECK(c->get_cgroup_item(c, "pids.max", text, sizeof(text)) < 0);
	CHECK(!c->set_cgroup_item(c, "pids.max", "100"));
	CHECK(c->startl(c, 0, NULL));
	/* LXC 5 wants no buffer where there is no length. */
	CHECK(!is_ours() || c->get_cgroup_item(c, "pids.max", text, 0) > 0);
	CHECK(c->get_cgroup_item(c, "pids.max", NULL, 0) > 0);
	CHECK(c->set_cgroup_item(c, "pids.max", "10000"));
	EQUAL(c->get_cgroup_item(c, "pids.max", text, sizeof(text)), 6);
	SAME(text, "10000\n");
	CHECK(c->get_cgroup_item(c, "nosuch.file", text, sizeof(text)) < 0);
	CHECK(!c->set_cgroup_item(c, "pids.max", "many"));
	CHECK(!c->set_cgroup_item(c, "pids.nosuch", "1"));
	CHECK(c->add_device_node(c, "/dev/loop-control", "/dev/loop-control"));
	EQUAL(c->attach_run_waitl(c, NULL, "test", "test", "-c", "/dev/loop-control", NULL), 0);
	CHECK(c->remove_device_node(c, "/dev/loop-control", "/dev/loop-control"));
	EQUAL(c->attach_run_waitl(c, NULL, "test", "test", "-e", "/dev/loop-control", NULL), 1 << 8);
	CHECK(c->add_device_node(c, "/dev/loop-control", NULL));
	CHECK(c->remove_device_node(c, "/dev/loop-control", NULL));
	CHECK(!c->add_device_node(c, "/nosuch", NULL));
	CHECK(!c->add_device_node(c, "/etc/passwd", NULL));
	CHECK(c->stop(c));
	CHECK(!c->add_device_node(c, "/dev/loop-control", NULL));
	CHECK(!c->remove_device_node(c, "/dev/loop-control", NULL));
	gone(c);
}

/* Saved elsewhere and in its own place; copied, and copied again. */
static void files(void)
{
	struct lxc_container *c = made("rlxc-lib-files"), *copy, *third;
	const char *own = "/var/lib/lxc/rlxc-lib-files/config", *moved = "/var/lib/lxc/rlxc-lib-files/config.bak";
	CHECK(c->save_config(c, "/var/lib/lxc/elsewhere"));
	CHECK(access("/var/lib/lxc/elsewhere", F_OK) == 0);
	unlink("/var/lib/lxc/elsewhere");
	CHECK(rename(own, moved) == 0);
	CHECK(!c->is_defined(c));
	CHECK(c->save_config(c, NULL));
	CHECK(c->is_defined(c));
	unlink(moved);
	copy = c->clone(c, "rlxc-lib-copy", NULL, 0, NULL, NULL, 0, NULL);
	CHECK(copy && copy->is_defined(copy));
	CHECK(c->clone(c, "rlxc-lib-copy", NULL, 0, NULL, NULL, 0, NULL) == NULL);
	if (copy)
		gone(copy);
	copy = c->clone(c, "rlxc-lib-copy", NULL, LXC_CLONE_SNAPSHOT, "overlayfs", NULL, 0, NULL);
	CHECK(copy && copy->is_defined(copy));
	third = copy ? copy->clone(copy, "rlxc-lib-third", NULL, LXC_CLONE_SNAPSHOT, "overlayfs", NULL, 0, NULL) : NULL;
	CHECK(third && third->is_defined(third));
	/* Others build on it. */
	CHECK(!c->destroy(c));
	if (third)
		gone(third);
	if (copy) {
		EQUAL(copy->snapshot(copy, NULL), 0);
		struct lxc_snapshot *list = NULL;
		EQUAL(copy->snapshot_list(copy, &list), 1);
		SAME(list[0].name, "snap0");
		CHECK(strlen(list[0].timestamp) == 19);
		SAME(list[0].comment_pathname, "/var/lib/lxc/rlxc-lib-copy/snaps/snap0/comment");
		list[0].free(&list[0]);
		free(list);
		CHECK(copy->snapshot_restore(copy, "snap0", NULL));
		CHECK(copy->snapshot_destroy(copy, "snap0"));
		CHECK(!copy->snapshot_destroy(copy, "snap0"));
		gone(copy);
	}
	FILE *note = fopen("/var/lib/lxc/note", "w");
	fputs("a remark\n", note);
	fclose(note);
	EQUAL(c->snapshot(c, "/var/lib/lxc/note"), 0);
	EQUAL(c->snapshot(c, NULL), 1);
	CHECK(access("/var/lib/lxc/rlxc-lib-files/snaps/snap0/comment", F_OK) == 0);
	CHECK(access("/var/lib/lxc/rlxc-lib-files/snaps/snap0/rootfs", F_OK) == 0);
	CHECK(c->snapshot_restore(c, "snap0", "rlxc-lib-restored"));
	CHECK(!c->snapshot_restore(c, "snap9", "rlxc-lib-other"));
	copy = lxc_container_new("rlxc-lib-restored", NULL);
	CHECK(copy->is_defined(copy));
	gone(copy);
	CHECK(!c->destroy(c));
	CHECK(c->snapshot_destroy_all(c));
	EQUAL(c->snapshot(c, NULL), 0);
	CHECK(c->destroy_with_snapshots(c));
	CHECK(!c->is_defined(c));
	unlink("/var/lib/lxc/note");
	EQUAL(lxc_container_put(c), 1);
}

/* After a fork both sides may use the object; another user may not control. */
static void forked(void)
{
	struct lxc_container *c = made("rlxc-lib-forked");
	pid_t pid = fork();
	if (pid == 0) {
		lxc_container_get(c);
		bool started = c->startl(c, 0, NULL);
		lxc_container_put(c);
		_exit(!started);
	}
	EQUAL(ended(pid), 0);
	CHECK(c->wait(c, "RUNNING", 10));
	SAME(c->state(c), "RUNNING");
	CHECK(c->may_control(c));
	pid = fork();
	if (pid == 0) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		_exit(c->may_control(c));
	}
	EQUAL(ended(pid), 0);
	gone(c);
}

static int own_shell(void *unused)
{
	return lxc_attach_run_shell(unused);
}

/* The shell that the container's password file names, whoever asks for it. */
static void shells(void)
{
	struct lxc_container *c = made("rlxc-lib-shell");
	CHECK(c->set_config_item(c, "lxc.init.cmd", "/bin/sleep 1000"));
	CHECK(c->start(c, 0, NULL));
	int status = c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c",
					 "printf '#!/bin/sh\\nexit 33\\n' > /bin/own; chmod 755 /bin/own;"
					 "sed -i 's,^root:.*,root:x:0:0:root:/root:/bin/own,' /etc/passwd", NULL);
	EQUAL(status, 0);
	EQUAL(attached(c, lxc_attach_run_shell, NULL), 33 << 8);
	EQUAL(attached(c, own_shell, NULL), 33 << 8);
	gone(c);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	template = argv[1];
	struct lxc_container *none = lxc_container_new("rlxc-lib-none", NULL);
	EQUAL(none->init_pid(none), -1);
	CHECK(!none->destroy(none));
	EQUAL(lxc_container_put(none), 1);
	each_key();
	items();
	attaches();
	shells();
	settings_inside();
	shutdowns();
	terminals();
	short_lived();
	cgroup_files();
	files();
	forked();
	return report("flows");
}
