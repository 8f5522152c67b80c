import { closeSync } from 'node:fs'
import { BpfError, Errno } from './errors.ts'
import { Mem } from './foreign.ts'
import { native } from './libbpf.ts'
import { openSocket } from './net.ts'

const AF_INET = 2
const SOCK_DGRAM = 2
const SOCK_RAW = 3
const LARGEST_PACKET = 0x10000

/** Options that Node's sockets have no name for: level and name, as in the C headers. */
export const SocketOption = {
  IP_MTU_DISCOVER: [0, 10],
  SO_NO_CHECK: [1, 11],
} as const

/** Value of IP_MTU_DISCOVER: never fragment here, and say EMSGSIZE where the path is known to be too narrow. */
export const IP_PMTUDISC_DO = 2

/** An IPv4 socket for what Node's own ones cannot do, in the network namespace of the calling thread. Nothing here blocks. */
export class PlainSocket {
  /** For `bind({ fd })` of node:dgram, which then owns it. */
  readonly fd: number

  private constructor(type: number, protocol: number) {
    this.fd = openSocket(AF_INET, type, protocol, 'IPv4')
  }

  /** Receives all packets of a protocol, header and all, beside those they are for. Needs CAP_NET_RAW. */
  static raw(protocol: 'icmp' | 'udp'): PlainSocket {
    return new PlainSocket(SOCK_RAW, protocol === 'icmp' ? 1 : 17)
  }

  /** Sends packets whose IP header is there already; the kernel sets its checksum and nothing else that is not 0. */
  static rawSender(): PlainSocket {
    return new PlainSocket(SOCK_RAW, 255)
  }

  static datagram(): PlainSocket {
    return new PlainSocket(SOCK_DGRAM, 0)
  }

  setOption([level, name]: readonly [number, number], value: number): this {
    const n = native()
    const room = new Mem(4)
    room.bytes.writeInt32LE(value)
    if (n.setsockopt.int(this.fd, level, name, room.address, 4) < 0) {
      throw new BpfError({ fn: 'setsockopt', errno: n.errno(), subject: `option ${name}` })
    }
    return this
  }

  /** Send a packet, IP header first, to where its header says. */
  send(packet: Uint8Array): void {
    const n = native()
    const data = new Mem(packet.length)
    data.bytes.set(packet)
    const to = new Mem(16)
    to.bytes.writeUInt16LE(AF_INET)
    data.bytes.copy(to.bytes, 4, 16, 20)
    if (n.sendto.int(this.fd, data.address, packet.length, 0, to.address, 16) < 0) {
      throw new BpfError({ fn: 'sendto', errno: n.errno() })
    }
  }

  /** The next packet, or undefined when there is none yet. */
  receive(): Buffer | undefined {
    const n = native()
    const room = new Mem(LARGEST_PACKET)
    const length = n.recv.int(this.fd, room.address, LARGEST_PACKET, 0)
    if (length >= 0) return room.bytes.subarray(0, length)
    const errno = n.errno()
    if (errno === Errno.EAGAIN) return undefined
    throw new BpfError({ fn: 'recv', errno })
  }

  close(): void {
    closeSync(this.fd)
  }
}
