/* The interface as the Haskell binding System.LXC uses it: the library opened at run time, members called
 * through their places in the structure, in the order of LXC 1.x; no header of ours.
 * Arguments: template, lxcpath. */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static int checks, failures;
#define CHECK(what)                                                     \
	do {                                                            \
		checks++;                                               \
		if (!(what)) {                                          \
			failures++;                                     \
			fprintf(stderr, "seed.c:%d: %s\n", __LINE__, #what); \
		}                                                       \
	} while (0)

static void *library;
static char *c;

/* The n-th function member; the data members before them take 80 bytes. */
#define SLOT(object, n, type) (*(__typeof__(type) *)((object) + 80 + 8 * (n)))
#define FUNCTION(name, type) ((type)dlsym(library, name))

enum {
	IS_DEFINED, STATE, IS_RUNNING, FREEZE, UNFREEZE, INIT_PID, LOAD_CONFIG, START, STARTL, STOP, WANT_DAEMONIZE,
	WANT_CLOSE_ALL_FDS, CONFIG_FILE_NAME, WAIT, SET_CONFIG_ITEM, DESTROY, SAVE_CONFIG, CREATE, CREATEL, RENAME,
	REBOOT, SHUTDOWN, CLEAR_CONFIG, CLEAR_CONFIG_ITEM, GET_CONFIG_ITEM, GET_RUNNING_CONFIG_ITEM, GET_KEYS,
	GET_INTERFACES, GET_IPS, GET_CGROUP_ITEM, SET_CGROUP_ITEM, GET_CONFIG_PATH, SET_CONFIG_PATH, CLONE,
	CONSOLE_GETFD, CONSOLE, ATTACH, ATTACH_RUN_WAIT, ATTACH_RUN_WAITL, SNAPSHOT, SNAPSHOT_LIST, SNAPSHOT_RESTORE,
	SNAPSHOT_DESTROY, MAY_CONTROL, ADD_DEVICE_NODE, REMOVE_DEVICE_NODE,
};

typedef bool (*plain)(char *);
typedef bool (*with_text)(char *, const char *);
typedef bool (*with_texts)(char *, const char *, const char *);
typedef bool (*with_bool)(char *, bool);
typedef bool (*with_int)(char *, int);
typedef int (*item)(char *, const char *, char *, int);
typedef char *(*text)(char *);
typedef char **(*texts)(char *);

/* The binding asks for the length, then for the value. */
static char *get(int slot, const char *key)
{
	int length = SLOT(c, slot, item)(c, key, NULL, 0);
	if (length < 0)
		return NULL;
	char *value = calloc(1, length + 1);
	SLOT(c, slot, item)(c, key, value, length + 1);
	return value;
}

static void free_all(char **list)
{
	for (int i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

static int in_container(void *payload)
{
	return *(int *)payload;
}

int main(int argc, char **argv)
{
	const char *template = argv[argc - 2], *lxcpath = argv[argc - 1];
	library = dlopen("liblxc.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	CHECK(strlen(FUNCTION("lxc_get_version", const char *(*)(void))()) > 0);
	CHECK(FUNCTION("lxc_get_global_config_item", const char *(*)(const char *))("lxc.lxcpath"));
	CHECK(FUNCTION("lxc_get_wait_states", int (*)(const char **))(NULL) == 8);
	c = FUNCTION("lxc_container_new", char *(*)(const char *, const char *))("rlxc-lib-seed", lxcpath);
	CHECK(c);
	CHECK(FUNCTION("lxc_container_get", int (*)(char *))(c) == 1);
	CHECK(FUNCTION("lxc_container_put", int (*)(char *))(c) == 0);
	CHECK(strcmp(*(char **)c, "rlxc-lib-seed") == 0);

	CHECK(!SLOT(c, IS_DEFINED, plain)(c));
	CHECK(strcmp(SLOT(c, STATE, const char *(*)(char *))(c), "STOPPED") == 0);
	CHECK(strcmp(SLOT(c, GET_CONFIG_PATH, const char *(*)(char *))(c), lxcpath) == 0);
	CHECK(SLOT(c, SET_CONFIG_PATH, with_text)(c, lxcpath));
	CHECK(SLOT(c, SET_CONFIG_ITEM, with_texts)(c, "lxc.net.0.type", "empty"));
	char *arguments[] = { NULL };
	CHECK(SLOT(c, CREATE, bool (*)(char *, const char *, const char *, void *, int, char *const *))(c, template, "dir", NULL, 1, arguments));
	CHECK(SLOT(c, IS_DEFINED, plain)(c));
	char *name = SLOT(c, CONFIG_FILE_NAME, text)(c);
	CHECK(name && access(name, R_OK) == 0);
	free(name);
	char *value = get(GET_CONFIG_ITEM, "lxc.uts.name");
	CHECK(value && strcmp(value, "rlxc-lib-seed") == 0);
	free(value);
	value = get(GET_KEYS, NULL);
	CHECK(value && strstr(value, "lxc.uts.name\n"));
	free(value);
	value = get(GET_KEYS, "lxc.net.0");
	CHECK(value && strncmp(value, "type\n", 5) == 0);
	free(value);
	CHECK(SLOT(c, SET_CONFIG_ITEM, with_texts)(c, "lxc.tty.max", "2"));
	CHECK(SLOT(c, SET_CONFIG_ITEM, with_texts)(c, "lxc.hook.pre-start", "/bin/true"));
	CHECK(SLOT(c, CLEAR_CONFIG_ITEM, with_text)(c, "lxc.hook.pre-start"));
	CHECK(SLOT(c, SAVE_CONFIG, with_text)(c, NULL));
	SLOT(c, CLEAR_CONFIG, void (*)(char *))(c);
	CHECK(SLOT(c, LOAD_CONFIG, with_text)(c, NULL));

	CHECK(SLOT(c, WANT_DAEMONIZE, with_bool)(c, true));
	CHECK(SLOT(c, WANT_CLOSE_ALL_FDS, with_bool)(c, true));
	CHECK(SLOT(c, START, bool (*)(char *, int, char *const *))(c, 0, NULL));
	CHECK(SLOT(c, WAIT, bool (*)(char *, const char *, int))(c, "RUNNING", 10));
	CHECK(SLOT(c, IS_RUNNING, plain)(c));
	CHECK(SLOT(c, INIT_PID, pid_t (*)(char *))(c) > 1);
	CHECK(SLOT(c, MAY_CONTROL, plain)(c));
	CHECK(SLOT(c, FREEZE, plain)(c));
	CHECK(SLOT(c, UNFREEZE, plain)(c));
	value = SLOT(c, GET_RUNNING_CONFIG_ITEM, char *(*)(char *, const char *))(c, "lxc.uts.name");
	CHECK(value && strcmp(value, "rlxc-lib-seed") == 0);
	free(value);
	char **list = SLOT(c, GET_INTERFACES, texts)(c);
	CHECK(list && list[0]);
	free_all(list);
	/* Until init has raised it. */
	for (int i = 0; i < 50; i++) {
		list = SLOT(c, GET_IPS, char **(*)(char *, const char *, const char *, int))(c, "lo", "inet", 0);
		if (list && list[0])
			break;
		usleep(100000);
	}
	CHECK(list && list[0] && strcmp(list[0], "127.0.0.1") == 0);
	free_all(list);
	value = get(GET_CGROUP_ITEM, "cgroup.procs");
	CHECK(value && atoi(value) > 0);
	free(value);
	(void)SLOT(c, SET_CGROUP_ITEM, with_texts)(c, "pids.max", "max");
	int tty = -1, ptx = -1;
	int fd = SLOT(c, CONSOLE_GETFD, int (*)(char *, int *, int *))(c, &tty, &ptx);
	CHECK(fd >= 0 && tty >= 1);
	close(fd);
	close(ptx);
	int in[2], out = open("/dev/null", O_RDWR);
	CHECK(pipe(in) == 0 && write(in[1], "\001q", 2) == 2);
	CHECK(SLOT(c, CONSOLE, int (*)(char *, int, int, int, int, int))(c, -1, in[0], out, out, 1) == 0);
	CHECK(SLOT(c, ADD_DEVICE_NODE, with_texts)(c, "/dev/full", "/dev/rlxc-full"));
	CHECK(SLOT(c, REMOVE_DEVICE_NODE, with_texts)(c, "/dev/full", "/dev/rlxc-full"));

	int code = 11, status = 0;
	pid_t pid = 0;
	CHECK(SLOT(c, ATTACH, int (*)(char *, int (*)(void *), void *, void *, pid_t *))(c, in_container, &code, NULL, &pid) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 11);
	struct {
		char *program;
		char **argv;
	} command = { "/bin/sh", (char *[]){ "sh", "-c", "exit 12", NULL } };
	CHECK(SLOT(c, ATTACH, int (*)(char *, int (*)(void *), void *, void *, pid_t *))(c, FUNCTION("lxc_attach_run_command", int (*)(void *)), &command, NULL, &pid) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 12);
	const char *words[] = { "sh", "-c", "exit 13", NULL };
	status = SLOT(c, ATTACH_RUN_WAIT, int (*)(char *, void *, const char *, const char *const *))(c, NULL, "/bin/sh", words);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 13);

	CHECK(SLOT(c, REBOOT, plain)(c));
	(void)SLOT(c, SHUTDOWN, with_int)(c, 5);
	CHECK(SLOT(c, STOP, plain)(c));
	CHECK(!SLOT(c, IS_RUNNING, plain)(c));

	CHECK(SLOT(c, SNAPSHOT, int (*)(char *, const char *))(c, NULL) == 0);
	struct snapshot {
		char *name, *comment, *timestamp, *lxcpath;
		void (*free)(struct snapshot *);
	} *snapshots = NULL;
	int count = SLOT(c, SNAPSHOT_LIST, int (*)(char *, struct snapshot **))(c, &snapshots);
	CHECK(count == 1 && strcmp(snapshots[0].name, "snap0") == 0);
	if (count == 1)
		snapshots[0].free(&snapshots[0]);
	free(snapshots);
	CHECK(SLOT(c, SNAPSHOT_RESTORE, with_texts)(c, "snap0", "rlxc-lib-seed2"));
	char *other = FUNCTION("lxc_container_new", char *(*)(const char *, const char *))("rlxc-lib-seed2", lxcpath);
	CHECK(SLOT(other, DESTROY, plain)(other));
	FUNCTION("lxc_container_put", int (*)(char *))(other);
	CHECK(SLOT(c, SNAPSHOT_DESTROY, with_text)(c, "snap0"));
	other = SLOT(c, CLONE, char *(*)(char *, const char *, const char *, int, const char *, const char *, uint64_t, char **))(c, "rlxc-lib-seed3", lxcpath, 0, NULL, NULL, 0, NULL);
	CHECK(other && SLOT(other, IS_DEFINED, plain)(other));
	if (other) {
		CHECK(SLOT(other, RENAME, with_text)(other, "rlxc-lib-seed4"));
		FUNCTION("lxc_container_put", int (*)(char *))(other);
	}
	other = FUNCTION("lxc_container_new", char *(*)(const char *, const char *))("rlxc-lib-seed4", lxcpath);
	CHECK(SLOT(other, DESTROY, plain)(other));
	FUNCTION("lxc_container_put", int (*)(char *))(other);

	int (*lists[])(const char *, char ***, char ***) = {
		FUNCTION("list_defined_containers", int (*)(const char *, char ***, char ***)),
		FUNCTION("list_active_containers", int (*)(const char *, char ***, char ***)),
		FUNCTION("list_all_containers", int (*)(const char *, char ***, char ***)),
	};
	int wanted[] = { 1, 0, 1 };
	for (int i = 0; i < 3; i++) {
		char **names = NULL;
		int found = lists[i](lxcpath, &names, NULL);
		CHECK(found == wanted[i]);
		for (int n = 0; n < found; n++)
			free(names[n]);
		free(names);
	}
	CHECK(SLOT(c, DESTROY, plain)(c));
	CHECK(FUNCTION("lxc_container_put", int (*)(char *))(c) == 1);
	FUNCTION("lxc_log_close", void (*)(void))();
	printf("seed: %d checks, %d failures\n", checks, failures);
	return failures != 0;
}
