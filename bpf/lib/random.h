/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_RANDOM_H
#define WEFT_RANDOM_H

#include "common.h"

/* More CPUs than this share generators, which is harmless: both only have to differ from draw to draw. */
#define RANDOM_CPUS 256
/* A line of its own for each CPU. The kernel's generator gives a new state this often: a power of two. */
#define RANDOM_RESEED 1024

struct random_state {
	__u64 state;
	__u32 draws;
	__u8 pad[52];
} __attribute__((aligned(64)));

struct random_state random_states[RANDOM_CPUS];

/*
 * 32 random bits for the choice of a backend, where the kernel's own generator costs a fifth of the stateless path.
 * splitmix64 (Steele, Lea, Flood, 2014): uniform, and what clients learn of it, the backend they got, is too little to work out a
 * state that does not last. Two programs in turn on one CPU at worst draw the same number.
 */
static __always_inline __u32 random_u32(void)
{
	struct random_state *r = &random_states[bpf_get_smp_processor_id() & (RANDOM_CPUS - 1)];
	__u64 z;

	if (unlikely(!(r->draws++ & (RANDOM_RESEED - 1))))
		r->state ^= ((__u64)bpf_get_prandom_u32() << 32) | bpf_get_prandom_u32();
	z = r->state += 0x9e3779b97f4a7c15ULL;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z >> 32;
}

#endif /* WEFT_RANDOM_H */
