/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_AFFINITY_H
#define WEFT_AFFINITY_H

#include "affinity_maps.h"
#include "service.h"

/* Up to this many slots are searched for a remembered backend. */
#define AFF_SCAN_SLOTS 64

/*
 * A remembered backend counts only while the service may still choose it. Beyond AFF_SCAN_SLOTS slots a backend that is
 * active is taken for a member: one that left a service this large but is still active in another keeps its clients until
 * their affinity times out. A global function, so that the verifier walks the loop once.
 */
__noinline int svc_may_choose(__u32 slot_off, __u32 count, __u32 backend_id)
{
	struct be_val *be = backend_lookup(backend_id);
	__u32 i;

	if (!be)
		return false;
	if (count > AFF_SCAN_SLOTS)
		return be->state == BE_ACTIVE;
	for (i = 0; i < AFF_SCAN_SLOTS; i++) {
		if (i >= count)
			return false;
		if (slot_read(slot_off + i) == backend_id)
			return true;
	}
	return false;
}

/* The backend that this client had, or 0. An entry is over exactly at its timeout. */
static __always_inline __u32 affinity_get(const struct svc_val *svc, const struct aff_key *key, __u32 now)
{
	struct aff_val *aff = bpf_map_lookup_elem(&w_aff4_v1, key);
	__u32 id;

	if (!aff || now - aff->last_s >= svc->affinity_timeout_s)
		return 0;
	id = aff->backend_id;
	if (!svc_may_choose(svc->slot_off, svc->count, id))
		return 0;
	if (aff->last_s != now)
		aff->last_s = now;
	return id;
}

static __always_inline void affinity_set(const struct aff_key *key, __u32 backend_id, __u32 now)
{
	struct aff_val aff = { .last_s = now, .backend_id = backend_id };

	bpf_map_update_elem(&w_aff4_v1, key, &aff, BPF_ANY);
}

#endif /* WEFT_AFFINITY_H */
