/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_CTX_H
#define WEFT_CTX_H

/*
 * What differs between tc and XDP, and nothing else. An entry file defines WEFT_XDP before its includes, or not.
 * Packet pointers do not survive ctx_pull and ctx_fix_l4_csum: read them again.
 */
#include <linux/pkt_cls.h>

#include "common.h"
#include "csum.h"

#ifdef WEFT_XDP
typedef struct xdp_md ctx_t;
#define CTX_PASS XDP_PASS
#define CTX_DROP XDP_DROP
#else
typedef struct __sk_buff ctx_t;
#define CTX_PASS TC_ACT_OK
#define CTX_DROP TC_ACT_SHOT
#endif

/* XDP leaves this packet to the program at tc, as it came: not counted here. */
#define CTX_LEAVE 0x100

/* What XDP writes in front of a packet for tc: it has its final addresses. */
#define NOTE_DONE 0x77656674

/* Whether there may be such notes. */
const volatile bool cfg_xdp = false;

/* In skb->mark: this packet has its final addresses. Survives from the program that rewrote it to the device's egress. */
#define MARK_MASK 0x0f00
#define MARK_DONE 0x0300

/*
 * The context fields are 32 bits wide in name and pointers in fact. Loaded in C, clang 19 may widen the value once more
 * (w3 = w3), and the verifier then takes it for a number (6.18: "R3=scalar" where pkt_end is meant).
 */
#define ctx_pointer(ctx, field)                                                                                        \
	({                                                                                                             \
		void *ptr_;                                                                                            \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                                                  \
			     : "=r"(ptr_)                                                                              \
			     : "r"(ctx), "i"(__builtin_offsetof(ctx_t, field)));                                       \
		ptr_;                                                                                                  \
	})

/* The device that the packet came by. In C the compiler may move the field's address about, and the verifier refuses that. */
static __always_inline __u32 ctx_ingress(const ctx_t *ctx)
{
	__u32 ifindex;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(ifindex)
		     : "r"(ctx), "i"(__builtin_offsetof(ctx_t, ingress_ifindex)));
	return ifindex;
}

static __always_inline void *ctx_data(const ctx_t *ctx)
{
	return ctx_pointer(ctx, data);
}

static __always_inline void *ctx_data_end(const ctx_t *ctx)
{
	return ctx_pointer(ctx, data_end);
}

#ifdef WEFT_XDP

static __always_inline __u32 ctx_len(const ctx_t *ctx)
{
	return ctx_data_end(ctx) - ctx_data(ctx);
}

static __always_inline __u32 ctx_segment(const ctx_t *ctx)
{
	return 0;
}

static __always_inline __u32 ctx_ifindex(const ctx_t *ctx)
{
	return ctx_ingress(ctx);
}

/* Frames for other stations do not get past the driver, but those for several do: the stack forwards none of them either. */
static __always_inline bool ctx_is_for_us(const ctx_t *ctx)
{
	__u8 *eth = ctx_data(ctx);

	return (void *)(eth + 1) <= ctx_data_end(ctx) && !(*eth & 1);
}

static __always_inline bool ctx_pull(ctx_t *ctx, __u32 len)
{
	return false;
}

/* The whole frame is here and no device finishes a checksum: plain arithmetic. */
static __always_inline int ctx_fix_l4_csum(ctx_t *ctx, __u32 off, bool udp, __u16 old, __u16 addr_diff, __u16 port_diff)
{
	__u16 *check = ctx_data(ctx) + off;
	__u16 sum = csum_apply(old, (__u32)addr_diff + port_diff);

	if ((void *)(check + 1) > ctx_data_end(ctx))
		return -1;
	*check = udp && !sum ? 0xffff : sum;
	return 0;
}

static __always_inline void ctx_note_unchecked(ctx_t *ctx, __u16 port_diff)
{
}

