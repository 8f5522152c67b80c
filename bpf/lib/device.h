/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_DEVICE_H
#define WEFT_DEVICE_H

#include "ctx.h"
#include "device_maps.h"
#include "endpoint.h"
#include "runtime_maps.h"

#define DEVICE_AF_INET 2

/* The node's own source address towards backends elsewhere and in what it reports; network order. Where w_dev_v1 has none. */
const volatile __be32 cfg_snat_addr = 0;

static __always_inline struct dev_val *device_lookup(__u32 ifindex)
{
	return bpf_map_lookup_elem(&w_dev_v1, &ifindex);
}

/* Whether XDP may send by this device: another one would lose what it is given. */
static __always_inline bool device_takes_xdp(__u32 ifindex)
{
	struct dev_val *dev = device_lookup(ifindex);

	return dev && dev->flags & DEV_XDP;
}

/* The node's address on whatever device it is: no map of devices needs to be asked. 0 where there are several. */
static __always_inline __be32 device_sole_address(void)
{
	__u32 zero = 0;
	struct rt_val *rt = bpf_map_lookup_elem(&w_rt_v1, &zero);

	return rt ? rt->addr : 0;
}

/*
 * The node's address on the device by which the route to `daddr` leaves, for new flows: a known one has it in its entry. With
 * one device nobody asks for the route.
 */
__noinline __u32 device_source(ctx_t *ctx, __u32 daddr)
{
	struct bpf_fib_lookup fib = { .family = DEVICE_AF_INET, .ipv4_dst = daddr };
	__u32 addr = device_sole_address();
	struct dev_val *all, *dev;
	long err;

	if (addr)
		return addr;
	all = device_lookup(DEV_ALL);
	if (!all || !all->addr)
		return cfg_snat_addr;
	addr = all->addr;
	if (!(all->flags & DEV_SEVERAL))
		return addr;
	fib.ifindex = ctx_ingress(ctx);
	err = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (err != BPF_FIB_LKUP_RET_SUCCESS && err != BPF_FIB_LKUP_RET_NO_NEIGH && err != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return addr;
	dev = device_lookup(fib.ifindex);
	return dev && dev->addr ? dev->addr : addr;
}

/* An address of the node itself, on whatever device. */
static __always_inline bool device_is_own(__be32 addr)
{
	return addr == cfg_snat_addr || ep_is_host(addr);
}

/* The node's address on a device. */
static __always_inline __be32 device_address(__u32 ifindex)
{
	__be32 addr = device_sole_address();
	struct dev_val *dev;

	if (likely(addr))
		return addr;
	dev = device_lookup(ifindex);
	if (!dev || !dev->addr)
		dev = device_lookup(DEV_ALL);
	return dev && dev->addr ? dev->addr : cfg_snat_addr;
}

#endif /* WEFT_DEVICE_H */
