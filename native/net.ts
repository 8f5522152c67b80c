import { closeSync, openSync } from 'node:fs'
import { BpfError, Errno } from './errors.ts'
import { Mem } from './foreign.ts'
import { native } from './libbpf.ts'

const CLONE_NEWNET = 0x4000_0000
const AF_INET = 2
const SOCK_DGRAM = 2
const NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
const SOL_SOCKET = 1
const SO_NETNS_COOKIE = 71

/** Index of a network device, in the network namespace of the calling thread. BPF_ENODEV when there is none of that name. */
export function ifIndex(name: string): number {
  const index = native().ifNameToIndex.int(Mem.string(name).address)
  if (index === 0) throw new BpfError({ fn: 'if_nametoindex', errno: native().errno() || Errno.ENODEV, subject: name })
  return index
}

/** Name of a network device, in the network namespace of the calling thread; undefined when there is none. */
export function ifName(index: number): string | undefined {
  const room = new Mem(16)
  if (native().ifIndexToName.pointer(index, room.address) === 0) return undefined
  return room.bytes.toString('utf8', 0, room.bytes.indexOf(0))
}

/**
 * Move the main thread into the network namespace at `path` (`/run/netns/x`, `/proc/PID/ns/net`). New sockets, child
 * processes and device names follow; open sockets stay where they were made. Needs CAP_SYS_ADMIN.
 */
export function enterNetns(path: string): void {
  const fd = openSync(path, 'r')
  try {
    if (native().setns.int(fd, CLONE_NEWNET) < 0) {
      throw new BpfError({ fn: 'setns', errno: native().errno(), subject: path })
    }
  } finally {
    closeSync(fd)
  }
}

/** Move the main thread into a new, empty network namespace, which goes with its last process. Needs CAP_SYS_ADMIN. */
export function newNetns(): void {
  if (native().unshare.int(CLONE_NEWNET) < 0) throw new BpfError({ fn: 'unshare', errno: native().errno() })
}

/** The descriptor of a new socket in the network namespace of the calling thread: it does not block, and no child inherits it. */
export function openSocket(family: number, type: number, protocol: number, subject: string): number {
  const n = native()
  const fd = n.socket.int(family, type | NONBLOCK_CLOEXEC, protocol)
  if (fd < 0) throw new BpfError({ fn: 'socket', errno: n.errno(), subject })
  return fd
}

/** Cookie of the calling thread's network namespace, as `bpf_get_netns_cookie` gives it (Linux 5.14). */
export function netnsCookie(): bigint {
  const n = native()
  const fd = openSocket(AF_INET, SOCK_DGRAM, 0, 'IPv4')
  try {
    const value = new Mem(8)
    const length = new Mem(4)
    length.bytes.writeUInt32LE(8)
    if (n.getsockopt.int(fd, SOL_SOCKET, SO_NETNS_COOKIE, value.address, length.address) < 0) {
      throw new BpfError({ fn: 'getsockopt', errno: n.errno(), subject: 'SO_NETNS_COOKIE' })
    }
    return value.bytes.readBigUInt64LE()
  } finally {
    closeSync(fd)
  }
}