/* False where the driver has no room for it: tc would then translate what is translated already. */
static __always_inline bool ctx_note_done(ctx_t *ctx)
{
	__u32 *note;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*note)))
		return false;
	note = ctx_pointer(ctx, data_meta);
	if ((void *)(note + 1) > ctx_data(ctx))
		return false;
	*note = NOTE_DONE;
	return true;
}

static __always_inline void ctx_mark_done(ctx_t *ctx)
{
}

static __always_inline bool ctx_is_done(const ctx_t *ctx)
{
	return false;
}

#else

static __always_inline __u32 ctx_len(const ctx_t *ctx)
{
	return ctx->len;
}

/* Payload of each of the segments that the kernel has merged into this packet; 0: none were. */
static __always_inline __u32 ctx_segment(const ctx_t *ctx)
{
	return ctx->gso_size;
}

static __always_inline __u32 ctx_ifindex(const ctx_t *ctx)
{
	return ctx->ifindex;
}

/* Its VLAN's device has a program of its own, or is none of ours. */
static __always_inline bool ctx_is_tagged(const ctx_t *ctx)
{
	return ctx->vlan_present;
}

/* XDP has been here. */
static __always_inline bool ctx_has_note(const ctx_t *ctx)
{
	__u32 *note = ctx_pointer(ctx, data_meta);

	return (void *)(note + 1) <= ctx_data(ctx) && *note == NOTE_DONE;
}

/* A flooding switch shows frames for other stations; translating those would forward packets twice. */
static __always_inline bool ctx_is_for_us(const ctx_t *ctx)
{
	return ctx->pkt_type == 0 && !ctx_is_tagged(ctx) && !(cfg_xdp && ctx_has_note(ctx));
}

/* Make the first `len` bytes readable. */
static __always_inline bool ctx_pull(ctx_t *ctx, __u32 len)
{
	return ctx->len >= len && bpf_skb_pull_data(ctx, len) == 0;
}

/*
 * A field that a device or the peer's stack still has to finish (CHECKSUM_PARTIAL) holds the pseudo-header only: it takes
 * the address difference, and by another formula, but not the ports. A program cannot ask which kind it has, but the
 * helper's result tells: as long as the addresses differ, the two formulas cannot agree. The helper also keeps skb->csum
 * right (CHECKSUM_COMPLETE), which depends on the addresses alone. When they do not, only ports change.
 */
static __always_inline int ctx_fix_l4_csum(ctx_t *ctx, __u32 off, bool udp, __u16 old, __u16 addr_diff, __u16 port_diff)
{
	bool telling = !csum_same(addr_diff, 0);
	__u64 zero = udp ? BPF_F_MARK_MANGLED_0 : 0;
	__u16 *check;
	__u16 sum;

	if (!telling)
		return bpf_l4_csum_replace(ctx, off, 0, port_diff, zero);
	if (bpf_l4_csum_replace(ctx, off, 0, addr_diff, BPF_F_PSEUDO_HDR | zero))
		return -1;

	check = ctx_data(ctx) + off;
	if ((void *)(check + 1) > ctx_data_end(ctx))
		return -1;
	if (!csum_same(*check, csum_apply(old, addr_diff)))
		return 0;
	sum = csum_apply(*check, port_diff);
	*check = udp && !sum ? 0xffff : sum;
	return 0;
}

/* Ports change and no field of the packet makes up for it: skb->csum must know, if there is one. */
static __always_inline void ctx_note_unchecked(ctx_t *ctx, __u16 port_diff)
{
	bpf_csum_update(ctx, port_diff);
}

/* Nothing looks at it again on the way in. */
static __always_inline bool ctx_note_done(ctx_t *ctx)
{
	return true;
}

static __always_inline void ctx_mark_done(ctx_t *ctx)
{
	ctx->mark = (ctx->mark & ~MARK_MASK) | MARK_DONE;
}

static __always_inline bool ctx_is_done(const ctx_t *ctx)
{
	return (ctx->mark & MARK_MASK) == MARK_DONE;
}

#endif

#endif /* WEFT_CTX_H */
