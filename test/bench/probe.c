/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks each of many services in turn until it has answered once. One process holds both ends, as in connect.c.
 *
 * probe LISTEN_NETNS PORT  NETNS CGROUP FIRST COUNT SERVICE_PORT LIMIT_S
 *
 * The netns are files, the cgroup is a directory, FIRST is the first of COUNT addresses in a row. Prints when a service was
 * last seen not to answer (`missing`) and when all had (`all`), in ns of CLOCK_MONOTONIC; what a pass over all of them takes
 * once they are there (`pass`), and how many never came (`never`).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* How long an answer may take that costs tens of microseconds, and how long to wait after a refusal. */
#define PATIENCE_US 20000
#define PAUSE_US 1000

static void die(const char *what)
{
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	close(fd);
}

static void join(const char *cgroup)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die(path);
	close(fd);
}

static int listener(int port)
{
	const struct timeval limit = { .tv_sec = 3 };
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 128) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		die("listen");
	return fd;
}

static int answers(in_addr_t address, int port, int listening)
{
	const struct linger reset = { .l_onoff = 1 };
	const struct timeval limit = { .tv_usec = PATIENCE_US };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int server, there, client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (client < 0)
		die("socket");
	to.sin_addr.s_addr = htonl(address);
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	there = !connect(client, (const struct sockaddr *)&to, sizeof(to));
	if (there) {
		server = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		if (server < 0)
			die("accept");
		close(server);
	} else if (errno != EINPROGRESS) {
		usleep(PAUSE_US);
	}
	close(client);
	return there;
}

int main(int argc, char **argv)
{
	int n, count, port, listening;
	long missing = 0, all, until;
	struct in_addr first;

	if (argc != 9) {
		fprintf(stderr, "probe: see the source for its arguments\n");
		return 2;
	}
	if (inet_pton(AF_INET, argv[5], &first) != 1)
		die(argv[5]);
	count = atoi(argv[6]);
	port = atoi(argv[7]);
	until = now() + atol(argv[8]) * 1000000000L;
	enter(argv[1]);
	listening = listener(atoi(argv[2]));
	enter(argv[3]);
	join(argv[4]);

	for (n = 0; n < count; n++)
		while (!answers(ntohl(first.s_addr) + n, port, listening)) {
			missing = now();
			if (missing > until) {
				printf("{\"missing\": %ld, \"all\": 0, \"pass\": 0, \"never\": %d}\n", missing,
				       count - n);
				return 0;
			}
		}
	all = now();
	for (n = 0; n < count; n++)
		if (!answers(ntohl(first.s_addr) + n, port, listening))
			missing = now();
	printf("{\"missing\": %ld, \"all\": %ld, \"pass\": %ld, \"never\": 0}\n", missing, all, now() - all);
	return 0;
}
