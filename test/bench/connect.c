/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections on several ways to one listener, in turn. One process holds both ends, so that no other has to be
 * scheduled: a connection is made, taken from the listener, and reset, which leaves no TIME_WAIT behind.
 * ADDR and PORT are one or several in a row, like 10.99.1.1+8: connections go to one after the other.
 *
 * connect ROUNDS BATCH LISTEN_NETNS ADDR PORT  NETNS CGROUP ADDR PORT  [NETNS CGROUP ADDR PORT]...
 *
 * The netns are files; the cgroup is a directory, or "-" to stay. Prints one element for each way: `p50`, the median of each
 * round's connect(); `whole`, each round's time for a connection from socket to reset; `p99` over all rounds; all in ns; how
 * many were `refused` or not answered in time, of `asked`.
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
	int addresses, ports;
	double *p50, *whole;
	float *times;
	long refused, asked;
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
	char first[INET_ADDRSTRLEN] = "";

	memcpy(first, addr, strnlen(addr, sizeof(first) - 1));
	first[strcspn(first, "+")] = 0;
	if (inet_pton(AF_INET, first, &sin.sin_addr) != 1)
		die(addr);
	return sin;
}

/* How many there are in a row. */
static int several(const char *text)
{
	const char *plus = strchr(text, '+');

	return plus ? atoi(plus + 1) : 1;
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
	struct side s = { .netns = file(arg[0], O_RDONLY), .procs = -1, .to = address(arg[2], arg[3]),
			  .addresses = several(arg[2]), .ports = several(arg[3]) };

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

static double seconds(const struct timespec *begin, const struct timespec *end)
{
	return (end->tv_sec - begin->tv_sec) + (end->tv_nsec - begin->tv_nsec) / 1e9;
}

/* Nanoseconds of connect(); negative if there was no connection. */
static double one(const struct side *s, int listener)
{
	struct sockaddr_in to = s->to;
	const struct linger reset = { .l_onoff = 1 };
	const struct timeval limit = { .tv_sec = 3 };
	struct timespec begin, end;
	int client = tcp(), server, refused;

	to.sin_addr.s_addr = htonl(ntohl(to.sin_addr.s_addr) + s->asked % s->addresses);
	to.sin_port = htons(ntohs(to.sin_port) + s->asked % s->ports);
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	refused = connect(client, (const struct sockaddr *)&to, sizeof(to));
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (refused) {
		close(client);
		return -1;
	}
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (server < 0)
		die("accept");
	close(client);
	close(server);
	return seconds(&begin, &end) * 1e9;
}

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* `times` has room for the batch; what is measured stays there, sorted. */
static void batch(struct side *s, int listener, float *times, int count, double *p50, double *whole)
{
	struct timespec begin, end;
	int i;

	enter(s);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (i = 0; i < count; i++) {
		times[i] = one(s, listener);
		s->asked++;
		s->refused += times[i] < 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	qsort(times, count, sizeof(*times), ascending);
	*p50 = times[count / 2];
	*whole = seconds(&begin, &end) * 1e9 / count;
}

static void numbers(const char *name, const double *values, int count)
{
	int i;

	printf("\"%s\": [", name);
	for (i = 0; i < count; i++)
		printf("%s%.0f", i ? ", " : "", values[i]);
	printf("], ");
}

int main(int argc, char **argv)
{
	const struct timeval limit = { .tv_sec = 3 };
	int rounds, count, listener, round, n, i, ways = (argc - 6) / 4;
	struct sockaddr_in here;
	struct side *sides;
	double none;

	if (ways < 1 || argc != 6 + 4 * ways) {
		fprintf(stderr, "connect: see the source for its arguments\n");
		return 2;
	}
	rounds = atoi(argv[1]);
	count = atoi(argv[2]);
	here = address(argv[4], argv[5]);
	sides = calloc(ways, sizeof(*sides));
	if (!sides)
		die("calloc");
	for (n = 0; n < ways; n++) {
		sides[n] = side(argv + 6 + 4 * n);
		sides[n].p50 = calloc(rounds, sizeof(double));
		sides[n].whole = calloc(rounds, sizeof(double));
		sides[n].times = calloc((size_t)rounds * count, sizeof(float));
		if (!sides[n].p50 || !sides[n].whole || !sides[n].times)
			die("calloc");
	}

	if (setns(file(argv[3], O_RDONLY), CLONE_NEWNET))
		die("setns");
	listener = tcp();
	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (bind(listener, (struct sockaddr *)&here, sizeof(here)) || listen(listener, 128))
		die("listen");

	/* Neighbours, routes and caches: not what is measured. */
	for (n = 0; n < ways; n++) {
		batch(&sides[n], listener, sides[n].times, count < 60 ? count : 60, &none, &none);
		sides[n].asked = sides[n].refused = 0;
	}
	for (round = 0; round < rounds; round++)
		for (i = 0; i < ways; i++) {
			n = round % 2 ? ways - 1 - i : i;
			batch(&sides[n], listener, sides[n].times + (size_t)round * count, count, &sides[n].p50[round],
			      &sides[n].whole[round]);
		}

	for (n = 0; n < ways; n++) {
		size_t all = (size_t)rounds * count;

		qsort(sides[n].times, all, sizeof(float), ascending);
		printf(n ? ", {" : "[{");
		numbers("p50", sides[n].p50, rounds);
		numbers("whole", sides[n].whole, rounds);
		printf("\"p99\": %.0f, \"refused\": %ld, \"asked\": %ld}", sides[n].times[all - 1 - all / 100],
		       sides[n].refused, sides[n].asked);
	}
	printf("]\n");
	return 0;
}
