/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor for filling maps: 10 000 services of 10 backends in the classic layout (one hash entry for each service, slot,
 * backend and reverse NAT entry: 220 000), in three batch updates straight from memory that is ready.
 *
 * classic [prealloc]. Prints {"wall": ms, "cpu": ms}.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define SERVICES 10000
#define BACKENDS 10
#define SLOTS (SERVICES * (BACKENDS + 1))

struct service_key {
	uint32_t vip;
	uint16_t port;
	uint16_t slot;
	uint8_t proto, scope, zero[2];
};

struct service_val {
	uint32_t backend_id;
	uint16_t count, reverse_id;
	uint8_t flags[2];
	uint16_t quarantined;
};

struct backend_val {
	uint32_t addr;
	uint16_t port;
	uint8_t proto, flags;
	uint16_t cluster_id;
	uint8_t zone, zero;
};

struct reverse_val {
	uint32_t vip;
	uint16_t port;
} __attribute__((packed));

static struct service_key service_keys[SLOTS];
static struct service_val service_vals[SLOTS];
static uint32_t backend_keys[SERVICES * BACKENDS];
static struct backend_val backend_vals[SERVICES * BACKENDS];
static uint16_t reverse_keys[SERVICES];
static struct reverse_val reverse_vals[SERVICES];

static int create(const char *name, int flags, int key, int value, int max)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, name, key, value, max, &opts);

	if (fd < 0) {
		fprintf(stderr, "classic: map %s: %s\n", name, strerror(-fd));
		exit(1);
	}
	return fd;
}

static void update(int fd, const void *keys, const void *values, uint32_t count)
{
	int err = bpf_map_update_batch(fd, keys, values, &count, NULL);

	if (err) {
		fprintf(stderr, "classic: update: %s\n", strerror(-err));
		exit(1);
	}
}

static void fill(void)
{
	int s, b, at = 0;

	for (s = 0; s < SERVICES; s++) {
		uint32_t vip = __builtin_bswap32(0x0a640000 + s);

		for (b = 0; b <= BACKENDS; b++, at++) {
			service_keys[at] = (struct service_key){ .vip = vip, .port = 0x5000, .slot = b, .proto = 6 };
			service_vals[at] = (struct service_val){
				.backend_id = b ? s * BACKENDS + b : 0,
				.count = b ? 0 : BACKENDS,
				.reverse_id = s + 1,
			};
		}
		for (b = 0; b < BACKENDS; b++) {
			int i = s * BACKENDS + b;

			backend_keys[i] = i + 1;
			backend_vals[i] = (struct backend_val){
				.addr = __builtin_bswap32(0x0a800000 + i), .port = 0x901f, .proto = 6, .cluster_id = 1,
			};
		}
		reverse_keys[s] = s + 1;
		reverse_vals[s] = (struct reverse_val){ .vip = vip, .port = 0x5000 };
	}
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	int flags = argc > 1 && !strcmp(argv[1], "prealloc") ? 0 : BPF_F_NO_PREALLOC;
	int services = create("services", flags, sizeof(struct service_key), sizeof(struct service_val), 262144);
	int backends = create("backends", flags, sizeof(uint32_t), sizeof(struct backend_val), 262144);
	int reverse = create("reverse", flags, sizeof(uint16_t), sizeof(struct reverse_val), 65536);
	double wall, cpu;

	fill();
	wall = now(CLOCK_MONOTONIC);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	update(services, service_keys, service_vals, SLOTS);
	update(backends, backend_keys, backend_vals, SERVICES * BACKENDS);
	update(reverse, reverse_keys, reverse_vals, SERVICES);
	printf("{\"wall\": %.3f, \"cpu\": %.3f}\n", now(CLOCK_MONOTONIC) - wall, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return 0;
}
