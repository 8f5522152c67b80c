import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runApiserver } from '../../agent/run/apiserver.ts'
import { createEtcdClient } from '../../agent/lib/etcd.ts'
import { silentLog } from '../../agent/lib/log.ts'
import { West } from './mesh-fixture.ts'
import { clusterFile, TestPki } from './tls-fixture.ts'

test('clustermesh-apiserver puts an empty etcd in order, and a cluster with a user of its own reads from it', async () => {
  await using pki = await TestPki.create()
  await using etcd = await pki.startEtcd('east')
  await using west = await West.create()
  const manifests = await mkdtemp(join(tmpdir(), `weft-east-${process.pid}-`))
  const meshUsers = join(manifests, 'users')
  await writeFile(meshUsers, 'users:\n- { name: remote-west, role: remote }\n')
  const admin = pki.files('admin-east')
  const stop = new AbortController()
  const server = runApiserver(
    {
      ...{ clusterName: 'east', clusterId: 2, manifests, etcdEndpoints: [etcd.url], logLevel: 'error', log: silentLog },
      ...{ etcdCaFile: admin.caFile, etcdCertFile: admin.certFile, etcdKeyFile: admin.keyFile, meshUsers },
    },
    stop.signal,
  )
  try {
    const files = await pki.issue({ kind: 'remote', peer: 'west' })
    await west.configure('east', clusterFile(etcd.url, files))
    await west.start()
    await west.ready('east')
    const client = createEtcdClient({ endpoints: [etcd.url], ...files })
    await expect(client.put('cilium/state/x').value('x').exec()).rejects.toThrow(/permission denied/)
    client.close()
  } finally {
    stop.abort()
    await server
    await rm(manifests, { recursive: true })
  }
})
