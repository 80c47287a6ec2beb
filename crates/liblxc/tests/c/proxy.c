/* A proxy for seccomp notifications that speaks as those of Incus and LXD do: one SOCK_SEQPACKET message in
 * four parts with three descriptors, and an answer of the first three parts. It does what was asked in the
 * caller's place, lets the kernel do it, writes to the caller's memory, hangs up, and goes away.
 * Arguments: template, lxcpath. */
#include "check.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>

#define NAME "rlxc-lib-proxy"
#define COOKIE "a cookie of 64 bytes at most"
#define DAYS 100

/* What both daemons write, each with the notifications it can be told to take. */
static const char policy[] = "2\n"
			     "denylist\n"
			     "reject_force_umount  # comment this to allow umount -f;  not recommended\n"
			     "[all]\n"
			     "kexec_load errno 38\n"
			     "open_by_handle_at errno 38\n"
			     "init_module errno 38\n"
			     "delete_module errno 38\n"
			     "seccomp errno 22 [1,2146435072,SCMP_CMP_MASKED_EQ,2146435072]\n"
			     "seccomp errno 22 [1,8,SCMP_CMP_MASKED_EQ,8]\n"
			     "mknod notify [1,8192,SCMP_CMP_MASKED_EQ,61440]\n"
			     "mknod notify [1,24576,SCMP_CMP_MASKED_EQ,61440]\n"
			     "mknodat notify [2,8192,SCMP_CMP_MASKED_EQ,61440]\n"
			     "mknodat notify [2,24576,SCMP_CMP_MASKED_EQ,61440]\n"
			     "setxattr notify [3,1,SCMP_CMP_EQ]\n"
			     "sched_setscheduler notify\n"
			     "sysinfo notify\n";

struct head {
	uint64_t reserved;
	pid_t monitor_pid;
	pid_t init_pid;
	struct seccomp_notif_sizes sizes;
	uint64_t cookie_len;
};

_Static_assert(sizeof(struct head) == 32, "the fixed part");
_Static_assert(offsetof(struct head, sizes) == 16, "the sizes");
_Static_assert(offsetof(struct head, cookie_len) == 24, "the length of the cookie");

static int listener = -1;
static volatile int made, passed, filled;
static volatile pid_t seen_monitor, seen_init;
/* Every connection that was ever made. */
static int connections[64];
static volatile int connected;

/* Makes the node where the caller asked for it, as the daemon's helper does inside. */
static int make_node(int proc, int memory, uint64_t address, mode_t mode, dev_t device)
{
	char path[PATH_MAX] = { 0 };
	int root = openat(proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || pread(memory, path, sizeof(path) - 1, (off_t)address) <= 0)
		return -EPERM;
	int made_it = mknodat(root, path + (path[0] == '/'), mode, device);
	int error = made_it == 0 ? 0 : -errno;
	close(root);
	return error;
}

static void answer(const struct head *head, const struct seccomp_notif *asked, struct seccomp_notif_resp *response, const int *fds)
{
	uint64_t path = asked->data.args[0], mode = asked->data.args[1], device = asked->data.args[2];
	response->id = asked->id;
	response->flags = asked->flags;
	response->val = 0;
	response->error = 0;
	seen_monitor = head->monitor_pid;
	seen_init = head->init_pid;
	int call = asked->data.nr;
	if (call == SYS_sysinfo) {
		struct sysinfo info;
		sysinfo(&info);
		info.uptime = DAYS * 86400L;
		CHECK(pwrite(fds[1], &info, sizeof(info), (off_t)path) == sizeof(info));
		filled++;
		return;
	}
	if (call == SYS_mknodat) {
		path = asked->data.args[1];
		mode = asked->data.args[2];
		device = asked->data.args[3];
	}
	if (device == makedev(1, 3)) {
		response->error = make_node(fds[0], fds[1], path, (mode_t)mode, (dev_t)device);
		made++;
	} else {
		response->flags |= SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		passed++;
	}
}

/* Whether there may be another message. */
static int one_message(int connection)
{
	struct head head = { 0 };
	struct seccomp_notif asked = { 0 };
	struct seccomp_notif_resp response = { 0 };
	char cookie[64] = { 0 };
	struct iovec parts[4] = {
		{ &head, sizeof(head) },
		{ &asked, sizeof(asked) },
		{ &response, sizeof(response) },
		{ cookie, sizeof(cookie) },
	};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(3 * sizeof(int))];
	} control = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 4, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t length = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
	if (length <= 0)
		return 0;
	size_t fixed = sizeof(head) + sizeof(asked) + sizeof(response);
	EQUAL(length, fixed + strlen(COOKIE));
	EQUAL(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC), 0);
	struct cmsghdr *first = CMSG_FIRSTHDR(&message);
	CHECK(first && first->cmsg_type == SCM_RIGHTS && first->cmsg_len == CMSG_LEN(3 * sizeof(int)));
	if (!first)
		return 0;
	int fds[3];
	memcpy(fds, CMSG_DATA(first), sizeof(fds));

	EQUAL(head.reserved, 0);
	struct seccomp_notif_sizes sizes;
	CHECK(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0);
	EQUAL(memcmp(&head.sizes, &sizes, sizeof(sizes)), 0);
	EQUAL(head.cookie_len, strlen(COOKIE));
	SAME(cookie, COOKIE);
	EQUAL(response.id, asked.id);
	/* The caller's directory in /proc, its memory for reading and writing, the kernel's listener. */
	char pid[32];
	struct stat by_fd, by_name;
	snprintf(pid, sizeof(pid), "/proc/%u", asked.pid);
	CHECK(fstat(fds[0], &by_fd) == 0 && stat(pid, &by_name) == 0 && by_fd.st_ino == by_name.st_ino);
	EQUAL(fcntl(fds[1], F_GETFL) & O_ACCMODE, O_RDWR);
	EQUAL(ioctl(fds[2], SECCOMP_IOCTL_NOTIF_ID_VALID, &asked.id), 0);

	answer(&head, &asked, &response, fds);
	struct msghdr reply = { .msg_iov = parts, .msg_iovlen = 3 };
	EQUAL(sendmsg(connection, &reply, MSG_NOSIGNAL), fixed);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	return 1;
}

