import type { ApiserverSettings } from '../../agent/run/apiserver.ts'
import { runApiserver } from '../../agent/run/apiserver.ts'
import { silentLog } from '../../agent/lib/log.ts'
import type { EtcdProcess } from './etcd.ts'

/** What an exporter publishes, and where it is described. */
export interface Exported extends Partial<ApiserverSettings> {
  readonly clusterName: string
  readonly clusterId: number
  readonly manifests: string
}

/** A clustermesh-apiserver in this process, until what it gives back is called. */
export function startExporter(exported: Exported, etcd: EtcdProcess): () => Promise<void> {
  const abort = new AbortController()
  const settings = { etcdEndpoints: [etcd.url], logLevel: 'silent', log: silentLog, ...exported } as const
  const running = runApiserver(settings, abort.signal)
  return async () => {
    abort.abort(new Error('stopped'))
    await running
  }
}

/** The manifest of a pod on east-worker that is ready. */
export const podManifest = (name: string, ip: string, app = 'webpod'): string => `apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: default, labels: {app: ${app}, pod-template-hash: abc}}
spec:
  nodeName: east-worker
  serviceAccountName: default
  containers: [{name: web, image: web, ports: [{containerPort: 8080}]}]
status:
  phase: Running
  podIP: ${ip}
  podIPs: [{ip: ${ip}}]
  conditions: [{type: Ready, status: "True"}]
`
