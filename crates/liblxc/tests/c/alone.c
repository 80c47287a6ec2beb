/* Starts a container, runs a command in it, stops and destroys it. Arguments: template, lxcpath; with a
 * further one before them the container is only made. */
#include "check.h"

int main(int argc, char **argv)
{
	struct lxc_container *c = lxc_container_new("rlxc-lib-alone", argv[argc - 1]);
	if (argc > 3) {
		CHECK(c->set_config_item(c, "lxc.net.0.type", "empty"));
		CHECK(c->createl(c, argv[argc - 2], NULL, NULL, LXC_CREATE_QUIET, NULL));
	} else {
		CHECK(c->start(c, 0, NULL));
		if (c->error_string)
			fprintf(stderr, "%s\n", c->error_string);
		int status = c->attach_run_waitl(c, NULL, "/bin/sh", "sh", "-c", "exit 5", NULL);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
		CHECK(c->stop(c));
		CHECK(c->destroy(c));
	}
	EQUAL(lxc_container_put(c), 1);
	return report("alone");
}
