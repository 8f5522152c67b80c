/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_FRAG_H
#define WEFT_FRAG_H

#include "frag_maps.h"
#include "packet.h"

/*
 * Ports stand in the first fragment only. The program that translates it notes them for the later ones, which must come
 * behind it and by the same hook: a network that reorders fragments loses datagrams here, by name.
 */
static __always_inline struct frag_key frag_key_of(const struct pkt *p)
{
	struct frag_key key = { .saddr = p->key.saddr, .daddr = p->key.daddr, .id = p->ip_id, .proto = p->key.proto };

	return key;
}

static __always_inline void frag_remember(const struct pkt *p)
{
	struct frag_val ports = { .sport = p->key.sport, .dport = p->key.dport };
	struct frag_key key = frag_key_of(p);

	bpf_map_update_elem(&w_frag4_v1, &key, &ports, BPF_ANY);
}

/* Ports of a later fragment. False: the first one did not come by here. */
static __always_inline bool frag_recall(struct pkt *p)
{
	struct frag_key key = frag_key_of(p);
	struct frag_val *ports = bpf_map_lookup_elem(&w_frag4_v1, &key);

	if (!ports)
		return false;
	p->key.sport = ports->sport;
	p->key.dport = ports->dport;
	return true;
}

#endif /* WEFT_FRAG_H */
