/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_ICMP_SEND_H
#define WEFT_ICMP_SEND_H

#include "clock.h"
#include "forward.h"

/* Errors that each CPU may send per second (RFC 1812, 4.3.2.8): a flood must not be answered with a flood. */
const volatile __u32 cfg_icmp_per_s = 1000;

#define ICMP_SEND_TTL 64
/* Bytes in front of the quote. */
#define ICMP_SEND_HEADERS (sizeof(struct iphdr) + sizeof(struct icmp_hdr))

/* More CPUs than this share an allowance. A line of its own for each. */
#define ICMP_SEND_CPUS 256

struct icmp_rate {
	__u32 second;
	__u32 sent;
	__u8 pad[56];
} __attribute__((aligned(64)));

struct icmp_rate icmp_rates[ICMP_SEND_CPUS];

static __always_inline bool icmp_may_send(void)
{
	struct icmp_rate *rate = &icmp_rates[bpf_get_smp_processor_id() & (ICMP_SEND_CPUS - 1)];
	__u32 now = clock_s();

	if (rate->second != now) {
		rate->second = now;
		rate->sent = 0;
	}
	return rate->sent++ < cfg_icmp_per_s;
}

/* Never about an error, nor about a part of a datagram that is not its first, nor to whom cannot be answered (RFC 1122, 3.2.2). */
static __always_inline bool icmp_may_answer(const struct pkt *p)
{
	__u8 first = p->key.saddr & 0xff;

	if (p->kind != PKT_WHOLE || (p->key.proto != IPPROTO_TCP && p->key.proto != IPPROTO_UDP))
		return false;
	return first != 0 && first != 127 && first < 224;
}

/*
 * The checksum of what is quoted, as a fixed point. A device may still finish it (CHECKSUM_PARTIAL): it adds up the quoted
 * header, this field included, and stores the complement. With sum + 2 * field = 0 it stores what is there already, so that
 * the ICMP checksum over it stays true. Nobody reads the field: of the packet that it covered, most is cut off.
 */
static __always_inline __u16 icmp_quoted_check(__u16 sum)
{
	/* -sum / 2, modulo 65535. 0 is no choice: UDP devices store it as 0xffff. */
	__u16 check = (((__u32)(__u16)~sum) * 32768) % 65535;

	return check ? check : 0xffff;
}

/* Sum of the quoted transport header without its checksum, and with it. */
static __always_inline bool icmp_sum_quote(ctx_t *ctx, __u32 off, bool tcp, __u32 *sum, __u16 *check)
{
	__u32 words = tcp ? sizeof(struct tcphdr) / 2 : sizeof(struct udphdr) / 2, i;
	__u16 *word = ctx_data(ctx) + off;
	__u32 at = tcp ? 8 : 3;

	*sum = 0;
	for (i = 0; i < sizeof(struct tcphdr) / 2; i++) {
		if (i >= words)
			break;
		if ((void *)(word + i + 1) > ctx_data_end(ctx))
			return false;
		if (i == at)
			*check = word[i];
		else
			*sum += word[i];
	}
	return true;
}

#ifdef WEFT_XDP

static __always_inline int icmp_make_room(ctx_t *ctx, __u32 quote_end)
{
	struct ethhdr *eth, old;

	if (bpf_xdp_adjust_tail(ctx, (int)quote_end - (int)ctx_len(ctx)))
		return -1;
	eth = ctx_data(ctx);
	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return -1;
	old = *eth;
	if (bpf_xdp_adjust_head(ctx, -(int)ICMP_SEND_HEADERS))
		return -1;
	eth = ctx_data(ctx);
	if ((void *)(eth + 1) > ctx_data_end(ctx))
		return -1;
	*eth = old;
	return 0;
}

static __always_inline void icmp_note_sum(ctx_t *ctx, __u16 quoted)
{
}

