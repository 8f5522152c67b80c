/* Generated from the BTF of the built objects by `make -C bpf layout`. Do not edit. */

/** struct aff_key: bytes in all, and where each field starts. */
export const AffKey = {
  size: 16,
  client: 0,
  svcId: 8,
  isNetns: 12,
  zero: 13,
} as const

/** struct aff_val: bytes in all, and where each field starts. */
export const AffVal = {
  size: 8,
  lastS: 0,
  backendId: 4,
} as const

/** struct be_val: bytes in all, and where each field starts. */
export const BeVal = {
  size: 16,
  addr: 0,
  port: 4,
  proto: 6,
  state: 7,
  clusterId: 8,
  zone: 10,
  flags: 11,
  nodeIp: 12,
} as const

/** struct dev_val: bytes in all, and where each field starts. */
export const DevVal = {
  size: 8,
  addr: 0,
  flags: 4,
} as const

/** struct dry_run: bytes in all, and where each field starts. */
export const DryRun = {
  size: 24,
  magic: 0,
  words: 4,
} as const

/** struct ep_key: bytes in all, and where each field starts. */
export const EpKey = {
  size: 20,
  addr: 0,
  family: 16,
  key: 17,
  clusterId: 18,
} as const

/** struct ep_val: bytes in all, and where each field starts. */
export const EpVal = {
  size: 32,
  ifindex: 0,
  identity: 4,
  epId: 8,
  flags: 10,
  parentIfindex: 12,
  mac: 16,
  zero0: 22,
  nodeMac: 24,
  zero1: 30,
} as const

/** struct event: bytes in all, and where each field starts. */
export const Event = {
  size: 48,
  type: 0,
  reason: 1,
  dir: 2,
  proto: 3,
  ifindex: 4,
  tsNs: 8,
  saddr: 16,
  daddr: 20,
  sport: 24,
  dport: 26,
  len: 28,
  newSaddr: 32,
  newDaddr: 36,
  newSport: 40,
  newDport: 42,
  tcpFlags: 44,
  point: 45,
  answer: 46,
  zero: 47,
} as const

/** struct flow_key: bytes in all, and where each field starts. */
export const FlowKey = {
  size: 16,
  saddr: 0,
  daddr: 4,
  sport: 8,
  dport: 10,
  proto: 12,
  zero: 13,
} as const

/** struct flow_val: bytes in all, and where each field starts. */
export const FlowVal = {
  size: 40,
  rwSaddr: 0,
  rwDaddr: 4,
  rwSport: 8,
  rwDport: 10,
  rwCsumAddr: 12,
  rwCsumPort: 14,
  svcId: 16,
  backendId: 20,
  expiresS: 24,
  lastS: 28,
  flags: 32,
  createdS: 36,
} as const

/** struct frag_key: bytes in all, and where each field starts. */
export const FragKey = {
  size: 12,
  saddr: 0,
  daddr: 4,
  id: 8,
  proto: 10,
  zero: 11,
} as const

/** struct frag_val: bytes in all, and where each field starts. */
export const FragVal = {
  size: 4,
  sport: 0,
  dport: 2,
} as const

/** struct ipc_key: bytes in all, and where each field starts. */
export const IpcKey = {
  size: 24,
  prefixlen: 0,
  clusterId: 4,
  pad: 6,
  family: 7,
  addr: 8,
} as const

/** struct ipc_val: bytes in all, and where each field starts. */
export const IpcVal = {
  size: 32,
  identity: 0,
  flags: 4,
  clusterId: 8,
  key: 10,
  zero: 11,
  tunnel: 16,
} as const

/** struct masq_key: bytes in all, and where each field starts. */
export const MasqKey = {
  size: 8,
  prefixlen: 0,
  addr: 4,
} as const

/** struct met_val: bytes in all, and where each field starts. */
export const MetVal = {
  size: 16,
  packets: 0,
  bytes: 8,
} as const

/** struct ports_val: bytes in all, and where each field starts. */
export const PortsVal = {
  size: 8200,
  addr: 0,
  zero: 4,
  had: 8,
} as const

/** struct purge_ids: bytes in all, and where each field starts. */
export const PurgeIds = {
  size: 8,
  backends: 0,
  services: 4,
} as const

/** struct purge_range: bytes in all, and where each field starts. */
export const PurgeRange = {
  size: 16,
  svcId: 0,
  addr: 4,
  mask: 8,
  deny: 12,
} as const

/** struct purge_run: bytes in all, and where each field starts. */
export const PurgeRun = {
  size: 12,
  ranges: 0,
  tcp: 4,
  any: 8,
} as const

