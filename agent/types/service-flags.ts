/**
 * Bits of a service entry's flags, as `desired/` sets them. maps/ generates the same table from the built object's BTF and
 * asserts that both agree, so the datapath and this file cannot drift apart.
 */
export const SERVICE_FLAGS = {
  EXT_IP: 1 << 0,
  NODEPORT: 1 << 1,
  LB: 1 << 2,
  HOSTPORT: 1 << 3,
  HOSTPORT_LOOPBACK: 1 << 4,
  /** Answered for traffic from outside. Off for cluster IPs and for the 0.0.0.0 surrogate of a node port. */
  ROUTABLE: 1 << 5,
  AFFINITY: 1 << 6,
  SRC_CHECK: 1 << 7,
  SRC_DENY: 1 << 8,
  ETP_LOCAL: 1 << 9,
  ITP_LOCAL: 1 << 10,
  /** An entry of the other scope exists too: inside clients look there first. */
  TWO_SCOPES: 1 << 11,
  WILDCARD_DROP: 1 << 13,
  CLUSTER_IP: 1 << 14,
} as const
