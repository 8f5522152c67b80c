import type { Client } from '@grpc/grpc-js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createEtcdClient } from '../../../agent/lib/etcd.ts'
import { decodeWatchMessage, RangePage } from '../../../agent/lib/etcd-wire.ts'

/** What etcd3 would write as an answer of etcd: an encoder that is not ours. */
async function encoder(service: 'KV' | 'Watch', method: string): Promise<(message: object) => Buffer> {
  const client = createEtcdClient({ endpoints: ['http://127.0.0.1:1'] })
  const encode = await client.stub(service, (stub: Client) => {
    const methods = stub as unknown as Readonly<Record<string, { responseSerialize: (message: object) => Buffer }>>
    return methods[method]!.responseSerialize
  })
  client.close()
  return encode
}

const HEADER = { cluster_id: '18446744073709551615', member_id: '7', revision: '9007199254740991', raft_term: '3' }
const KV = {
  key: Buffer.from('a/b'),
  value: Buffer.alloc(300, 'v'),
  mod_revision: '4294967297',
  lease: '-5',
  version: '2',
}

test('a page is read as it was written', async () => {
  const encode = await encoder('KV', 'range')
  const empty = { key: Buffer.from('c'), value: Buffer.alloc(0), mod_revision: '1' }
  const page = new RangePage(encode({ header: HEADER, kvs: [KV, empty], more: true, count: '1000000' }))
  expect([page.header.cluster_id, page.header.revision]).toEqual([HEADER.cluster_id, HEADER.revision])
  expect([page.more, page.total, page.length]).toEqual([true, 1_000_000, 2])
  expect([page.at(0).key, page.at(0).value, page.at(0).mod_revision]).toEqual([KV.key, KV.value, KV.mod_revision])
  expect([page.at(1).key, page.at(1).value, page.at(1).modified]).toEqual([empty.key, empty.value, 1])
})

test('watch messages are read as they were written', async () => {
  const encode = await encoder('Watch', 'watch')
  const events = [{ kv: KV }, { type: 'DELETE', kv: { key: Buffer.from('d'), mod_revision: '9' } }]
  const message = decodeWatchMessage(encode({ header: HEADER, watch_id: '3', events }))
  expect(message.watch_id).toBe('3')
  expect([...message.events].map(({ kv }) => [kv.key.toString(), kv.modified])).toEqual([
    ['a/b', 4294967297],
    ['d', 9],
  ])
  const ended = { header: HEADER, watch_id: '-1', canceled: true, compact_revision: '12', cancel_reason: 'why' }
  expect(decodeWatchMessage(encode(ended))).toMatchObject({ ...ended, header: { revision: HEADER.revision } })
})

test('bytes of any kind are a message or a RangeError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      for (const read of [
        (each: Buffer) => [...decodeWatchMessage(each).events],
        (each: Buffer) => new RangePage(each),
      ]) {
        try {
          read(Buffer.from(bytes))
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
        }
      }
    }),
    { numRuns: 3000 },
  )
})
