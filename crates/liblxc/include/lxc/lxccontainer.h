/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The C interface to containers. */

#ifndef __LXC_CONTAINER_H
#define __LXC_CONTAINER_H

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <lxc/attach_options.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of clone. */
#define LXC_CLONE_KEEPNAME        (1 << 0) /* the host name in it stays */
#define LXC_CLONE_KEEPMACADDR     (1 << 1) /* hardware addresses stay */
#define LXC_CLONE_SNAPSHOT        (1 << 2) /* share what is unchanged */
#define LXC_CLONE_KEEPBDEVTYPE    (1 << 3) /* the kind of storage stays */
#define LXC_CLONE_MAYBE_SNAPSHOT  (1 << 4) /* share if the storage can, else copy */
#define LXC_CLONE_MAXFLAGS        (1 << 5) /* above all flags but the next */
#define LXC_CLONE_ALLOW_RUNNING   (1 << 6) /* although the original runs */

/* Flags of create. */
#define LXC_CREATE_QUIET          (1 << 0) /* the template says nothing */
#define LXC_CREATE_MAXFLAGS       (1 << 1) /* above all flags */

/* lxc_mount.version */
#define LXC_MOUNT_API_V1          1

struct bdev_specs;
struct lxc_snapshot;
struct lxc_lock;
struct migrate_opts;
struct lxc_console_log;
struct lxc_conf;

struct lxc_mount {
	int version; /* LXC_MOUNT_API_V1 */
};

/*
 * A container, which need not exist. Only daemonize and the functions are for users; what stands
 * before them is there for programs that know LXC.
 */
struct lxc_container {
	char *name;
	char *configfile;
	char *pidfile;
	struct lxc_lock *slock;
	struct lxc_lock *privlock;
	int numthreads;             /* references */
	struct lxc_conf *lxc_conf;  /* not NULL: a configuration is loaded or an item set */
	char *error_string;         /* what the last failed call says; not to be freed */
	int error_num;              /* its errno; after a start in the foreground init's wait status */
	bool daemonize;             /* see want_daemonize */
	char *config_path;

	/* Whether its configuration file exists. */
	bool (*is_defined)(struct lxc_container *c);

	/* Its state's name, never to be freed. */
	const char *(*state)(struct lxc_container *c);

	/* Whether its state is another than STOPPED. */
	bool (*is_running)(struct lxc_container *c);

	/* Freezes all its processes. */
	bool (*freeze)(struct lxc_container *c);

	/* Thaws them. */
	bool (*unfreeze)(struct lxc_container *c);

	/* Pid of its init as the caller sees it; -1 when it does not run. */
	pid_t (*init_pid)(struct lxc_container *c);

	/* Adds a file (NULL: its own) to the configuration in memory. */
	bool (*load_config)(struct lxc_container *c, const char *alt_file);

	/* Starts it; with useinit the program runs under a small init. */
	bool (*start)(struct lxc_container *c, int useinit, char * const argv[]);

	/* As start, with the program and its arguments listed up to NULL. */
	bool (*startl)(struct lxc_container *c, int useinit, ...);

	/* Ends it at once. */
	bool (*stop)(struct lxc_container *c);

	/* Whether start returns when it runs (true), or when it has ended. */
	bool (*want_daemonize)(struct lxc_container *c, bool state);

	/* Whether a start in the foreground closes inherited descriptors. */
	bool (*want_close_all_fds)(struct lxc_container *c, bool state);

	/* Its configuration file; the caller frees the result. */
	char *(*config_file_name)(struct lxc_container *c);

	/* Waits for a state or several, joined by '|'; -1: for ever. */
	bool (*wait)(struct lxc_container *c, const char *state, int timeout);

	/* Sets a key, or adds to a list; an empty value clears it. */
	bool (*set_config_item)(struct lxc_container *c, const char *key, const char *value);

	/* Removes the container, unless it runs, has snapshots or is needed by others. */
	bool (*destroy)(struct lxc_container *c);

	/* Writes the configuration in memory to a file (NULL: its own). */
	bool (*save_config)(struct lxc_container *c, const char *alt_file);

	/* Makes it by a template (NULL: configuration only); flags: LXC_CREATE_*. */
	bool (*create)(struct lxc_container *c, const char *t, const char *bdevtype, struct bdev_specs *specs, int flags, char *const argv[]);

	/* As create, with the template's arguments listed up to NULL. */
	bool (*createl)(struct lxc_container *c, const char *t, const char *bdevtype, struct bdev_specs *specs, int flags, ...);

	/* Gives a stopped container another name; the object stands for the old one. */
	bool (*rename)(struct lxc_container *c, const char *newname);

	/* Sends the reboot signal to init. */
	bool (*reboot)(struct lxc_container *c);