/** struct revsk_key: bytes in all, and where each field starts. */
export const RevskKey = {
  size: 16,
  cookie: 0,
  addr: 8,
  port: 12,
  zero: 14,
} as const

/** struct revsk_val: bytes in all, and where each field starts. */
export const RevskVal = {
  size: 12,
  vip: 0,
  port: 4,
  zero: 6,
  svcId: 8,
} as const

/** struct rnat_val: bytes in all, and where each field starts. */
export const RnatVal = {
  size: 8,
  vip: 0,
  port: 4,
  flags: 6,
} as const

/** struct rt_val: bytes in all, and where each field starts. */
export const RtVal = {
  size: 8,
  events: 0,
  addr: 4,
} as const

/** struct srcr_key: bytes in all, and where each field starts. */
export const SrcrKey = {
  size: 12,
  prefixlen: 0,
  svcId: 4,
  addr: 8,
} as const

/** struct svc_key: bytes in all, and where each field starts. */
export const SvcKey = {
  size: 12,
  vip: 0,
  port: 4,
  proto: 6,
  scope: 7,
  zero: 8,
} as const

/** struct svc_val: bytes in all, and where each field starts. */
export const SvcVal = {
  size: 36,
  svcId: 0,
  flags: 4,
  affinityTimeoutS: 8,
  algorithm: 12,
  fwdMode: 13,
  zero: 14,
  count: 16,
  qcount: 20,
  slotOff: 24,
  magOff: 28,
  magM: 32,
} as const

/** enum addr_family. */
export const AddrFamily = {
  V4: 1,
  V6: 2,
} as const

/** enum be_flag. */
export const BeFlag = {
  HOST_NET: 1,
} as const

/** enum be_state. */
export const BeState = {
  ACTIVE: 1,
  TERMINATING: 2,
  QUARANTINED: 3,
  MAINTENANCE: 4,
} as const

/** enum dev_flag. */
export const DevFlag = {
  SEVERAL: 1,
  XDP: 2,
} as const

/** enum drop_reason. */
export const DropReason = {
  REASON_FORWARDED: 0,
  REASON_EVENT_LOST: 1,
  REASON_DSR_FALLBACK: 2,
  DROP_BAD_SOURCE: 132,
  DROP_INVALID_PACKET: 134,
  DROP_FRAG_NEEDED: 136,
  DROP_WRITE_ERROR: 141,
  DROP_FLOW_CREATE_FAILED: 155,
  DROP_NO_SERVICE: 158,
  DROP_HOST_UNREACHABLE: 164,
  DROP_NAT_NO_MAPPING: 167,
  DROP_NAT_UNSUPPORTED_PROTO: 168,
  DROP_NO_FIB: 169,
  DROP_ENCAP_PROHIBITED: 170,
  DROP_CLUSTER_IP_FROM_OUTSIDE: 174,
  DROP_FRAG_NOT_FOUND: 175,
  DROP_NOT_IN_SOURCE_RANGE: 177,
  DROP_TTL_EXCEEDED: 196,
} as const

/** enum dry_magic. */
export const DryMagic = {
  MAGIC: 1567813809,
  NO_SERVICE: 2147483647,
} as const

/** enum dry_result. */
export const DryResult = {
  REASON_MASK: 255,
  OURS: 256,
  ANSWERED: 512,
  LEFT: 1024,
} as const

/** enum dry_word. */
export const DryWord = {
  RESULT: 0,
  SERVICE: 1,
  BACKEND: 2,
  DEVICE: 3,
  NEXT_HOP: 4,
} as const

/** enum ep_flag. */
export const EpFlag = {
  HOST: 1,
  HOST_NETNS: 2,
} as const

/** enum event_type. */
export const EventType = {
  DROP: 1,
  TRACE: 2,
} as const

/** enum flow_flag. */
export const FlowFlag = {
  REV: 1,
  SNAT: 2,
  LOCAL: 4,
  ESTABLISHED: 8,
  FIN_SELF: 16,
  FIN_TWIN: 32,
  RST: 64,
  DSR: 128,
  DSR_INFO: 256,
  MASQ: 512,
  CLIENT_HERE: 1024,
  HAIRPIN: 2048,
  DIRECT: 4096,
} as const

/** enum identity. */
export const Identity = {
  UNKNOWN: 0,
  HOST: 1,
  WORLD: 2,
  REMOTE_NODE: 6,
} as const

/** enum ipc_flag. */
export const IpcFlag = {
  HAS_TUN: 1,
  TUN6: 2,
  SKIP_TUN: 4,
  REMOTE_CLUSTER: 8,
  IS_NODE: 16,
  DSR_OK: 32,
} as const

