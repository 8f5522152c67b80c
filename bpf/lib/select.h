/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include "affinity.h"
#include "flow_types.h"
#include "hash.h"
#include "random.h"

/* Seed of the packet hash for Maglev: bytes 4 to 7 of the mesh's seed. All nodes must have the same. */
const volatile __u32 cfg_maglev_seed = 0x71dcda46;

static __always_inline __u32 select_random(const struct svc_val *svc)
{
	return slot_read(svc->slot_off + (__u32)(((__u64)random_u32() * svc->count) >> 32));
}

/*
 * The destination address is left out, so that all addresses of a service agree; with affinity the source port is, so that
 * a client finds its backend again on any node.
 */
static __always_inline __u32 select_maglev(const struct svc_val *svc, const struct flow_key *pkt)
{
	__u32 sport = svc->flags & SVC_AFFINITY ? 0 : pkt->sport;
	__u32 hash = jhash_3words(pkt->saddr, ((__u32)pkt->dport << 16) | sport, pkt->proto, cfg_maglev_seed);

	return slot_read(svc->mag_off + hash % svc->mag_m);
}

static __always_inline __u32 select_by_algorithm(const struct svc_val *svc, const struct flow_key *pkt)
{
	if (svc->algorithm == SVC_ALG_MAGLEV && svc->mag_m)
		return select_maglev(svc, pkt);
	return select_random(svc);
}

/* Backend id for a packet of a new flow; 0 when the service has none. */
static __always_inline __u32 select_backend(const struct svc_val *svc, const struct flow_key *pkt, __u32 now)
{
	struct aff_key key;
	__u32 id;

	if (!svc->count)
		return 0;
	if (!(svc->flags & SVC_AFFINITY))
		return select_by_algorithm(svc, pkt);
	key = (struct aff_key){ .client = pkt->saddr, .svc_id = svc->svc_id };
	id = affinity_get(svc, &key, now);
	if (id)
		return id;
	id = select_by_algorithm(svc, pkt);
	if (id)
		affinity_set(&key, id, now);
	return id;
}

/* What select_backend would choose, with nothing written. Rarely needed. */
__noinline int select_peek(const struct svc_val *svc, const struct flow_key *pkt, __u32 now)
{
	struct aff_key key = {};
	struct aff_val *aff;

	if (!svc || !pkt || !svc->count)
		return 0;
	if (svc->flags & SVC_AFFINITY) {
		key.client = pkt->saddr;
		key.svc_id = svc->svc_id;
		aff = bpf_map_lookup_elem(&w_aff4_v1, &key);
		if (aff && now - aff->last_s < svc->affinity_timeout_s &&
		    svc_may_choose(svc->slot_off, svc->count, aff->backend_id))
			return aff->backend_id;
	}
	return select_by_algorithm(svc, pkt);
}

/*
 * Whether the backend of a flow is one that the flow's service, as the packet names it, gives to new connections: asked when a
 * client begins anew on an old tuple. The backend's own state does not tell, for it may be the last hope of another service. A
 * global function, as that is rare.
 */
__noinline int select_stands(const struct flow_key *pkt, __u32 backend_id)
{
	struct svc_val *svc;

	if (!pkt)
		return false;
	svc = svc_lookup(pkt->daddr, pkt->dport, pkt->proto, SVC_SCOPE_EXT);
	return svc && svc_may_choose(svc->slot_off, svc->count, backend_id);
}

/* What select_backend chooses for a packet with which a flow begins. A global function, as that is rare: the verifier walks it once. */
__noinline int select_first(const struct svc_val *svc, const struct flow_key *pkt, __u32 now)
{
	return svc && pkt ? select_backend(svc, pkt, now) : 0;
}

/* The backend that goes with it. NULL: the service has none. `dry`: nothing is written. */
static __always_inline struct be_val *select_for(const struct svc_val *svc, const struct flow_key *pkt, __u32 now, bool dry,
						 __u32 *id)
{
	*id = dry ? select_peek(svc, pkt, now) : select_first(svc, pkt, now);
	return *id ? backend_lookup(*id) : NULL;
}

#endif /* WEFT_SELECT_H */
