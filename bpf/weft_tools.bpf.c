/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the agent has the kernel do, on call: attached to nothing. */
#include "lib/purge.h"

SEC("syscall")
int weft_purge_flows(struct purge_run *run)
{
	return purge_flows(run);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
