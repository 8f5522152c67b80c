/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A Cilium node with DSR over Geneve: its own programs, compiled from its published sources, on a geneve device of the kernel.
 * Ours is only what its agent and its loader would do: settings, tail calls, and what stands in the maps. At
 *
 *   ingress of the geneve device   cil_from_overlay: the backend's node reads the tunnel and remembers the service
 *   egress of the uplink           cil_to_overlay: answers get the service's address (as bpf_host's program by the same code)
 *   ingress of the uplink          cilium_from_netdev: the node that was asked chooses a backend and encapsulates
 */
#include <bpf/ctx/skb.h>
#include <bpf/api.h>

#define ENABLE_IPV4 1
#define ENABLE_NODEPORT 1
#define ENABLE_SERVICE_PROTOCOL_DIFFERENTIATION 1
#define ENABLE_DSR 1
#define DSR_ENCAP_IPIP 2
#define DSR_ENCAP_GENEVE 3
#define DSR_ENCAP_MODE DSR_ENCAP_GENEVE
#define HAVE_ENCAP 1
#define TUNNEL_PROTOCOL 2
#define SKIP_DEBUG 1
/* The device is made with this index. */
#define ENCAP_IFINDEX 77

/* libbpf knows neither this way of pinning nor sections behind a slash, and static programs are for Cilium's loader alone. */
#undef CILIUM_PIN_REPLACE
#define CILIUM_PIN_REPLACE 0
#undef __section_entry
#define __section_entry __section("tc")
#include "lib/tailcall.h"
#undef __declare_tail
#define __declare_tail(index) __attribute__((section("tc")))

#include "bpf_overlay.c"
#include "tests/lib/lb.h"

/* What Cilium's loader reads from its own annotations. */
typeof(cilium_calls) cilium_calls __section_maps_btf = {
	.values = {
		[CILIUM_CALL_IPV4_FROM_OVERLAY] = (void *)&tail_handle_ipv4,
		[CILIUM_CALL_IPV4_NODEPORT_DSR] = (void *)&tail_nodeport_ipv4_dsr,
	},
};

/* The test writes these bytes behind an Ethernet header: network order. */
struct setup {
	__be32 service;
	__be32 backend;
	/* The node that the backend is on. */
	__be32 node;
	__be16 service_port;
	__be16 backend_port;
};

/* Run once, as a test run: a service of TCP and UDP with one backend on another node. */
__section_entry
int cilium_setup(struct __ctx_buff *ctx)
{
	struct ipcache_key key = {
		.lpm_key.prefixlen = IPCACHE_PREFIX_LEN(V4_CACHE_KEY_LEN),
		.family = ENDPOINT_KEY_IPV4,
	};
	struct remote_endpoint_info pod = { .sec_identity = 4242 };
	struct setup s = {};

	if (ctx_load_bytes(ctx, ETH_HLEN, &s, sizeof(s)) < 0)
		return CTX_ACT_DROP;
	lb_v4_add_service(s.service, s.service_port, IPPROTO_TCP, 1, 1);
	lb_v4_add_backend(s.service, s.service_port, 1, 1, s.backend, s.backend_port, IPPROTO_TCP, 0);
	lb_v4_add_service(s.service, s.service_port, IPPROTO_UDP, 1, 2);
	lb_v4_add_backend(s.service, s.service_port, 1, 2, s.backend, s.backend_port, IPPROTO_UDP, 0);
	key.ip4 = s.backend;
	pod.tunnel_endpoint.ip4 = s.node;
	pod.flag_has_tunnel_ep = true;
	map_update_elem(&cilium_ipcache_v2, &key, &pod, BPF_ANY);
	return CTX_ACT_OK;
}

/* What bpf_host does with packets that come in, as far as services go. */
__section_entry
int cilium_from_netdev(struct __ctx_buff *ctx)
{
	bool punt = false, dsr = false;
	void *data, *data_end;
	struct iphdr *ip4;
	__s8 ext_err = 0;
	__be16 proto;
	int ret;

	bpf_clear_meta(ctx);
	if (!validate_ethertype(ctx, &proto) || proto != bpf_htons(ETH_P_IP))
		return CTX_ACT_OK;
	if (!revalidate_data_pull(ctx, &data, &data_end, &ip4))
		return CTX_ACT_DROP;
	ret = nodeport_lb4(ctx, ip4, ETH_HLEN, WORLD_IPV4_ID, &punt, &ext_err, &dsr);
	if (ret == DROP_MISSED_TAIL_CALL)
		return CTX_ACT_OK;
	return IS_ERR(ret) ? CTX_ACT_DROP : ret;
}
