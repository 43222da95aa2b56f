#include "overlay/key_os.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka needs the ones above first */
#include <cmocka.h>

#define HEX64 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

struct place {
	char root[64], dir[96], key[128], why[512];
	struct state_dir s;
	uint8_t seed[IDENTITY_SEED_LEN];
	bool created;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	assert_non_null(p);
	(void)snprintf(p->root, sizeof(p->root), "/tmp/overlay-key-XXXXXX");
	assert_non_null(mkdtemp(p->root));
	(void)snprintf(p->dir, sizeof(p->dir), "%s/a/state", p->root);
	(void)snprintf(p->key, sizeof(p->key), "%s/identity.key", p->dir);
	p->s = (struct state_dir){ .fd = -1, .lock_fd = -1 };
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	state_close(&p->s);
	char command[128];
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", p->root);
	int rc = system(command);
	free(p);
	return rc;
}

static void open_state(struct place *p)
{
	assert_int_equal(state_open(&p->s, p->dir, p->why, sizeof(p->why)), OV_OK);
}

static int load(struct place *p)
{
	memset(p->seed, 0xee, sizeof(p->seed));
	return identity_load(&p->s, p->seed, &p->created, p->why, sizeof(p->why));
}

static void write_text(const char *path, const char *text, size_t len, mode_t mode)
{
	(void)unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static void test_created_once_and_read_again(void **state)
{
	struct place *p = *state;
	struct stat st;
	open_state(p);
	assert_int_equal(stat(p->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(load(p), OV_OK);
	assert_true(p->created);
	uint8_t first[IDENTITY_SEED_LEN];
	memcpy(first, p->seed, sizeof(first));
	assert_int_equal(stat(p->key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	state_close(&p->s);

	open_state(p);
	assert_int_equal(load(p), OV_OK);
	assert_false(p->created);
	assert_memory_equal(p->seed, first, sizeof(first));
	char tmp[160];
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", p->key);
	assert_int_equal(access(tmp, F_OK), -1);
}

static void test_left_over_temporary_is_no_obstacle(void **state)
{
	struct place *p = *state;
	open_state(p);
	char tmp[160];
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", p->key);
	write_text(tmp, "overl", 5, 0600);
	assert_int_equal(load(p), OV_OK);
	assert_true(p->created);
	assert_int_equal(load(p), OV_OK);
	assert_false(p->created);
}

static void test_text_forms(void **state)
{
	struct place *p = *state;
	open_state(p);
#define T(text, want)                                     \
	write_text(p->key, text, sizeof(text) - 1, 0600); \
	assert_int_equal(load(p), want)
	T("overlay-identity-1 " HEX64 "\n", OV_OK);
	assert_int_equal(p->seed[0], 0);
	assert_int_equal(p->seed[31], 0x1f);
	T("overlay-identity-1 " HEX64, OV_OK);
	T("", OV_EFORMAT);
	T("overlay-identity-1 " HEX64 "\n\n", OV_EFORMAT);
	T("overlay-identity-1 " HEX64 "0", OV_EFORMAT);
	T("overlay-identity-1 " HEX64 "00\n", OV_EFORMAT);
	T("overlay-identity-2 " HEX64 "\n", OV_EFORMAT);
	T("overlay-identity-1  0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0\n",
		OV_EFORMAT);
	T("overlay-identity-1 zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n",
		OV_EFORMAT);
	T("overlay-identity-1 0001\n", OV_EFORMAT);
#undef T
	assert_non_null(strstr(p->why, p->key));
	assert_non_null(strstr(p->why, "restore it from a backup"));
	for (size_t i = 0; i < sizeof(p->seed); i++)
		assert_int_equal(p->seed[i], 0);
}

static void test_every_truncation_is_refused(void **state)
{
	struct place *p = *state;
	open_state(p);
	static const char whole[] = "overlay-identity-1 " HEX64 "\n";
	for (size_t len = 0; len < sizeof(whole) - 2; len++) {
		write_text(p->key, whole, len, 0600);
		assert_int_equal(load(p), OV_EFORMAT);
	}
}

static void test_loose_key_modes_are_refused(void **state)
{
	struct place *p = *state;
	open_state(p);
	static const char whole[] = "overlay-identity-1 " HEX64 "\n";
	static const mode_t bad[] = { 0644, 0640, 0604, 0660, 0602, 0610, 0777 };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		write_text(p->key, whole, sizeof(whole) - 1, bad[i]);
		assert_int_equal(load(p), OV_EPERM);
		assert_non_null(strstr(p->why, "chmod 600"));
	}
	write_text(p->key, whole, sizeof(whole) - 1, 0400);
	assert_int_equal(load(p), OV_OK);
}

static void test_only_a_plain_file(void **state)
{
	struct place *p = *state;
	open_state(p);
	char real[160];
	(void)snprintf(real, sizeof(real), "%s/real", p->dir);
	write_text(real, "overlay-identity-1 " HEX64 "\n", 84, 0600);
	assert_int_equal(symlink("real", p->key), 0);
	assert_int_equal(load(p), OV_EPERM);
	assert_non_null(strstr(p->why, "symbolic link"));
	assert_int_equal(unlink(p->key), 0);
	assert_int_equal(mkfifo(p->key, 0600), 0);
	assert_int_equal(load(p), OV_EPERM); /* and does not block */
	assert_int_equal(unlink(p->key), 0);
	assert_int_equal(mkdir(p->key, 0700), 0);
	assert_int_equal(load(p), OV_EPERM);
}

static void test_loose_directory_is_refused(void **state)
{
	struct place *p = *state;
	open_state(p);
	state_close(&p->s);
	assert_int_equal(chmod(p->dir, 0750), 0);
	assert_int_equal(state_open(&p->s, p->dir, p->why, sizeof(p->why)), OV_EPERM);
	assert_non_null(strstr(p->why, "(0750)"));
	assert_non_null(strstr(p->why, "chmod 700"));
	assert_int_equal(chmod(p->dir, 0700), 0);
	open_state(p);
}

static void test_foreign_owner_is_refused(void **state)
{
	struct place *p = *state;
	if (geteuid() != 0)
		skip();
	open_state(p);
	state_close(&p->s);
	assert_int_equal(chown(p->dir, 65534, 65534), 0);
	assert_int_equal(state_open(&p->s, p->dir, p->why, sizeof(p->why)), OV_EPERM);
	assert_non_null(strstr(p->why, "65534"));
	assert_int_equal(chown(p->dir, 0, 0), 0);
	open_state(p);
	write_text(p->key, "overlay-identity-1 " HEX64 "\n", 84, 0600);
	assert_int_equal(chown(p->key, 65534, 65534), 0);
	assert_int_equal(load(p), OV_EPERM);
}

static void test_paths_that_cannot_be(void **state)
{
	struct place *p = *state;
	char file[96], below[128], long_path[STATE_PATH_MAX + 8];
	(void)snprintf(file, sizeof(file), "%s/file", p->root);
	(void)snprintf(below, sizeof(below), "%s/state", file);
	write_text(file, "x", 1, 0600);
	assert_int_equal(state_open(&p->s, file, p->why, sizeof(p->why)), OV_EIO);
	assert_int_equal(state_open(&p->s, below, p->why, sizeof(p->why)), OV_EIO);
	assert_non_null(strstr(p->why, "--state"));
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(state_open(&p->s, long_path, p->why, sizeof(p->why)), OV_EINVAL);
	assert_int_equal(state_open(&p->s, "", p->why, sizeof(p->why)), OV_EINVAL);
}

static void test_second_instance_is_refused_with_pid(void **state)
{
	struct place *p = *state;
	open_state(p);
	struct state_dir second;
	assert_int_equal(state_open(&second, p->dir, p->why, sizeof(p->why)), OV_EEXIST);
	char pid[32];
	(void)snprintf(pid, sizeof(pid), "(pid %ld)", (long)getpid());
	assert_non_null(strstr(p->why, pid));
	assert_non_null(strstr(p->why, p->dir));
	assert_int_equal(second.fd, -1);
	state_close(&p->s);
	open_state(p);
}

static void test_lock_ends_with_its_process(void **state)
{
	struct place *p = *state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct state_dir s;
		_exit(state_open(&s, p->dir, p->why, sizeof(p->why)) == OV_OK ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	open_state(p);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_created_once_and_read_again),
		T(test_left_over_temporary_is_no_obstacle),
		T(test_text_forms),
		T(test_every_truncation_is_refused),
		T(test_loose_key_modes_are_refused),
		T(test_only_a_plain_file),
		T(test_loose_directory_is_refused),
		T(test_foreign_owner_is_refused),
		T(test_paths_that_cannot_be),
		T(test_second_instance_is_refused_with_pid),
		T(test_lock_ends_with_its_process),
	};
#undef T
	(void)umask(022);
	return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}
