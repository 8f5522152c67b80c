/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First and only program of the virtual machine's own file system: loads the modules listed in /modules, takes the host's
 * root directory over 9p (read-only), runs `bash -c` with what is in /command inside it, says its exit status on the console
 * and switches the machine off.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOT "/host"

static void off(int status)
{
	printf("\nkernel-run-exit:%d\n", status);
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	_exit(status);
}

static void must(int result, const char *what)
{
	if (result == 0)
		return;
	perror(what);
	off(99);
}

static void load_modules(void)
{
	FILE *list = fopen("/modules", "r");
	char path[256];

	while (list && fgets(path, sizeof(path), list)) {
		path[strcspn(path, "\n")] = 0;
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		must(fd < 0, path);
		must(syscall(SYS_finit_module, fd, "", 0), path);
		close(fd);
	}
}

static void mount_host(void)
{
	mkdir(ROOT, 0755);
	must(mount("root", ROOT, "9p", MS_RDONLY, "trans=virtio,version=9p2000.L,msize=512000,cache=loose"), "9p");
	must(mount("proc", ROOT "/proc", "proc", 0, NULL), "proc");
	must(mount("sysfs", ROOT "/sys", "sysfs", 0, NULL), "sysfs");
	must(mount("devtmpfs", ROOT "/dev", "devtmpfs", 0, NULL), "devtmpfs");
	must(mount("tmpfs", ROOT "/tmp", "tmpfs", 0, NULL), "tmp");
	must(mount("tmpfs", ROOT "/run", "tmpfs", 0, NULL), "run");
}

int main(void)
{
	static char command[4096];
	int fd = open("/command", O_RDONLY | O_CLOEXEC);
	int status = 0;

	must(fd < 0 || read(fd, command, sizeof(command) - 1) <= 0, "/command");
	load_modules();
	mount_host();
	must(chroot(ROOT), "chroot");
	must(chdir("/"), "chdir");

	pid_t child = fork();

	if (child == 0) {
		setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
		setenv("HOME", "/tmp", 1);
		execl("/bin/bash", "bash", "-c", command, (char *)NULL);
		_exit(127);
	}
	must(child < 0, "fork");
	must(waitpid(child, &status, 0) != child, "waitpid");
	off(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}
