/** Numbers of the BPF user API (linux/bpf.h) that weft uses. Values are kernel ABI. */

/** `enum bpf_map_type`. */
export const MapType = {
  HASH: 1,
  ARRAY: 2,
  PROG_ARRAY: 3,
  PERCPU_HASH: 5,
  PERCPU_ARRAY: 6,
  LRU_HASH: 9,
  LRU_PERCPU_HASH: 10,
  LPM_TRIE: 11,
  ARRAY_OF_MAPS: 12,
  HASH_OF_MAPS: 13,
  SK_STORAGE: 24,
  RINGBUF: 27,
} as const

/** Name of a map type, for messages: `HASH`, or the number. */
export function mapTypeName(type: number): string {
  return Object.entries(MapType).find(([, value]) => value === type)?.[0] ?? String(type)
}

/** Flags of BPF_MAP_CREATE. */
export const MapFlag = {
  /** No memory for elements until they are inserted; required by LPM_TRIE. */
  NO_PREALLOC: 1 << 0,
  /** User space can only read. */
  RDONLY: 1 << 3,
  /** Programs can only read. */
  RDONLY_PROG: 1 << 7,
  /** ARRAY only: user space may mmap the values. Linux 5.5. */
  MMAPABLE: 1 << 10,
} as const

/** Flags of an element update. */
export const Update = { ANY: 0, NOEXIST: 1, EXIST: 2 } as const

/** `enum bpf_attach_type`, as far as weft attaches. */
export const AttachType = {
  CGROUP_INET4_CONNECT: 10,
  CGROUP_UDP4_SENDMSG: 14,
  CGROUP_UDP4_RECVMSG: 19,
  CGROUP_INET4_GETPEERNAME: 29,
  XDP: 37,
  /** Linux 6.6. */
  TCX_INGRESS: 46,
  /** Linux 6.6. */
  TCX_EGRESS: 47,
} as const

/** Flags of an XDP attachment (linux/if_link.h). */
export const XdpFlag = { UPDATE_IF_NOEXIST: 1, SKB: 2, DRV: 4 } as const

/** Return values of tc programs (linux/pkt_cls.h). */
export const TcVerdict = { UNSPEC: -1, OK: 0, SHOT: 2, REDIRECT: 7 } as const

/** Return values of XDP programs. */
export const XdpVerdict = { ABORTED: 0, DROP: 1, PASS: 2, TX: 3, REDIRECT: 4 } as const
