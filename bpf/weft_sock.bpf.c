/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Hooks on the cgroup of all processes of a node: services for TCP and UDP sockets. */
#include "lib/socket.h"

SEC("cgroup/connect4")
int weft_connect4(struct bpf_sock_addr *ctx)
{
	return sock_translate(ctx);
}

SEC("cgroup/sendmsg4")
int weft_sendmsg4(struct bpf_sock_addr *ctx)
{
	return sock_translate(ctx);
}

SEC("cgroup/recvmsg4")
int weft_recvmsg4(struct bpf_sock_addr *ctx)
{
	return sock_untranslate(ctx);
}

SEC("cgroup/getpeername4")
int weft_getpeername4(struct bpf_sock_addr *ctx)
{
	return sock_untranslate(ctx);
}

SEC("cgroup/sock_release")
int weft_release(struct bpf_sock *sk)
{
	return sock_forget(sk);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
