/* The symbols that no header declares, used as their importers do. */
#include "check.h"

#include <sys/personality.h>

struct lxc_list {
	void *elem;
	struct lxc_list *next, *prev;
};

extern int lxc_config_define_add(struct lxc_list *defines, char *arg);
extern bool lxc_config_define_load(struct lxc_list *defines, struct lxc_container *c);
extern void lxc_config_define_free(struct lxc_list *defines);
extern int lxc_config_parse_arch(const char *arch, signed long *persona);
extern bool lxc_is_valid_storage_type(const char *type);
extern int lxc_wait_for_pid_status(pid_t pid);
extern __thread struct lxc_conf *current_config;

int main(void)
{
	struct lxc_list defines = { NULL, &defines, &defines };
	char one[] = "lxc.uts.name=defined", two[] = "lxc.tty.max=3", bad[] = "no equals", none[] = "=x", empty[] = "";
	struct lxc_container *c = lxc_container_new("rlxc-lib-tools", "/nosuch");
	EQUAL(lxc_config_define_add(&defines, one), 0);
	EQUAL(lxc_config_define_add(&defines, two), 0);
	CHECK(lxc_config_define_add(&defines, bad) < 0);
	CHECK(lxc_config_define_add(&defines, none) < 0);
	CHECK(lxc_config_define_add(&defines, empty) < 0);
	CHECK(lxc_config_define_load(&defines, c));
	CHECK(defines.next == &defines && defines.prev == &defines);
	char value[32] = "";
	EQUAL(c->get_config_item(c, "lxc.uts.name", value, sizeof(value)), 7);
	SAME(value, "defined");
	char wrong[] = "lxc.nosuch=3";
	EQUAL(lxc_config_define_add(&defines, wrong), 0);
	EQUAL(lxc_config_define_add(&defines, two), 0);
	CHECK(!lxc_config_define_load(&defines, c));
	CHECK(defines.next == &defines);
	EQUAL(lxc_config_define_add(&defines, one), 0);
	lxc_config_define_free(&defines);
	CHECK(defines.next == &defines);
	lxc_container_put(c);

	signed long persona = -1;
	EQUAL(lxc_config_parse_arch("i686", &persona), 0);
	EQUAL(persona, PER_LINUX32);
	EQUAL(lxc_config_parse_arch("x86_64", &persona), 0);
	EQUAL(persona, PER_LINUX);
	EQUAL(lxc_config_parse_arch("x32", &persona), 0);
	EQUAL(persona, PER_LINUX32);
	persona = 77;
	EQUAL(lxc_config_parse_arch("pdp11", &persona), -EINVAL);
	EQUAL(persona, 77);

	const char *types[] = { "dir", "btrfs", "loop", "lvm", "nbd", "overlay", "overlayfs", "rbd", "zfs" };
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		CHECK(lxc_is_valid_storage_type(types[i]));
	CHECK(!lxc_is_valid_storage_type("best") && !lxc_is_valid_storage_type(""));

	CHECK(current_config == NULL);
	current_config = (void *)1;
	CHECK(current_config == (void *)1);

	pid_t pid = fork();
	if (pid == 0)
		_exit(6);
	int status = lxc_wait_for_pid_status(pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 6);
	EQUAL(lxc_wait_for_pid_status(pid), -1);
	return report("tools");
}