static void *answers(void *data)
{
	int connection = *(int *)data;
	while (one_message(connection))
		;
	return NULL;
}

static void *serve(void *unused)
{
	(void)unused;
	for (;;) {
		int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (connection < 0 || connected >= 64)
			return NULL;
		connections[connected] = connection;
		pthread_t thread;
		CHECK(pthread_create(&thread, NULL, answers, &connections[connected]) == 0);
		pthread_detach(thread);
		connected++;
	}
}

static void hang_up(void)
{
	for (int i = 0; i < connected; i++)
		shutdown(connections[i], SHUT_RDWR);
}

static void listen_on(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 16) == 0);
}

/* Calls when it is told to, by one and the same listener. */
static const char init[] = "#!/bin/sh\n"
			   "mknod /first c 1 3\n"
			   "until [ -e /go1 ]; do sleep 0.1; done\n"
			   "mknod /again c 1 3\n"
			   "until [ -e /go2 ]; do sleep 0.1; done\n"
			   "mknod /never c 1 3 2>/said\n"
			   "touch /end\n"
			   "exec sleep 1000\n";

/* Makes one file of the container's, and waits for another. */
static int after(const char *rootfs, const char *told, const char *awaited)
{
	char path[PATH_MAX];
	if (told) {
		snprintf(path, sizeof(path), "%s/%s", rootfs, told);
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	}
	snprintf(path, sizeof(path), "%s/%s", rootfs, awaited);
	for (int i = 0; i < 2000 && access(path, F_OK) < 0; i++)
		usleep(10000);
	return access(path, F_OK) == 0;
}

static int inside(struct lxc_container *c, const char *script)
{
	int status = c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", script, NULL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	char path[PATH_MAX], rootfs[PATH_MAX], value[PATH_MAX + 16];
	snprintf(path, sizeof(path), "%s/policy", argv[2]);
	FILE *file = fopen(path, "w");
	CHECK(file && fputs(policy, file) >= 0 && fclose(file) == 0);
	struct lxc_container *c = lxc_container_new(NAME, argv[2]);
	CHECK(c->set_config_item(c, "lxc.net.0.type", "empty"));
	CHECK(c->createl(c, argv[1], NULL, NULL, LXC_CREATE_QUIET, NULL));
	CHECK(c->set_config_item(c, "lxc.seccomp.profile", path));
	snprintf(path, sizeof(path), "%s/proxy", argv[2]);
	snprintf(value, sizeof(value), "unix:%s", path);
	CHECK(c->set_config_item(c, "lxc.seccomp.notify.proxy", value));
	CHECK(c->set_config_item(c, "lxc.seccomp.notify.cookie", COOKIE));
	snprintf(rootfs, sizeof(rootfs), "%s/%s/rootfs", argv[2], NAME);
	snprintf(value, sizeof(value), "%s/first-init", rootfs);
	file = fopen(value, "w");
	CHECK(file && fputs(init, file) >= 0 && fclose(file) == 0 && chmod(value, 0755) == 0);
	CHECK(c->set_config_item(c, "lxc.init.cmd", "/first-init"));
	listen_on(path);
	pthread_t server;
	pthread_create(&server, NULL, serve, NULL);

	CHECK(c->start(c, 0, NULL));
	CHECK(c->is_running(c));
	if (failures > 0)
		return report("proxy");
	/* Init's own call, and calls of what is attached. */
	CHECK(after(rootfs, NULL, "first"));
	EQUAL(made, 1);
	EQUAL(seen_init, c->init_pid(c));
	CHECK(seen_monitor > 0 && seen_monitor != getpid());
	EQUAL(inside(c, "mknod /made c 1 3 && test -c /made -a -c /first"), 0);
	EQUAL(made, 2);
	EQUAL(inside(c, "mknod /passed c 10 200 && test -c /passed"), 0);
	EQUAL(passed, 1);
	EQUAL(inside(c, "mkfifo /not-asked"), 0);
	EQUAL(inside(c, "uptime | grep -q '100 days'"), 0);
	CHECK(filled > 0);
	EQUAL(seen_init, c->init_pid(c));

	int fd = c->seccomp_notify_fd_active(c);
	CHECK(fd >= 0);
	close(fd);

	/* A daemon that starts again is asked again. */
	hang_up();
	int before = connected;
	CHECK(after(rootfs, "go1", "again"));
	EQUAL(made, 3);
	CHECK(connected > before);

	/* Without one the call does not exist. */
	shutdown(listener, SHUT_RDWR);
	pthread_join(server, NULL);
	close(listener);
	unlink(path);
	hang_up();
	CHECK(after(rootfs, "go2", "end"));
	EQUAL(made, 3);
	snprintf(value, sizeof(value), "%s/never", rootfs);
	CHECK(access(value, F_OK) < 0);
	snprintf(value, sizeof(value), "%s/said", rootfs);
	file = fopen(value, "r");
	CHECK(file && fgets(value, sizeof(value), file) && strstr(value, "not implemented"));
	if (file)
		fclose(file);
	CHECK(c->is_running(c));

	CHECK(c->stop(c));
	CHECK(c->destroy(c));
	EQUAL(lxc_container_put(c), 1);
	return report("proxy");
}
