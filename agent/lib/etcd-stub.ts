import type { Client, ClientDuplexStream, Metadata, MethodDefinition } from '@grpc/grpc-js'
import type { IRangeRequest } from 'etcd3'
import type { EtcdClient } from './etcd.ts'
import type { WatchMessage } from './etcd-wire.ts'
import { decodeWatchMessage, RangePage } from './etcd-wire.ts'

/** A page of a long list may take a busy server seconds; that the server lives is seen on the watch stream meanwhile. */
const PAGE_TIMEOUT_MS = 15_000

/** Requests as etcd3 takes them; messages as `etcd-wire` reads them. */
export type WatchStream = ClientDuplexStream<object, WatchMessage>

/** What grpc-js keeps with a method of a generated stub. */
type Method = Pick<MethodDefinition<object, unknown>, 'path' | 'requestSerialize'>

function methodOf(stub: Client, name: string): Method {
  return (stub as unknown as Readonly<Record<string, Method>>)[name]!
}

/** Reads a page of a range. @throws as etcd3's own call */
export function rangePage(client: EtcdClient, request: IRangeRequest): Promise<RangePage> {
  return client.stub('KV', (stub, metadata) => {
    const { path, requestSerialize } = methodOf(stub, 'range')
    const decode = (bytes: Buffer): RangePage => new RangePage(bytes)
    const options = { deadline: Date.now() + PAGE_TIMEOUT_MS }
    return new Promise<RangePage>((resolve, reject) => {
      stub.makeUnaryRequest(path, requestSerialize, decode, request, metadata, options, (error, page) => {
        if (page === undefined) reject(error ?? new RangeError('etcd answered nothing'))
        else resolve(page)
      })
    })
  })
}

export function openWatchStream(client: EtcdClient): Promise<WatchStream> {
  return client.stub('Watch', (stub, metadata: Metadata) => {
    const { path, requestSerialize } = methodOf(stub, 'watch')
    const headers = metadata.clone()
    // A member that lost its leader would keep a watch open in silence; with this header it ends the stream.
    headers.set('hasleader', 'true')
    return stub.makeBidiStreamRequest(path, requestSerialize, decodeWatchMessage, headers)
  })
}