	/* Asks init to end and waits; -1: for ever, 0: not at all. */
	bool (*shutdown)(struct lxc_container *c, int timeout);

	/* Forgets the configuration in memory. */
	void (*clear_config)(struct lxc_container *c);

	/* Resets a key. */
	bool (*clear_config_item)(struct lxc_container *c, const char *key);

	/* A key's value; returns its length, also with a NULL or short buffer; negative: no such key. */
	int (*get_config_item)(struct lxc_container *c, const char *key, char *retv, int inlen);

	/* A key's value in the running container; the caller frees it. */
	char *(*get_running_config_item)(struct lxc_container *c, const char *key);

	/* The names of all keys (NULL), or of those below one, a line each. */
	int (*get_keys)(struct lxc_container *c, const char *key, char *retv, int inlen);

	/* Its network interfaces, up to NULL; the caller frees each and all. */
	char **(*get_interfaces)(struct lxc_container *c);

	/* Its addresses, likewise; family "inet", "inet6" or NULL. */
	char **(*get_ips)(struct lxc_container *c, const char *interface, const char *family, int scope);

	/* A file of its cgroup, such as memory.current; returns the length. */
	int (*get_cgroup_item)(struct lxc_container *c, const char *subsys, char *retv, int inlen);

	/* Writes a file of its cgroup. */
	bool (*set_cgroup_item)(struct lxc_container *c, const char *subsys, const char *value);

	/* The directory below which its own lies; not to be freed. */
	const char *(*get_config_path)(struct lxc_container *c);

	/* Moves the object to another such directory. */
	bool (*set_config_path)(struct lxc_container *c, const char *path);

	/* Copies it; flags: LXC_CLONE_*; the caller puts the result. */
	struct lxc_container *(*clone)(struct lxc_container *c, const char *newname, const char *lxcpath, int flags, const char *bdevtype, const char *bdevdata, uint64_t newsize, char **hookargs);

	/* Takes a terminal (0: console, -1: the next free); it is free again when the result is closed. */
	int (*console_getfd)(struct lxc_container *c, int *ttynum, int *ptxfd);

	/* Shows a terminal until the user types Ctrl and the escape's letter (1: a), then q. */
	int (*console)(struct lxc_container *c, int ttynum, int stdinfd, int stdoutfd, int stderrfd, int escape);

	/* Runs a function in it; the caller waits for the process. */
	int (*attach)(struct lxc_container *c, lxc_attach_exec_t exec_function, void *exec_payload, lxc_attach_options_t *options, pid_t *attached_process);

	/* Executes a program in it; returns the wait status. */
	int (*attach_run_wait)(struct lxc_container *c, lxc_attach_options_t *options, const char *program, const char * const argv[]);

	/* As attach_run_wait, with the arguments listed up to NULL. */
	int (*attach_run_waitl)(struct lxc_container *c, lxc_attach_options_t *options, const char *program, const char *arg, ...);

	/* Takes a snapshot; returns its number. */
	int (*snapshot)(struct lxc_container *c, const char *commentfile);

	/* Its snapshots; returns how many; the caller calls free of each and frees the array. */
	int (*snapshot_list)(struct lxc_container *c, struct lxc_snapshot **snapshots);

	/* Makes a container of a snapshot; newname NULL: in place of this one. */
	bool (*snapshot_restore)(struct lxc_container *c, const char *snapname, const char *newname);

	/* Removes a snapshot. */
	bool (*snapshot_destroy)(struct lxc_container *c, const char *snapname);

	/* Whether the caller may give it orders. */
	bool (*may_control)(struct lxc_container *c);

	/* Makes a device node in it and lets it be used. */
	bool (*add_device_node)(struct lxc_container *c, const char *src_path, const char *dest_path);

	/* The reverse. */
	bool (*remove_device_node)(struct lxc_container *c, const char *src_path, const char *dest_path);

	/* Moves a network interface of the host into it. */
	bool (*attach_interface)(struct lxc_container *c, const char *dev, const char *dst_dev);

	/* Moves one of its interfaces to the host. */
	bool (*detach_interface)(struct lxc_container *c, const char *dev, const char *dst_dev);

	/* Writes a checkpoint by criu. */
	bool (*checkpoint)(struct lxc_container *c, char *directory, bool stop, bool verbose);

	/* Starts it from a checkpoint. */
	bool (*restore)(struct lxc_container *c, char *directory, bool verbose);

	/* As destroy, with its snapshots. */
	bool (*destroy_with_snapshots)(struct lxc_container *c);

	/* Removes all its snapshots. */
	bool (*snapshot_destroy_all)(struct lxc_container *c);

	/* Checkpoint, restore and more: MIGRATE_*; size is that of the caller's structure. */
	int (*migrate)(struct lxc_container *c, unsigned int cmd, struct migrate_opts *opts, unsigned int size);

