/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_SERVICE_H
#define WEFT_SERVICE_H

#include "service_maps.h"

static __always_inline struct svc_val *svc_lookup(__be32 vip, __be16 port, __u8 proto, enum svc_scope scope)
{
	/*
	 * struct svc_key in the widest words that the kernel reads it by, and padding: a word put together from stored pieces must
	 * wait for the stores. Little-endian.
	 */
	__u64 key[] = { vip | (__u64)(port | (__u32)proto << 16 | (__u32)scope << 24) << 32, 0 };

	_Static_assert(sizeof(key) >= sizeof(struct svc_key), "words of the key");
	return bpf_map_lookup_elem(&w_svc4_v1, key);
}

/* From a frontend as the world sees it to the view for inside, where the two differ. */
static __always_inline struct svc_val *svc_inside(struct svc_val *svc, __be32 vip, __be16 port, __u8 proto)
{
	struct svc_val *in;

	if (!(svc->flags & SVC_TWO_SCOPES))
		return svc;
	in = svc_lookup(vip, port, proto, SVC_SCOPE_INT);
	return in ?: svc;
}

/* The address is kept for services: nothing else on it is answered or routed. */
static __always_inline bool svc_is_wildcard_drop(__be32 vip)
{
	struct svc_val *svc = svc_lookup(vip, 0, 0, SVC_SCOPE_EXT);

	return svc && svc->flags & SVC_WILDCARD_DROP;
}

static __always_inline struct be_val *backend_lookup(__u32 id)
{
	struct be_val *be = bpf_map_lookup_elem(&w_be4_v1, &id);

	return be && be->addr ? be : NULL;
}

/* Backend id in a cell of the slot array; 0 when there is none. */
static __always_inline __u32 slot_read(__u32 index)
{
	__u32 *id = bpf_map_lookup_elem(&w_slot_v1, &index);

	return id ? *id : 0;
}

#endif /* WEFT_SERVICE_H */
