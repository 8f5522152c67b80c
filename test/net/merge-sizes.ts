/**
 * `node merge-sizes.js BYTES`: how much the devices of this network namespace may merge into one IPv4 packet, in both directions.
 * By rtnetlink, for iproute2 before 6.3 cannot say it.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, readSync, writeSync } from 'node:fs'
import { openSocket } from '../../native/net.ts'

const AF_NETLINK = 16
const SOCK_RAW = 3
const RTM_NEWLINK = 16
const REQUEST_ACK = 5
/** IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, and both for IPv4. */
const ATTRIBUTES = [41, 58, 63, 64]
const HEADER = 16
const IFINFOMSG = 16

function request(ifindex: number, bytes: number): Buffer {
  const message = Buffer.alloc(HEADER + IFINFOMSG + 8 * ATTRIBUTES.length)
  message.writeUInt32LE(message.length)
  message.writeUInt16LE(RTM_NEWLINK, 4)
  message.writeUInt16LE(REQUEST_ACK, 6)
  message.writeInt32LE(ifindex, HEADER + 4)
  ATTRIBUTES.forEach((type, i) => {
    const at = HEADER + IFINFOMSG + 8 * i
    message.writeUInt16LE(8, at)
    message.writeUInt16LE(type, at + 2)
    message.writeUInt32LE(bytes, at + 4)
  })
  return message
}

const bytes = Number(process.argv[2])
const links = JSON.parse(execFileSync('ip', ['-j', 'link'], { encoding: 'utf8' })) as {
  ifindex: number
  ifname: string
}[]
const fd = openSocket(AF_NETLINK, SOCK_RAW, 0, 'rtnetlink')
for (const { ifindex, ifname } of links.filter((link) => link.ifname !== 'lo')) {
  writeSync(fd, request(ifindex, bytes))
  // The answer is there by the time that the request is sent.
  const answer = Buffer.alloc(4096)
  readSync(fd, answer)
  const error = answer.readInt32LE(HEADER)
  if (error !== 0) throw new Error(`${ifname}: errno ${String(-error)}`)
}
closeSync(fd)
