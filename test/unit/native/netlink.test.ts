import { expect, test } from 'vitest'
import { concernsDevices } from '../../../native/netlink.ts'

const NEWLINK = 16
const NEWADDR = 20
const NEWROUTE = 24

function message(type: number, body: readonly number[]): Buffer {
  const bytes = Buffer.alloc(16 + 12)
  bytes.writeUInt32LE(bytes.length, 0)
  bytes.writeUInt16LE(type, 4)
  Buffer.from(body).copy(bytes, 16)
  return bytes
}

const podRoute = message(NEWROUTE, [2, 32])
const defaultRoute = message(NEWROUTE, [2, 0])

test.each([
  ['a link', [message(NEWLINK, [0])], true],
  ['an address', [message(NEWADDR, [2, 24])], true],
  ['a default route', [defaultRoute], true],
  ['routes to pods', [podRoute, podRoute], false],
  ['a default route behind others', [podRoute, defaultRoute], true],
  ['nothing', [], false],
  ['a length that cannot be', [Buffer.alloc(16)], false],
])('%s', (_what, messages, concerns) => {
  expect(concernsDevices(Buffer.concat(messages))).toBe(concerns)
})
