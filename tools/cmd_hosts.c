/* overlay hosts: one marked block in the hosts file, replaced as a whole. The new file is complete
 * and on disk before it takes the old one's name, with its owner and mode; so whatever happens,
 * there is always a whole hosts file. */
#include "tools/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_BEGIN "# overlay begin"
#define MARK_END   "# overlay end"
#define FILE_MAX   (8 * 1024 * 1024)

struct text {
	char *data;
	size_t len;
};

static bool text_add(struct text *t, const char *data, size_t len)
{
	char *grown = realloc(t->data, t->len + len + 1);
	if (!grown)
		return false;
	memcpy(grown + t->len, data, len);
	t->data = grown;
	t->len += len;
	grown[t->len] = '\0';
	return true;
}

static bool text_line(struct text *t, const char *line)
{
	return text_add(t, line, strlen(line)) && text_add(t, "\n", 1);
}

static bool make_block(struct text *out, const json_t *hosts)
{
	bool ok = text_line(out, MARK_BEGIN " (written by `overlay hosts`; changes here are lost)");
	for (size_t i = 0; ok && i < json_array_size(hosts); i++) {
		char line[160];
		const json_t *h = json_array_get(hosts, i);
		snprintf(line, sizeof(line), "%s %s.overlay", field_text(h, "address"),
			field_text(h, "name"));
		ok = text_line(out, line);
	}
	return ok && text_line(out, MARK_END);
}

static bool is_mark(const char *line, const char *mark)
{
	size_t len = strlen(mark);
	return strncmp(line, mark, len) == 0 && strchr(" \r\n", line[len]) != NULL; /* NUL too */
}

/* Everything of `old` but marked blocks. NULL on success, else what is wrong. */
static const char *without_block(struct text *out, const struct text *old)
{
	bool inside = false;
	const char *line = old->data, *end = old->data + old->len;
	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *next = newline ? newline + 1 : end;
		if (is_mark(line, MARK_BEGIN)) {
			if (inside)
				return "`" MARK_BEGIN "` stands twice without `" MARK_END "`";
			inside = true;
		} else if (is_mark(line, MARK_END)) {
			if (!inside)
				return "`" MARK_END "` stands without `" MARK_BEGIN "`";
			inside = false;
		} else if (!inside && !text_add(out, line, (size_t)(next - line))) {
			return "out of memory";
		}
		line = next;
	}
	return inside ? "`" MARK_BEGIN "` stands without `" MARK_END "`" : NULL;
}

static int read_file(const struct cli *cli, const char *path, struct text *out, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char part[2048];
	ssize_t n = -1;
	if (fd >= 0 && fstat(fd, st) == 0) {
		while ((n = read(fd, part, sizeof(part))) > 0 && out->len < FILE_MAX)
			if (!text_add(out, part, (size_t)n))
				break;
	}
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (n == 0)
		return out->data || text_add(out, "", 0) ? EXIT_DONE : EXIT_FAILED;
	if (n > 0)
		return cli_fail(cli, EXIT_FAILED, "", "%s is longer than 8 MiB", path);
	return cli_fail(cli, EXIT_FAILED, "name another with --file", "cannot read %s: %s", path,
		strerror(error));
}

static bool write_all(int fd, const struct text *t)
{
	for (size_t done = 0; done < t->len;) {
		ssize_t n = write(fd, t->data + done, t->len - done);
		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) == 0;
}

static int fail_write(const struct cli *cli, const char *path, int error)
{
	if (error == EACCES || error == EPERM || error == EROFS)
		return cli_fail(cli, EXIT_NOT_ALLOWED, "run it as root: sudo overlay hosts",
			"cannot replace %s: %s", path, strerror(error));
	if (error == EBUSY)
		return cli_fail(cli, EXIT_FAILED,
			"print the block with --dry-run and put it where the container takes it from",
			"cannot replace %s: it is mounted on its own, as containers do", path);
	return cli_fail(cli, EXIT_FAILED, "nothing was changed", "cannot replace %s: %s", path,
		strerror(error));
}

static void sync_directory(const char *path)
{
	char *dir = strdup(path), *slash = dir ? strrchr(dir, '/') : NULL;
	if (slash)
		slash[slash == dir] = '\0';
	int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
	free(dir);
}

