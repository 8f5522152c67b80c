/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_FLOW_CREATE_H
#define WEFT_FLOW_CREATE_H

#include <linux/errno.h>

#include "flow.h"
#include "forward.h"
#include "hash.h"
#include "service.h"

/* Source ports for them, host order, both ends included, at least two. Disjoint from the NodePort range. */
const volatile __u16 cfg_snat_port_min = 32768;
const volatile __u16 cfg_snat_port_max = 65535;
/* Makes the port that is tried first unpredictable from outside; one random number per node. */
const volatile __u32 cfg_snat_secret = 0;

#define SNAT_TRIES 32

/* Take over an entry whose flow is over. One CPU wins: the others see the new expiry and keep off. */
static __always_inline bool flow_take_over(struct flow_val *old, bool closing_too, __u32 now)
{
	__u32 expires = old->expires_s;

	if (expires > now && !(closing_too && flow_is_closing(old->flags)))
		return false;
	return __sync_val_compare_and_swap(&old->expires_s, expires, now + cfg_tcp_syn_s + 1) == expires;
}

/*
 * Whether packets with this tuple are a socket's of this node: an entry would take its answers away. Asked once for each
 * new flow and not for each answer, which is why sockets must not get such a port later (see the agent's sysctls). Also
 * true for a port on which the node listens.
 */
