/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Maglev table as desired/maglev.ts builds it, for equal weights, in plain C: names, their order, two hashes for each,
 * turns. maglev RUNS BACKENDS SIZE. Prints {"ns": per table, "hash": of the table}.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEED 0x24b7ef82u
#define NAME 64

static uint64_t rotl(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static uint64_t mix(uint64_t k)
{
	k = (k ^ k >> 33) * 0xff51afd7ed558ccdull;
	k = (k ^ k >> 33) * 0xc4ceb9fe1a85ec53ull;
	return k ^ k >> 33;
}

/* MurmurHash3 x64 128. */
static void murmur(const char *data, size_t len, uint64_t seed, uint64_t out[2])
{
	const uint64_t c1 = 0x87c37b91114253d5ull, c2 = 0x4cf5ad432745937full;
	uint64_t h1 = seed, h2 = seed, k[2];
	size_t at;

	for (at = 0; at + 16 <= len; at += 16) {
		memcpy(k, data + at, 16);
		h1 = (rotl(h1 ^ rotl(k[0] * c1, 31) * c2, 27) + h2) * 5 + 0x52dce729;
		h2 = (rotl(h2 ^ rotl(k[1] * c2, 33) * c1, 31) + h1) * 5 + 0x38495ab5;
	}
	memset(k, 0, sizeof(k));
	memcpy(k, data + at, len - at);
	h2 ^= rotl(k[1] * c2, 33) * c1;
	h1 ^= rotl(k[0] * c1, 31) * c2;
	h1 ^= len;
	h2 ^= len;
	h1 += h2;
	h2 += h1;
	h1 = mix(h1);
	h2 = mix(h2);
	out[0] = h1 + h2;
	out[1] = out[0] + h2;
}

struct name {
	char text[NAME];
	uint32_t index;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static void build(uint32_t *table, uint8_t *taken, int size, struct name *names, int *position, int *skip, int count)
{
	int i, n, at;

	for (i = 0; i < count; i++) {
		uint32_t addr = 0x0a800000 + i;

		snprintf(names[i].text, NAME, "[%u.%u.%u.%u:%u/TCP,State:active]", addr >> 24, addr >> 16 & 255,
			 addr >> 8 & 255, addr & 255, 8080);
		names[i].index = i;
	}
	qsort(names, count, sizeof(*names), by_name);
	for (i = 0; i < count; i++) {
		uint64_t hash[2];

		murmur(names[i].text, strlen(names[i].text), SEED, hash);
		position[i] = hash[0] % size;
		skip[i] = hash[1] % (size - 1) + 1;
	}
	memset(taken, 0, size);
	for (n = 0, i = 0; n < size; n++) {
		at = position[i];
		while (taken[at]) {
			at += skip[i];
			if (at >= size)
				at -= size;
		}
		taken[at] = 1;
		table[at] = names[i].index;
		position[i] = at;
		if (++i == count)
			i = 0;
	}
}

int main(int argc, char **argv)
{
	int runs = argc > 3 ? atoi(argv[1]) : 1, count = argc > 3 ? atoi(argv[2]) : 100, size = argc > 3 ? atoi(argv[3]) : 251;
	uint32_t *table = calloc(size, sizeof(*table)), hash = 0;
	struct name *names = calloc(count, sizeof(*names));
	int *position = calloc(count, sizeof(int)), *skip = calloc(count, sizeof(int));
	uint8_t *taken = calloc(size, 1);
	struct timespec begin, end;
	int i;

	if (!table || !names || !position || !skip || !taken)
		return 1;
	build(table, taken, size, names, position, skip, count);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (i = 0; i < runs; i++)
		build(table, taken, size, names, position, skip, count);
	clock_gettime(CLOCK_MONOTONIC, &end);
	for (i = 0; i < size; i++)
		hash = hash * 31 + table[i];
	printf("{\"ns\": %.0f, \"hash\": %u}\n",
	       ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / runs, hash);
	return 0;
}
