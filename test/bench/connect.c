/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long connect() takes on two ways to one listener, in turn. One process holds both ends, so that no other has to be
 * scheduled: a connection is made, taken from the listener, and reset, which leaves no TIME_WAIT behind.
 *
 * connect ROUNDS BATCH LISTEN_NETNS ADDR PORT  NETNS CGROUP ADDR PORT  NETNS CGROUP ADDR PORT
 *
 * The netns are files; the cgroup is a directory, or "-" to stay. Prints {"a": [...], "b": [...]}: the median of each round, ns.
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

struct side {
	int netns;
	int procs;
	struct sockaddr_in to;
	double *rounds;
};

static void die(const char *what)
{
	fprintf(stderr, "connect: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		die(path);
	return fd;
}

static struct sockaddr_in address(const char *addr, const char *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, addr, &sin.sin_addr) != 1)
		die(addr);
	return sin;
}

static int tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static struct side side(char **arg)
{
	char path[4096];
	struct side s = { .netns = file(arg[0], O_RDONLY), .procs = -1, .to = address(arg[2], arg[3]) };

	if (strcmp(arg[1], "-")) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", arg[1]);
		s.procs = file(path, O_WRONLY);
	}
	return s;
}

static void enter(const struct side *s)
{
	if (setns(s->netns, CLONE_NEWNET))
		die("setns");
	if (s->procs >= 0 && write(s->procs, "0", 1) != 1)
		die("cgroup.procs");
}

static double one(const struct side *s, int listener)
{
	const struct linger reset = { .l_onoff = 1 };
	const struct timeval limit = { .tv_sec = 3 };
	struct timespec begin, end;
	int client = tcp(), server;

	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (connect(client, (const struct sockaddr *)&s->to, sizeof(s->to)))
		die("connect");
	clock_gettime(CLOCK_MONOTONIC, &end);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (server < 0)
		die("accept");
	close(client);
	close(server);
	return (end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double batch(const struct side *s, int listener, double *times, int count)
{
	int i;

	enter(s);
	for (i = 0; i < count; i++)
		times[i] = one(s, listener);
	qsort(times, count, sizeof(*times), ascending);
	return times[count / 2];
}

int main(int argc, char **argv)
{
	const struct timeval limit = { .tv_sec = 3 };
	struct sockaddr_in here;
	int rounds, count, listener, round, n, i;
	struct side sides[2];
	double *times;

	if (argc != 14) {
		fprintf(stderr, "connect: 13 arguments, see the source\n");
		return 2;
	}
	rounds = atoi(argv[1]);
	count = atoi(argv[2]);
	here = address(argv[4], argv[5]);
	times = calloc(count, sizeof(*times));
	for (n = 0; n < 2; n++) {
		sides[n] = side(argv + 6 + 4 * n);
		sides[n].rounds = calloc(rounds, sizeof(double));
		if (!sides[n].rounds || !times)
			die("calloc");
	}

	if (setns(file(argv[3], O_RDONLY), CLONE_NEWNET))
		die("setns");
	listener = tcp();
	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (bind(listener, (struct sockaddr *)&here, sizeof(here)) || listen(listener, 128))
		die("listen");

	/* Neighbours, routes and caches: not what is measured. */
	for (n = 0; n < 2; n++)
		batch(&sides[n], listener, times, count);
	for (round = 0; round < rounds; round++)
		for (i = 0; i < 2; i++) {
			n = (round + i) % 2;
			sides[n].rounds[round] = batch(&sides[n], listener, times, count);
		}

	for (n = 0; n < 2; n++) {
		printf("%s\"%c\": [", n ? ", " : "{", 'a' + n);
		for (i = 0; i < rounds; i++)
			printf("%s%.0f", i ? ", " : "", sides[n].rounds[i]);
		printf("]");
	}
	printf("}\n");
	return 0;
}
