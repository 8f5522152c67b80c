import { closeSync } from 'node:fs'
import { BpfError, Errno } from './errors.ts'
import { Mem } from './foreign.ts'
import { native } from './libbpf.ts'
import { openSocket } from './net.ts'

const AF_NETLINK = 16
const SOCK_RAW = 3
const NETLINK_ROUTE = 0
const SOCKADDR_SIZE = 12
/** RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE. */
const GROUPS = 0x1 | 0x10 | 0x40
const HEADER_SIZE = 16
const ROOM = 64 << 10
const MSG_TRUNC = 0x20

/** `RTM_*` (linux/rtnetlink.h). */
const NEWROUTE = 24
const DELROUTE = 25

/**
 * Whether one of these messages is about a link, an address or a default route. Other routes come and go with every pod, and
 * concern no device.
 */
export function concernsDevices(messages: Uint8Array): boolean {
  const view = Buffer.from(messages.buffer, messages.byteOffset, messages.byteLength)
  for (let at = 0; at + HEADER_SIZE <= view.length;) {
    const length = view.readUInt32LE(at)
    const type = view.readUInt16LE(at + 4)
    if (length < HEADER_SIZE) return false
    const isRoute = type === NEWROUTE || type === DELROUTE
    // struct rtmsg: family, then the prefix length of the destination.
    if (!isRoute || view[at + HEADER_SIZE + 1] === 0) return true
    at += Math.ceil(length / 4) * 4
  }
  return false
}

/**
 * Hears of changes of links, IPv4 addresses and routes, in the network namespace in which it was made. It is asked, and never
 * waits. What changed is to be read anew: messages may be lost, and then it says that something changed.
 */
export class DeviceMonitor {
  readonly #fd: number
  readonly #room = new Mem(ROOM)

  constructor() {
    const n = native()
    this.#fd = openSocket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, 'rtnetlink')
    const address = new Mem(SOCKADDR_SIZE)
    address.bytes.writeUInt16LE(AF_NETLINK)
    address.bytes.writeUInt32LE(GROUPS, 8)
    if (n.bind.int(this.#fd, address.address, SOCKADDR_SIZE) >= 0) return
    const errno = n.errno()
    closeSync(this.#fd)
    throw new BpfError({ fn: 'bind', errno, subject: 'rtnetlink' })
  }

  /** Whether anything about devices has changed since it was asked last. */
  changed(): boolean {
    const n = native()
    let changed = false
    for (;;) {
      const length = n.recv.int(this.#fd, this.#room.address, ROOM, MSG_TRUNC)
      if (length >= 0) {
        changed ||= length > ROOM || concernsDevices(this.#room.bytes.subarray(0, length))
        continue
      }
      const errno = n.errno()
      if (errno === Errno.EAGAIN) return changed
      if (errno === Errno.ENOBUFS) changed = true
      else if (errno !== Errno.EINTR) throw new BpfError({ fn: 'recv', errno, subject: 'rtnetlink' })
    }
  }

  close(): void {
    closeSync(this.#fd)
  }
}
