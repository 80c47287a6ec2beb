/* A container's life, with ids of the host and with mapped ones, where nothing but the library is there.
 * Arguments: template, lxcpath. */
#include "check.h"

static void say(struct lxc_container *c)
{
	if (c && c->error_string)
		fprintf(stderr, "%s\n", c->error_string);
}

static void life(const char *name, const char *template, const char *lxcpath, bool mapped)
{
	struct lxc_container *c = lxc_container_new(name, lxcpath), *copy;
	CHECK(c->set_config_item(c, "lxc.net.0.type", "empty"));
	if (mapped) {
		CHECK(c->set_config_item(c, "lxc.idmap", "u 0 500000 65536"));
		CHECK(c->set_config_item(c, "lxc.idmap", "g 0 500000 65536"));
	}
	CHECK(c->createl(c, template, NULL, NULL, LXC_CREATE_QUIET, NULL));
	say(c);
	CHECK(c->start(c, 0, NULL));
	say(c);
	int status = c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "exit 5", NULL);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	CHECK(c->stop(c));
	char other[64];
	snprintf(other, sizeof(other), "%s-copy", name);
	copy = c->clone(c, other, NULL, 0, NULL, NULL, 0, NULL);
	say(c);
	CHECK(copy && copy->is_defined(copy));
	if (copy) {
		CHECK(copy->destroy(copy));
		say(copy);
		EQUAL(lxc_container_put(copy), 1);
	}
	copy = c->clone(c, other, NULL, LXC_CLONE_SNAPSHOT, "overlay", NULL, 0, NULL);
	say(c);
	CHECK(copy && copy->is_defined(copy));
	if (copy) {
		CHECK(!c->destroy(c));
		CHECK(copy->destroy(copy));
		EQUAL(lxc_container_put(copy), 1);
	}
	CHECK(c->destroy(c));
	say(c);
	EQUAL(lxc_container_put(c), 1);
}

/* Removed by its monitor when it ends; an overlay copy of another one, too. */
static void ephemeral(const char *name, const char *template, const char *lxcpath, bool mapped)
{
	struct lxc_container *c = lxc_container_new(name, lxcpath), *copy;
	CHECK(c->set_config_item(c, "lxc.net.0.type", "empty"));
	if (mapped) {
		CHECK(c->set_config_item(c, "lxc.idmap", "u 0 500000 65536"));
		CHECK(c->set_config_item(c, "lxc.idmap", "g 0 500000 65536"));
	}
	CHECK(c->createl(c, template, NULL, NULL, LXC_CREATE_QUIET, NULL));
	char other[64], path[PATH_MAX];
	snprintf(other, sizeof(other), "%s-copy", name);
	copy = c->clone(c, other, NULL, LXC_CLONE_SNAPSHOT, "overlay", NULL, 0, NULL);
	say(c);
	CHECK(copy && copy->is_defined(copy));
	for (int i = 0; i < 2; i++) {
		struct lxc_container *gone = i == 0 ? copy : c;
		if (!gone)
			continue;
		CHECK(gone->set_config_item(gone, "lxc.ephemeral", "1"));
		CHECK(gone->save_config(gone, NULL));
		CHECK(gone->start(gone, 0, NULL));
		say(gone);
		int status = gone->attach_run_waitl(gone, NULL, "/bin/sh", "sh", "-c", "mkdir /made; exit 5", NULL);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
		CHECK(gone->is_defined(gone));
		CHECK(gone->stop(gone));
		snprintf(path, sizeof(path), "%s/%s", lxcpath, gone->name);
		for (int wait = 0; wait < 500 && access(path, F_OK) == 0; wait++)
			usleep(10000);
		CHECK(access(path, F_OK) < 0);
		CHECK(!gone->is_defined(gone));
		EQUAL(lxc_container_put(gone), 1);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	life("rlxc-lib-alone", argv[1], argv[2], false);
	/* As LXD does for what is attached. */
	setenv("LXC_MEMFD_REXEC", "1", 1);
	life("rlxc-lib-mapped", argv[1], argv[2], true);
	ephemeral("rlxc-lib-short", argv[1], argv[2], false);
	ephemeral("rlxc-lib-short-mapped", argv[1], argv[2], true);
	return report("alone");
}