/* Fills fd (named `temporary`) and lets it take the place of `path`. 0, or an errno. */
static int fill_and_rename(int fd, const char *temporary, const char *path, const struct text *t,
	const struct stat *old)
{
	bool ok = fchown(fd, old->st_uid, old->st_gid) == 0 &&
		  fchmod(fd, old->st_mode & 07777) == 0 && write_all(fd, t);
	int error = ok ? 0 : errno;
	if (close(fd) != 0 && !error)
		error = errno;
	if (!error && rename(temporary, path) != 0)
		error = errno;
	if (error)
		unlink(temporary);
	return error;
}

static int replace(
	const struct cli *cli, const char *path, const struct text *t, const struct stat *old)
{
	char *temporary;
	if (asprintf(&temporary, "%s.overlay-XXXXXX", path) < 0)
		return cli_fail(cli, EXIT_FAILED, "", "out of memory");
	int fd = mkostemp(temporary, O_CLOEXEC);
	int error = fd < 0 ? errno : fill_and_rename(fd, temporary, path, t, old);
	free(temporary);
	if (error)
		return fail_write(cli, path, error);
	sync_directory(path);
	return EXIT_DONE;
}

static int report(const struct cli *cli, const char *path, bool changed, size_t names, bool removed)
{
	if (cli->json)
		print_json_take(json_pack("{s:s, s:b, s:I}", "file", path, "changed", changed,
			"names", (json_int_t)names));
	else if (!changed)
		printf("%s: nothing to change\n", path);
	else if (removed)
		printf("%s: block removed\n", path);
	else
		printf("%s: %zu name%s written, for example: ssh NAME.overlay\n", path, names,
			names == 1 ? "" : "s");
	return EXIT_DONE;
}

static int update(const struct cli *cli, const char *path, const struct text *block, size_t names)
{
	struct text old = { NULL, 0 }, new = { NULL, 0 };
	struct stat st = { .st_mode = 0 };
	int rc = read_file(cli, path, &old, &st);
	const char *wrong = rc == EXIT_DONE ? without_block(&new, &old) : NULL;
	if (wrong)
		rc = cli_fail(cli, EXIT_FAILED, "repair it with an editor, then try again",
			"%s: %s", path, wrong);
	if (rc == EXIT_DONE && block->len > 0) {
		bool ends = new.len == 0 || new.data[new.len - 1] == '\n';
		if ((!ends && !text_add(&new, "\n", 1)) || !text_add(&new, block->data, block->len))
			rc = cli_fail(cli, EXIT_FAILED, "", "out of memory");
	}
	if (rc == EXIT_DONE) {
		bool same =
			new.len == old.len && (!new.len || !memcmp(new.data, old.data, new.len));
		if (!same)
			rc = replace(cli, path, &new, &st);
		if (rc == EXIT_DONE)
			report(cli, path, !same, names, block->len == 0);
	}
	free(old.data);
	free(new.data);
	return rc;
}

int cmd_hosts(struct cli *cli)
{
	const char *given = cli->values[0] ? cli->values[0] : "/etc/hosts";
	bool remove = cli->values[1], dry = cli->values[2];
	struct text block = { NULL, 0 };
	json_t *r = NULL;
	size_t names = 0;
	if (!remove) {
		int rc = cli_call_pages(cli, "hosts", "hosts", &r);
		if (rc != EXIT_DONE)
			return rc;
		names = json_array_size(json_object_get(r, "hosts"));
		if (!make_block(&block, json_object_get(r, "hosts"))) {
			free(block.data);
			json_decref(r);
			return cli_fail(cli, EXIT_FAILED, "", "out of memory");
		}
	}
	int rc = EXIT_DONE;
	char *path = dry ? NULL : realpath(given, NULL); /* the file itself, not a link to it */
	if (dry && cli->json)
		print_json_take(r ? json_incref(r) : json_pack("{s:[]}", "hosts"));
	else if (dry)
		fputs(block.data ? block.data : "", stdout);
	else
		rc = update(cli, path ? path : given, &block, names);
	free(path);
	free(block.data);
	json_decref(r);
	return rc;
}