	/* Reads or clears what the console has said. */
	int (*console_log)(struct lxc_container *c, struct lxc_console_log *log);

	/* As reboot, and waits until it runs again. */
	bool (*reboot2)(struct lxc_container *c, int timeout);

	/* Mounts something in the running container. */
	int (*mount)(struct lxc_container *c, const char *source, const char *target, const char *filesystemtype, unsigned long mountflags, const void *data, struct lxc_mount *mnt);

	/* Unmounts something in it. */
	int (*umount)(struct lxc_container *c, const char *target, unsigned long mountflags, struct lxc_mount *mnt);

	/* The seccomp listener of a container that this process itself monitors. */
	int (*seccomp_notify_fd)(struct lxc_container *c);

	/* The seccomp listener of the running container. */
	int (*seccomp_notify_fd_active)(struct lxc_container *c);

	/* A pidfd of its init; a negative errno when there is none. */
	int (*init_pidfd)(struct lxc_container *c);

	/* Its devpts mount; a negative errno when there is none. */
	int (*devpts_fd)(struct lxc_container *c);

	int rcv_timeout;

	/* Limits how long the monitor may take to tell the state: seconds, or -1 for no limit. */
	bool (*set_timeout)(struct lxc_container *c, int timeout);
};

struct lxc_snapshot {
	char *name;
	char *comment_pathname;
	char *timestamp;
	char *lxcpath;

	void (*free)(struct lxc_snapshot *s); /* frees the strings */
};

/* Storage to be made by create; what a kind does not need is not looked at. */
struct bdev_specs {
	char *fstype;
	uint64_t fssize; /* bytes */
	struct {
		char *zfsroot;
	} zfs;
	struct {
		char *vg;
		char *lv;
		char *thinpool;
	} lvm;
	char *dir;
	struct {
		char *rbdname;
		char *rbdpool;
		char *rbduser;
	} rbd;
};

/* Commands of migrate. */
enum {
	MIGRATE_PRE_DUMP,
	MIGRATE_DUMP,
	MIGRATE_RESTORE,
	MIGRATE_FEATURE_CHECK,
};

/* Bits of migrate_opts.features_to_check. */
#define FEATURE_MEM_TRACK    (1ULL << 0)
#define FEATURE_LAZY_PAGES   (1ULL << 1)

struct migrate_opts {
	char *directory;
	bool verbose;
	bool stop;                  /* do not leave it running */
	char *predump_dir;          /* earlier images, relative to directory */

	char *pageserver_address;
	char *pageserver_port;

	bool preserves_inodes;      /* inode numbers are the same where it is restored */
	char *action_script;
	bool disable_skip_in_flight;
	uint64_t ghost_limit;       /* bytes; 0: criu's own */
	uint64_t features_to_check; /* in: wanted; out: present */
};

struct lxc_console_log {
	bool clear;         /* forget everything */
	bool read;          /* hand over what is there */
	uint64_t *read_max; /* in: at most so much, 0: all; out: so much */
	char *data;         /* out: the caller frees it */
};

/* A new object for a container below configpath (NULL: the default); put it when done. */
struct lxc_container *lxc_container_new(const char *name, const char *configpath);

/* One more reference: 1, or 0 on failure. */
int lxc_container_get(struct lxc_container *c);

/* One reference less: 0, 1 when that was the last and the object is gone, -1 on failure. */
int lxc_container_put(struct lxc_container *c);

/* The number of states; their names in the array, if it is not NULL. */
int lxc_get_wait_states(const char **states);

/* A key of lxc.conf; not to be freed. */
const char *lxc_get_global_config_item(const char *key);

/* The version, not to be freed. */
const char *lxc_get_version(void);

/*
 * Containers below lxcpath (NULL: the default) that are defined, that run, or either: their number, or
 * -1; on request their names, and objects for them, in arrays that the caller frees, element by element.
 */
int list_defined_containers(const char *lxcpath, char ***names, struct lxc_container ***cret);
int list_active_containers(const char *lxcpath, char ***names, struct lxc_container ***cret);
int list_all_containers(const char *lxcpath, char ***names, struct lxc_container ***cret);

struct lxc_log {
	const char *name;    /* container */
	const char *lxcpath;
	const char *file;    /* NULL: by name and lxcpath */
	const char *level;
	const char *prefix;  /* what lines begin with */
	bool quiet;          /* errors do not go to standard error */
};

/* Opens the log: 0, or negative. */
int lxc_log_init(struct lxc_log *log);

/* Closes it. */
void lxc_log_close(void);

/* Whether a configuration key of exactly this name is known. */
bool lxc_config_item_is_supported(const char *key);

/* Whether an extension of the interface is here. */
bool lxc_has_api_extension(const char *extension);

#ifdef __cplusplus
}
#endif

#endif /* __LXC_CONTAINER_H */