static __always_inline bool flow_meets_socket(ctx_t *ctx, const struct flow_key *answer)
{
	/* A key begins with what a tuple is. No copy: the stack is full (see flow_claim). */
	struct bpf_sock_tuple *tuple = (void *)answer;
	struct bpf_sock *sk;

	if (answer->proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(ctx, tuple, sizeof(tuple->ipv4), BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(ctx, tuple, sizeof(tuple->ipv4), BPF_F_CURRENT_NETNS, 0);
	if (sk)
		bpf_sk_release(sk);
	return sk;
}

/* Where the search for a port begins, counted from the first of the range. */
static __always_inline __u32 flow_first_offset(const struct flow_key *key, const struct flow_key *client, __u32 range)
{
	__u16 sport = bpf_ntohs(client->sport);

	if (sport >= cfg_snat_port_min && sport <= cfg_snat_port_max)
		return sport - cfg_snat_port_min;
	return jhash_3words(client->saddr ^ client->daddr, key->saddr ^ key->sport,
			    ((__u32)client->dport << 16) | client->sport, cfg_snat_secret) %
	       range;
}

/* The port that a new flow gets if it is free: of the answer's key all but the port is known. */
static __always_inline __be16 flow_first_port(const struct flow_key *key, const struct flow_key *client)
{
	__u32 range = cfg_snat_port_max - cfg_snat_port_min + 1;

	if (key->daddr == client->saddr)
		return client->sport;
	return bpf_htons(cfg_snat_port_min + flow_first_offset(key, client, range));
}

/*
 * Insert an entry under a key that no other flow's entry has, whichever table it is in; what is left of this flow, or of one
 * that is over, gives way. First the insert, then the look at the other table: of two that do so at once, both may see the
 * other and step back, but not neither. -EEXIST: the key is another flow's.
 */
static __always_inline int flow_claim_key(const struct flow_key *key, const struct flow_val *flow,
					  const struct flow_key *twin, bool closing_too, __u32 now)
{
	long err = flow_insert(key, flow, BPF_NOEXIST);
	struct flow_val *old;

	if (err && err != -EEXIST)
		return -DROP_FLOW_CREATE_FAILED;
	old = flow_lookup_in(key, flow, !err);
	if (!err && likely(!old))
		return 0;
	/* Ours from before, or from another CPU a moment ago; or nobody's any more. */
	if (old && (flow_is_twin(old, twin) || flow_take_over(old, closing_too, now)))
		return flow_replace(key, flow) ? -DROP_FLOW_CREATE_FAILED : 0;
	if (!err)
		flow_delete_from(key, flow->flags & FLOW_ESTABLISHED);
	return -EEXIST;
}

/*
 * Insert the reverse entry under key->dport, if no other flow and no socket has it: -EEXIST. A global function, so that the verifier
 * walks it once and not in each round of the search. The copies are for 6.1, which takes no such argument for a map key
 * ("type=mem expected=fp").
 */
__noinline int flow_claim_port(ctx_t *ctx, const struct flow_key *key, const struct flow_val *rev,
			       const struct flow_key *client, __u32 now)
{
	struct flow_key answer;
	struct flow_val val;
	bool own_addr;

	if (!key || !rev || !client)
		return -DROP_FLOW_CREATE_FAILED;
	answer = *key;
	val = *rev;
	own_addr = answer.daddr == client->saddr;
	if (!own_addr && flow_meets_socket(ctx, &answer))
		return -EEXIST;
	flow_rw_set(&val.rw, &answer, client->daddr, client->saddr, client->dport, client->sport);
	return flow_claim_key(&answer, &val, client, own_addr && answer.dport == client->sport, now);
}

/*
 * Find the port under which the backend answers this flow alone, by inserting the reverse entry where none is: that is
 * what makes it unique per backend address and port. key->dport is the answer. The client's port is kept if possible: on
 * the client's own address any will do, on ours it must lie in the range. A global function, as it is rarely needed.
 */
__noinline int flow_claim(ctx_t *ctx, struct flow_key *key, const struct flow_val *rev, const struct flow_key *client,
			  __u32 now)
{
	__u32 range = cfg_snat_port_max - cfg_snat_port_min + 1;
	__u32 offset, step = 0, i;
	int err;

	if (!key || !rev || !client)
		return -DROP_FLOW_CREATE_FAILED;
	offset = flow_first_offset(key, client, range);
	key->dport = key->daddr == client->saddr ? client->sport : bpf_htons(cfg_snat_port_min + offset);

	for (i = 0; i < SNAT_TRIES; i++) {
		err = flow_claim_port(ctx, key, rev, client, now);
		if (err != -EEXIST)
			return err;
		/* Odd where the range is even: with a power of two every port comes up before one comes again. */
		if (!step)
			step = (1 + bpf_get_prandom_u32() % (range - 1)) | !(range & 1);
		offset = (offset + step) % range;
		key->dport = bpf_htons(cfg_snat_port_min + offset);
	}
	return -DROP_NAT_NO_MAPPING;
}

/*
 * Both entries of a new flow. *answer is the reverse one's key but for the port, *flow whose it is; *rw becomes what to do with
 * this packet. `replace`: an old entry has this key. The reverse one comes first, so that no packet leaves whose answer would
 * not be known.
 */
static __always_inline int flow_create_pair(ctx_t *ctx, const struct flow_key *key, __u8 tcp_flags, struct flow_key *answer,
					    struct flow_val *flow, __u32 flags, bool replace, __u32 now,
					    struct flow_rw *rw)
{
	struct flow_val *other;
	int err;

	if (key->proto == IPPROTO_TCP)
		flags = flow_tcp_next(flags, tcp_flags);
	flow->last_s = now;
	flow->created_s = now;
	flow->expires_s = now + flow_lifetime(flags, key->proto);

	flow->flags = flow_twin_flags(flags);
	err = flow_claim(ctx, answer, flow, key, now);
	if (err)
		return err;

	flow->flags = flags;
	flow_rw_set(&flow->rw, key, answer->daddr, answer->saddr, answer->dport, answer->sport);
	*rw = flow->rw;
	err = replace ? flow_replace(key, flow) : flow_insert(key, flow, BPF_NOEXIST);
	if (!err)
		return 0;

	/* Another CPU made this flow at the same moment: go with its choice. */
	other = err == -EEXIST ? flow_lookup(key) : NULL;
	if (other && other->rw.daddr == rw->daddr && other->rw.dport == rw->dport && other->rw.sport == rw->sport)
		return 0;
	flow_delete(answer);
	if (!other)
		return -DROP_FLOW_CREATE_FAILED;
	*rw = other->rw;
	return 0;
}

/* A flow from outside to a service's backend. */
static __always_inline int flow_create(ctx_t *ctx, const struct pkt *p, __u32 svc_id, __u32 backend_id,
				       const struct be_val *be, bool local, bool replace, __u32 now,
				       struct flow_rw *rw)
{
	struct flow_key answer = { .saddr = be->addr, .sport = be->port, .proto = p->key.proto };
	struct flow_val flow = { .svc_id = svc_id, .backend_id = backend_id };

	answer.daddr = local ? p->key.saddr : device_source(ctx, be->addr);
	if (!answer.daddr)
		return -DROP_NAT_NO_MAPPING;
	return flow_create_pair(ctx, &p->key, p->tcp_flags, &answer, &flow, local ? FLOW_LOCAL : FLOW_SNAT, replace, now, rw);
}

#endif /* WEFT_FLOW_CREATE_H */
