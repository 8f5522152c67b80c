import { closeSync, openSync } from 'node:fs'
import { BpfError, Errno } from './errors.ts'
import { FdOwner } from './fd.ts'
import { Mem } from './foreign.ts'
import { native } from './libbpf.ts'
import { enterNetns, openSocket } from './net.ts'

const AF_INET = 2
const AF_NETLINK = 16
const SOCK_RAW = 3
const NETLINK_SOCK_DIAG = 4
const SOCK_DIAG_BY_FAMILY = 20
const SOCK_DESTROY = 21
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLM_F_DUMP = 0x300
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const HEADER = 16
/** struct inet_diag_req_v2, and the socket's id in it and in struct inet_diag_msg. */
const REQUEST = 56
const REQUEST_ID = 8
const MESSAGE_ID = 4
const ID = 48
const BUFFER = 1 << 16

/** `enum` of the kernel's TCP states; a connected UDP socket is ESTABLISHED. */
export const SocketState = { ESTABLISHED: 1, SYN_SENT: 2, FIN_WAIT1: 4, FIN_WAIT2: 5, CLOSE_WAIT: 8 } as const

/** A socket of one network namespace. Addresses in host order. */
export type InetSocket = {
  readonly protocol: number
  readonly source: number
  readonly sourcePort: number
  readonly destination: number
  readonly destinationPort: number
  /** As `bpf_get_socket_cookie` gives it. */
  readonly cookie: bigint
  /** struct inet_diag_sockid, which names this socket and no other. */
  readonly id: Buffer
}

/** IPv4 sockets of one network namespace, by netlink (CONFIG_INET_DIAG; destroying needs CONFIG_INET_DIAG_DESTROY). */
export class SocketDiag extends FdOwner {
  private readonly answer = new Mem(BUFFER)
  private sequence = 0

  private constructor(fd: number, subject: string) {
    super(fd, subject)
  }

  /** Of the network namespace at `path` (`/proc/PID/ns/net`); the calling thread is in its own again afterwards. Needs CAP_SYS_ADMIN. */
  static open(path: string): SocketDiag {
    const home = openSync('/proc/self/ns/net', 'r')
    try {
      enterNetns(path)
      try {
        return new SocketDiag(openSocket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG, path), path)
      } finally {
        enterNetns(`/proc/self/fd/${home}`)
      }
    } finally {
      closeSync(home)
    }
  }

  /** Sockets of a protocol in these states that have this port at the other end. */
  list(protocol: number, states: readonly number[], destinationPort: number): InetSocket[] {
    const request = this.request(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, protocol)
    request.writeUInt16BE(destinationPort, HEADER + REQUEST_ID + 2)
    request.writeUInt32LE(
      states.reduce((mask, state) => mask | (1 << state), 0),
      HEADER + 4,
    )
    const found: InetSocket[] = []
    const errno = this.exchange(request, (message) => {
      const id = Buffer.from(message.subarray(HEADER + MESSAGE_ID, HEADER + MESSAGE_ID + ID))
      found.push({
        protocol,
        sourcePort: id.readUInt16BE(0),
        destinationPort: id.readUInt16BE(2),
        source: id.readUInt32BE(4),
        destination: id.readUInt32BE(20),
        cookie: id.readBigUInt64LE(40),
        id,
      })
    })
    if (errno !== 0) throw new BpfError({ fn: 'SOCK_DIAG_BY_FAMILY', errno, subject: this.subject })
    return found
  }

  /** Its owner gets ECONNABORTED. False when it was gone already. */
  destroy(socket: InetSocket): boolean {
    const request = this.request(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, socket.protocol)
    socket.id.copy(request, HEADER + REQUEST_ID)
    const errno = this.exchange(request, () => undefined)
    if (errno === Errno.ENOENT || errno === Errno.ESTALE) return false
    if (errno !== 0) throw new BpfError({ fn: 'SOCK_DESTROY', errno, subject: this.subject })
    return true
  }

  private request(type: number, flags: number, protocol: number): Buffer {
    const message = Buffer.alloc(HEADER + REQUEST)
    message.writeUInt32LE(message.length, 0)
    message.writeUInt16LE(type, 4)
    message.writeUInt16LE(flags, 6)
    message.writeUInt32LE(++this.sequence, 8)
    message[HEADER] = AF_INET
    message[HEADER + 1] = protocol
    message.writeUInt32LE(0xffffffff, HEADER + 4)
    return message
  }

  /** Sends, and reads to the end of the answer, which is there when the call returns; the kernel's errno, or 0. */
  private exchange(request: Buffer, onMessage: (message: Buffer) => void): number {
    const n = native()
    const out = new Mem(request.length)
    request.copy(out.bytes)
    if (n.sendto.int(this.fd, out.address, request.length, 0, 0, 0) < 0) {
      throw new BpfError({ fn: 'sendto', errno: n.errno(), subject: this.subject })
    }
    const answer = this.answer
    for (;;) {
      const length = n.recv.int(this.fd, answer.address, BUFFER, 0)
      if (length < 0) throw new BpfError({ fn: 'recv', errno: n.errno(), subject: this.subject })
      for (let at = 0; at + HEADER <= length;) {
        const size = answer.bytes.readUInt32LE(at)
        const type = answer.bytes.readUInt16LE(at + 4)
        if (type === NLMSG_DONE) return 0
        if (type === NLMSG_ERROR) return -answer.bytes.readInt32LE(at + HEADER)
        onMessage(answer.bytes.subarray(at, at + size))
        at += (size + 3) & ~3
      }
    }
  }
}