/* To the sender, which may be the node itself. */
static __always_inline int icmp_back(ctx_t *ctx, const struct pkt *p)
{
	return forward_by(ctx, ctx_ifindex(ctx));
}

#else

static __always_inline int icmp_make_room(ctx_t *ctx, __u32 quote_end)
{
	if (bpf_skb_change_tail(ctx, quote_end, 0))
		return -1;
	return bpf_skb_adjust_room(ctx, ICMP_SEND_HEADERS, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_NO_CSUM_RESET);
}

/* skb->csum, if there is one, still counts what is quoted: IP header and ICMP message come to 0 in sum. */
static __always_inline void icmp_note_sum(ctx_t *ctx, __u16 quoted)
{
	bpf_csum_update(ctx, (__u16)~quoted);
}

static __always_inline int icmp_back(ctx_t *ctx, const struct pkt *p)
{
	return p->say_inward ? bpf_redirect(ctx_ifindex(ctx), BPF_F_INGRESS) : forward_by(ctx, ctx_ifindex(ctx));
}

#endif

static __always_inline int icmp_write(ctx_t *ctx, const struct pkt *p, __u16 quoted_sum)
{
	struct ethhdr *eth = ctx_data(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct icmp_hdr *icmp = (void *)(ip + 1);
	__u32 length = ctx_len(ctx) - sizeof(*eth), sum;

	if ((void *)(icmp + 1) > ctx_data_end(ctx))
		return -1;
	pkt_turn_frame(eth);

	*(__be16 *)ip = bpf_htons(0x45c0);
	ip->tot_len = bpf_htons(length);
	ip->id = 0;
	ip->frag_off = 0;
	*(__be16 *)&ip->ttl = bpf_htons(ICMP_SEND_TTL << 8 | IPPROTO_ICMP);
	ip->saddr = p->say_from;
	ip->daddr = p->key.saddr;
	sum = bpf_htons(0x45c0) + bpf_htons(length) + bpf_htons(ICMP_SEND_TTL << 8 | IPPROTO_ICMP);
	ip->check = (__u16)~csum_fold(sum + csum_plus32(p->say_from) + csum_plus32(p->key.saddr));

	*(__be16 *)icmp = bpf_htons(p->say);
	icmp->id = 0;
	icmp->mtu = bpf_htons(p->say_mtu);
	icmp->check = (__u16)~csum_fold((__u32)bpf_htons(p->say) + bpf_htons(p->say_mtu) + quoted_sum);
	return 0;
}

/*
 * Turn a packet that is not forwarded into the error that its sender gets, back by the device it came by. The verdict; the
 * packet is dropped where there is nothing to say or nobody to say it to.
 */
__noinline int icmp_send(ctx_t *ctx, const struct pkt *p)
{
	__u32 l4, l4_len, sum;
	__u16 old = 0, check, *field;
	bool tcp;

	if (!p || !p->say || !icmp_may_answer(p) || !icmp_may_send())
		return CTX_DROP;
	tcp = p->key.proto == IPPROTO_TCP;
	l4_len = tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	l4 = pkt_l4_off(p);
	if (!icmp_sum_quote(ctx, l4, tcp, &sum, &old))
		return CTX_DROP;
	check = icmp_quoted_check(csum_fold(sum));
	field = ctx_data(ctx) + l4 + (tcp ? __builtin_offsetof(struct tcphdr, check) : __builtin_offsetof(struct udphdr, check));
	if ((void *)(field + 1) > ctx_data_end(ctx))
		return CTX_DROP;
	*field = check;
	/* From here on what is left of the packet is of no use but for this. */
	if (icmp_make_room(ctx, l4 + l4_len) || icmp_write(ctx, p, csum_fold(sum + check)))
		return CTX_DROP;
	icmp_note_sum(ctx, csum_fold(sum + old));
	ctx_mark_done(ctx);
	return icmp_back(ctx, p);
}

#endif /* WEFT_ICMP_SEND_H */
