/* Carries out calls on whichever liblxc it finds: one call a line in, one answer a line out.
 * Words are in hexadecimal, "-" is the null pointer. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lxc/lxccontainer.h>

static char *word(const char *hex)
{
	size_t length = strlen(hex) / 2;
	char *text;

	if (!strcmp(hex, "-"))
		return NULL;
	text = calloc(1, length + 1);
	for (size_t at = 0; text && at < length; at++) {
		unsigned int byte = 0;

		sscanf(hex + 2 * at, "%2x", &byte);
		text[at] = (char)byte;
	}
	return text;
}

static void print(const char *text)
{
	for (; text && *text; text++)
		printf("%02x", (unsigned char)*text);
}

/* A buffer with a byte behind it that nobody may touch. */
static void buffered(int (*get)(struct lxc_container *, const char *, char *, int), struct lxc_container *c,
		     const char *key, int size)
{
	char *buffer = size > 0 ? malloc((size_t)size + 1) : NULL;
	int length;

	if (buffer) {
		memset(buffer, 'z', (size_t)size + 1);
		buffer[0] = 0;
	}
	length = get(c, key, buffer, size);
	printf("%d ", length);
	if (buffer) {
		if (buffer[size] != 'z' || !memchr(buffer, 0, (size_t)size))
			printf("overrun");
		else
			print(buffer);
	}
	free(buffer);
}

int main(void)
{
	static char line[1 << 20];
	struct lxc_container *c = NULL;

	while (fgets(line, sizeof(line), stdin)) {
		char *save = NULL;
		char *call = strtok_r(line, " \n", &save);
		char *first = strtok_r(NULL, " \n", &save), *second = strtok_r(NULL, " \n", &save);
		char *a = first ? word(first) : NULL, *b = second ? word(second) : NULL;

		if (!call)
			continue;
		if (!strcmp(call, "new")) {
			if (c)
				lxc_container_put(c);
			c = lxc_container_new(a, b);
			printf("%d", c != NULL);
		} else if (!c) {
			printf("none");
		} else if (!strcmp(call, "load")) {
			printf("%d", c->load_config(c, a));
		} else if (!strcmp(call, "set")) {
			printf("%d", c->set_config_item(c, a, b));
		} else if (!strcmp(call, "clear")) {
			printf("%d", c->clear_config_item(c, a));
		} else if (!strcmp(call, "forget")) {
			c->clear_config(c);
			printf("1");
		} else if (!strcmp(call, "save")) {
			printf("%d", c->save_config(c, a));
		} else if (!strcmp(call, "get")) {
			buffered(c->get_config_item, c, a, second ? atoi(second) : 0);
		} else if (!strcmp(call, "keys")) {
			buffered(c->get_keys, c, a, second ? atoi(second) : 0);
		} else if (!strcmp(call, "running")) {
			char *value = c->get_running_config_item(c, a);

			printf("%d ", value != NULL);
			print(value);
			free(value);
		} else if (!strcmp(call, "supported")) {
			printf("%d", lxc_config_item_is_supported(a));
		} else {
			printf("what");
		}
		printf("\n");
		fflush(stdout);
		free(a);
		free(b);
	}
	if (c)
		lxc_container_put(c);
	return 0;
}
