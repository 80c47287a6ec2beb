/* Says what it runs from, and its argument. */
#include "check.h"

int main(int argc, char **argv)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	int seals = fcntl(fd, F_GET_SEALS);
	int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	(void)lxc_get_version();
	printf("%s %s\n", seals >= 0 && (seals & all) == all ? "sealed" : "file", argv[argc - 1]);
	return 0;
}
