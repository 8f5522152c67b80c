import type { AddressInfo, Server } from 'node:net'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../agent/lib/clock.ts'
import { probe } from '../../agent/sources/probes/connect.ts'
import { parseAddress } from '../../agent/types/address.ts'

const TIMEOUT_MS = 100

let server: Server
let port: number

beforeEach(async () => {
  server = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
})

afterEach(async () => {
  if (server.listening) await new Promise((resolve) => server.close(resolve))
})

const target = (address: string, port: number) => ({ cluster: 'east', address: parseAddress(address)!, port })

/** Nothing else of this process runs meanwhile. */
function busy(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

test('an answer that lies unread when the time is up is one', async () => {
  const asked = probe(target('127.0.0.1', port), TIMEOUT_MS, systemClock)
  process.nextTick(() => busy(5 * TIMEOUT_MS)) // after the connection is asked for
  expect(await asked).toBe('answers')
})

test('where nobody listens, it is refused', async () => {
  await new Promise((resolve) => server.close(resolve))
  expect(await probe(target('127.0.0.1', port), TIMEOUT_MS, systemClock)).toBe('refused')
})