/** enum met_dir. */
export const MetDir = {
  INGRESS: 0,
  EGRESS: 1,
  SOCKET: 2,
} as const

/** enum rt_event. */
export const RtEvent = {
  DROP: 1,
  TRACE: 2,
} as const

/** enum svc_algorithm. */
export const SvcAlgorithm = {
  RANDOM: 1,
  MAGLEV: 2,
} as const

/** enum svc_flag. */
export const SvcFlag = {
  EXT_IP: 1,
  NODEPORT: 2,
  LB: 4,
  HOSTPORT: 8,
  HOSTPORT_LOOPBACK: 16,
  ROUTABLE: 32,
  AFFINITY: 64,
  SRC_CHECK: 128,
  SRC_DENY: 256,
  ETP_LOCAL: 512,
  ITP_LOCAL: 1024,
  TWO_SCOPES: 2048,
  WILDCARD_DROP: 8192,
  CLUSTER_IP: 16384,
} as const

/** enum svc_forward. */
export const SvcForward = {
  SNAT: 1,
  DSR: 2,
} as const

/** enum svc_scope. */
export const SvcScope = {
  EXT: 0,
  INT: 1,
} as const

/** enum trace_point. */
export const TracePoint = {
  STACK: 0,
  DEVICE: 1,
  OVERLAY: 2,
} as const

/** Shape of each map as the programs declare it; the agent may choose another maxEntries. */
export const MAPS = {
  w_aff4_v1: {
    name: 'w_aff4_v1',
    type: 9,
    keySize: 16,
    valueSize: 8,
    maxEntries: 65536,
    flags: 0,
  },
  w_be4_v1: {
    name: 'w_be4_v1',
    type: 2,
    keySize: 4,
    valueSize: 16,
    maxEntries: 262144,
    flags: 1024,
  },
  w_dev_v1: {
    name: 'w_dev_v1',
    type: 1,
    keySize: 4,
    valueSize: 8,
    maxEntries: 256,
    flags: 1,
  },
  w_ep_v1: {
    name: 'w_ep_v1',
    type: 1,
    keySize: 20,
    valueSize: 32,
    maxEntries: 65536,
    flags: 1,
  },
  w_ev: {
    name: 'w_ev',
    type: 27,
    keySize: 0,
    valueSize: 0,
    maxEntries: 262144,
    flags: 0,
  },
  w_flow4a_v1: {
    name: 'w_flow4a_v1',
    type: 9,
    keySize: 16,
    valueSize: 40,
    maxEntries: 262144,
    flags: 0,
  },
  w_flow4s_v1: {
    name: 'w_flow4s_v1',
    type: 9,
    keySize: 16,
    valueSize: 40,
    maxEntries: 262144,
    flags: 0,
  },
  w_flow4t_v1: {
    name: 'w_flow4t_v1',
    type: 9,
    keySize: 16,
    valueSize: 40,
    maxEntries: 524288,
    flags: 0,
  },
  w_frag4_v1: {
    name: 'w_frag4_v1',
    type: 9,
    keySize: 12,
    valueSize: 4,
    maxEntries: 8192,
    flags: 0,
  },
  w_here_v1: {
    name: 'w_here_v1',
    type: 2,
    keySize: 4,
    valueSize: 4,
    maxEntries: 1,
    flags: 0,
  },
  w_ipc_v1: {
    name: 'w_ipc_v1',
    type: 11,
    keySize: 24,
    valueSize: 32,
    maxEntries: 512000,
    flags: 1,
  },
  w_masq4_v1: {
    name: 'w_masq4_v1',
    type: 11,
    keySize: 8,
    valueSize: 4,
    maxEntries: 16384,
    flags: 1,
  },
  w_met_v1: {
    name: 'w_met_v1',
    type: 6,
    keySize: 4,
    valueSize: 16,
    maxEntries: 768,
    flags: 0,
  },
  w_ports_v1: {
    name: 'w_ports_v1',
    type: 2,
    keySize: 4,
    valueSize: 8200,
    maxEntries: 1,
    flags: 0,
  },
  w_purge: {
    name: 'w_purge',
    type: 2,
    keySize: 4,
    valueSize: 8,
    maxEntries: 8193,
    flags: 1024,
  },
  w_purge_ranges: {
    name: 'w_purge_ranges',
    type: 2,
    keySize: 4,
    valueSize: 16,
    maxEntries: 128,
    flags: 1024,
  },
  w_revsk4_v1: {
    name: 'w_revsk4_v1',
    type: 9,
    keySize: 16,
    valueSize: 12,
    maxEntries: 262144,
    flags: 0,
  },
  w_rnat4_v1: {
    name: 'w_rnat4_v1',
    type: 2,
    keySize: 4,
    valueSize: 8,
    maxEntries: 65536,
    flags: 1024,
  },
  w_rt_v1: {
    name: 'w_rt_v1',
    type: 2,
    keySize: 4,
    valueSize: 8,
    maxEntries: 1,
    flags: 1024,
  },
  w_slot_v1: {
    name: 'w_slot_v1',
    type: 2,
    keySize: 4,
    valueSize: 4,
    maxEntries: 4194304,
    flags: 1024,
  },
  w_srcr4_v1: {
    name: 'w_srcr4_v1',
    type: 11,
    keySize: 12,
    valueSize: 4,
    maxEntries: 65536,
    flags: 1,
  },
  w_svc4_v1: {
    name: 'w_svc4_v1',
    type: 1,
    keySize: 12,
    valueSize: 36,
    maxEntries: 65536,
    flags: 1,
  },
} as const

