/* Relative XDG variables are ignored, as the XDG base directory specification asks. The order
 * flags, environment, file is possible because a value yields only to a source at least as strong.
 */
#include "overlay/config_os.h"

#include "overlay/config_option.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* BASE/overlay, where BASE is an XDG variable or lies below HOME. */
static bool xdg(const char *variable, const char *below_home, char out[CONFIG_PATH_MAX])
{
	const char *base = getenv(variable), *home = getenv("HOME");
	int n = -1;
	if (base != NULL && base[0] == '/')
		n = snprintf(out, CONFIG_PATH_MAX, "%s/overlay", base);
	else if (below_home != NULL && home != NULL && home[0] == '/')
		n = snprintf(out, CONFIG_PATH_MAX, "%s/%s/overlay", home, below_home);
	return n > 0 && n < CONFIG_PATH_MAX;
}

/* Fills `path` with dir/name, or leaves it alone when it is set. */
static bool fill(char path[CONFIG_PATH_MAX], const char *dir, const char *name)
{
	if (path[0] != '\0')
		return true;
	int n = snprintf(path, CONFIG_PATH_MAX, "%s%s", dir, name);
	return n > 0 && n < CONFIG_PATH_MAX;
}

static int user_paths(struct config *c, char *why, size_t why_size)
{
	char state[CONFIG_PATH_MAX], config[CONFIG_PATH_MAX], run[CONFIG_PATH_MAX];
	if (c->state[0] == '\0' &&
		(!xdg("XDG_STATE_HOME", ".local/state", state) || !fill(c->state, state, "")))
		return config_fail(
			why, why_size, "no state directory: set HOME, or use --state DIR");
	if (c->file[0] == '\0' && (!xdg("XDG_CONFIG_HOME", ".config", config) ||
					  !fill(c->file, config, "/overlay.json")))
		return config_fail(
			why, why_size, "no configuration file: set HOME, or use --config FILE");
	if (!xdg("XDG_RUNTIME_DIR", NULL, run))
		(void)snprintf(run, sizeof(run), "%s", c->state);
	if (!fill(c->socket, run, "/overlay.sock"))
		return config_fail(why, why_size, "no overlay socket: use --socket PATH");
	return OV_OK;
}

int config_default_paths(struct config *c, char *why, size_t why_size)
{
	if (geteuid() != 0)
		return user_paths(c, why, why_size);
	(void)fill(c->state, "/var/lib/overlay", "");
	(void)fill(c->file, "/etc/overlay", "/overlay.json");
	(void)fill(c->socket, "/run/overlay", "/overlay.sock");
	return OV_OK;
}

/* Doubles the buffer, within CONFIG_FILE_MAX. On failure it is freed and errno says why. */
static char *grow(char *data, size_t *cap)
{
	char *more = *cap < CONFIG_FILE_MAX ? realloc(data, 2 * *cap) : NULL;
	if (more == NULL) {
		errno = *cap < CONFIG_FILE_MAX ? ENOMEM : EFBIG;
		free(data);
		return NULL;
	}
	*cap *= 2;
	return more;
}

/* The whole of an open file, NUL not included; NULL: errno says why. */
static char *read_whole(int fd, size_t *len)
{
	size_t cap = 4096;
	char *data = malloc(cap);
	*len = 0;
	while (data != NULL) {
		ssize_t n = read(fd, data + *len, cap - *len);
		if (n == 0)
			return data;
		if (n < 0 && errno != EINTR) {
			free(data);
			return NULL;
		}
		*len += n > 0 ? (size_t)n : 0;
		data = *len == cap ? grow(data, &cap) : data;
	}
	return NULL;
}

static int parse_open_file(struct config *c, int fd, char *why, size_t why_size)
{
	struct stat st;
	size_t len;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return config_fail(
			why, why_size, "%s: not a plain file: use --config FILE", c->file);
	char *text = read_whole(fd, &len);
	if (text == NULL)
		return config_fail(why, why_size, "%s: cannot read: %s", c->file, strerror(errno));
	int err = config_parse(c, text, len, c->file, why, why_size);
	sodium_memzero(text, len);
	free(text);
	if (err == OV_OK && c->source[CONFIG_NETWORK_KEY] == CONFIG_FROM_FILE &&
		(st.st_mode & 007) != 0)
		return config_fail(why, why_size,
			"%s holds the network key and is accessible to everybody (%04o): chmod 600 "
			"%s",
			c->file, (unsigned)(st.st_mode & 07777), c->file);
	return err;
}

static int read_file(struct config *c, char *why, size_t why_size)
{
	int fd = open(c->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		if (errno == ENOENT && c->source[CONFIG_FILE] == CONFIG_FROM_DEFAULT)
			return OV_OK;
		return config_fail(why, why_size, "%s: cannot open: %s", c->file, strerror(errno));
	}
	int err = parse_open_file(c, fd, why, why_size);
	(void)close(fd);
	return err;
}

int config_load(struct config *c, int argc, const char *const *argv, char *why, size_t why_size)
{
	config_default(c);
	int err = config_apply_flags(c, argc, argv, why, why_size);
	if (err == OV_OK && (c->show_help || c->show_version))
		return OV_OK;
	if (err == OV_OK)
		err = config_apply_env(c, (const char *const *)environ, why, why_size);
	if (err == OV_OK)
		err = config_default_paths(c, why, why_size);
	if (err == OV_OK)
		err = read_file(c, why, why_size);
	if (err == OV_OK)
		err = config_check(c, why, why_size);
	if (err != OV_OK)
		config_fini(c);
	return err;
}
