/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fixed number of small datagrams on several ways to one receiver, in turn. Packets between namespaces are handled inside
 * the call that sends them, so on one CPU that nobody else gets the time of these calls is what all of the way costs.
 *
 * flood ROUNDS COUNT FLOWS RECEIVE_NETNS ADDR PORT  NETNS SOURCE ADDR PORT DEVICE  [NETNS SOURCE ADDR PORT DEVICE]...
 *
 * The netns are files; DEVICE is where the receiver gets what was sent on this way. Prints one element for each way: `ns` for
 * each datagram, by round; how many were `sent` and `received`. The receiver's socket is full all the time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PORT 33000
#define BATCH 64
#define PAYLOAD 18

struct datagram {
	struct iphdr ip;
	struct udphdr udp;
	char payload[PAYLOAD];
} __attribute__((packed));

struct side {
	int fd;
	const char *device;
	struct datagram *flows;
	double *ns;
	long sent, received;
};

static void die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	close(fd);
}

static struct sockaddr_in address(const char *addr, const char *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, addr, &sin.sin_addr) != 1)
		die(addr);
	return sin;
}

static unsigned long words(const void *from, int bytes, unsigned long sum)
{
	const unsigned short *word = from;

	for (; bytes > 1; bytes -= 2)
		sum += *word++;
	return sum;
}

static unsigned short folded(unsigned long sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static struct datagram datagram(const struct sockaddr_in *from, const struct sockaddr_in *to, int port)
{
	struct datagram d = {
		.ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP, .tot_len = htons(sizeof(d)) },
		.udp = { .source = htons(port), .dest = to->sin_port, .len = htons(sizeof(d) - sizeof(d.ip)) },
	};

	d.ip.saddr = from->sin_addr.s_addr;
	d.ip.daddr = to->sin_addr.s_addr;
	d.udp.check = folded(words(&d.ip.saddr, 8, words(&d.udp, sizeof(d) - sizeof(d.ip), 0)) + htons(IPPROTO_UDP) +
			     d.udp.len);
	return d;
}

static struct side side(char **arg, int rounds, int flows)
{
	struct sockaddr_in from = address(arg[1], "0"), to = address(arg[2], arg[3]), any = to;
	struct side s = { .device = arg[4], .ns = calloc(rounds, sizeof(double)) };
	int i;

	enter(arg[0]);
	s.fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	any.sin_port = 0;
	if (s.fd < 0 || connect(s.fd, (const struct sockaddr *)&any, sizeof(any)))
		die("socket");
	s.flows = calloc(flows, sizeof(*s.flows));
	if (!s.flows || !s.ns)
		die("calloc");
	for (i = 0; i < flows; i++)
		s.flows[i] = datagram(&from, &to, FIRST_PORT + i);
	return s;
}

/* Nanoseconds for each. */
static double send_all(struct side *s, int flows, long count)
{
	struct mmsghdr messages[BATCH] = {};
	struct iovec parts[BATCH];
	struct timespec begin, end;
	long done, flow = 0;
	int i, n;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (done = 0; done < count; done += n) {
		for (i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){ &s->flows[flow], sizeof(*s->flows) };
			messages[i].msg_hdr.msg_iov = &parts[i];
			messages[i].msg_hdr.msg_iovlen = 1;
			flow = flow + 1 < flows ? flow + 1 : 0;
		}
		n = sendmmsg(s->fd, messages, BATCH, 0);
		if (n < 1)
			die("sendmmsg");
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	s->sent += done;
	return ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / done;
}

/* What has come in by a device of the namespace we are in. */
static long received(const char *device)
{
	FILE *all = fopen("/proc/thread-self/net/dev", "re");
	char line[512], name[64];
	long bytes, packets;

	if (!all)
		die("net/dev");
	while (fgets(line, sizeof(line), all))
		if (sscanf(line, " %63[^:]: %ld %ld", name, &bytes, &packets) == 3 && !strcmp(name, device)) {
			fclose(all);
			return packets;
		}
	errno = ENODEV;
	die(device);
	return 0;
}

int main(int argc, char **argv)
{
	int rounds, flows, round, n, i, small = 1, sink, ways = (argc - 7) / 5;
	struct sockaddr_in here;
	struct side *sides;
	long count;

	if (ways < 1 || argc != 7 + 5 * ways) {
		fprintf(stderr, "flood: see the source for its arguments\n");
		return 2;
	}
	rounds = atoi(argv[1]);
	count = atol(argv[2]);
	flows = atoi(argv[3]);
	here = address(argv[5], argv[6]);
	sides = calloc(ways, sizeof(*sides));
	if (!sides)
		die("calloc");
	for (n = 0; n < ways; n++)
		sides[n] = side(argv + 7 + 5 * n, rounds, flows);

	enter(argv[4]);
	sink = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(sink, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (sink < 0 || bind(sink, (struct sockaddr *)&here, sizeof(here)))
		die("bind");

	/* Every flow is known afterwards, as are neighbours and routes. */
	for (n = 0; n < ways; n++) {
		send_all(&sides[n], flows, flows > 1000 ? flows : 1000);
		sides[n].sent = 0;
		sides[n].received = -received(sides[n].device);
	}
	for (round = 0; round < rounds; round++)
		for (i = 0; i < ways; i++) {
			n = round % 2 ? ways - 1 - i : i;
			sides[n].ns[round] = send_all(&sides[n], flows, count);
		}

	for (n = 0; n < ways; n++) {
		printf(n ? ", {\"ns\": [" : "[{\"ns\": [");
		for (i = 0; i < rounds; i++)
			printf("%s%.1f", i ? ", " : "", sides[n].ns[i]);
		printf("], \"sent\": %ld, \"received\": %ld}", sides[n].sent,
		       sides[n].received + received(sides[n].device));
	}
	printf("]\n");
	return 0;
}
