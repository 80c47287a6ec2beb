/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* How to run something inside a running container. */

#ifndef __LXC_ATTACH_OPTIONS_H
#define __LXC_ATTACH_OPTIONS_H

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What happens to the caller's environment. */
typedef enum lxc_attach_env_policy_t {
	LXC_ATTACH_KEEP_ENV,  /* it is handed on */
	LXC_ATTACH_CLEAR_ENV, /* only extra_keep_env, extra_env_vars and a PATH */
} lxc_attach_env_policy_t;

#define LXC_ATTACH_KEEP_ENV LXC_ATTACH_KEEP_ENV
#define LXC_ATTACH_CLEAR_ENV LXC_ATTACH_CLEAR_ENV

enum {
	/* On unless said otherwise. */
	LXC_ATTACH_MOVE_TO_CGROUP    = 0x00000001, /* join the container's cgroups */
	LXC_ATTACH_DROP_CAPABILITIES = 0x00000002, /* no more capabilities than init may have */
	LXC_ATTACH_SET_PERSONALITY   = 0x00000004, /* set the execution domain */
	LXC_ATTACH_LSM_EXEC          = 0x00000008, /* take the LSM label at exec */

	/* Off unless asked for. */
	LXC_ATTACH_REMOUNT_PROC_SYS  = 0x00010000, /* fresh /proc and /sys without the mount namespace */
	LXC_ATTACH_LSM_NOW           = 0x00020000, /* take the LSM label at once */
	LXC_ATTACH_NO_NEW_PRIVS      = 0x00040000, /* set no_new_privs */
	LXC_ATTACH_TERMINAL          = 0x00080000, /* a terminal of the container's own */
	LXC_ATTACH_LSM_LABEL         = 0x00100000, /* the label of lsm_label, not init's */
	LXC_ATTACH_SETGROUPS         = 0x00200000, /* the supplementary groups of groups */

	/* What is on unless said otherwise, and whatever will be. */
	LXC_ATTACH_DEFAULT           = 0x0000FFFF,
};

#define LXC_ATTACH_MOVE_TO_CGROUP LXC_ATTACH_MOVE_TO_CGROUP
#define LXC_ATTACH_DROP_CAPABILITIES LXC_ATTACH_DROP_CAPABILITIES
#define LXC_ATTACH_SET_PERSONALITY LXC_ATTACH_SET_PERSONALITY
#define LXC_ATTACH_LSM_EXEC LXC_ATTACH_LSM_EXEC
#define LXC_ATTACH_REMOUNT_PROC_SYS LXC_ATTACH_REMOUNT_PROC_SYS
#define LXC_ATTACH_LSM_NOW LXC_ATTACH_LSM_NOW
#define LXC_ATTACH_NO_NEW_PRIVS LXC_ATTACH_NO_NEW_PRIVS
#define LXC_ATTACH_TERMINAL LXC_ATTACH_TERMINAL
#define LXC_ATTACH_LSM_LABEL LXC_ATTACH_LSM_LABEL
#define LXC_ATTACH_SETGROUPS LXC_ATTACH_SETGROUPS
#define LXC_ATTACH_DEFAULT LXC_ATTACH_DEFAULT

/* Everything about the label. */
#define LXC_ATTACH_LSM (LXC_ATTACH_LSM_EXEC | LXC_ATTACH_LSM_NOW | LXC_ATTACH_LSM_LABEL)

/* Called in the attached process; its result is the exit status. */
typedef int (*lxc_attach_exec_t)(void *payload);

typedef struct lxc_groups_t {
	size_t size;
	gid_t *list;
} lxc_groups_t;

typedef struct lxc_attach_options_t {
	int attach_flags;                   /* any of LXC_ATTACH_* above */
	int namespaces;                     /* CLONE_NEW* to enter; -1: all of the container's */
	long personality;                   /* LXC_ATTACH_DETECT_PERSONALITY: the container's */
	char *initial_cwd;                  /* NULL: the caller's */
	uid_t uid;                          /* -1: init's */
	gid_t gid;                          /* -1: init's */
	lxc_attach_env_policy_t env_policy;
	char **extra_env_vars;              /* NAME=VALUE, up to NULL */
	char **extra_keep_env;              /* names, up to NULL, for LXC_ATTACH_CLEAR_ENV */
	int stdin_fd;
	int stdout_fd;
	int stderr_fd;
	int log_fd;                         /* for messages of the attached process; negative: none */
	char *lsm_label;                    /* for LXC_ATTACH_LSM_LABEL */
	lxc_groups_t groups;                /* for LXC_ATTACH_SETGROUPS */
} lxc_attach_options_t;

#define LXC_ATTACH_DETECT_PERSONALITY (~0L)

#define LXC_ATTACH_OPTIONS_DEFAULT                                   \
	{                                                            \
		/* .attach_flags = */   LXC_ATTACH_DEFAULT,          \
		/* .namespaces = */     -1,                          \
		/* .personality = */    LXC_ATTACH_DETECT_PERSONALITY, \
		/* .initial_cwd = */    NULL,                        \
		/* .uid = */            (uid_t)-1,                   \
		/* .gid = */            (gid_t)-1,                   \
		/* .env_policy = */     LXC_ATTACH_KEEP_ENV,         \
		/* .extra_env_vars = */ NULL,                        \
		/* .extra_keep_env = */ NULL,                        \
		/* .stdin_fd = */       0,                           \
		/* .stdout_fd = */      1,                           \
		/* .stderr_fd = */      2,                           \
		/* .log_fd = */         -9, /* -EBADF */             \
		/* .lsm_label = */      NULL,                        \
		/* .groups = */         { 0, NULL },                 \
	}

/* What lxc_attach_run_command() executes. */
typedef struct lxc_attach_command_t {
	char *program;
	char **argv; /* up to NULL */
} lxc_attach_command_t;

/* Functions for lxc_container.attach: execute an lxc_attach_command_t, or the user's shell. */
extern int lxc_attach_run_command(void *payload);
extern int lxc_attach_run_shell(void *payload);

#ifdef __cplusplus
}
#endif

#endif /* __LXC_ATTACH_OPTIONS_H */
