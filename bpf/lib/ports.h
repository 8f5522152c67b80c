/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_PORTS_H
#define WEFT_PORTS_H

/*
 * Most of what a node sends and gets itself belongs to no flow, and to find that out takes up to three look-ups for each packet, in
 * tables that no cache holds. So it is noted which of the node's ports any flow has had: none has a packet of another one.
 */
#include <bpf/bpf_endian.h>

#include "device.h"
#include "flow_types.h"
#include "ports_maps.h"

static __always_inline struct ports_val *ports(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&w_ports_v1, &zero);
}

static __always_inline __u64 *ports_word(struct ports_val *ports, __be16 port)
{
	return &ports->had[(bpf_ntohs(port) / 64) & (65536 / 64 - 1)];
}

static __always_inline __u64 ports_bit(__be16 port)
{
	return 1ULL << (bpf_ntohs(port) % 64);
}

static __always_inline void ports_note(struct ports_val *ports, __be16 port)
{
	__u64 *word = ports_word(ports, port), bit = ports_bit(port);

	if (!(*word & bit))
		__sync_fetch_and_or(word, bit);
}

/*
 * Before there is an entry with this key, in whatever table. The first address of the node that a program makes a flow with is
 * the one that all of them note, for good.
 */
static __always_inline void ports_note_flow(const struct flow_key *key)
{
	struct ports_val *all = ports();

	if (!all)
		return;
	if (unlikely(!all->addr))
		__sync_val_compare_and_swap(&all->addr, 0, cfg_snat_addr);
	if (key->saddr == all->addr)
		ports_note(all, key->sport);
	if (key->daddr == all->addr)
		ports_note(all, key->dport);
}

/* That there is an entry with this key. Writes nothing: it may be a dry run. */
static __always_inline bool ports_exclude(const struct flow_key *key)
{
	struct ports_val *all = ports();
	__be32 addr;

	if (!all)
		return false;
	addr = all->addr ?: cfg_snat_addr;
	if (key->daddr == addr)
		return !(*ports_word(all, key->dport) & ports_bit(key->dport));
	return key->saddr == addr && !(*ports_word(all, key->sport) & ports_bit(key->sport));
}

#endif /* WEFT_PORTS_H */