/** Configuration variables in the .rodata of each object: byte offset and size. */
export const CONFIG = {
  weft_netdev: {
    size: 73,
    variables: {
      cfg_any_s: { offset: 20, size: 4 },
      cfg_dsr_info_always: { offset: 40, size: 1 },
      cfg_events: { offset: 64, size: 1 },
      cfg_hairpin_addr: { offset: 60, size: 4 },
      cfg_icmp_per_s: { offset: 68, size: 4 },
      cfg_maglev_seed: { offset: 52, size: 4 },
      cfg_masq_list: { offset: 42, size: 1 },
      cfg_masquerade: { offset: 41, size: 1 },
      cfg_native_mask: { offset: 48, size: 4 },
      cfg_native_net: { offset: 44, size: 4 },
      cfg_no_backend_reject: { offset: 57, size: 1 },
      cfg_snat_addr: { offset: 4, size: 4 },
      cfg_snat_port_max: { offset: 32, size: 2 },
      cfg_snat_port_min: { offset: 30, size: 2 },
      cfg_snat_secret: { offset: 36, size: 4 },
      cfg_tcp_closing_s: { offset: 16, size: 4 },
      cfg_tcp_established_s: { offset: 12, size: 4 },
      cfg_tcp_syn_s: { offset: 8, size: 4 },
      cfg_test_ifindex: { offset: 24, size: 4 },
      cfg_trace: { offset: 72, size: 1 },
      cfg_track_flows: { offset: 56, size: 1 },
      cfg_xdp: { offset: 0, size: 1 },
      cfg_xdp_tx: { offset: 28, size: 1 },
    },
  },
  weft_sock: {
    size: 18,
    variables: {
      cfg_events: { offset: 0, size: 1 },
      cfg_host_netns_cookie: { offset: 8, size: 8 },
      cfg_nodeport_max: { offset: 4, size: 2 },
      cfg_nodeport_min: { offset: 2, size: 2 },
      cfg_set_retval: { offset: 17, size: 1 },
      cfg_sock_host_only: { offset: 16, size: 1 },
    },
  },
  weft_xdp: {
    size: 65,
    variables: {
      cfg_any_s: { offset: 20, size: 4 },
      cfg_dsr_info_always: { offset: 40, size: 1 },
      cfg_events: { offset: 58, size: 1 },
      cfg_icmp_per_s: { offset: 60, size: 4 },
      cfg_maglev_seed: { offset: 52, size: 4 },
      cfg_masq_list: { offset: 42, size: 1 },
      cfg_masquerade: { offset: 41, size: 1 },
      cfg_native_mask: { offset: 48, size: 4 },
      cfg_native_net: { offset: 44, size: 4 },
      cfg_no_backend_reject: { offset: 57, size: 1 },
      cfg_snat_addr: { offset: 4, size: 4 },
      cfg_snat_port_max: { offset: 32, size: 2 },
      cfg_snat_port_min: { offset: 30, size: 2 },
      cfg_snat_secret: { offset: 36, size: 4 },
      cfg_tcp_closing_s: { offset: 16, size: 4 },
      cfg_tcp_established_s: { offset: 12, size: 4 },
      cfg_tcp_syn_s: { offset: 8, size: 4 },
      cfg_test_ifindex: { offset: 24, size: 4 },
      cfg_trace: { offset: 64, size: 1 },
      cfg_track_flows: { offset: 56, size: 1 },
      cfg_xdp: { offset: 0, size: 1 },
      cfg_xdp_tx: { offset: 28, size: 1 },
    },
  },
} as const
